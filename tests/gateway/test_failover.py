"""What the loop over candidates obeys: limits, budgets, credentials, cooldowns and places."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.answers import VOICES, chat_body, chat_delta, chat_error, chat_frames
from support.fake_provider import Chunk, Hang, Head, Pause, Step, Until, Whole
from support.gateway import Reply, Stand, StandBuilder, ask_body, healthy, spoken_text
from support.waiting import until

from plexus_proxy.limits.concurrency import PLACES

BROKEN = Whole(chat_error("broken"), 500)
OF_MESSAGES = {"provider": "anthro", "model": "m"}


def pair(builder: StandBuilder, *names: str, key: str | None = None, **alias: Any) -> None:
    """Targets `chatty/<name>` in order for model `both`; cooldowns are on."""
    builder.config["models"]["both"] = {
        "selector": "in_order",
        "targets": [{"provider": name, "model": "m"} for name in names],
        **alias,
    }
    url = builder.provider_config("chat")["api_base_url"]["chat"]
    for name in names:
        builder.config["providers"][name] = {
            "api_base_url": {"chat": f"{url}/{name}"},
            "api_key": key or f"key-of-{name}-provider",
        }


@asynccontextmanager
async def started(builder: StandBuilder, **config: Any) -> AsyncIterator[Stand]:
    builder.config |= config
    async with builder.started() as stand:
        yield stand


async def ask(stand: Stand, model: str = "both", **more: Any) -> Reply:
    return await stand.gateway.ask("chat", ask_body("chat", "x", **more) | {"model": model})


def tried(row: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["provider"], each["status"]) for each in row["attempts"]]


def paths(stand: Stand) -> list[str]:
    """The providers that were asked, in order."""
    return [received.path.split("/")[2] for received in stand.chat.requests]


async def cooldowns(stand: Stand) -> list[dict[str, Any]]:
    key = {"x-admin-key": stand.secrets.admin}
    url = stand.gateway.url + "/v0/management/cooldowns"
    async with stand.gateway.session.get(url, headers=key) as response:
        return await response.json()


async def test_all_failed_is_one_honest_error_with_every_reason(
    stand_builder: StandBuilder,
) -> None:
    pair(stand_builder, "one", "two", "three")
    async with started(stand_builder) as stand:
        stand.chat.enqueue(BROKEN)
        stand.chat.enqueue(Whole(chat_error("slow down"), 429, {"retry-after": "9"}))
        stand.chat.enqueue(Whole(chat_error("no room"), 503, {"retry-after": "7"}))
        reply = await ask(stand)
        assert reply.status == 503
        assert reply.headers["retry-after"] == "7"
        message = reply.json()["error"]["message"]
        assert message == (
            "All targets failed: one/m (500), two/m (429), three/m (503). Last error: no room"
        )
        row = await stand.gateway.row()
        assert tried(row) == [(name, "failed") for name in ("one", "two", "three")]
        assert [each["reason"] for each in row["attempts"]] == ["broken", "slow down", "no room"]


@pytest.mark.provider_breaks_grammar
@pytest.mark.parametrize("error", [None, {"message": "ran out of memory", "code": 502}])
@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_that_ends_with_an_error_is_none(
    stand_builder: StandBuilder, stream: bool, error: dict[str, Any] | None
) -> None:
    """`finish_reason` error, the object beside it or not: aggregators say so of their servers."""
    pair(stand_builder, "one", "two")
    beside = {} if error is None else {"error": error}
    ended = {"index": 0, "finish_reason": "error", **beside}
    async with started(stand_builder) as stand:
        if stream:
            chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
            said = json.dumps(chunk | {"choices": [ended | {"delta": {"content": ""}}]})
            stand.chat.enqueue(Head(), Chunk(f"data: {said}\n\ndata: [DONE]\n\n".encode()))
        else:
            message = {"role": "assistant", "content": ""}
            stand.chat.enqueue(Whole(chat_body(choices=[ended | {"message": message}])))
        reply = await ask(stand, stream=stream)
        assert reply.status == 200
        assert "Teal is a colour." in (
            spoken_text("chat", reply.events()) if stream else reply.text
        )
        row = await stand.gateway.row()
        assert tried(row) == [("one", "failed"), ("two", "success")]
        reason = row["attempts"][0]["reason"]
        assert reason == (
            "ran out of memory" if error else "The provider ended the answer with an error."
        )


@pytest.mark.provider_breaks_grammar
async def test_a_text_that_ends_with_an_error_is_no_success(stand_builder: StandBuilder) -> None:
    pair(stand_builder, "one")
    ended = chat_delta({}, "error")
    async with started(stand_builder) as stand:
        stand.chat.enqueue(Head(), *map(Chunk, chat_frames()[:3]), Chunk(ended))
        reply = await ask(stand, stream=True)
        assert ended in reply.body
        assert (await stand.gateway.row())["status"] == "error"


async def test_without_failover_only_the_first_is_tried(stand_builder: StandBuilder) -> None:
    pair(stand_builder, "one", "two")
    async with started(stand_builder, failover={"enabled": False}) as stand:
        stand.chat.enqueue(BROKEN)
        assert (await ask(stand)).status == 500
        assert paths(stand) == ["one"]


async def test_no_more_targets_are_tried_than_allowed(stand_builder: StandBuilder) -> None:
    pair(stand_builder, "one", "two", "three")
    async with started(stand_builder, failover={"max_attempts": 2}) as stand:
        stand.chat.enqueue(BROKEN)
        stand.chat.enqueue(BROKEN)
        assert (await ask(stand)).status == 502
        assert paths(stand) == ["one", "two"]


async def test_the_deadline_bounds_what_comes_after_the_first(stand_builder: StandBuilder) -> None:
    pair(stand_builder, "one", "two", "three")
    rules = {"deadline_s": 0.5}
    async with started(stand_builder, failover=rules, timeouts={"headers_s": 0.3}) as stand:
        stand.chat.default = [Hang()]
        before = asyncio.get_running_loop().time()
        assert (await ask(stand)).status == 504
        assert asyncio.get_running_loop().time() - before < 1.5
        assert paths(stand) == ["one", "two"]


async def test_who_has_no_time_left_to_answer_does_not_cool_down_for_it(
    stand_builder: StandBuilder,
) -> None:
    pair(stand_builder, "one", "two")
    rules = {"deadline_s": 0.4}
    async with started(stand_builder, failover=rules, timeouts={"headers_s": 0.3}) as stand:
        stand.chat.enqueue(Hang())
        stand.chat.default = [Pause(0.25), Whole(VOICES["chat"].body())]
        assert (await ask(stand)).status == 504
        assert paths(stand) == ["one", "two"]
        assert [each["provider"] for each in await cooldowns(stand)] == ["one"]


async def test_an_outage_does_not_multiply_the_load(stand_builder: StandBuilder) -> None:
    pair(stand_builder, "one", "two")
    for name in ("one", "two"):
        stand_builder.config["providers"][name]["disable_cooldown"] = True
    rules = {"retry_budget": 0.1, "min_retries_per_s": 0}
    async with started(stand_builder, failover=rules) as stand:
        stand.chat.default = [BROKEN]
        for _ in range(40):
            await ask(stand)
        assert 40 <= len(stand.chat.requests) <= 44


async def test_what_cannot_be_tried_takes_nothing_from_the_budget(
    stand_builder: StandBuilder,
) -> None:
    pair(stand_builder, "three", "four")
    stand_builder.config["models"]["other"] = stand_builder.config["models"]["both"]
    pair(stand_builder, "one", "two", key="the-same-credential")
    rules = {"retry_budget": 0, "min_retries_per_s": 0.1}  # one in ten seconds
    async with started(stand_builder, failover=rules) as stand:
        stand.chat.enqueue(BROKEN)
        assert (await ask(stand)).status == 500
        row = await stand.gateway.row()
        assert tried(row) == [("one", "failed"), ("two", "skipped")]
        stand.chat.enqueue(BROKEN)
        assert (await ask(stand, "other")).status == 200


@pytest.mark.parametrize(("listed", "names"), [([503], ["one"]), ([500], ["one", "two"])])
async def test_the_statuses_that_move_on_can_be_listed(
    stand_builder: StandBuilder, listed: list[int], names: list[str]
) -> None:
    pair(stand_builder, "one", "two")
    async with started(stand_builder, failover={"retryableStatusCodes": listed}) as stand:
        stand.chat.enqueue(BROKEN)
        await ask(stand)
        assert paths(stand) == names


async def test_a_refused_credential_is_not_tried_at_another_provider(
    stand_builder: StandBuilder,
) -> None:
    pair(stand_builder, "one", "two", key="the-same-credential")
    pair_of = stand_builder.config["models"]["both"]["targets"]
    pair(stand_builder, "three")
    stand_builder.config["models"]["both"]["targets"] = [
        *pair_of,
        {"provider": "three", "model": "m"},
    ]
    async with started(stand_builder) as stand:
        stand.chat.enqueue(Whole(chat_error("bad key", code="invalid_api_key"), 401))
        assert (await ask(stand)).status == 200
        assert paths(stand) == ["one", "three"]
        row = await stand.gateway.row()
        assert tried(row) == [("one", "failed"), ("two", "skipped"), ("three", "success")]
        assert "the-same-credential" not in json.dumps(row)


@pytest.mark.parametrize(("refusal", "status"), [(503, 200), (429, 200), (401, 502), (402, 502)])
async def test_a_key_that_many_servers_take_is_only_spent_where_it_is_refused_itself(
    stand_builder: StandBuilder, refusal: int, status: int
) -> None:
    """Servers of one's own have the same key, often none to speak of."""
    pair(stand_builder, "one", "two", key="no-key-needed")
    elsewhere = stand_builder.providers["messages"]
    elsewhere.default = healthy("chat")
    stand_builder.config["providers"]["two"]["api_base_url"] = {"chat": elsewhere.url}
    async with started(stand_builder) as stand:
        stand.chat.enqueue(Whole(chat_error("no"), refusal))
        assert (await ask(stand)).status == status
        assert len(elsewhere.requests) == (status == 200)


async def test_a_server_that_is_down_does_not_spend_a_key_for_others(
    stand_builder: StandBuilder,
) -> None:
    pair(stand_builder, "one", "two", key="no-key-needed")
    stand_builder.config["providers"]["one"]["api_base_url"] = {"chat": "http://127.0.0.1:1/v1"}
    async with started(stand_builder) as stand:
        assert (await ask(stand)).status == 200
        assert tried(await stand.gateway.row()) == [("one", "failed"), ("two", "success")]


async def test_what_one_target_cannot_be_told_is_left_for_another(
    stand_builder: StandBuilder,
) -> None:
    """Messages has one choice only. Nothing was sent, so it is no retry either."""
    pair(stand_builder, "one")
    stand_builder.config["models"]["both"]["targets"].insert(0, OF_MESSAGES)
    rules = {"retry_budget": 0, "min_retries_per_s": 0}
    async with started(stand_builder, failover=rules) as stand:
        reply = await ask(stand, n=2)
        assert reply.status == 200
        assert paths(stand) == ["one"]
        row = await stand.gateway.row()
        assert tried(row) == [("anthro", "failed"), ("one", "success")]


async def test_what_another_target_cannot_be_told_is_not_the_clients_fault(
    stand_builder: StandBuilder,
) -> None:
    pair(stand_builder, "one")
    stand_builder.config["models"]["both"]["targets"].append(OF_MESSAGES)
    async with started(stand_builder) as stand:
        stand.chat.enqueue(Whole(chat_error("no room"), 503))
        reply = await ask(stand, n=2)
        assert reply.status == 503
        assert reply.json()["error"]["message"] == (
            "All targets failed: one/m (503), anthro/m (invalid_request). Last error: no room"
        )


async def test_what_no_target_can_be_told_is_the_clients_fault(
    stand_builder: StandBuilder,
) -> None:
    pair(stand_builder)
    others = [OF_MESSAGES, {"provider": "twins", "model": "m"}]
    stand_builder.config["models"]["both"]["targets"] = others
    async with started(stand_builder) as stand:
        reply = await ask(stand, n=2)
        assert (reply.status, reply.json()["error"]["param"]) == (400, "n")
        row = await stand.gateway.row()
        assert tried(row) == [("anthro", "failed"), ("twins", "failed")]


async def test_a_failed_target_is_left_alone_by_the_next_request(
    stand_builder: StandBuilder,
) -> None:
    pair(stand_builder, "one", "two")
    async with started(stand_builder) as stand:
        stand.chat.enqueue(BROKEN)
        await ask(stand)
        await ask(stand)
        assert paths(stand) == ["one", "two", "two"]
        [entry] = await cooldowns(stand)
        assert (entry["provider"], entry["model"], entry["failures"]) == ("one", "m", 1)


@pytest.mark.pitfall("B75")
async def test_a_target_that_begins_to_cool_meanwhile_is_left_out(
    stand_builder: StandBuilder,
) -> None:
    pair(stand_builder, "one", "two", "three")
    stand_builder.config["models"]["second"] = {"targets": [{"provider": "two", "model": "m"}]}
    async with started(stand_builder) as stand:
        gate = asyncio.Event()
        stand.chat.enqueue(Until(gate), BROKEN)
        first = asyncio.ensure_future(ask(stand))
        await stand.chat.arrived()
        stand.chat.enqueue(BROKEN)
        assert (await ask(stand, "second")).status == 500
        gate.set()
        assert (await first).status == 200
        assert paths(stand) == ["one", "two", "three"]
        row = (await stand.gateway.rows(2))[0]
        assert tried(row) == [("one", "failed"), ("two", "skipped"), ("three", "success")]


async def test_a_cooling_single_target_is_probed_once_a_second(stand_builder: StandBuilder) -> None:
    pair(stand_builder, "one")
    async with started(stand_builder) as stand:
        stand.chat.enqueue(BROKEN)
        stand.chat.enqueue(BROKEN)
        assert (await ask(stand)).status == 500
        assert (await ask(stand)).status == 500  # the probe
        reply = await ask(stand)
        assert reply.status == 503
        assert reply.headers["retry-after"] == "1"
        assert len(stand.chat.requests) == 2
        await asyncio.sleep(1)
        assert (await ask(stand)).status == 200
        assert await cooldowns(stand) == []


@pytest.mark.parametrize(
    ("refusal", "status", "retry_after"),
    [
        (Whole(chat_error("later"), 429, {"retry-after": "40"}), 429, 40),
        (Whole(chat_error("bad key", code="invalid_api_key"), 401), 503, 18_000),
    ],
)
async def test_what_is_used_up_is_never_asked_before_its_time(
    stand_builder: StandBuilder, refusal: Whole, status: int, retry_after: int
) -> None:
    pair(stand_builder, "one")
    async with started(stand_builder) as stand:
        stand.chat.enqueue(refusal)
        await ask(stand)
        for _ in range(3):
            reply = await ask(stand)
            assert reply.status == status
            assert retry_after - 5 <= int(reply.headers["retry-after"]) <= retry_after
        assert len(stand.chat.requests) == 1
        rows = await stand.gateway.rows(4)
        assert [each["status"] for each in rows[-1]["attempts"]] == ["skipped"]


async def test_a_new_key_ends_what_the_old_one_was_refused_for(stand_builder: StandBuilder) -> None:
    pair(stand_builder, "one")
    async with started(stand_builder) as stand:
        stand.chat.enqueue(Whole(chat_error("bad key", code="invalid_api_key"), 401))
        await ask(stand)
        assert (await ask(stand)).status == 503
        stand.gateway.config["providers"]["one"]["api_key"] = "another-key-of-one"
        stand.gateway.write_config()

        async def answered() -> bool:
            return (await ask(stand)).status == 200

        async with asyncio.timeout(5):
            while not await answered():  # noqa: ASYNC110 - the file is read in the background
                await asyncio.sleep(0.05)


@pytest.mark.parametrize(("left", "status"), [("7", 200), ("0", 429)])
async def test_an_answer_that_tells_of_new_allowance_ends_the_wait_for_it(
    stand_builder: StandBuilder, left: str, status: int
) -> None:
    pair(stand_builder, "one")
    told = {
        "content-type": "text/event-stream",
        "x-ratelimit-limit-requests": "10",
        "x-ratelimit-remaining-requests": left,
        "x-ratelimit-reset-requests": "1m",
    }
    async with started(stand_builder) as stand:
        stand.chat.enqueue(Whole(chat_error("used up"), 429, {"retry-after": "4000"}))
        assert (await ask(stand)).status == 429
        end = asyncio.Event()
        frames = chat_frames()
        steps: list[Step] = [Head(200, told), *map(Chunk, frames[:2]), Until(end)]
        stand.chat.enqueue(*steps, *map(Chunk, frames[2:]))
        body = ask_body("chat", "x", stream=True) | {"model": "direct/one/m"}
        async with stand.gateway.request("chat", body) as begun:  # and has not ended
            assert begun.status == 200
            assert (await ask(stand)).status == status
            end.set()
            await begun.read()
        assert len(stand.chat.requests) == (3 if status == 200 else 2)


async def test_asked_for_by_name_a_target_is_tried_all_the_same(
    stand_builder: StandBuilder,
) -> None:
    pair(stand_builder, "one")
    async with started(stand_builder) as stand:
        stand.chat.enqueue(Whole(chat_error("later"), 429, {"retry-after": "40"}))
        await ask(stand)
        assert (await ask(stand)).status == 429
        assert (await ask(stand, "direct/one/m")).status == 200


# Places


async def test_a_full_target_is_skipped(stand_builder: StandBuilder) -> None:
    pair(stand_builder, "one", "two")
    stand_builder.config["providers"]["one"]["maxConcurrency"] = 1
    async with started(stand_builder) as stand:
        gate = asyncio.Event()
        stand.chat.enqueue(Until(gate), Whole(VOICES["chat"].body()))
        first = asyncio.ensure_future(ask(stand))
        await stand.chat.arrived()
        assert (await ask(stand)).status == 200
        assert paths(stand) == ["one", "two"]
        gate.set()
        assert (await first).status == 200
        assert (await ask(stand)).status == 200
        assert paths(stand) == ["one", "two", "one"]


async def test_a_full_single_target_is_waited_for_in_line(stand_builder: StandBuilder) -> None:
    pair(stand_builder, "one")
    stand_builder.config["providers"]["one"]["maxConcurrency"] = 1
    async with started(stand_builder) as stand:
        stand.chat.default = [Pause(0.02), Whole(VOICES["chat"].body())]
        replies = await asyncio.gather(*(ask(stand) for _ in range(8)))
        assert [reply.status for reply in replies] == [200] * 8
        assert stand.gateway.app[PLACES].active() == {}


async def test_who_waits_too_long_or_behind_too_many_is_told(stand_builder: StandBuilder) -> None:
    pair(stand_builder, "one")
    stand_builder.config["providers"]["one"]["maxConcurrency"] = 1
    rules = {"queue_size": 1, "queue_s": 0.3}
    async with started(stand_builder, concurrency=rules) as stand:
        gate = asyncio.Event()
        stand.chat.enqueue(Until(gate), Whole(VOICES["chat"].body()))
        first = asyncio.ensure_future(ask(stand))
        await stand.chat.arrived()
        waiting = asyncio.ensure_future(ask(stand))
        await until(lambda: stand.gateway.app[PLACES].waiting == 1)
        reply = await ask(stand)  # no room in the line
        assert (reply.status, reply.json()["error"]["code"]) == (429, "concurrency_limit")
        assert (await waiting).status == 429  # after its time
        gate.set()
        assert (await first).status == 200
        assert len(stand.chat.requests) == 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.pitfall("B70")
async def test_a_client_that_leaves_gives_its_place_back(
    stand_builder: StandBuilder, stream: bool
) -> None:
    pair(stand_builder, "one")
    stand_builder.config["providers"]["one"]["maxConcurrency"] = 1
    async with started(stand_builder) as stand:
        stand.chat.enqueue(Head(), Chunk(chat_frames()[0]), Chunk(chat_frames()[1]), Hang())
        body = ask_body("chat", "x", stream=stream) | {"model": "both"}
        asking = asyncio.ensure_future(stand.gateway.request("chat", body).__aenter__())
        await stand.chat.arrived()
        waiting = asyncio.ensure_future(ask(stand))
        await until(lambda: stand.gateway.app[PLACES].waiting == 1)
        if stream:
            (await asking).close()
        else:
            asking.cancel()
        assert (await waiting).status == 200


# Stalls


@pytest.mark.provider_breaks_grammar
@pytest.mark.pitfall("B69")
async def test_a_stream_that_begins_too_late_is_left_for_another(
    stand_builder: StandBuilder,
) -> None:
    pair(stand_builder, "one", "two")
    stand_builder.config["providers"]["one"]["stallTtfbMs"] = 200
    async with started(stand_builder) as stand:
        stand.chat.enqueue(Head(), Chunk(b": hi\n\n"), Hang())
        slow: list[Step] = [Head(), Pause(0.5), *map(Chunk, chat_frames())]
        stand.chat.enqueue(*slow)  # the first one's threshold is not the second one's
        reply = await ask(stand, stream=True)
        assert spoken_text("chat", reply.events())
        row = await stand.gateway.row()
        assert tried(row) == [("one", "failed"), ("two", "success")]
        assert row["attempts"][0]["error_code"] == "upstream_late_start"
        assert await cooldowns(stand) == []  # unless stall_cooldown says so


@pytest.mark.provider_breaks_grammar
@pytest.mark.parametrize("enough", [True, False])
async def test_a_stream_that_has_brought_too_little_in_time_is_left_for_another(
    stand_builder: StandBuilder, enough: bool
) -> None:
    """`ttfbBytes` are of the stream, content or not."""
    pair(stand_builder, "one", "two")
    frames = chat_frames()
    begin = sum(map(len, frames[:3]))
    stand_builder.config["providers"]["one"] |= {
        "stallTtfbMs": 300,
        "stallTtfbBytes": begin if enough else begin + 1,
    }
    async with started(stand_builder) as stand:
        rest = [Pause(0.6), *map(Chunk, frames[3:])]
        stand.chat.enqueue(Head(), *map(Chunk, frames[:3]), *rest)
        reply = await ask(stand, stream=True)
        assert spoken_text("chat", reply.events()) == "Teal is a colour."
        row = await stand.gateway.row()
        if enough:
            assert tried(row) == [("one", "success")]
        else:
            assert tried(row) == [("one", "failed"), ("two", "success")]
            assert row["attempts"][0]["error_code"] == "upstream_late_start"


@pytest.mark.provider_breaks_grammar
@pytest.mark.parametrize("cools", [False, True])
async def test_a_stream_that_is_too_slow_is_ended(stand_builder: StandBuilder, cools: bool) -> None:
    pair(stand_builder, "one")
    stand_builder.config["providers"]["one"] |= {
        "stallMinBps": 5000,
        "stallWindowMs": 600,
        "stallGracePeriodMs": 0,
        "stall_cooldown": cools,
    }
    async with started(stand_builder) as stand:
        frames = chat_frames()
        slow: list[Step] = [step for _ in range(60) for step in (Chunk(frames[1]), Pause(0.1))]
        stand.chat.enqueue(Head(), Chunk(frames[0]), *slow)
        reply = await ask(stand, stream=True)
        assert "bytes/s" in reply.text
        row = await stand.gateway.row()
        assert (row["status"], row["error_code"]) == ("stall", "upstream_slow_stream")
        assert len(await cooldowns(stand)) == cools


@pytest.mark.provider_breaks_grammar
async def test_a_fast_enough_stream_is_left_alone(stand_builder: StandBuilder) -> None:
    pair(stand_builder, "one")
    stand_builder.config["providers"]["one"] |= {
        "stallMinBps": 60,
        "stallWindowMs": 500,
        "stallGracePeriodMs": 0,
    }
    async with started(stand_builder) as stand:
        frames = chat_frames()
        steps: list[Step] = [step for frame in frames for step in (Chunk(frame), Pause(0.25))]
        stand.chat.enqueue(Head(), *steps)
        assert (await ask(stand, stream=True)).events()[-1] == "[DONE]"
