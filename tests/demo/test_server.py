"""The demo provider as its clients see it: the official SDKs speak to it directly."""

import asyncio
import json
import time
from collections.abc import AsyncIterator

import aiohttp
import anthropic
import openai
import pytest

from plexus_proxy.demo.server import Demo

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "unit": {"enum": ["c", "f"]}},
    "required": ["city", "unit"],
}
CHAT_TOOL = {"type": "function", "function": {"name": "weather", "parameters": WEATHER}}
MESSAGES_TOOL = {"name": "weather", "input_schema": WEATHER}
USER = {"role": "user", "content": "What is the weather in Oslo?"}


@pytest.fixture
async def demo() -> AsyncIterator[Demo]:
    demo = Demo(words_per_s=5000)
    yield demo
    await demo.close()


@pytest.fixture
async def chat(demo: Demo) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=demo.base_url("chat"), api_key="any") as client:
        yield client


@pytest.fixture
async def messages(demo: Demo) -> AsyncIterator[anthropic.AsyncAnthropic]:
    root = demo.base_url("messages").removesuffix("/v1")
    async with anthropic.AsyncAnthropic(base_url=root, api_key="any") as client:
        yield client


async def test_nothing_listens_until_somebody_asks() -> None:
    demo = Demo()
    assert not demo.listening
    await demo.close()


async def test_the_same_address_serves_both_formats(demo: Demo) -> None:
    assert demo.base_url("chat") == demo.base_url("messages")


async def test_chat_echoes_the_last_words(chat: openai.AsyncOpenAI) -> None:
    answer = await chat.chat.completions.create(model="any", messages=[USER])  # type: ignore[list-item]
    assert "What is the weather in Oslo?" in (answer.choices[0].message.content or "")
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "any"
    assert answer.usage is not None
    assert answer.usage.completion_tokens > 20


async def test_chat_streams_the_same_answer_in_many_pieces(chat: openai.AsyncOpenAI) -> None:
    whole = await chat.chat.completions.create(model="m", messages=[USER])  # type: ignore[list-item]
    stream = await chat.chat.completions.create(
        model="m",
        messages=[USER],  # type: ignore[list-item]
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert len(pieces) > 20
    assert "".join(pieces) == whole.choices[0].message.content
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens  # type: ignore[union-attr]


async def test_chat_calls_an_offered_tool_once(chat: openai.AsyncOpenAI) -> None:
    asked = await chat.chat.completions.create(model="m", messages=[USER], tools=[CHAT_TOOL])  # type: ignore[list-item]
    assert asked.choices[0].finish_reason == "tool_calls"
    [call] = asked.choices[0].message.tool_calls or []
    assert json.loads(call.function.arguments)["unit"] == "c"  # type: ignore[union-attr]
    told = await chat.chat.completions.create(
        model="m",
        messages=[
            USER,  # type: ignore[list-item]
            asked.choices[0].message.model_dump(),  # type: ignore[list-item]
            {"role": "tool", "tool_call_id": call.id, "content": "Rain, 7 degrees"},
        ],
        tools=[CHAT_TOOL],  # type: ignore[list-item]
    )
    assert "Rain, 7 degrees" in (told.choices[0].message.content or "")
    assert not told.choices[0].message.tool_calls


async def test_chat_streams_tool_arguments_in_pieces(chat: openai.AsyncOpenAI) -> None:
    stream = await chat.chat.completions.create(
        model="m",
        messages=[USER],  # type: ignore[list-item]
        tools=[CHAT_TOOL],  # type: ignore[list-item]
        stream=True,
    )
    pieces = [
        call.function.arguments or ""
        async for chunk in stream
        for call in chunk.choices[0].delta.tool_calls or []
        if call.function
    ]
    assert len(pieces) > 2
    assert set(json.loads("".join(pieces))) == {"city", "unit"}


async def test_tool_choice_none_is_obeyed(chat: openai.AsyncOpenAI) -> None:
    answer = await chat.chat.completions.create(
        model="m",
        messages=[USER],  # type: ignore[list-item]
        tools=[CHAT_TOOL],  # type: ignore[list-item]
        tool_choice="none",
    )
    assert not answer.choices[0].message.tool_calls


async def test_chat_obeys_a_token_limit(chat: openai.AsyncOpenAI) -> None:
    answer = await chat.chat.completions.create(model="m", messages=[USER], max_tokens=3)  # type: ignore[list-item]
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 3


async def test_chat_answers_in_a_wanted_schema(chat: openai.AsyncOpenAI) -> None:
    answer = await chat.chat.completions.create(
        model="m",
        messages=[USER],  # type: ignore[list-item]
        response_format={"type": "json_schema", "json_schema": {"name": "w", "schema": WEATHER}},
    )
    assert set(json.loads(answer.choices[0].message.content or "")) == {"city", "unit"}


async def test_messages_echoes_the_last_words(messages: anthropic.AsyncAnthropic) -> None:
    answer = await messages.messages.create(model="any", max_tokens=500, messages=[USER])  # type: ignore[list-item]
    assert "What is the weather in Oslo?" in answer.content[0].text  # type: ignore[union-attr]
    assert answer.stop_reason == "end_turn"
    assert answer.usage.output_tokens > 20


async def test_messages_streams_the_same_answer(messages: anthropic.AsyncAnthropic) -> None:
    whole = await messages.messages.create(model="m", max_tokens=500, messages=[USER])  # type: ignore[list-item]
    async with messages.messages.stream(model="m", max_tokens=500, messages=[USER]) as stream:  # type: ignore[list-item]
        text = "".join([piece async for piece in stream.text_stream])
        final = await stream.get_final_message()
    assert text == whole.content[0].text  # type: ignore[union-attr]
    assert final.usage.output_tokens == whole.usage.output_tokens


@pytest.mark.parametrize("streamed", [False, True])
async def test_messages_calls_an_offered_tool_once(
    messages: anthropic.AsyncAnthropic, streamed: bool
) -> None:
    async def ask(history: list[object]) -> anthropic.types.Message:
        if streamed:
            async with messages.messages.stream(
                model="m",
                max_tokens=500,
                messages=history,  # type: ignore[arg-type]
                tools=[MESSAGES_TOOL],  # type: ignore[list-item]
            ) as stream:
                return await stream.get_final_message()
        return await messages.messages.create(
            model="m",
            max_tokens=500,
            messages=history,  # type: ignore[arg-type]
            tools=[MESSAGES_TOOL],  # type: ignore[list-item]
        )

    asked = await ask([USER])
    assert asked.stop_reason == "tool_use"
    call = asked.content[1]
    assert call.type == "tool_use"
    assert set(call.input) == {"city", "unit"}
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "Rain, 7 degrees"}
    told = await ask(
        [
            USER,
            {"role": "assistant", "content": [block.model_dump() for block in asked.content]},
            {"role": "user", "content": [result]},
        ]
    )
    assert "Rain, 7 degrees" in told.content[0].text  # type: ignore[union-attr]


@pytest.mark.parametrize("path", ["/chat/completions", "/messages"])
@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"model": 1}'])
async def test_a_bad_request_is_answered_in_the_format(demo: Demo, path: str, body: bytes) -> None:
    url = demo.base_url("chat") + path
    async with aiohttp.ClientSession() as session, session.post(url, data=body) as response:
        assert response.status == 400
        answer = await response.json()
    assert answer["error"]["message"]
    assert (answer.get("type") == "error") == (path == "/messages")


async def test_words_come_at_a_human_pace() -> None:
    demo = Demo(words_per_s=40)
    async with openai.AsyncOpenAI(base_url=demo.base_url("chat"), api_key="any") as client:
        started = time.monotonic()
        stream = await client.chat.completions.create(
            model="m",
            messages=[USER],  # type: ignore[list-item]
            stream=True,
            max_tokens=20,
        )
        arrivals = [time.monotonic() - started async for _ in stream]
    await demo.close()
    assert arrivals[-1] - arrivals[0] > 20 / 50


async def test_a_client_that_leaves_ends_the_stream() -> None:
    demo = Demo(words_per_s=5)
    async with aiohttp.ClientSession() as session:
        body = {"model": "m", "messages": [USER], "stream": True}
        url = demo.base_url("chat") + "/chat/completions"
        async with session.post(url, json=body) as response:
            await response.content.readany()
    async with asyncio.timeout(2):
        await demo.close()
