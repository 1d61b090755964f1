"""The official openai SDK against the running gateway, in front of both kinds of provider."""

import json
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel
from support.agents import CITIES, THOUGHT, chat_agent, messages_agent, thinking_agent
from support.answers import (
    chat_body,
    chat_error,
    chat_frames,
    messages_body,
    messages_error,
    messages_frames,
    sse,
)
from support.fake_provider import Chunk, Drop, Head, Whole
from support.gateway import FORMATS, Stand
from support.sdks import MODES, chat, openai_settings

UPSTREAMS = ("chat", "messages")
"""The formats the SDKs are of; the matrix has all."""
ASK = [{"role": "user", "content": "What is teal?"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_question_is_answered(stand: Stand, upstream: str, mode: str, stream: bool) -> None:
    answer = await chat(stand, mode, stream, model=f"to-{upstream}", messages=ASK)
    assert answer.choices[0].message.content == "Teal is a colour."
    assert answer.choices[0].finish_reason == "stop"
    assert answer.id
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 21
    assert answer.usage.completion_tokens == 6
    assert answer.usage.total_tokens == 27
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 4


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("stream", [False, True])
async def test_two_tools_are_called_at_once_and_answered_in_a_second_turn(
    stand: Stand, upstream: str, mode: str, stream: bool
) -> None:
    stand.provider(upstream).default = chat_agent if upstream == "chat" else messages_agent
    messages: list[Any] = [{"role": "user", "content": "Weather in Oslo and Lima?"}]
    request: dict[str, Any] = {"model": f"to-{upstream}", "tools": [TOOL]}
    first = await chat(stand, mode, stream, messages=messages, **request)
    said = first.choices[0].message
    assert first.choices[0].finish_reason == "tool_calls"
    assert said.content == "Let me look."
    calls = said.tool_calls or []
    assert [call.function.name for call in calls] == ["get_weather"] * 2  # type: ignore[union-attr]
    cities = [json.loads(call.function.arguments)["city"] for call in calls]  # type: ignore[union-attr]
    assert cities == list(CITIES)
    assert len({call.id for call in calls}) == 2
    messages.append(said.model_dump(exclude_none=True))
    messages += [
        {"role": "tool", "tool_call_id": call.id, "content": f"{city} is fine"}
        for call, city in zip(calls, cities, strict=True)
    ]
    second = await chat(stand, mode, stream, messages=messages, **request)
    assert second.choices[0].message.content == "Reports: Oslo is fine; Lima is fine"
    assert second.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_thinking_provider_gets_its_thought_back_though_the_client_drops_it(
    stand: Stand, mode: str, stream: bool
) -> None:
    stand.messages.default = thinking_agent
    messages: list[Any] = [{"role": "user", "content": "Weather in Oslo?"}]
    request: dict[str, Any] = {
        "model": "to-messages",
        "tools": [TOOL],
        "reasoning_effort": "high",
    }
    first = await chat(stand, mode, stream, messages=messages, **request)
    [call] = first.choices[0].message.tool_calls or []
    assert stand.messages.last.json()["thinking"]["type"] in ("enabled", "adaptive")
    messages += [  # nothing but what Chat Completions itself knows
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {
                        "name": call.function.name,  # type: ignore[union-attr]
                        "arguments": call.function.arguments,  # type: ignore[union-attr]
                    },
                }
            ],
        },
        {"role": "tool", "tool_call_id": call.id, "content": "cold"},
    ]
    second = await chat(stand, mode, stream, messages=messages, **request)
    assert second.choices[0].message.content == "It is cold."
    [assistant] = [t for t in stand.messages.last.json()["messages"] if t["role"] == "assistant"]
    assert assistant["content"][0] == THOUGHT


async def test_a_thought_is_not_given_to_another_keys_conversation(stand: Stand) -> None:
    stand.messages.default = thinking_agent
    ask = [{"role": "user", "content": "Weather in Oslo?"}]
    request: dict[str, Any] = {
        "model": "to-messages",
        "tools": [TOOL],
        "reasoning_effort": "high",
    }
    first = await chat(stand, "async", False, messages=ask, **request)
    [call] = first.choices[0].message.tool_calls or []
    said = {"role": "assistant", "content": None, "tool_calls": [call.model_dump()]}
    result = {"role": "tool", "tool_call_id": call.id, "content": "cold"}
    other = stand.secrets.other
    await chat(stand, "async", False, key=other, messages=[*ask, said, result], **request)
    assert THOUGHT["signature"] not in stand.messages.last.body.decode()


@pytest.mark.parametrize("upstream", UPSTREAMS)
async def test_thinking_is_readable_by_a_chat_client(stand: Stand, upstream: str) -> None:
    if upstream == "messages":
        blocks = [THOUGHT, {"type": "text", "text": "Cold."}]
        stand.messages.enqueue(Whole(messages_body(blocks)))
    else:
        message = {"role": "assistant", "content": "Cold.", "reasoning_content": "Ask the tool."}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        stand.chat.enqueue(Whole(chat_body(choices=[choice])))
    answer = await chat(stand, "async", False, model=f"to-{upstream}", messages=ASK)
    said = answer.choices[0].message
    assert said.content == "Cold."
    assert (said.model_extra or {})["reasoning_content"] == "Ask the tool."


@pytest.mark.parametrize("upstream", UPSTREAMS)
async def test_images_reach_the_provider(stand: Stand, upstream: str) -> None:
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/cat.jpg"}},
    ]
    messages = [{"role": "user", "content": parts}]
    await chat(stand, "async", False, model=f"to-{upstream}", messages=messages)
    sent = stand.provider(upstream).last.json()["messages"][0]["content"]
    if upstream == "chat":
        assert sent == parts
    else:
        assert [block["type"] for block in sent] == ["text", "image", "image"]
        assert sent[1]["source"] == {"type": "base64", "media_type": "image/png", "data": PNG}
        assert sent[2]["source"] == {"type": "url", "url": "https://example.com/cat.jpg"}


class Colour(BaseModel):
    name: str
    hex: str


@pytest.mark.parametrize("upstream", UPSTREAMS)
async def test_structured_output_is_asked_for_and_parsed(stand: Stand, upstream: str) -> None:
    text = '{"name":"teal","hex":"#008080"}'
    body = chat_body(text) if upstream == "chat" else messages_body(text)
    if upstream != "chat":
        call = {"type": "tool_use", "id": "toolu_1", "name": "structured_output"}
        body |= {"content": [call | {"input": json.loads(text)}], "stop_reason": "tool_use"}
    stand.provider(upstream).enqueue(Whole(body))
    async with AsyncOpenAI(**openai_settings(stand)) as client:
        answer = await client.chat.completions.parse(
            model=f"to-{upstream}",
            messages=ASK,  # type: ignore[arg-type]
            response_format=Colour,
        )
    assert answer.choices[0].message.parsed == Colour(name="teal", hex="#008080")
    asked = stand.provider(upstream).last.json()
    if upstream == "chat":
        assert "hex" in asked["response_format"]["json_schema"]["schema"]["properties"]
    else:  # a model that enforces no schemas but those of tools
        (tool,) = asked["tools"]
        assert "hex" in tool["input_schema"]["properties"]
        assert asked["tool_choice"]["name"] == tool["name"] == "structured_output"
    assert answer.choices[0].finish_reason == "stop"


REFUSALS: dict[int, type[openai.APIStatusError]] = {
    400: openai.BadRequestError,
    404: openai.NotFoundError,
    429: openai.RateLimitError,
    500: openai.InternalServerError,
}


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", REFUSALS)
async def test_a_providers_refusal_is_raised_as_the_sdks_own_class(
    stand: Stand, upstream: str, mode: str, stream: bool, status: int
) -> None:
    kinds = {400: "invalid_request_error", 404: "not_found_error", 429: "rate_limit_error"}
    kind = kinds.get(status, "api_error" if upstream == "messages" else "server_error")
    body = (chat_error if upstream == "chat" else messages_error)("The vendor's words.", kind)
    stand.provider(upstream).enqueue(Whole(body, status))
    with pytest.raises(REFUSALS[status], match=r"The vendor's words\."):
        await chat(stand, mode, stream, model=f"to-{upstream}", messages=ASK)


@pytest.mark.parametrize("mode", MODES)
async def test_a_wrong_key_is_an_authentication_error(stand: Stand, mode: str) -> None:
    with pytest.raises(openai.AuthenticationError) as caught:
        await chat(stand, mode, False, key="sk-wrong-0123456789", model="none", messages=ASK)
    assert caught.value.code == "invalid_api_key"


async def test_an_unknown_model_is_a_not_found_error(stand: Stand) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        await chat(stand, "async", False, model="none", messages=ASK)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert caught.value.request_id
    assert caught.value.request_id.startswith("req_")


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("mode", MODES)
async def test_an_error_in_mid_stream_is_raised(stand: Stand, upstream: str, mode: str) -> None:
    if upstream == "chat":
        frames = [*chat_frames()[:3], sse(chat_error("Overloaded"))]
    else:
        error = sse(messages_error("Overloaded", "overloaded_error"), "error")
        frames = [*messages_frames()[:4], error]
    stand.provider(upstream).enqueue(Head(), *map(Chunk, frames))
    with pytest.raises(openai.APIError, match="Overloaded"):
        await chat(stand, mode, True, model=f"to-{upstream}", messages=ASK)


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("mode", MODES)
async def test_a_cut_stream_is_raised_and_not_taken_for_complete(
    stand: Stand, upstream: str, mode: str
) -> None:
    frames = chat_frames()[:3] if upstream == "chat" else messages_frames()[:4]
    stand.provider(upstream).enqueue(Head(), *map(Chunk, frames), Drop())
    with pytest.raises(openai.APIError):
        await chat(stand, mode, True, model=f"to-{upstream}", messages=ASK)


async def test_the_model_list_is_readable(stand: Stand) -> None:
    async with AsyncOpenAI(**openai_settings(stand)) as client:
        models = await client.models.list()
    assert [model.id for model in models.data] == [f"to-{fmt}" for fmt in FORMATS]


async def test_the_request_id_is_where_the_sdk_looks_for_it(stand: Stand) -> None:
    async with AsyncOpenAI(**openai_settings(stand)) as client:
        answer = await client.chat.completions.create(model="to-messages", messages=ASK)  # type: ignore[arg-type]
    assert answer._request_id == (await stand.gateway.row())["request_id"]
