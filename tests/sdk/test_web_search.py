"""A web search through the official SDKs: asked for by every client, made by every provider."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from anthropic import AsyncAnthropic
from google import genai
from google.genai import types as google
from openai import AsyncOpenAI
from openai.lib.streaming.chat import ChatCompletionStreamState
from support import strict_chat, strict_gemini, strict_messages, strict_responses_request
from support.fake_provider import Chunk, FakeProvider, Head, Step, Whole, fake_provider
from support.gateway import Stand, StandBuilder
from support.golden import ROOT
from support.requests import MODELS
from support.sdks import anthropic_settings, openai_settings

METEO, NEWS = "https://meteo.example/zurich", "https://news.example/rain"
TEXT = "In Zürich it rains. Tomorrow 🌧 stays!"
QUESTION = "Weather in Zürich?"
PAIRS = [(client, provider) for client in MODELS for provider in MODELS if client != provider]
Upstream = tuple[Stand, FakeProvider]


@pytest.fixture
async def searching(tmp_path: Path) -> AsyncIterator[Upstream]:
    """A gateway whose alias `to-<format>` leads to a provider with a model that searches."""
    async with fake_provider() as upstream:
        builder = StandBuilder(tmp_path, dict.fromkeys(MODELS, upstream))
        builder.config["providers"] = {
            fmt: {"api_base_url": {fmt: upstream.url}, "api_key": "k", "models": {model: {}}}
            for fmt, model in MODELS.items()
        }
        builder.config["models"] = {
            f"to-{fmt}": {"targets": [{"provider": fmt, "model": model}]}
            for fmt, model in MODELS.items()
        }
        async with builder.started() as running:
            yield running, upstream


def frames(provider: str) -> list[bytes]:
    stream = (ROOT / provider / "web-search" / "upstream.sse").read_bytes()
    return [each + b"\n\n" for each in stream.split(b"\n\n") if each]


def whole(provider: str) -> Any:
    """The answer of the golden stream as its provider gives it at once."""
    told = [
        json.loads(each.partition(b"data: ")[2]) for each in frames(provider) if b"[D" not in each
    ]
    match provider:
        case "responses":
            return told[-1]["response"]
        case "gemini":
            candidate = told[-1]["candidates"][0]
            return told[-1] | {
                "candidates": [
                    candidate | {"content": {"role": "model", "parts": [{"text": TEXT}]}}
                ]
            }
        case "chat":
            deltas = [each["choices"][0]["delta"] for each in told if each["choices"]]
            annotations = next(each["annotations"] for each in deltas if "annotations" in each)
            said = {"role": "assistant", "content": TEXT, "annotations": annotations}
            choice = {"index": 0, "message": said, "finish_reason": "stop", "logprobs": None}
            head = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
            return head | {"choices": [choice], "usage": told[-1]["usage"]}
        case _:
            return _message(told)


def _message(events: list[dict[str, Any]]) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    for event in events:
        if event["type"] == "content_block_start":
            content.append(dict(event["content_block"]))
        elif event["type"] == "content_block_delta":
            delta, block = event["delta"], content[-1]
            if delta["type"] == "text_delta":
                block["text"] += delta["text"]
            elif delta["type"] == "citations_delta":
                block.setdefault("citations", []).append(delta["citation"])
            else:
                block["json"] = block.get("json", "") + delta["partial_json"]
    for block in content:
        if "json" in block:
            block["input"] = json.loads(block.pop("json"))
    end = next(each for each in events if each["type"] == "message_delta")
    return events[0]["message"] | {"content": content, **end["delta"], "usage": end["usage"]}


def script(provider: str, stream: bool) -> list[Step]:
    return [Head(), *map(Chunk, frames(provider))] if stream else [Whole(whole(provider))]


def check_request(provider: str, upstream: FakeProvider) -> Any:
    body = json.loads(upstream.requests[-1].body)
    judges: dict[str, Any] = {
        "chat": strict_chat.problems,
        "messages": strict_messages.problems,
        "responses": strict_responses_request.problems,
        "gemini": strict_gemini.problems,
    }
    assert judges[provider](body) == []
    return body


Heard = tuple[str, set[str], list[str]]
"""Text, addresses that are cited, queries of the searches that are told."""


async def ask(client: str, stand: Stand, alias: str, stream: bool) -> tuple[Heard, Any]:
    """What the client's SDK has understood, and what it would send back of it."""
    asking = {"chat": _chat, "messages": _messages, "responses": _responses, "gemini": _gemini}
    return await asking[client](stand, alias, stream)


async def _chat(stand: Stand, alias: str, stream: bool) -> tuple[Heard, Any]:
    request: dict[str, Any] = {
        "model": alias,
        "messages": [{"role": "user", "content": QUESTION}],
        "web_search_options": {},
    }
    async with AsyncOpenAI(**openai_settings(stand)) as client:
        if stream:
            state: ChatCompletionStreamState[Any] = ChatCompletionStreamState()
            async for chunk in await client.chat.completions.create(**request, stream=True):
                state.handle_chunk(chunk)
            answer: Any = state.get_final_completion()
        else:
            answer = await client.chat.completions.create(**request)
    message = answer.choices[0].message
    dumped = message.model_dump(mode="json", exclude_none=True)
    for each in dumped["annotations"]:
        cited = each["url_citation"]
        assert message.content[cited["start_index"] : cited["end_index"]] in ("it rains", "🌧 stays")
    cited = {each["url_citation"]["url"] for each in dumped["annotations"]}
    return (message.content, cited, []), {"messages": [*request["messages"], dumped]}


async def _messages(stand: Stand, alias: str, stream: bool) -> tuple[Heard, Any]:
    request: dict[str, Any] = {
        "model": alias,
        "max_tokens": 1000,
        "messages": [{"role": "user", "content": QUESTION}],
        "tools": [{"type": "web_search_20250305", "name": "web_search"}],
    }
    async with AsyncAnthropic(**anthropic_settings(stand)) as client:
        if stream:
            async with client.messages.stream(**request) as events:
                answer: Any = await events.get_final_message()
        else:
            answer = await client.messages.create(**request)
    blocks = answer.content
    text = "".join(each.text for each in blocks if each.type == "text")
    cited = {each.url for block in blocks if block.type == "text" for each in block.citations or ()}
    queries = [each.input["query"] for each in blocks if each.type == "server_tool_use"]
    results = [each for each in blocks if each.type == "web_search_tool_result"]
    assert [each.tool_use_id for each in results] == [
        each.id for each in blocks if each.type == "server_tool_use"
    ]
    assert {page.url for each in results for page in each.content} == {METEO, NEWS}
    assert answer.usage.server_tool_use.web_search_requests == len(queries)
    turn = {
        "role": "assistant",
        "content": [each.model_dump(mode="json", exclude_none=True) for each in blocks],
    }
    return (text, cited, queries), {"messages": [*request["messages"], turn]}


async def _responses(stand: Stand, alias: str, stream: bool) -> tuple[Heard, Any]:
    request: dict[str, Any] = {
        "model": alias,
        "input": [{"role": "user", "content": QUESTION}],
        "tools": [{"type": "web_search"}],
        "include": ["web_search_call.action.sources"],
    }
    async with AsyncOpenAI(**openai_settings(stand)) as client:
        if stream:
            async with client.responses.stream(**request) as events:
                answer: Any = await events.get_final_response()
        else:
            answer = await client.responses.create(**request)
    queries: list[str] = []
    cited: set[str] = set()
    for item in answer.output:
        if item.type == "web_search_call":
            queries += item.action.queries
            continue
        for part in item.content:
            for each in part.annotations:
                assert part.text[each.start_index : each.end_index] in ("it rains", "🌧 stays")
                cited.add(each.url)
    items = [each.model_dump(mode="json", exclude_none=True) for each in answer.output]
    return (answer.output_text, cited, queries), {"input": [*request["input"], *items]}


async def _gemini(stand: Stand, alias: str, stream: bool) -> tuple[Heard, Any]:
    config = google.GenerateContentConfig(tools=[google.Tool(google_search=google.GoogleSearch())])
    client = genai.Client(
        api_key=stand.secrets.app, http_options=google.HttpOptions(base_url=stand.gateway.url)
    )
    asked: dict[str, Any] = {"model": alias, "contents": QUESTION, "config": config}
    try:
        if stream:
            answers = [
                each async for each in await client.aio.models.generate_content_stream(**asked)
            ]
        else:
            answers = [await client.aio.models.generate_content(**asked)]
    finally:
        await client.aio.aclose()
    text = "".join(each.text or "" for each in answers)
    found: Any = answers[-1].candidates[0].grounding_metadata  # type: ignore[index]
    cited: set[str] = set()
    for support in found.grounding_supports:
        segment = support.segment
        told = text.encode()[segment.start_index : segment.end_index].decode()
        assert told == segment.text in ("it rains", "🌧 stays")
        cited |= {found.grounding_chunks[at].web.uri for at in support.grounding_chunk_indices}
    return (text, cited, found.web_search_queries or []), None


QUERIES = {
    "chat": [],
    "messages": ["weather Zürich", "forecast Zürich tomorrow"],
    "responses": ["weather Zürich", "weather Zürich today"],
    "gemini": ["weather Zürich", "forecast Zürich tomorrow"],
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("client", "provider"), PAIRS)
async def test_a_search_is_asked_for_made_and_told(
    searching: Upstream, client: str, provider: str, stream: bool
) -> None:
    stand, upstream = searching
    upstream.enqueue(*script(provider, stream))
    (text, cited, queries), history = await ask(client, stand, f"to-{provider}", stream)
    assert "search" in json.dumps(check_request(provider, upstream)).lower()
    assert text == ("I will look it up." if provider == "messages" else "") + TEXT
    assert cited == {METEO, NEWS}
    if client == "messages" and provider == "chat":
        assert queries == [""]  # it tells of what it cites only
    elif client != "chat":
        assert "; ".join(queries) == "; ".join(QUERIES[provider])
    if history is not None:
        await assert_can_be_sent_back(searching, client, provider, history)


async def assert_can_be_sent_back(
    searching: Upstream, client: str, searcher: str, history: dict[str, Any]
) -> None:
    """To whoever made the search, and to the provider of the client's own format."""
    stand, upstream = searching
    for provider in (searcher, client):
        upstream.enqueue(Whole(whole(provider)))
        asked: dict[str, Any] = {"model": f"to-{provider}"}
        again = {"role": "user", "content": "And on Sunday?"}
        asked |= {name: [*turns, again] for name, turns in history.items()}
        paths = {
            "chat": "/v1/chat/completions",
            "messages": "/v1/messages",
            "responses": "/v1/responses",
        }
        if client == "messages":
            asked["max_tokens"] = 100
        if client == "responses":
            asked["store"] = False
        gateway = stand.gateway
        headers = gateway.auth("messages" if client == "messages" else "chat")
        async with gateway.session.post(
            gateway.url + paths[client], json=asked, headers=headers
        ) as reply:
            assert reply.status == 200, await reply.text()
        if (client, provider) == ("messages", "messages"):
            check_request(provider, upstream)
        elif client != provider:
            assert "rains" in json.dumps(check_request(provider, upstream))
