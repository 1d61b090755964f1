"""`resume: continue`: a text that is cut off goes on at the next target that takes a beginning."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.answers import (
    VOICES,
    block_delta,
    block_start,
    block_stop,
    chat_frames,
    chat_tool_frames,
    message_end,
    message_start,
    text_delta,
)
from support.fake_provider import Chunk, Drop, Hang, Head, Pause, Step, Whole
from support.gateway import (
    FORMATS,
    PROVIDERS,
    Stand,
    StandBuilder,
    ask_body,
    error_in,
    spoken_text,
)
from support.judges import read_stream

FIRST = ("Teal is ", "a colour ")
REST = ("between green", " and blue.")
WHOLE = "".join((*FIRST, *REST))
CLIENTS = FORMATS
CUT: dict[str, tuple[Step, ...]] = {"cut": (Drop(),), "stall": (Hang(),)}


@asynccontextmanager
async def resuming(
    builder: StandBuilder, *upstreams: str, resume: str = "continue", **provider: Any
) -> AsyncIterator[Stand]:
    builder.config["models"]["long"] = {
        "selector": "in_order",
        "resume": resume,
        "targets": [{"provider": PROVIDERS[each], "model": f"up-{each}"} for each in upstreams],
    }
    builder.config["timeouts"] = {"idle_s": 0.3}
    async with builder.started() as stand:
        yield stand


def beginning(upstream: str, *end: Step) -> list[Step]:
    voice = VOICES[upstream]
    frames = voice.frames(FIRST)[: voice.before_text + len(FIRST)]
    return [Head(), *map(Chunk, frames), *end]


def asked_to_go_on(upstream: str, body: Any) -> str:
    """The beginning that a provider was given, which must stand last."""
    match upstream:
        case "messages":
            last = body["messages"][-1]
            assert last["role"] == "assistant"
            [block] = last["content"] if isinstance(last["content"], list) else [last]
            return block["text"] if "text" in block else block["content"]
        case "gemini":
            last = body["contents"][-1]
            assert last["role"] == "model"
            return last["parts"][0]["text"]
        case _:
            last = body["messages"][-1]
            assert last["role"] == "assistant"
            return last["content"]


@pytest.mark.provider_breaks_grammar
@pytest.mark.parametrize("fmt", CLIENTS)
@pytest.mark.parametrize("upstreams", [("chat", "messages"), ("responses", "gemini")])
@pytest.mark.parametrize("end", CUT)
async def test_a_text_that_is_cut_off_goes_on(
    stand_builder: StandBuilder, fmt: str, upstreams: tuple[str, str], end: str
) -> None:
    first, second = upstreams
    async with resuming(stand_builder, first, second) as stand:
        stand.provider(first).enqueue(*beginning(first, *CUT[end]))
        stand.provider(second).enqueue(Head(), *map(Chunk, VOICES[second].frames(REST)))
        body = ask_body(fmt, "x", stream=True) | {"model": "long"}
        reply = await stand.gateway.ask(fmt, body)
        assert reply.status == 200
        events = reply.events()
        assert not any(error_in(fmt, event) for event in events)
        assert spoken_text(fmt, events) == WHOLE
        read_stream(fmt, reply.body)  # one start, one end, blocks in order
        [received] = stand.provider(second).requests
        assert asked_to_go_on(second, received.json()) == "".join(FIRST).rstrip()
        row = await stand.gateway.row()
        assert (row["status"], row["provider"]) == ("success", PROVIDERS[second])
        assert [(each["status"], each["resumed"]) for each in row["attempts"]] == [
            ("failed", False),
            ("success", True),
        ]
        assert row["tokens_estimated"]


@pytest.mark.provider_breaks_grammar
async def test_off_means_that_the_client_is_told(stand_builder: StandBuilder) -> None:
    async with resuming(stand_builder, "chat", "messages", resume="off") as stand:
        stand.provider("chat").enqueue(*beginning("chat", Drop()))
        reply = await stand.gateway.ask(
            "chat", ask_body("chat", "x", stream=True) | {"model": "long"}
        )
        assert any(error_in("chat", event) for event in reply.events())
        assert stand.provider("messages").requests == []


@pytest.mark.provider_breaks_grammar
@pytest.mark.parametrize("fmt", CLIENTS)
async def test_without_a_target_that_goes_on_the_error_comes_all_the_same(
    stand_builder: StandBuilder, fmt: str
) -> None:
    async with resuming(stand_builder, "messages", "chat", "responses") as stand:
        stand.provider("messages").enqueue(*beginning("messages", Drop()))
        reply = await stand.gateway.ask(fmt, ask_body(fmt, "x", stream=True) | {"model": "long"})
        events = reply.events()
        assert sum(error_in(fmt, event) is not None for event in events) == 1
        assert spoken_text(fmt, events) == "".join(FIRST)
        assert stand.provider("chat").requests == []
        row = await stand.gateway.row()
        assert (row["status"], row["error_code"]) == ("error", "upstream_cut")


@pytest.mark.provider_breaks_grammar
async def test_a_target_that_says_so_is_asked_although_its_format_does_not(
    stand_builder: StandBuilder,
) -> None:
    models = stand_builder.provider_config("chat")["models"]
    models["up-chat"]["prefill"] = True
    async with resuming(stand_builder, "messages", "chat") as stand:
        stand.provider("messages").enqueue(*beginning("messages", Drop()))
        stand.provider("chat").enqueue(Head(), *map(Chunk, chat_frames(REST)))
        body = ask_body("chat", "x", stream=True) | {"model": "long"}
        reply = await stand.gateway.ask("chat", body)
        assert spoken_text("chat", reply.events()) == WHOLE


@pytest.mark.provider_breaks_grammar
@pytest.mark.parametrize("fmt", ["chat", "messages"])
async def test_a_target_that_fails_too_leaves_it_to_the_next(
    stand_builder: StandBuilder, fmt: str
) -> None:
    async with resuming(stand_builder, "chat", "messages", "gemini") as stand:
        stand.provider("chat").enqueue(*beginning("chat", Drop()))
        stand.provider("messages").enqueue(Whole({"error": {"message": "x"}}, 500))
        stand.provider("gemini").enqueue(Head(), *map(Chunk, VOICES["gemini"].frames(REST)))
        reply = await stand.gateway.ask(fmt, ask_body(fmt, "x", stream=True) | {"model": "long"})
        assert spoken_text(fmt, reply.events()) == WHOLE
        read_stream(fmt, reply.body)


@pytest.mark.provider_breaks_grammar
async def test_it_may_go_on_twice(stand_builder: StandBuilder) -> None:
    async with resuming(stand_builder, "chat", "messages", "gemini") as stand:
        stand.provider("chat").enqueue(*beginning("chat", Drop()))
        opening = [message_start(), block_start(0, {"type": "text", "text": ""})]
        frames = [*opening, text_delta(REST[0])]
        stand.provider("messages").enqueue(Head(), *map(Chunk, frames), Drop())
        stand.provider("gemini").enqueue(Head(), *map(Chunk, VOICES["gemini"].frames(REST[1:])))
        body = ask_body("messages", "x", stream=True) | {"model": "long"}
        reply = await stand.gateway.ask("messages", body)
        assert spoken_text("messages", reply.events()) == WHOLE
        read_stream("messages", reply.body)


@pytest.mark.provider_breaks_grammar
async def test_a_long_answer_has_as_much_time_to_go_on_as_a_short_one(
    stand_builder: StandBuilder,
) -> None:
    stand_builder.config["failover"] = {"deadline_s": 0.2}
    async with resuming(stand_builder, "chat", "messages") as stand:
        stand.provider("chat").enqueue(*beginning("chat", Pause(0.28), Drop()))
        stand.provider("messages").enqueue(Head(), *map(Chunk, VOICES["messages"].frames(REST)))
        body = ask_body("chat", "x", stream=True) | {"model": "long"}
        reply = await stand.gateway.ask("chat", body)
        assert spoken_text("chat", reply.events()) == WHOLE


@pytest.mark.provider_breaks_grammar
async def test_half_a_tool_call_does_not_go_on(stand_builder: StandBuilder) -> None:
    async with resuming(stand_builder, "chat", "messages") as stand:
        frames = chat_tool_frames("look", '{"a": 1}')
        stand.provider("chat").enqueue(Head(), *map(Chunk, frames[:2]), Drop())
        body = ask_body("chat", "x", stream=True) | {"model": "long"}
        reply = await stand.gateway.ask("chat", body)
        assert any(error_in("chat", event) for event in reply.events())
        assert stand.provider("messages").requests == []


async def test_an_answer_that_is_not_cut_off_is_the_same(stand_builder: StandBuilder) -> None:
    async with resuming(stand_builder, "messages", "gemini") as stand:
        body = ask_body("messages", "x", stream=True) | {"model": "long"}
        reply = await stand.gateway.ask("messages", body)
        read_stream("messages", reply.body)
        assert reply.events()[-1]["type"] == "message_stop"
        row = await stand.gateway.row()
        assert (row["status"], row["tokens_estimated"]) == ("success", 0)


@pytest.mark.provider_breaks_grammar
async def test_a_client_that_leaves_while_it_goes_on_ends_it(stand_builder: StandBuilder) -> None:
    async with resuming(stand_builder, "chat", "messages") as stand:
        stand.provider("chat").enqueue(*beginning("chat", Drop()))
        stand.provider("messages").enqueue(Hang())
        body = ask_body("chat", "x", stream=True) | {"model": "long"}
        response = await stand.gateway.request("chat", body)
        await response.content.readany()
        await stand.provider("messages").arrived()
        response.close()
        async with asyncio.timeout(3):
            await stand.provider("messages").last.over.wait()
        assert stand.provider("messages").last.cut
        row = await stand.gateway.row()
        assert row["status"] == "cancelled"


@pytest.mark.provider_breaks_grammar
@pytest.mark.parametrize("fmt", CLIENTS)
async def test_white_space_alone_does_not_go_on(stand_builder: StandBuilder, fmt: str) -> None:
    """What a target says before it says something is not part of the answer."""
    voice = VOICES["chat"]
    async with resuming(stand_builder, "chat", "messages") as stand:
        begun = voice.frames(("Teal is", " a"))[: voice.before_text + 2]
        stand.provider("chat").enqueue(Head(), *map(Chunk, begun), Drop())
        frames = VOICES["messages"].frames(("\n", "\n"))[: VOICES["messages"].before_text + 2]
        stand.provider("messages").enqueue(Head(), *map(Chunk, frames), Drop())
        reply = await stand.gateway.ask(fmt, ask_body(fmt, "x", stream=True) | {"model": "long"})
        events = reply.events()
        assert sum(error_in(fmt, event) is not None for event in events) == 1
        assert spoken_text(fmt, events) == "Teal is a"
        row = await stand.gateway.row()
        assert (row["status"], row["error_code"]) == ("error", "upstream_cut")


@pytest.mark.provider_breaks_grammar
@pytest.mark.parametrize("fmt", CLIENTS)
async def test_what_goes_on_with_a_tool_call_ends_where_that_is_cut(
    stand_builder: StandBuilder, fmt: str
) -> None:
    async with resuming(stand_builder, "chat", "messages", "gemini") as stand:
        stand.provider("chat").enqueue(*beginning("chat", Drop()))
        tool = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
        frames = [message_start(), block_start(0, tool)]
        stand.provider("messages").enqueue(Head(), *map(Chunk, frames), Pause(0.1), Drop())
        reply = await stand.gateway.ask(fmt, ask_body(fmt, "x", stream=True) | {"model": "long"})
        assert sum(error_in(fmt, event) is not None for event in reply.events()) == 1
        assert stand.provider("gemini").requests == []
        row = await stand.gateway.row()
        assert (row["status"], row["error_code"]) == ("error", "upstream_cut")


@pytest.mark.parametrize("fmt", CLIENTS)
async def test_who_thinks_before_going_on_is_waited_for(
    stand_builder: StandBuilder, fmt: str
) -> None:
    """Nothing of its thoughts is shown: the first write of what goes on is empty."""
    async with resuming(stand_builder, "chat", "messages") as stand:
        stand.provider("chat").enqueue(*beginning("chat", Drop()))
        frames = [
            message_start(),
            block_start(0, {"type": "thinking", "thinking": "", "signature": ""}),
            block_delta(0, {"type": "thinking_delta", "thinking": "Where was I?"}),
            block_stop(0),
            block_start(1, {"type": "text", "text": ""}),
            text_delta("".join(REST), 1),
            block_stop(1),
            *message_end(),
        ]
        steps = [step for frame in frames for step in (Chunk(frame), Pause(0.02))]
        stand.provider("messages").enqueue(Head(), *steps)
        reply = await stand.gateway.ask(fmt, ask_body(fmt, "x", stream=True) | {"model": "long"})
        assert spoken_text(fmt, reply.events()) == WHOLE
        read_stream(fmt, reply.body)
