"""The official SDKs as clients of a running gateway: sync ones in a thread, async ones here."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from anthropic import Anthropic, AsyncAnthropic
from anthropic.types import Message
from google import genai
from google.genai import types as google
from openai import AsyncOpenAI, OpenAI
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from support.gateway import Stand

MODES = ("sync", "async")


def openai_settings(stand: Stand, **more: Any) -> dict[str, Any]:
    return {
        "base_url": stand.gateway.url + "/v1",
        "api_key": stand.secrets.app,
        "max_retries": 0,
        "timeout": 20,
        **more,
    }


def anthropic_settings(stand: Stand, **more: Any) -> dict[str, Any]:
    return {
        "base_url": stand.gateway.url,
        "api_key": stand.secrets.app,
        "max_retries": 0,
        "timeout": 20,
        **more,
    }


@dataclass(frozen=True)
class Sdks:
    """One client of each vendor. Starting one takes longer than most answers."""

    openai: AsyncOpenAI
    anthropic: AsyncAnthropic
    google: genai.Client


@asynccontextmanager
async def sdks_of(stand: Stand) -> AsyncGenerator[Sdks]:
    """Clients of this gateway."""
    async with (
        AsyncOpenAI(**openai_settings(stand)) as openai,
        AsyncAnthropic(**anthropic_settings(stand)) as anthropic,
    ):
        options = google.HttpOptions(base_url=stand.gateway.url)
        client = genai.Client(api_key=stand.secrets.app, http_options=options)
        try:
            yield Sdks(openai, anthropic, client)
        finally:
            await client.aio.aclose()


def _folded(chunks: list[ChatCompletionChunk]) -> ChatCompletion:
    """The SDK's own accumulation of a stream."""
    state: ChatCompletionStreamState[Any] = ChatCompletionStreamState()
    for chunk in chunks:
        state.handle_chunk(chunk)
    return state.get_final_completion()


async def chat(
    stand: Stand, mode: str, stream: bool, *, key: str | None = None, **request: Any
) -> ChatCompletion:
    """One answer through the openai SDK."""
    settings = openai_settings(stand, api_key=key or stand.secrets.app)
    if stream:
        request |= {"stream": True, "stream_options": {"include_usage": True}}

    def in_thread() -> ChatCompletion:
        with OpenAI(**settings) as client:
            answer = client.chat.completions.create(**request)
            return _folded(list(answer)) if stream else answer

    if mode == "sync":
        return await asyncio.to_thread(in_thread)
    async with AsyncOpenAI(**settings) as client:
        answer = await client.chat.completions.create(**request)
        return _folded([chunk async for chunk in answer]) if stream else answer


async def message(
    stand: Stand, mode: str, stream: bool, *, key: str | None = None, **request: Any
) -> Message:
    """One answer through the anthropic SDK."""
    settings = anthropic_settings(stand, api_key=key or stand.secrets.app)
    request.setdefault("max_tokens", 1024)

    def in_thread() -> Message:
        with Anthropic(**settings) as client:
            if not stream:
                return client.messages.create(**request)
            with client.messages.stream(**request) as events:
                return events.get_final_message()

    if mode == "sync":
        return await asyncio.to_thread(in_thread)
    async with AsyncAnthropic(**settings) as client:
        if not stream:
            return await client.messages.create(**request)
        async with client.messages.stream(**request) as events:
            return await events.get_final_message()
