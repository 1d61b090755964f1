"""The official anthropic SDK against the running gateway, in front of both kinds of provider."""

import json
from typing import Any

import anthropic
import pytest
from anthropic import AsyncAnthropic
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
from support.gateway import Stand
from support.sdks import MODES, anthropic_settings, message

UPSTREAMS = ("chat", "messages")
"""The formats the SDKs are of; the matrix has all."""
ASK = [{"role": "user", "content": "What is teal?"}]
TOOL = {
    "name": "get_weather",
    "description": "Weather of a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
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
    answer = await message(stand, mode, stream, model=f"to-{upstream}", messages=ASK)
    assert [block.type for block in answer.content] == ["text"]
    assert answer.content[0].text == "Teal is a colour."  # type: ignore[union-attr]
    assert answer.stop_reason == "end_turn"
    assert answer.usage.input_tokens == 17
    assert answer.usage.cache_read_input_tokens == 4
    assert answer.usage.output_tokens == 6


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("stream", [False, True])
async def test_two_tools_are_called_at_once_and_answered_in_a_second_turn(
    stand: Stand, upstream: str, mode: str, stream: bool
) -> None:
    stand.provider(upstream).default = chat_agent if upstream == "chat" else messages_agent
    messages: list[Any] = [{"role": "user", "content": "Weather in Oslo and Lima?"}]
    request: dict[str, Any] = {"model": f"to-{upstream}", "tools": [TOOL]}
    first = await message(stand, mode, stream, messages=messages, **request)
    assert first.stop_reason == "tool_use"
    assert [block.type for block in first.content] == ["text", "tool_use", "tool_use"]
    calls: list[Any] = [block for block in first.content if block.type == "tool_use"]
    assert [call.input["city"] for call in calls] == list(CITIES)
    assert len({call.id for call in calls}) == 2
    messages.append(
        {"role": "assistant", "content": [b.model_dump(exclude_none=True) for b in first.content]}
    )
    results = [
        {"type": "tool_result", "tool_use_id": call.id, "content": f"{call.input['city']} is fine"}
        for call in calls
    ]
    messages.append({"role": "user", "content": results})
    second = await message(stand, mode, stream, messages=messages, **request)
    assert second.content[0].text == "Reports: Oslo is fine; Lima is fine"  # type: ignore[union-attr]
    assert second.stop_reason == "end_turn"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("stream", [False, True])
async def test_thinking_comes_and_goes_untouched(stand: Stand, mode: str, stream: bool) -> None:
    stand.messages.default = thinking_agent
    messages: list[Any] = [{"role": "user", "content": "Weather in Oslo?"}]
    request: dict[str, Any] = {
        "model": "to-messages",
        "tools": [TOOL],
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "max_tokens": 2048,
    }
    first = await message(stand, mode, stream, messages=messages, **request)
    assert [block.type for block in first.content] == ["thinking", "tool_use"]
    messages += [
        {
            "role": "assistant",
            "content": [block.model_dump(exclude_none=True) for block in first.content],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": first.content[1].id, "content": "cold"}  # type: ignore[union-attr]
            ],
        },
    ]
    second = await message(stand, mode, stream, messages=messages, **request)
    assert second.content[0].text == "It is cold."  # type: ignore[union-attr]
    assert stand.messages.last.json()["messages"][1]["content"][0] == THOUGHT


async def test_reasoning_of_a_chat_provider_is_a_thinking_block(stand: Stand) -> None:
    turn = {"role": "assistant", "content": "Cold.", "reasoning_content": "Ask the tool."}
    choice = {"index": 0, "message": turn, "finish_reason": "stop"}
    stand.chat.enqueue(Whole(chat_body(choices=[choice])))
    answer = await message(stand, "async", False, model="to-chat", messages=ASK)
    assert [block.type for block in answer.content] == ["thinking", "text"]
    assert answer.content[0].thinking == "Ask the tool."  # type: ignore[union-attr]


@pytest.mark.parametrize("upstream", UPSTREAMS)
async def test_images_and_documents_reach_the_provider(stand: Stand, upstream: str) -> None:
    blocks = [
        {"type": "text", "text": "What is this?"},
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": PNG},
        },
        {"type": "image", "source": {"type": "url", "url": "https://example.com/cat.jpg"}},
    ]
    messages = [{"role": "user", "content": blocks}]
    await message(stand, "async", False, model=f"to-{upstream}", messages=messages)
    sent = stand.provider(upstream).last.json()["messages"][0]["content"]
    if upstream == "messages":
        assert sent == blocks
    else:
        assert [part["type"] for part in sent] == ["text", "image_url", "image_url"]
        assert sent[1]["image_url"]["url"] == f"data:image/png;base64,{PNG}"
        assert sent[2]["image_url"]["url"] == "https://example.com/cat.jpg"


@pytest.mark.parametrize("upstream", UPSTREAMS)
async def test_structured_output_is_asked_for(stand: Stand, upstream: str) -> None:
    text = '{"name":"teal"}'
    body = chat_body(text) if upstream == "chat" else messages_body(text)
    stand.provider(upstream).enqueue(Whole(body))
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}},
        "required": ["name"],
        "additionalProperties": False,
    }
    answer = await message(
        stand,
        "async",
        False,
        model=f"to-{upstream}",
        messages=ASK,
        output_config={"format": {"type": "json_schema", "schema": schema}},
    )
    assert json.loads(answer.content[0].text) == {"name": "teal"}  # type: ignore[union-attr]
    sent = stand.provider(upstream).last.json()
    if upstream == "messages":
        assert sent["output_config"]["format"]["schema"] == schema
    else:
        assert sent["response_format"]["type"] == "json_schema"
        assert sent["response_format"]["json_schema"]["schema"] == schema


REFUSALS: dict[int, type[anthropic.APIStatusError]] = {
    400: anthropic.BadRequestError,
    404: anthropic.NotFoundError,
    413: anthropic.RequestTooLargeError,
    429: anthropic.RateLimitError,
    500: anthropic.InternalServerError,
    529: anthropic.OverloadedError,
}
KINDS = {
    400: "invalid_request_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", REFUSALS)
async def test_a_providers_refusal_is_raised_as_the_sdks_own_class(
    stand: Stand, upstream: str, mode: str, stream: bool, status: int
) -> None:
    if upstream == "messages":
        body, sent = messages_error("The vendor's words.", KINDS[status]), status
    else:
        kind = "server_error" if status >= 500 else "invalid_request_error"
        body, sent = chat_error("The vendor's words.", kind), {529: 503}.get(status, status)
    stand.provider(upstream).enqueue(Whole(body, sent))
    with pytest.raises(REFUSALS[status], match=r"The vendor's words\."):
        await message(stand, mode, stream, model=f"to-{upstream}", messages=ASK)


@pytest.mark.parametrize("mode", MODES)
async def test_a_wrong_key_is_an_authentication_error(stand: Stand, mode: str) -> None:
    with pytest.raises(anthropic.AuthenticationError):
        await message(stand, mode, False, key="sk-wrong-0123456789", model="none", messages=ASK)


async def test_a_bearer_token_is_taken_too(stand: Stand) -> None:
    settings = anthropic_settings(stand, auth_token=stand.secrets.app)
    del settings["api_key"]
    async with AsyncAnthropic(**settings) as client:
        answer = await client.messages.create(model="to-chat", messages=ASK, max_tokens=5)  # type: ignore[arg-type]
    assert answer.stop_reason == "end_turn"


async def test_an_unknown_model_is_a_not_found_error(stand: Stand) -> None:
    with pytest.raises(anthropic.NotFoundError) as caught:
        await message(stand, "async", False, model="none", messages=ASK)
    assert caught.value.type == "not_found_error"


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("mode", MODES)
async def test_an_error_in_mid_stream_is_raised(stand: Stand, upstream: str, mode: str) -> None:
    if upstream == "chat":
        frames = [*chat_frames()[:3], sse(chat_error("Overloaded"))]
    else:
        error = sse(messages_error("Overloaded", "overloaded_error"), "error")
        frames = [*messages_frames()[:4], error]
    stand.provider(upstream).enqueue(Head(), *map(Chunk, frames))
    with pytest.raises(anthropic.APIError, match="Overloaded"):
        await message(stand, mode, True, model=f"to-{upstream}", messages=ASK)


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("mode", MODES)
async def test_a_cut_stream_is_raised_and_not_taken_for_complete(
    stand: Stand, upstream: str, mode: str
) -> None:
    frames = chat_frames()[:3] if upstream == "chat" else messages_frames()[:4]
    stand.provider(upstream).enqueue(Head(), *map(Chunk, frames), Drop())
    with pytest.raises(anthropic.APIError):
        await message(stand, mode, True, model=f"to-{upstream}", messages=ASK)


async def test_the_beta_surface_passes_its_flags(stand: Stand) -> None:
    async with AsyncAnthropic(**anthropic_settings(stand)) as client:
        await client.beta.messages.create(
            model="to-messages",
            messages=ASK,  # type: ignore[arg-type]
            max_tokens=5,
            betas=["context-1m-2025-08-07"],
        )
    assert "context-1m-2025-08-07" in stand.messages.last.headers["anthropic-beta"]
