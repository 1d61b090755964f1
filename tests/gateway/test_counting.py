"""Counting tokens: the provider's own count where it has one, else ours; through official SDKs."""

import asyncio
import base64
import io
import json
import logging
import re
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from anthropic import AsyncAnthropic
from google import genai
from google.genai import types as google
from openai import AsyncOpenAI
from support.answers import chat_body, messages_body, messages_error
from support.fake_provider import (
    Drop,
    FakeProvider,
    Hang,
    Received,
    Step,
    Whole,
    fake_provider,
)
from support.gateway import Reply, Stand, StandBuilder, reply_of
from support.sdks import anthropic_settings, openai_settings
from support.waiting import until

from plexus_proxy.gateway.routes import COUNTING
from plexus_proxy.limits.cooldown_store import COOLDOWNS

FORMATS = ("chat", "messages", "responses", "gemini")
Pair = tuple[Stand, FakeProvider]
QUESTION = "What is teal? " * 40
TOOL = {
    "name": "get_weather",
    "description": "Weather of a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
PATHS = {
    "messages": "/v1/messages/count_tokens",
    "responses": "/v1/responses/input_tokens",
    "gemini": "/v1beta/models/{model}:countTokens",
}
UPSTREAM_PATHS = {
    "messages": "/v1/messages/count_tokens",
    "responses": "/v1/responses/input_tokens",
    "gemini": "/v1/models/up-gemini:countTokens",
}
ANSWERS: dict[str, dict[str, Any]] = {
    "messages": {"input_tokens": 2095},
    "responses": {"object": "response.input_tokens", "input_tokens": 2095},
    "gemini": {
        "totalTokens": 2095,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 2095}],
    },
}
COUNTS = tuple(PATHS)
NONE = Whole({"error": {"message": "no such page"}}, 404)


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    """A gateway whose alias `to-<format>` leads to one server that can play every format."""
    async with fake_provider() as upstream:
        builder = StandBuilder(tmp_path, dict.fromkeys(FORMATS, upstream))
        builder.config["providers"] = {
            fmt: {
                "api_base_url": {fmt: upstream.url},
                "api_key": "k",
                "models": {f"up-{fmt}": {}},
            }
            for fmt in FORMATS
        }
        builder.config["models"] = {
            f"to-{fmt}": {"targets": [{"provider": fmt, "model": f"up-{fmt}"}]} for fmt in FORMATS
        }
        async with builder.started() as running:
            yield running, upstream


def body_of(fmt: str, model: str, text: str = QUESTION) -> dict[str, Any]:
    return {
        "messages": {"model": model, "messages": [{"role": "user", "content": text}]},
        "responses": {"model": model, "input": text},
        "gemini": {"contents": [{"role": "user", "parts": [{"text": text}]}]},
    }[fmt]


async def ask(
    stand: Stand,
    fmt: str,
    upstream: str,
    body: bytes | dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
    model: str | None = None,
) -> Reply:
    """A count asked for by a client of `fmt`, for the alias that leads to `upstream`."""
    model = model or f"to-{upstream}"
    if body is None:
        body = body_of(fmt, model)
    sent = {"content-type": "application/json", "x-api-key": stand.secrets.app} | (headers or {})
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    url = stand.gateway.url + PATHS[fmt].format(model=model)
    async with stand.gateway.session.post(url, data=io.BytesIO(data), headers=sent) as response:
        return await reply_of(response)


def tokens_in(fmt: str, reply: Reply) -> int:
    assert reply.status == 200, reply.text
    assert reply.headers["content-type"].startswith("application/json")
    told = reply.json()
    if fmt == "gemini":
        return told["totalTokens"]
    if fmt == "responses":
        assert told["object"] == "response.input_tokens"
    return told["input_tokens"]


@asynccontextmanager
async def google_client(stand: Stand) -> AsyncIterator[genai.client.AsyncClient]:
    client = genai.Client(
        api_key=stand.secrets.app, http_options=google.HttpOptions(base_url=stand.gateway.url)
    )
    try:
        yield client.aio
    finally:
        await client.aio.aclose()


async def counted_by_sdk(stand: Stand, fmt: str, model: str) -> int | None:
    if fmt == "messages":
        async with AsyncAnthropic(**anthropic_settings(stand)) as client:
            told = await client.messages.count_tokens(
                model=model, messages=[{"role": "user", "content": QUESTION}]
            )
            return told.input_tokens
    if fmt == "responses":
        async with AsyncOpenAI(**openai_settings(stand)) as client:
            counted = await client.responses.input_tokens.count(model=model, input=QUESTION)
            assert counted.object == "response.input_tokens"
            return counted.input_tokens
    async with google_client(stand) as client:
        return (await client.models.count_tokens(model=model, contents=QUESTION)).total_tokens


@pytest.mark.parametrize("upstream", FORMATS)
@pytest.mark.parametrize("fmt", COUNTS)
@pytest.mark.pitfall("P128")
async def test_p128_the_sdk_of_any_client_counts_in_front_of_any_provider(
    pair: Pair, fmt: str, upstream: str
) -> None:
    """P128. Chat Completions has no count, so there it is ours."""
    stand, server = pair
    server.default = [Whole(ANSWERS.get(upstream, {}))]
    tokens = await counted_by_sdk(stand, fmt, f"to-{upstream}")
    if upstream == "chat":
        assert tokens is not None
        assert 160 <= tokens <= 172  # forty times "What is teal? ", which is four tokens
        assert not server.requests
    else:
        assert tokens == 2095
        assert [each.path for each in server.requests] == [UPSTREAM_PATHS[upstream]]


@pytest.mark.parametrize("upstream", FORMATS)
@pytest.mark.parametrize("fmt", COUNTS)
@pytest.mark.pitfall("P128")
async def test_p128_where_the_provider_has_no_count_the_sdk_gets_ours(
    pair: Pair, fmt: str, upstream: str
) -> None:
    stand, server = pair
    server.default = [NONE]
    tokens = await counted_by_sdk(stand, fmt, f"to-{upstream}")
    assert tokens is not None
    assert 160 <= tokens <= 172 * 1.2


@pytest.mark.parametrize("fmt", COUNTS)
async def test_the_clients_own_body_and_the_providers_own_answer_pass_as_they_are(
    pair: Pair, fmt: str
) -> None:
    stand, server = pair
    answer = json.dumps({**ANSWERS[fmt], "future": [1.50, "ü"]}, indent=3).encode()
    server.enqueue(Whole(answer, headers={"content-type": "application/json", "request-id": "up"}))
    body = json.dumps(body_of(fmt, f"to-{fmt}") | {"unknown": {"b": 1e3, "a": 1}}).encode()
    reply = await ask(stand, fmt, fmt, body)
    assert reply.body == answer
    assert reply.headers["request-id"] == "up"
    assert server.last.body == body.replace(f'"to-{fmt}"'.encode(), f'"up-{fmt}"'.encode())


async def test_the_versions_of_the_client_and_the_credential_of_the_provider_are_sent(
    pair: Pair,
) -> None:
    stand, server = pair
    server.enqueue(Whole(ANSWERS["messages"]))
    await ask(stand, "messages", "messages", headers={"anthropic-beta": "context-1m-2025-08-07"})
    assert server.last.headers["x-api-key"] == "k"
    assert server.last.headers["anthropic-version"]
    assert server.last.headers["anthropic-beta"] == "context-1m-2025-08-07"
    assert stand.secrets.app not in str(server.last.raw_headers)


@pytest.mark.parametrize("name", ["generateContentRequest", "generate_content_request"])
async def test_gemini_a_whole_request_is_forwarded_with_the_providers_model(
    pair: Pair, name: str
) -> None:
    stand, server = pair
    server.enqueue(Whole(ANSWERS["gemini"]))
    request = body_of("gemini", "") | {"systemInstruction": {"parts": [{"text": "Be brief."}]}}
    body = {name: {"model": "models/to-gemini", **request}}
    assert tokens_in("gemini", await ask(stand, "gemini", "gemini", body)) == 2095
    assert server.last.json() == {
        "generateContentRequest": {"model": "models/up-gemini", **request}
    }


async def test_gemini_contents_and_a_whole_request_say_the_same(pair: Pair) -> None:
    stand, _ = pair
    plain = body_of("gemini", "")
    whole = {"generateContentRequest": {"model": "models/to-chat", **plain}}
    replies = [await ask(stand, "gemini", "chat", body) for body in (plain, whole)]
    first, second = (tokens_in("gemini", reply) for reply in replies)
    assert first == second > 160


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param({}, "contents", id="nothing"),
        pytest.param({"generateContentRequest": {}}, "contents", id="an empty request"),
        pytest.param({"generateContentRequest": 1}, "generateContentRequest", id="no request"),
        pytest.param(
            {"contents": [], "generateContentRequest": {"contents": []}}, "exclude", id="both"
        ),
    ],
)
async def test_gemini_a_count_of_nothing_is_a_bad_request(
    pair: Pair, body: dict[str, Any], said: str
) -> None:
    reply = await ask(pair[0], "gemini", "chat", body)
    assert reply.status == 400
    assert reply.json()["error"]["status"] == "INVALID_ARGUMENT"
    assert said in reply.json()["error"]["message"]


@pytest.mark.parametrize("version", ["v1", "v1alpha", "v1beta"])
async def test_gemini_every_version_counts(pair: Pair, version: str) -> None:
    stand, _ = pair
    url = f"{stand.gateway.url}/{version}/models/direct%2Fchat%2Fup-chat:countTokens"
    headers = {"x-goog-api-key": stand.secrets.app, "content-type": "application/json"}
    data = json.dumps(body_of("gemini", "")).encode()
    async with stand.gateway.session.post(url, data=data, headers=headers) as response:
        assert tokens_in("gemini", await reply_of(response)) > 160


@pytest.mark.parametrize(
    ("upstream", "allowed"),
    [
        ("messages", {"model", "messages", "system", "tools", "tool_choice", "thinking"}),
        ("responses", {"model", "input", "instructions", "tools", "tool_choice", "reasoning"}),
    ],
)
@pytest.mark.parametrize("fmt", COUNTS)
async def test_a_translated_count_has_only_fields_the_provider_takes(
    pair: Pair, fmt: str, upstream: str, allowed: set[str]
) -> None:
    if fmt == upstream:
        return
    stand, server = pair
    server.enqueue(Whole(ANSWERS[upstream]))
    body = body_of(fmt, f"to-{upstream}")
    body |= {
        "messages": {"system": "Be brief.", "tools": [TOOL], "max_tokens": 5, "temperature": 0.5},
        "responses": {"instructions": "Be brief.", "max_output_tokens": 5, "store": False},
        "gemini": {
            "systemInstruction": {"parts": [{"text": "Be brief."}]},
            "generationConfig": {"maxOutputTokens": 5, "temperature": 0.5},
        },
    }[fmt]
    assert tokens_in(fmt, await ask(stand, fmt, upstream, body)) == 2095
    sent = server.last.json()
    assert set(sent) <= allowed
    assert sent["model"] == f"up-{upstream}"
    assert "Be brief." in server.last.body.decode()
    assert QUESTION.strip() in server.last.body.decode()


@pytest.mark.parametrize("fmt", ["messages", "responses"])
async def test_a_count_translated_for_gemini_is_a_whole_request(pair: Pair, fmt: str) -> None:
    stand, server = pair
    server.enqueue(Whole(ANSWERS["gemini"]))
    assert tokens_in(fmt, await ask(stand, fmt, "gemini")) == 2095
    request = server.last.json()["generateContentRequest"]
    assert request["model"] == "models/up-gemini"
    assert request["contents"][0]["parts"][0]["text"] == QUESTION


FAILURES: dict[str, tuple[Step, ...]] = {
    "404": (NONE,),
    "405": (Whole({"error": {"message": "wrong method"}}, 405),),
    "501": (Whole({"error": {"message": "not implemented"}}, 501),),
    "401": (Whole(messages_error("bad key", "authentication_error"), 401),),
    "429": (Whole(messages_error("slow down", "rate_limit_error"), 429),),
    "500": (Whole("<html>oops</html>", 500),),
    "no number": (Whole({"input_tokens": None, "totalTokens": "many"}),),
    "negative": (Whole({"input_tokens": -1, "totalTokens": -1}),),
    "no object": (Whole(b"[]"),),
    "no JSON": (Whole(b"OK"),),
    "dropped": (Drop(),),
}


@pytest.mark.parametrize("steps", FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize("fmt", COUNTS)
async def test_whatever_goes_wrong_at_the_provider_leads_to_our_count(
    pair: Pair, fmt: str, steps: tuple[Step, ...]
) -> None:
    stand, server = pair
    server.default = steps
    assert 160 <= tokens_in(fmt, await ask(stand, fmt, fmt)) <= 210
    assert server.requests


async def test_a_provider_that_is_silent_is_not_waited_for(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plexus_proxy.gateway.counting.LIMIT_S", 0.2)
    stand, server = pair
    server.default = [Hang()]
    assert tokens_in("messages", await ask(stand, "messages", "messages")) > 160
    await until(lambda: server.open == 0)


@pytest.mark.parametrize(("status", "again"), [(404, 1), (405, 1), (501, 1), (500, 3), (429, 3)])
async def test_a_provider_without_a_count_is_not_asked_again(
    pair: Pair, status: int, again: int
) -> None:
    stand, server = pair
    server.default = [Whole({"error": {"message": "no"}}, status)]
    told = {tokens_in("messages", await ask(stand, "messages", "messages")) for _ in range(3)}
    assert len(told) == 1
    assert len(server.requests) == again
    await ask(stand, "messages", "gemini")  # another provider
    assert len(server.requests) == again + 1


@pytest.mark.parametrize("fmt", COUNTS)
async def test_a_target_that_cools_down_is_not_asked(pair: Pair, fmt: str) -> None:
    """A credential that is refused would be refused again."""
    stand, server = pair
    found = stand.gateway.app[COOLDOWNS]
    now_ms = time.time_ns() // 1_000_000
    found.take_out(fmt, f"up-{fmt}", now_ms + 60_000, now_ms)
    server.default = [Whole(ANSWERS[fmt])]
    assert 0 < tokens_in(fmt, await ask(stand, fmt, fmt)) < 2095
    assert server.requests == []


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_what_the_provider_finds_wrong_with_the_clients_request_is_told(
    pair: Pair, status: int
) -> None:
    stand, server = pair
    refusal = messages_error("messages.0: what is that?", "invalid_request_error")
    server.enqueue(Whole(refusal, status))
    reply = await ask(stand, "messages", "messages")
    assert (reply.status, reply.json()) == (status, refusal)


async def test_what_it_finds_wrong_with_a_translated_request_is_not(pair: Pair) -> None:
    stand, server = pair
    server.enqueue(Whole(messages_error("no such field", "invalid_request_error"), 400))
    assert tokens_in("responses", await ask(stand, "responses", "messages")) > 160


ERROR_TYPES = {
    "messages": lambda body: body["error"]["type"],
    "responses": lambda body: body["error"]["code"],
    "gemini": lambda body: body["error"]["status"],
}


@pytest.mark.parametrize(
    ("fmt", "wrong", "unknown"),
    [
        ("messages", "authentication_error", "not_found_error"),
        ("responses", "invalid_api_key", "model_not_found"),
        ("gemini", "UNAUTHENTICATED", "NOT_FOUND"),
    ],
)
async def test_errors_are_those_of_the_clients_format(
    pair: Pair, fmt: str, wrong: str, unknown: str
) -> None:
    stand, _ = pair
    reply = await ask(stand, fmt, "chat", headers={"x-api-key": "sk-wrong"})
    assert (reply.status, ERROR_TYPES[fmt](reply.json())) == (401, wrong)
    reply = await ask(stand, fmt, "chat", model="nobody")
    assert (reply.status, ERROR_TYPES[fmt](reply.json())) == (404, unknown)
    assert reply.headers["x-request-id"].startswith("req_")
    reply = await ask(stand, fmt, "chat", b"{nonsense")
    assert reply.status == 400
    reply = await ask(stand, fmt, "chat", headers={"content-type": "text/plain"})
    assert reply.status == 415


async def test_the_sdks_raise_their_own_classes(pair: Pair) -> None:
    stand, _ = pair
    async with AsyncAnthropic(**anthropic_settings(stand)) as client:
        with pytest.raises(anthropic.NotFoundError):
            await client.messages.count_tokens(model="x", messages=[])
    async with AsyncOpenAI(**openai_settings(stand, api_key="wrong")) as client:
        with pytest.raises(openai.AuthenticationError):
            await client.responses.input_tokens.count(model="to-chat", input="hi")
    async with google_client(stand) as google_one:
        with pytest.raises(genai.errors.ClientError) as caught:
            await google_one.models.count_tokens(model="nobody", contents="hi")
    assert (caught.value.code, caught.value.status) == (404, "NOT_FOUND")


@pytest.mark.parametrize("fmt", ["messages", "responses"])
async def test_only_post_counts(pair: Pair, fmt: str) -> None:
    stand, _ = pair
    url = stand.gateway.url + PATHS[fmt]
    async with stand.gateway.session.get(url, headers=stand.gateway.auth(fmt)) as response:
        assert response.status == 405
        assert response.headers["allow"] == "POST"
    async with stand.gateway.session.options(url) as response:
        assert response.status == 204


async def test_too_much_text_is_refused(pair: Pair) -> None:
    stand, _ = pair
    body = body_of("messages", "to-chat", "x" * (8 * 1024 * 1024 + 1))
    reply = await ask(stand, "messages", "chat", body)
    assert reply.status == 413
    assert reply.json()["error"]["type"] == "request_too_large"
    assert "at most 8388608 characters" in reply.json()["error"]["message"]


async def test_no_row_is_written(pair: Pair) -> None:
    stand, server = pair
    server.default = [Whole(ANSWERS["messages"])]
    await ask(stand, "messages", "messages")
    await ask(stand, "messages", "chat")
    server.default = [Whole(chat_body())]
    url = stand.gateway.url + "/v1/chat/completions"
    body = {"model": "to-chat", "messages": [{"role": "user", "content": "hi"}]}
    async with stand.gateway.session.post(url, json=body, headers=stand.gateway.auth()) as response:
        assert response.status == 200
    assert [row["alias"] for row in await stand.gateway.rows()] == ["to-chat"]


def png(width: int, height: int) -> str:
    head = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR" + struct.pack(">II", width, height) + bytes(9)
    return base64.b64encode(head).decode()


async def test_tools_and_pictures_are_counted(pair: Pair) -> None:
    stand, _ = pair
    body = body_of("messages", "to-chat")
    plain = tokens_in("messages", await ask(stand, "messages", "chat", body))
    with_tool = tokens_in(
        "messages", await ask(stand, "messages", "chat", body | {"tools": [TOOL]})
    )
    assert 30 <= with_tool - plain <= 70
    source = {"type": "base64", "media_type": "image/png", "data": png(2048, 4096)}
    content = [{"type": "text", "text": QUESTION}, {"type": "image", "source": source}]
    body["messages"] = [{"role": "user", "content": content}]
    pictured = tokens_in("messages", await ask(stand, "messages", "chat", body))
    assert pictured - plain == 1105  # the tiles of OpenAI's own example


async def test_the_debug_log_has_the_range_and_nothing_of_the_text(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    stand, _ = pair
    with caplog.at_level(logging.DEBUG, "plexus_proxy"):
        reply = await ask(stand, "messages", "chat")
    [line] = [each for each in caplog.messages if "deviation" in each]
    assert reply.headers["x-request-id"] in line
    tokens, low, high = map(int, re.findall(r"(\d+) tokens \((\d+) to (\d+)\)", line)[0])
    assert low < tokens == tokens_in("messages", reply) < high
    assert "teal" not in caplog.text


async def test_without_a_helper_process_there_is_still_an_answer(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stand, _ = pair
    counter = stand.gateway.app[COUNTING]._counter
    monkeypatch.setattr(counter, "_command", ("/nonexistent/python",))
    tokens = tokens_in("messages", await ask(stand, "messages", "chat"))
    assert tokens == len(QUESTION) // 4 + 6
    assert "guessed" in caplog.text


async def test_the_count_learns_from_the_requests_that_follow(pair: Pair) -> None:
    stand, server = pair
    said = len(QUESTION) * 2

    def answers(received: Received) -> list[Step]:
        if received.path.endswith("count_tokens"):
            return [NONE]
        usage = {"input_tokens": said - 500, "output_tokens": 6}
        usage |= {"cache_read_input_tokens": 300, "cache_creation_input_tokens": 200}
        return [Whole(messages_body() | {"usage": usage})]

    server.default = answers
    body = body_of("messages", "to-messages", QUESTION * 2)
    first = tokens_in("messages", await ask(stand, "messages", "messages", body))
    said = round(first * 1.4)
    for _ in range(5):
        count = tokens_in("messages", await ask(stand, "messages", "messages", body))
        assert count == first  # too few samples yet
        asked = await stand.gateway.ask("messages", body | {"max_tokens": 9})
        assert asked.status == 200
        await asyncio.sleep(0)
    learned = tokens_in("messages", await ask(stand, "messages", "messages", body))
    assert learned == pytest.approx(said, abs=2)
    other = tokens_in("messages", await ask(stand, "messages", "chat", body | {"model": "to-chat"}))
    assert other < first  # nothing was learned of another model
