"""Different formats: the answer in the client's own, whole and streamed."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.fake_provider import Chunk, Head, Whole
from support.gateway import CROSS, Stand, StandBuilder, ask_body, asked, whole_text
from support.judges import read_stream

SAMPLES = Path(__file__).parent.parent / "samples"


@pytest.mark.parametrize(("fmt", "upstream"), CROSS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.pitfall("B29")
async def test_a_question_is_answered_across_formats(
    stand: Stand, fmt: str, upstream: str, stream: bool
) -> None:
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=stream))
    assert reply.status == 200
    if stream:
        answer = read_stream(fmt, reply.body)
        assert (answer.text, answer.error) == ("Teal is a colour.", None)
    else:
        assert whole_text(fmt, reply.json()) == "Teal is a colour."
    sent = asked(upstream, stand.provider(upstream).last)
    assert sent["model"] == f"up-{upstream}"
    assert bool(sent.get("stream")) == stream
    [turns] = [sent[name] for name in ("messages", "input", "contents") if name in sent]
    assert [turn["role"] for turn in turns] == ["user"]
    assert "What is teal?" in json.dumps(turns)


CASES = ("text", "tool-call", "tool-result", "parallel-tools-result", "image", "structured")


@pytest.mark.parametrize(
    ("fmt", "upstream", "case"),
    [
        (fmt, upstream, case)
        for fmt, upstream in CROSS
        for case in CASES
        if case != "image" or "gemini" not in (fmt, upstream)  # its images are elsewhere
    ],
)
async def test_every_sample_request_is_taken_across_formats(
    stand: Stand, fmt: str, upstream: str, case: str
) -> None:
    sample = (SAMPLES / f"{fmt}.{case}.request.json").read_text()
    body: dict[str, Any] = json.loads(sample) | {"model": f"to-{upstream}"}
    reply = await stand.gateway.ask(fmt, body)
    assert reply.status == 200, reply.body


@pytest.mark.parametrize(("fmt", "upstream"), CROSS)
@pytest.mark.parametrize("case", ["tool-call", "parallel-tools"])
async def test_tool_calls_of_the_sample_streams_cross(
    stand: Stand, fmt: str, upstream: str, case: str
) -> None:
    stream = (SAMPLES / f"{upstream}.{case}.stream.sse").read_bytes()
    stand.provider(upstream).enqueue(Head(), Chunk(stream))
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=True))
    told = stream.replace(b"\r\n", b"\n")
    calls = [(tool.name, tool.value) for tool in read_stream(fmt, reply.body).tools]
    assert calls == [(tool.name, tool.value) for tool in read_stream(upstream, told).tools]
    assert len(calls) == (1 if case == "tool-call" else 2)


@pytest.mark.parametrize(("fmt", "upstream"), CROSS)
async def test_usage_is_told_in_the_clients_own_terms(
    stand: Stand, fmt: str, upstream: str
) -> None:
    """The worked example: 100 fresh, 1000 read, 200 written, 100 of text, 150 of reasoning. Gemini
    does not tell what is written to a cache from what is fresh."""
    body = (SAMPLES / f"{upstream}.cached-usage.response.json").read_bytes()
    stand.provider(upstream).enqueue(Whole(body))
    answer = (await stand.gateway.ask(fmt, ask_body(fmt, upstream))).json()
    written = 0 if upstream == "gemini" else 200
    match fmt:
        case "chat":
            usage = answer["usage"]
            assert usage["prompt_tokens"] == 1300
            assert usage["prompt_tokens_details"]["cached_tokens"] == 1000
            assert usage["completion_tokens"] == 250
            assert usage["completion_tokens_details"]["reasoning_tokens"] == 150
            assert usage["total_tokens"] == 1550
        case "messages":
            usage = answer["usage"]
            assert usage["input_tokens"] == 300 - written
            assert usage["cache_read_input_tokens"] == 1000
            assert usage["cache_creation_input_tokens"] == written
            assert usage["output_tokens"] == 250
        case "responses":
            usage = answer["usage"]
            assert usage["input_tokens"] == 1300
            assert usage["input_tokens_details"]["cached_tokens"] == 1000
            assert usage["output_tokens"] == 250
            assert usage["output_tokens_details"]["reasoning_tokens"] == 150
            assert usage["total_tokens"] == 1550
        case _:
            usage = answer["usageMetadata"]
            assert usage["promptTokenCount"] == 1300
            assert usage["cachedContentTokenCount"] == 1000
            assert usage["candidatesTokenCount"] == 100
            assert usage["thoughtsTokenCount"] == 150
            assert usage["totalTokenCount"] == 1550
    row = await stand.gateway.row()
    expected = [300 - written, 1000, written, 100, 150]
    assert [row[f"{name}_tokens"] for name in BUCKETS] == expected


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


@pytest.mark.parametrize(("fmt", "upstream"), CROSS)
async def test_the_answers_of_two_requests_have_different_ids(
    stand: Stand, fmt: str, upstream: str
) -> None:
    name = "responseId" if fmt == "gemini" else "id"
    ids = {(await stand.gateway.ask(fmt, ask_body(fmt, upstream))).json()[name] for _ in range(2)}
    first = (await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=True))).events()[0]
    holder = {"messages": "message", "responses": "response"}.get(fmt)
    ids.add((first[holder] if holder else first)[name])
    assert len(ids) == 3


@pytest.mark.parametrize(("fmt", "upstream"), CROSS)
async def test_a_client_reads_the_model_name_of_the_answer(
    stand: Stand, fmt: str, upstream: str
) -> None:
    names = {
        "chat": "up-chat-0613",
        "messages": "up-messages-1",
        "responses": "up-responses-5",
        "gemini": "up-gemini-3",
    }
    answer = (await stand.gateway.ask(fmt, ask_body(fmt, upstream))).json()
    assert answer["modelVersion" if fmt == "gemini" else "model"] == names[upstream]


@pytest.mark.parametrize(
    ("fmt", "upstream", "field", "value"),
    [
        ("chat", "messages", "logit_bias", {"50256": -100}),
        ("chat", "messages", "seed", 7),
        ("chat", "messages", "presence_penalty", 0.5),
        ("messages", "chat", "top_k", 5),
        ("chat", "responses", "seed", 7),
        ("responses", "messages", "truncation", "auto"),
        ("messages", "responses", "top_k", 5),
        ("gemini", "chat", "safetySettings", [{"category": "HARM_CATEGORY_HARASSMENT"}]),
        ("gemini", "messages", "safetySettings", [{"category": "HARM_CATEGORY_HARASSMENT"}]),
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


@pytest.mark.parametrize(("fmt", "upstream"), CROSS)
@pytest.mark.parametrize("stream", [False, True])
async def test_extra_body_is_set_in_a_translated_request_too(
    stand_builder: StandBuilder, fmt: str, upstream: str, stream: bool
) -> None:
    stand_builder.provider_config(upstream)["extraBody"] = {"own_field": {"a": [1]}}
    async with stand_builder.started() as stand:
        reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=stream))
        assert reply.status == 200
        assert stand.provider(upstream).last.json()["own_field"] == {"a": [1]}


async def test_a_providers_headers_do_not_leak_through_a_translated_answer(stand: Stand) -> None:
    await stand.gateway.ask("messages", ask_body("messages", "chat"), {"anthropic-beta": "b-1"})
    assert "anthropic-beta" not in stand.chat.last.headers
    assert "anthropic-version" not in stand.chat.last.headers
