"""Conversations stay on their target, as clients and providers see it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.answers import (
    block_delta,
    block_start,
    block_stop,
    chat_error,
    chat_frames,
    message_end,
    message_start,
    responses_body,
    responses_frames,
    text_delta,
)
from support.fake_provider import Chunk, Drop, Head, Received, Step, Until, Whole
from support.gateway import (
    PROVIDERS,
    Reply,
    Stand,
    StandBuilder,
    ask_body,
    config_of,
    healthy,
)
from support.routing import Known, routed, snapshot_from
from support.waiting import until

from plexus_proxy.config.model import TargetKey
from plexus_proxy.config.store import CONFIG
from plexus_proxy.formats.chat.observer import ChatObserver
from plexus_proxy.gateway.affinity import Affinity, Preference
from plexus_proxy.gateway.exchange import FULL, Exchange
from plexus_proxy.limits.concurrency import Places, Want
from plexus_proxy.routing.bindings import BINDINGS, Bindings
from plexus_proxy.upstream.attempt import Attempt

TARGETS = ("one", "two", "three", "four")
SYSTEM = {"role": "system", "content": "Be brief."}


@asynccontextmanager
async def spread(builder: StandBuilder, **alias: Any) -> AsyncIterator[Stand]:
    """Model `many` draws from four targets at random."""
    url = builder.provider_config("chat")["api_base_url"]["chat"]
    builder.config["models"]["many"] = {
        "targets": [{"provider": name, "model": "m"} for name in TARGETS],
        **alias,
    }
    for name in TARGETS:
        builder.config["providers"][name] = {
            "api_base_url": {"chat": f"{url}/{name}"},
            "api_key": f"key-of-{name}-provider",
        }
    async with builder.started() as stand:
        yield stand


def asked(stand: Stand) -> list[str]:
    return [received.path.split("/")[2] for received in stand.chat.requests]


async def turn(
    stand: Stand,
    number: int,
    *,
    topic: str = "teal",
    headers: dict[str, str] | None = None,
    model: str = "many",
) -> Reply:
    """The turn of a conversation about `topic`."""
    messages: list[dict[str, Any]] = [SYSTEM]
    for each in range(number):
        messages.append({"role": "user", "content": f"{topic} {each}"})
        messages.append({"role": "assistant", "content": f"about {topic} {each}"})
    messages.append({"role": "user", "content": f"{topic} {number}"})
    reply = await stand.gateway.ask("chat", {"model": model, "messages": messages}, headers)
    assert reply.status == 200
    return reply


async def test_all_turns_of_a_conversation_go_where_the_first_went(
    stand_builder: StandBuilder,
) -> None:
    async with spread(stand_builder) as stand:
        for topic in ("teal", "lime", "rose"):
            stand.chat.forget()
            for number in range(8):
                await turn(stand, number, topic=topic)
            assert len(set(asked(stand))) == 1


async def test_a_group_that_the_client_asks_for_keeps_conversations_too(
    stand_builder: StandBuilder,
) -> None:
    async with spread(stand_builder) as stand:
        for number in range(8):
            await turn(stand, number, model="direct/many/default")
        assert len(set(asked(stand))) == 1


async def test_conversations_are_spread(stand_builder: StandBuilder) -> None:
    async with spread(stand_builder) as stand:
        for number in range(40):
            await turn(stand, 0, topic=f"topic {number}")
        assert set(asked(stand)) == set(TARGETS)


async def test_a_session_that_the_client_names_stays(stand_builder: StandBuilder) -> None:
    async with spread(stand_builder) as stand:
        for number in range(8):
            await turn(stand, 0, topic=f"t {number}", headers={"x-session-id": "s-1"})
        assert len(set(asked(stand))) == 1


async def test_a_named_session_is_known_to_all_processes_at_its_first_questions_too(
    stand_builder: StandBuilder,
) -> None:
    """Agents begin many conversations in one session."""
    async with spread(stand_builder) as stand, stand_builder.started() as other:
        await turn(stand, 0, headers={"x-session-id": "s-1"})
        await stand.gateway.app[BINDINGS].commit()
        for number in range(8):
            body = ask_body("chat", "chat", question=f"q {number}", model="many")
            await other.gateway.ask("chat", body, {"x-session-id": "s-1"})
        assert len(set(asked(stand))) == 1


async def test_it_can_be_switched_off(stand_builder: StandBuilder) -> None:
    async with spread(stand_builder, sticky_session=False) as stand:
        for number in range(30):
            await turn(stand, number % 6 + 1)
        assert len(set(asked(stand))) > 1


async def test_a_conversation_moves_with_a_target_that_fails(stand_builder: StandBuilder) -> None:
    async with spread(stand_builder) as stand:
        await turn(stand, 0)
        await turn(stand, 1)
        [first] = set(asked(stand))
        stand.chat.enqueue(Whole(chat_error("broken"), 500))
        await turn(stand, 2)
        second = asked(stand)[-1]
        assert second != first
        for number in range(3, 8):
            await turn(stand, number)
        assert set(asked(stand)[3:]) == {second}


@pytest.mark.provider_breaks_grammar
async def test_a_conversation_moves_with_an_answer_that_went_on_elsewhere(
    stand_builder: StandBuilder,
) -> None:
    stand_builder.config["models"]["long"] = {
        "selector": "in_order",
        "resume": "continue",
        "targets": [
            {"provider": PROVIDERS[each], "model": f"up-{each}"} for each in ("chat", "messages")
        ],
    }
    async with stand_builder.started() as stand:
        stand.chat.enqueue(Head(), *map(Chunk, chat_frames()[:2]), Drop())
        for _ in range(2):
            body = ask_body("chat", "x", stream=True) | {"model": "long"}
            reply = await stand.gateway.ask("chat", body, {"x-session-id": "s-1"})
            assert reply.events()[-1] == "[DONE]"
        assert (len(stand.chat.requests), len(stand.messages.requests)) == (1, 2)


async def test_what_a_full_target_spills_comes_back(stand_builder: StandBuilder) -> None:
    stand_builder.config["providers"] = config_of(stand_builder.providers, stand_builder.secrets)[
        "providers"
    ]
    async with spread(stand_builder) as stand:
        await turn(stand, 0)
        await turn(stand, 1)
        [bound] = set(asked(stand))
        stand.gateway.config["providers"][bound]["maxConcurrency"] = 1
        stand.gateway.write_config()

        store = stand.gateway.app[CONFIG]
        await until(lambda: store.current.config.providers[bound].max_concurrency == 1)
        gate = asyncio.Event()
        answers = healthy("chat")
        stand.chat.enqueue(Until(gate), *answers(stand.chat.last))
        other = asyncio.ensure_future(
            stand.gateway.ask("chat", ask_body("chat", "x") | {"model": f"direct/{bound}/m"})
        )
        await stand.chat.arrived(3)
        await turn(stand, 2)
        assert asked(stand)[-1] != bound
        gate.set()
        await other
        await turn(stand, 3)
        assert asked(stand)[-1] == bound


@pytest.mark.parametrize("sticky", [True, False])
async def test_reasoning_goes_back_to_the_provider_that_can_read_it(
    stand_builder: StandBuilder, sticky: bool
) -> None:
    """Clients of another format carry it in an envelope that names its provider."""

    url = stand_builder.provider_config("messages")["api_base_url"]["messages"]
    stand_builder.config["models"]["thinkers"] = {
        "sticky_session": sticky,
        "targets": [{"provider": name, "model": "m"} for name in TARGETS],
    }
    for name in TARGETS:
        stand_builder.config["providers"][name] = {
            "api_base_url": {"messages": f"{url}/{name}"},
            "api_key": f"key-of-{name}-provider",
        }
    frames = [
        message_start(),
        block_start(0, {"type": "thinking", "thinking": "", "signature": ""}),
        block_delta(0, {"type": "thinking_delta", "thinking": "Hm."}),
        block_delta(0, {"type": "signature_delta", "signature": "c2lnbmF0dXJlLW9mLWl0"}),
        block_stop(0),
        block_start(1, {"type": "text", "text": ""}),
        text_delta("Teal.", 1),
        block_stop(1),
        *message_end(),
    ]
    async with stand_builder.started() as stand:
        provider = stand.provider("messages")
        provider.enqueue(Head(), *map(Chunk, frames))
        question: dict[str, Any] = {"role": "user", "content": "x"}
        body = {"model": "thinkers", "input": [question], "stream": True, "store": False}
        body["include"] = ["reasoning.encrypted_content"]
        reply = await stand.gateway.ask("responses", body)
        done = [each for each in reply.events() if each["type"] == "response.completed"]
        output = done[0]["response"]["output"]
        assert output[0]["encrypted_content"].startswith("gw1.")
        first = provider.last.path.split("/")[2]
        for number in range(6):
            again = {**body, "input": [{"role": "user", "content": f"other {number}"}, *output]}
            again["input"].append(question)
            await stand.gateway.ask("responses", {**again, "stream": False})
            assert provider.last.path.split("/")[2] == first


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("more", [{}, {"prompt_cache_key": "k"}])
@pytest.mark.parametrize("sticky", [True, False])
async def test_an_answer_that_a_provider_keeps_is_followed_there(
    stand_builder: StandBuilder, stream: bool, more: dict[str, Any], sticky: bool
) -> None:
    """Each turn of such a conversation names nothing but the answer before it."""
    url = stand_builder.provider_config("responses")["api_base_url"]["responses"]
    for name in TARGETS:
        stand_builder.config["providers"][name] = {
            "api_base_url": {"responses": f"{url}/{name}"},
            "api_key": f"key-of-{name}-provider",
        }
    stand_builder.config["models"]["keepers"] = {
        "sticky_session": sticky,
        "targets": [{"provider": name, "model": "m"} for name in TARGETS],
    }
    async with stand_builder.started() as stand:
        provider = stand.provider("responses")

        def answers(received: Received) -> list[Step]:
            name = f"resp_{len(provider.requests)}"
            if not received.json()["stream"]:
                return [Whole(responses_body(id=name, store=True))]
            kept = b'"store":true', b'"id":"%b"' % name.encode()
            frames = b"".join(responses_frames())
            frames = frames.replace(b'"store":false', kept[0]).replace(b'"id":"resp_F1"', kept[1])
            return [Head(), Chunk(frames)]

        provider.default = answers
        body = {"model": "keepers", "input": "x", "stream": stream, **more}
        for number in range(1, 9):
            reply = await stand.gateway.ask("responses", body)
            assert f'"resp_{number}"' in reply.text
            body["previous_response_id"] = f"resp_{number}"
        assert len({each.path.split("/")[2] for each in provider.requests}) == 1


BOUND = ("b", "m")


@pytest.mark.parametrize(
    ("pins", "bound", "wishes"),
    [
        ((), None, ()),
        ((), BOUND, (BOUND,)),
        (("a", "c"), None, ("a", "c")),
        (("a", "c"), BOUND, ("a", "c", BOUND)),
        (("b", "c"), BOUND, (BOUND, "b", "c")),
        (("a", "b", "c"), BOUND, ("a", BOUND, "b", "c")),
    ],
)
def test_reasoning_comes_first_and_of_its_provider_the_target_that_served_last(
    pins: Sequence[str], bound: TargetKey | None, wishes: Sequence[TargetKey | str]
) -> None:
    assert tuple(Preference(pins=pins, bound=bound).wishes) == wishes


def noted(full: Sequence[TargetKey], resting: int, tried: Sequence[TargetKey]) -> TargetKey | None:
    """Whom a conversation bound to b/m belongs to after one that the last of `tried` has served,
    while these were full when it came, and so many others cooled down."""
    names = [*"abc", *(f"resting-{number}" for number in range(resting))]
    providers = "".join(f"  {each}: {{api_base_url: http://{each}}}\n" for each in names)
    targets = "".join(f"    - {{provider: {each}, model: m}}\n" for each in names)
    text = f"providers:\n{providers}models:\n  many:\n    targets:\n{targets}"
    of = {each.key: each for each in routed(snapshot_from(text), "many").candidates}
    exchange = Exchange("chat", "req_1", {}, None)
    for name in names[3:]:
        exchange.skip(of[name, "m"], "cooling down: 5xx")
    for key in full:
        exchange.skip(of[key], FULL)
    places = Places(lambda: 1)
    for key in tried:
        slot = places.take(Want(*key, None, None))
        assert slot is not None
        exchange.attempts.append(Attempt(of[key], ChatObserver(), slot))
    bindings = Bindings(None)  # pyright: ignore[reportArgumentType] - nothing is written or read
    affinity = Affinity(bindings, Known())
    affinity.served(Preference(keys=("k",), bound=BOUND), exchange, exchange.attempts[-1])
    found = bindings.bound_now("k")
    return found if isinstance(found, tuple) else None


@pytest.mark.parametrize(
    ("full", "resting", "tried", "expected"),
    [
        ((), 0, [BOUND], BOUND),
        ((), 0, [BOUND, ("a", "m")], ("a", "m")),
        ([BOUND], 0, [("a", "m")], None),
        ([("c", "m")], 0, [BOUND, ("a", "m")], ("a", "m")),
        ([BOUND], 30, [("a", "m")], None),
        ([BOUND, ("a", "m")], 0, [BOUND], BOUND),  # it was waited for
        ([BOUND, ("a", "m")], 0, [BOUND, ("a", "m")], ("a", "m")),  # and failed
    ],
)
def test_only_what_a_full_target_never_got_leaves_the_session_where_it_was(
    full: Sequence[TargetKey],
    resting: int,
    tried: Sequence[TargetKey],
    expected: TargetKey | None,
) -> None:
    assert noted(full, resting, tried) == expected
