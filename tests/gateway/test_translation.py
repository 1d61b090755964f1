"""Different formats: the answer in the client's own, whole and streamed."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.fake_provider import Chunk, Head, Whole
from support.gateway import Stand, ask_body, events_in, spoken_text

SAMPLES = Path(__file__).parent.parent / "samples"
PAIRS = (("chat", "messages"), ("messages", "chat"))


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_question_is_answered_across_formats(
    stand: Stand, fmt: str, upstream: str, stream: bool
) -> None:
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=stream))
    assert reply.status == 200
    if stream:
        assert spoken_text(fmt, events_in(reply.body)) == "Teal is a colour."
    else:
        answer = reply.json()
        text = (
            answer["choices"][0]["message"]["content"]
            if fmt == "chat"
            else answer["content"][0]["text"]
        )
        assert text == "Teal is a colour."
    asked = stand.provider(upstream).last.json()
    assert asked["model"] == f"up-{upstream}"
    assert asked["messages"][0]["role"] == "user"


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
@pytest.mark.parametrize(
    "case", ["text", "tool-call", "tool-result", "parallel-tools-result", "image", "structured"]
)
async def test_every_sample_request_is_taken_across_formats(
    stand: Stand, fmt: str, upstream: str, case: str
) -> None:
    found = SAMPLES / f"{fmt}.{case}.request.json"
    body: dict[str, Any] = json.loads(found.read_text()) if found.exists() else ask_body(fmt, fmt)
    body["model"] = f"to-{upstream}"
    reply = await stand.gateway.ask(fmt, body)
    assert reply.status == 200, reply.body


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
@pytest.mark.parametrize("case", ["tool-call", "parallel-tools"])
async def test_tool_calls_of_the_sample_streams_cross(
    stand: Stand, fmt: str, upstream: str, case: str
) -> None:
    stream = (SAMPLES / f"{upstream}.{case}.stream.sse").read_bytes()
    stand.provider(upstream).enqueue(Head(), Chunk(stream))
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=True))
    calls = tool_calls_in(fmt, events_in(reply.body))
    expected = tool_calls_in(upstream, events_in(stream))
    assert calls == expected
    assert calls


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
async def test_usage_is_told_in_the_clients_own_terms(
    stand: Stand, fmt: str, upstream: str
) -> None:
    """The worked example: 100 fresh, 1000 read, 200 written, 100 of text, 150 of reasoning."""
    body = (SAMPLES / f"{upstream}.cached-usage.response.json").read_bytes()
    stand.provider(upstream).enqueue(Whole(body))
    usage = (await stand.gateway.ask(fmt, ask_body(fmt, upstream))).json()["usage"]
    if fmt == "chat":
        assert usage["prompt_tokens"] == 1300
        assert usage["prompt_tokens_details"]["cached_tokens"] == 1000
        assert usage["completion_tokens"] == 250
        assert usage["completion_tokens_details"]["reasoning_tokens"] == 150
        assert usage["total_tokens"] == 1550
    else:
        assert usage["input_tokens"] == 100
        assert usage["cache_read_input_tokens"] == 1000
        assert usage["cache_creation_input_tokens"] == 200
        assert usage["output_tokens"] == 250
    row = await stand.gateway.row()
    assert [row[f"{name}_tokens"] for name in BUCKETS] == [100, 1000, 200, 100, 150]


BUCKETS = ("input", "cache_read", "cache_write", "output", "reasoning")


async def test_a_chat_client_gets_the_usage_chunk_of_a_translated_stream_only_if_it_asked(
    stand: Stand,
) -> None:
    silent = await stand.gateway.ask("chat", ask_body("chat", "messages", stream=True))
    assert all("usage" not in e or e["usage"] is None for e in silent.events()[:-1])
    asked = await stand.gateway.ask(
        "chat",
        ask_body("chat", "messages", stream=True, stream_options={"include_usage": True}),
    )
    last = asked.events()[-2]
    assert last["choices"] == []
    assert last["usage"]["prompt_tokens"] == 21
    assert last["usage"]["prompt_tokens_details"]["cached_tokens"] == 4
    assert asked.events()[-1] == "[DONE]"


async def test_a_messages_client_sees_the_exact_usage_of_a_chat_stream(stand: Stand) -> None:
    reply = await stand.gateway.ask("messages", ask_body("messages", "chat", stream=True))
    events = reply.events()
    assert events[0]["message"]["usage"]["input_tokens"] > 0
    [delta] = [event for event in events if event["type"] == "message_delta"]
    assert delta["usage"]["input_tokens"] == 17
    assert delta["usage"]["cache_read_input_tokens"] == 4
    assert delta["usage"]["output_tokens"] == 6


async def test_the_answers_of_two_requests_have_different_ids(stand: Stand) -> None:
    replies = [
        await stand.gateway.ask("chat", ask_body("chat", "messages", stream=stream))
        for stream in (False, False, True)
    ]
    ids = {replies[0].json()["id"], replies[1].json()["id"], replies[2].events()[0]["id"]}
    assert len(ids) == 3


async def test_a_client_reads_the_model_name_of_the_answer(stand: Stand) -> None:
    chat = await stand.gateway.ask("chat", ask_body("chat", "messages"))
    messages = await stand.gateway.ask("messages", ask_body("messages", "chat"))
    assert chat.json()["model"]
    assert messages.json()["model"]


@pytest.mark.parametrize(
    ("fmt", "upstream", "field", "value"),
    [
        ("chat", "messages", "logit_bias", {"50256": -100}),
        ("chat", "messages", "seed", 7),
        ("chat", "messages", "presence_penalty", 0.5),
        ("messages", "chat", "top_k", 5),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_what_cannot_be_said_is_named_in_the_answer_and_in_the_row(
    stand: Stand, fmt: str, upstream: str, field: str, value: Any, stream: bool
) -> None:
    body = ask_body(fmt, upstream, stream=stream) | {field: value}
    reply = await stand.gateway.ask(fmt, body)
    assert field not in stand.provider(upstream).last.json()
    assert reply.headers["x-plexus-dropped"] == field
    assert (await stand.gateway.row())["dropped_fields"] == [field]
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=stream))
    assert "x-plexus-dropped" not in reply.headers


async def test_extra_body_is_set_in_a_translated_request_too(stand_builder: Any) -> None:
    stand_builder.config["providers"]["anthro"]["extraBody"] = {"service_tier": "auto"}
    async with stand_builder.started() as stand:
        await stand.gateway.ask("chat", ask_body("chat", "messages"))
        assert stand.messages.last.json()["service_tier"] == "auto"
        await stand.gateway.ask("chat", ask_body("chat", "messages", stream=True))
        assert stand.messages.last.json()["service_tier"] == "auto"


async def test_a_providers_headers_do_not_leak_through_a_translated_answer(stand: Stand) -> None:
    await stand.gateway.ask("messages", ask_body("messages", "chat"), {"anthropic-beta": "b-1"})
    assert "anthropic-beta" not in stand.chat.last.headers
    assert "anthropic-version" not in stand.chat.last.headers


def tool_calls_in(fmt: str, events: list[Any]) -> list[tuple[str, Any]]:
    """(name, arguments) of each call, in order."""
    names: dict[int, str] = {}
    texts: dict[int, str] = {}
    for event in events:
        if fmt == "chat":
            for choice in [] if event == "[DONE]" else event.get("choices", []):
                for call in choice["delta"].get("tool_calls") or []:
                    function = call["function"]
                    names.setdefault(call["index"], function.get("name") or "")
                    texts[call["index"]] = texts.get(call["index"], "") + function["arguments"]
        elif event["type"] == "content_block_start":
            if event["content_block"]["type"] == "tool_use":
                names[event["index"]] = event["content_block"]["name"]
        elif (
            event["type"] == "content_block_delta" and event["delta"]["type"] == "input_json_delta"
        ):
            index = event["index"]
            texts[index] = texts.get(index, "") + event["delta"]["partial_json"]
    return [(name, json.loads(texts.get(index) or "{}")) for index, name in sorted(names.items())]
