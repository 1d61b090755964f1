"""One usage row per request, with everything that can be known about it."""

import json
import time
from typing import Any

import pytest
from support.answers import (
    DONE,
    VOICES,
    chat_delta,
    chat_error,
    chat_frames,
    chat_tool_body,
    chat_tool_frames,
    messages_body,
    tool_use,
)
from support.fake_provider import Chunk, Head, Pause, Whole
from support.gateway import FORMATS, PAIRS, PROVIDERS, Stand, StandBuilder, ask_body

STOP = {"chat": "stop", "messages": "end_turn", "responses": "completed", "gemini": "STOP"}
MEASURED = {
    "started_at_ms",
    "duration_ms",
    "ttft_ms",
    "tokens_per_s",
    "created_at_ms",
    "cost_detail",
    "attempts",
}


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
@pytest.mark.parametrize("stream", [False, True])
async def test_every_column_of_a_successful_request(
    stand: Stand, fmt: str, upstream: str, stream: bool
) -> None:
    before = time.time() * 1000
    reply = await stand.gateway.ask(
        fmt,
        ask_body(fmt, upstream, stream=stream),
        {"x-client-request-id": "c-1", "x-session-id": "s-1", "x-real-ip": "203.0.113.9"},
    )
    after = time.time() * 1000
    row = await stand.gateway.row()
    # In nano-dollars: 17 tokens at $3 per million, 4 read from a cache at $0.30, 6 at $15; all but
    # Messages state 2 of them as reasoning.
    reasoning = 0 if upstream == "messages" else 2
    expected = {
        "request_id": reply.headers["x-request-id"],
        "client_request_id": "c-1",
        "client_session": "s-1",
        "key_name": "app",
        "attribution": None,
        "source_ip": "203.0.113.9",
        "client_format": fmt,
        "provider_format": upstream,
        "provider": PROVIDERS[upstream],
        "alias": f"to-{upstream}",
        "canonical_model": f"to-{upstream}",
        "model": f"up-{upstream}",
        "streamed": int(stream),
        "passthrough": int(fmt == upstream),
        "status": "success",
        "http_status": 200,
        "error_code": None,
        "error_message": None,
        "finish_reason": STOP[upstream],
        "input_tokens": 17,
        "output_tokens": 6 - reasoning,
        "reasoning_tokens": reasoning,
        "cache_read_tokens": 4,
        "cache_write_tokens": 0,
        "tokens_estimated": 0,
        "input_nano_usd": 51_000,
        "output_nano_usd": 90_000,
        "cache_read_nano_usd": 1_200,
        "cache_write_nano_usd": 0,
        "total_nano_usd": 142_200,
        "cost_source": "simple",
        "tools_defined": 0,
        "tool_calls": 0,
        "message_count": 1,
        "parallel_tool_calls": None,
        "dropped_fields": [],
    }
    assert set(row) == set(expected) | MEASURED
    assert {name: row[name] for name in expected} == expected
    assert before - 50 <= row["started_at_ms"] <= after
    assert 0 <= row["duration_ms"] <= after - before + 50
    assert 0 < row["ttft_ms"] <= row["duration_ms"] + 1
    assert row["tokens_per_s"] is None or row["tokens_per_s"] > 0
    assert row["created_at_ms"] >= row["started_at_ms"]
    [attempt] = row["attempts"]
    assert attempt["provider"] == PROVIDERS[upstream]
    assert attempt["model"] == f"up-{upstream}"
    assert attempt["format"] == upstream
    assert (attempt["status"], attempt["http_status"]) == ("success", 200)
    assert attempt["duration_ms"] <= row["duration_ms"]
    assert json.loads(row["cost_detail"])


async def test_the_alias_is_kept_as_asked_beside_the_canonical_name(
    stand_builder: StandBuilder,
) -> None:
    stand_builder.config["models"]["to-chat"]["additional_aliases"] = ["nick"]
    async with stand_builder.started() as stand:
        await stand.gateway.ask("chat", ask_body("chat", "chat") | {"model": "nick"})
        row = await stand.gateway.row()
        assert (row["alias"], row["canonical_model"]) == ("nick", "to-chat")


async def test_a_direct_name_is_its_own_canonical_name(stand_builder: StandBuilder) -> None:
    del stand_builder.provider_config("chat")["models"]
    async with stand_builder.started() as stand:
        await stand.gateway.ask("chat", ask_body("chat", "chat") | {"model": "direct/chatty/x/y:z"})
        row = await stand.gateway.row()
    assert row["alias"] == row["canonical_model"] == "direct/chatty/x/y:z"
    assert row["model"] == "x/y:z"
    assert row["cost_source"] == "default"


@pytest.mark.parametrize(
    ("pricing", "total", "source"),
    [
        ({"source": "per_request", "amount": 0.04}, 40_000_000, "per_request"),
        (
            {
                "source": "defined",
                "range": [
                    {"lower_bound": 0, "upper_bound": 20, "input_per_m": 1, "output_per_m": 1},
                    {"lower_bound": 21, "input_per_m": 2, "output_per_m": 4, "cached_per_m": 1},
                ],
            },
            17 * 2000 + 4 * 1000 + 6 * 4000,
            "defined",
        ),
        ({"source": "simple", "input": 0.1, "output": 0.3}, 21 * 100 + 6 * 300, "simple"),
        (None, None, "default"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_cost_is_exact_in_nano_dollars(
    stand_builder: StandBuilder,
    pricing: dict[str, Any] | None,
    total: int | None,
    source: str,
    stream: bool,
) -> None:
    models = stand_builder.config["providers"]["chatty"]["models"]
    models["up-chat"] = {"pricing": pricing} if pricing else {}
    async with stand_builder.started() as stand:
        await stand.gateway.ask("chat", ask_body("chat", "chat", stream=stream))
        row = await stand.gateway.row()
        assert row["cost_source"] == source
        assert (row["total_nano_usd"] or 0) == (total or 0)


async def test_a_discount_is_taken_off_every_price(stand_builder: StandBuilder) -> None:
    stand_builder.config["providers"]["chatty"]["discount"] = 0.5
    async with stand_builder.started() as stand:
        await stand.gateway.ask("chat", ask_body("chat", "chat"))
        assert (await stand.gateway.row())["total_nano_usd"] == 71_100


async def test_a_failed_request_costs_no_flat_price(stand_builder: StandBuilder) -> None:
    models = stand_builder.config["providers"]["chatty"]["models"]
    models["up-chat"] = {"pricing": {"source": "per_request", "amount": 0.04}}
    async with stand_builder.started() as stand:
        stand.chat.enqueue(Whole(chat_error("no"), 500))
        await stand.gateway.ask("chat", ask_body("chat", "chat"))
        assert not (await stand.gateway.row())["total_nano_usd"]


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.provider_breaks_grammar
async def test_an_answer_without_usage_is_estimated_and_says_so(
    stand: Stand, fmt: str, upstream: str, stream: bool
) -> None:
    voice = VOICES[upstream]
    frames = [_without_usage(frame) for frame in voice.frames()]
    answer = [Head(), *map(Chunk, frames)] if stream else [Whole(_silent(voice.body()))]
    stand.provider(upstream).enqueue(*answer)
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=stream))
    assert reply.status == 200
    row = await stand.gateway.row()
    assert row["status"] == "success"
    assert row["tokens_estimated"] == 1
    assert row["input_tokens"] > 0
    assert row["output_tokens"] > 0


def _silent(value: Any) -> Any:
    """JSON without what it says about usage."""
    if isinstance(value, list):
        return [_silent(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _silent(each)
        for name, each in value.items()
        if name not in ("usage", "usageMetadata")
    }


def _without_usage(frame: bytes) -> bytes:
    head, _, data = frame.rpartition(b"data: ")
    if data.startswith(b"[DONE]"):
        return frame
    return head + b"data: " + json.dumps(_silent(json.loads(data))).encode() + b"\n\n"


@pytest.mark.parametrize("stream", [False, True])
async def test_tools_are_counted_on_both_sides(stand: Stand, stream: bool) -> None:
    tools = [
        {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
        for name in ("get_weather", "get_time")
    ]
    if stream:
        stand.chat.enqueue(Head(), *map(Chunk, chat_tool_frames("get_weather", ['{"a"', ":1}"])))
    else:
        stand.chat.enqueue(Whole(chat_tool_body("get_weather", '{"a":1}')))
    body = ask_body("chat", "chat", stream=stream, tools=tools, parallel_tool_calls=False)
    body["messages"] *= 3
    await stand.gateway.ask("chat", body)
    row = await stand.gateway.row()
    assert (row["tools_defined"], row["tool_calls"], row["message_count"]) == (2, 1, 3)
    assert row["parallel_tool_calls"] == 0
    assert row["finish_reason"] == "tool_calls"


async def test_tools_of_a_messages_request_are_counted(stand: Stand) -> None:
    calls = [tool_use("a", {}, "toolu_1"), tool_use("b", {"x": 1}, "toolu_2")]
    stand.messages.enqueue(Whole(messages_body(calls, "tool_use")))
    tools = [{"name": "a", "input_schema": {"type": "object"}}]
    await stand.gateway.ask("messages", ask_body("messages", "messages", tools=tools))
    row = await stand.gateway.row()
    assert (row["tools_defined"], row["tool_calls"], row["message_count"]) == (1, 2, 1)
    assert row["finish_reason"] == "tool_use"


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
async def test_a_refused_attempt_is_told_in_full(stand: Stand, fmt: str, upstream: str) -> None:
    stand.provider(upstream).enqueue(Whole(VOICES[upstream].error("No capacity."), 503))
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream))
    row = await stand.gateway.row()
    assert row["status"] == "error"
    assert row["http_status"] == reply.status
    assert row["error_message"] == "No capacity."
    assert row["error_code"]
    assert row["ttft_ms"] is None
    assert row["output_tokens"] == 0
    [attempt] = row["attempts"]
    assert (attempt["status"], attempt["http_status"]) == ("failed", 503)
    assert attempt["reason"] == "No capacity."
    assert attempt["error_code"] == row["error_code"]


async def test_time_to_the_first_token_is_when_content_came_not_the_head(stand: Stand) -> None:
    frames = chat_frames()
    stand.chat.enqueue(
        Head(), Pause(0.25), *map(Chunk, frames[:2]), Pause(0.25), *map(Chunk, frames[2:])
    )
    await stand.gateway.ask("chat", ask_body("chat", "chat", stream=True))
    row = await stand.gateway.row()
    assert 240 <= row["ttft_ms"] < 450
    assert row["duration_ms"] >= 480
    assert row["tokens_per_s"] == pytest.approx(6 / 0.25, rel=0.6)


@pytest.mark.parametrize(
    ("headers", "body", "session"),
    [
        ({"x-claude-code-session-id": "cc"}, {}, "cc"),
        ({"session_id": "codex"}, {}, "codex"),
        ({"x-session-affinity": "a"}, {}, "a"),
        ({}, {"prompt_cache_key": "pck"}, "pck"),
        ({}, {"user": "u-1"}, "u-1"),
        ({}, {}, None),
    ],
)
async def test_the_clients_session_is_recognised(
    stand: Stand, headers: dict[str, str], body: dict[str, Any], session: str | None
) -> None:
    await stand.gateway.ask("chat", ask_body("chat", "chat") | body, headers)
    assert (await stand.gateway.row())["client_session"] == session


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        ({}, "127.0.0.1"),
        ({"x-forwarded-for": "203.0.113.1, 10.0.0.1"}, "203.0.113.1"),
        ({"cf-connecting-ip": "203.0.113.2", "x-forwarded-for": "203.0.113.1"}, "203.0.113.2"),
        ({"forwarded": 'for="[2001:db8::1]";proto=https'}, "[2001:db8::1]"),
    ],
)
async def test_the_source_address_is_the_proxies_word_or_the_sockets(
    stand: Stand, headers: dict[str, str], address: str
) -> None:
    await stand.gateway.ask("chat", ask_body("chat", "chat"), headers)
    assert (await stand.gateway.row())["source_ip"] in (address, address.strip("[]"))


async def test_requests_are_served_while_the_database_is_away_and_their_rows_come_later(
    stand_builder: StandBuilder,
) -> None:
    obstacle = stand_builder.folder / "volume"
    obstacle.write_text("not mounted")
    async with stand_builder.started(DATABASE_URL=f"sqlite://{obstacle / 'plexus.db'}") as stand:
        for fmt in FORMATS:
            for stream in (False, True):
                began = time.monotonic()
                reply = await stand.gateway.ask(fmt, ask_body(fmt, fmt, stream=stream))
                assert reply.status == 200
                assert time.monotonic() - began < 2
        obstacle.unlink()
        stand.gateway.database_file = obstacle / "plexus.db"
        rows = await stand.gateway.rows(2 * len(FORMATS), timeout=20)
        assert {row["status"] for row in rows} == {"success"}
        assert len({row["request_id"] for row in rows}) == 2 * len(FORMATS)


async def test_a_stop_loses_no_row(stand_builder: StandBuilder) -> None:
    async with stand_builder.started() as stand:
        for _ in range(20):
            await stand.gateway.ask("chat", ask_body("chat", "chat"))
    assert len(stand.gateway.rows_now()) == 20


async def test_usage_told_twice_counts_once(stand: Stand) -> None:
    frames = chat_frames()
    stand.chat.enqueue(Head(), *map(Chunk, [*frames[:-1], frames[-2], DONE]))
    await stand.gateway.ask("chat", ask_body("chat", "chat", stream=True))
    assert (await stand.gateway.row())["input_tokens"] == 17


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.provider_breaks_grammar
async def test_an_answer_of_reasoning_only_is_counted(stand: Stand, fmt: str) -> None:
    stand.chat.enqueue(
        Head(),
        Chunk(chat_delta({"role": "assistant", "reasoning_content": "Think hard."})),
        *map(Chunk, chat_frames()[-3:]),
    )
    reply = await stand.gateway.ask(fmt, ask_body(fmt, "chat", stream=True))
    if fmt != "gemini":  # whose clients ask for thoughts, or get none
        assert "Think hard." in reply.text
    assert (await stand.gateway.row())["status"] == "success"


TOOL = {"name": "a", "description": "d"}
TOOLS: dict[str, list[dict[str, Any]]] = {
    "chat": [{"type": "function", "function": TOOL}],
    "messages": [TOOL | {"input_schema": {"type": "object"}}],
    "responses": [TOOL | {"type": "function", "parameters": {"type": "object"}, "strict": False}],
    "gemini": [{"functionDeclarations": [TOOL]}],
}


@pytest.mark.parametrize("fmt", FORMATS)
async def test_what_a_request_holds_is_counted_in_every_format(stand: Stand, fmt: str) -> None:
    body = ask_body(fmt, fmt, tools=TOOLS[fmt])
    [turns] = [name for name in ("messages", "input", "contents") if name in body]
    body[turns] = body[turns] * 3
    await stand.gateway.ask(fmt, body)
    row = await stand.gateway.row()
    assert (row["tools_defined"], row["message_count"], row["tool_calls"]) == (1, 3, 0)


@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_of_our_own_is_no_cancelled_attempt(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a secret detail")

    monkeypatch.setattr("plexus_proxy.gateway.prepare.outgoing", broken)
    reply = await stand.gateway.ask("chat", ask_body("chat", "chat", stream=stream))
    assert (reply.status, reply.json()["error"]["message"]) == (500, "Internal error.")
    row = await stand.gateway.row()
    [attempt] = row["attempts"]
    assert (attempt["status"], attempt["reason"]) == ("failed", "Internal error.")
