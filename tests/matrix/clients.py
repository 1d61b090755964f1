"""The official SDKs as clients: one question, and what was heard, in no format's words."""

import json
from dataclasses import dataclass
from typing import Any

from anthropic.types import Message
from google.genai import types as google
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion
from openai.types.responses import Response
from support.sdks import Sdks

from matrix import questions
from matrix.cases import Call, Usage
from matrix.questions import PLAIN, Question


@dataclass(frozen=True)
class Heard:
    text: str
    thought: str
    refusal: str
    calls: tuple[Call, ...]
    end: str
    usage: Usage


class Failed(Exception):
    """The Responses SDK raises nothing when a stream fails; users look at its last event."""


async def ask(
    sdks: Sdks, fmt: str, alias: str, question: Question = PLAIN, *, stream: bool
) -> Heard:
    """Raises the SDK's own error, or Failed."""
    asking = {"chat": _chat, "messages": _messages, "responses": _responses, "gemini": _gemini}
    return await asking[fmt](sdks, alias, question, stream)


async def _chat(sdks: Sdks, alias: str, question: Question, stream: bool) -> Heard:
    request = {"model": alias, **questions.chat(question)}
    completions = sdks.openai.chat.completions
    if not stream:
        return _of_chat(await completions.create(**request))
    request |= {"stream": True, "stream_options": {"include_usage": True}}
    chunks = [each async for each in await completions.create(**request)]
    thought = "".join(
        (choice.delta.model_extra or {}).get("reasoning_content") or ""
        for chunk in chunks
        for choice in chunk.choices
    )
    state: ChatCompletionStreamState[Any] = ChatCompletionStreamState()
    for chunk in chunks:
        state.handle_chunk(chunk)
    # the final completion would be an exception for an answer that was cut or filtered
    return _of_chat(state.current_completion_snapshot, thought)


def _of_chat(answer: ChatCompletion, thought: str | None = None) -> Heard:
    choice = answer.choices[0]
    message, usage = choice.message, answer.usage
    assert usage is not None
    assert usage.prompt_tokens_details is not None
    assert usage.completion_tokens_details is not None
    if thought is None:
        thought = (message.model_extra or {}).get("reasoning_content") or ""
    read = usage.prompt_tokens_details.cached_tokens or 0
    extra: Any = usage.prompt_tokens_details
    written = getattr(extra, "cache_write_tokens", 0) or 0
    reasoning = usage.completion_tokens_details.reasoning_tokens or 0
    calls = [
        Call(each.id, each.function.name, json.loads(each.function.arguments))
        for each in message.tool_calls or ()
        if each.type == "function"
    ]
    ends = {"stop": "stop", "tool_calls": "tools", "length": "length", "content_filter": "filter"}
    return Heard(
        text=message.content or "",
        thought=thought,
        refusal=message.refusal or "",
        calls=tuple(calls),
        end=ends[choice.finish_reason],
        usage=Usage(
            usage.prompt_tokens - read - written,
            read,
            written,
            usage.completion_tokens - reasoning,
            reasoning,
        ),
    )


async def _messages(sdks: Sdks, alias: str, question: Question, stream: bool) -> Heard:
    request = {"model": alias, **questions.messages(question)}
    messages = sdks.anthropic.messages
    if not stream:
        return _of_message(await messages.create(**request))
    async with messages.stream(**request) as events:
        return _of_message(await events.get_final_message())


def _of_message(message: Message) -> Heard:
    usage = message.usage
    ends = {
        "end_turn": "stop",
        "tool_use": "tools",
        "max_tokens": "length",
        "refusal": "filter",
        "stop_sequence": "sequence",
    }
    details: Any = getattr(usage, "output_tokens_details", None)
    thought = 0
    if details is not None:
        thought = (
            details["thinking_tokens"] if isinstance(details, dict) else details.thinking_tokens
        )
    return Heard(
        text="".join(each.text for each in message.content if each.type == "text"),
        thought="".join(each.thinking for each in message.content if each.type == "thinking"),
        refusal="",
        calls=tuple(
            Call(each.id, each.name, dict(each.input))  # type: ignore[call-overload]
            for each in message.content
            if each.type == "tool_use"
        ),
        end=ends[str(message.stop_reason)],
        usage=Usage(
            usage.input_tokens,
            usage.cache_read_input_tokens or 0,
            usage.cache_creation_input_tokens or 0,
            usage.output_tokens - (thought or 0),
            thought or 0,
        ),
    )


async def _responses(sdks: Sdks, alias: str, question: Question, stream: bool) -> Heard:
    request = {"model": alias, "store": False, **questions.responses(question)}
    request["reasoning"] = {"summary": "auto"}
    responses = sdks.openai.responses
    if not stream:
        return _of_response(await responses.create(**request))
    final: Response | None = None
    async with responses.stream(**request) as events:
        async for event in events:
            if event.type in ("response.completed", "response.incomplete"):
                final = event.response
            elif event.type == "response.failed":
                assert event.response.error is not None
                raise Failed(event.response.error.message)
            elif event.type == "error":
                raise Failed(event.message)
    assert final is not None
    return _of_response(final)


def _of_response(response: Response) -> Heard:
    usage = response.usage
    assert usage is not None
    read = usage.input_tokens_details.cached_tokens
    written = usage.input_tokens_details.cache_write_tokens
    reasoning = usage.output_tokens_details.reasoning_tokens
    parts = [part for item in response.output if item.type == "message" for part in item.content]
    calls = [
        Call(item.call_id, item.name, json.loads(item.arguments))
        for item in response.output
        if item.type == "function_call"
    ]
    incomplete = {"max_output_tokens": "length", "content_filter": "filter"}
    reason = response.incomplete_details.reason if response.incomplete_details else None
    return Heard(
        text="".join(part.text for part in parts if part.type == "output_text"),
        thought="".join(
            piece.text
            for item in response.output
            if item.type == "reasoning"
            for piece in item.summary
        ),
        refusal="".join(part.refusal for part in parts if part.type == "refusal"),
        calls=tuple(calls),
        end=incomplete[reason] if reason else "tools" if calls else "stop",
        usage=Usage(
            usage.input_tokens - read - written,
            read,
            written,
            usage.output_tokens - reasoning,
            reasoning,
        ),
    )


async def _gemini(sdks: Sdks, alias: str, question: Question, stream: bool) -> Heard:
    models, asked = sdks.google.aio.models, {"model": alias, **questions.gemini(question)}
    if not stream:
        return _of_gemini([await models.generate_content(**asked)])
    answers = await models.generate_content_stream(**asked)
    return _of_gemini([each async for each in answers])


def _of_gemini(answers: list[google.GenerateContentResponse]) -> Heard:
    parts: list[google.Part] = []
    end, usage = "", google.GenerateContentResponseUsageMetadata()
    for answer in answers:
        assert answer.candidates
        candidate = answer.candidates[0]
        parts += (candidate.content.parts if candidate.content else None) or []
        end = candidate.finish_reason.value if candidate.finish_reason else end
        usage = answer.usage_metadata or usage
    called = [part.function_call for part in parts if part.function_call]
    ends = {"STOP": "tools" if called else "stop", "MAX_TOKENS": "length", "SAFETY": "filter"}
    read = usage.cached_content_token_count or 0
    return Heard(
        text="".join(part.text or "" for part in parts if not part.thought),
        thought="".join(part.text or "" for part in parts if part.thought),
        refusal="",
        calls=tuple(Call(each.id or "", each.name or "", each.args or {}) for each in called),
        end=ends[end],
        usage=Usage(
            (usage.prompt_token_count or 0) - read,
            read,
            0,
            usage.candidates_token_count or 0,
            usage.thoughts_token_count or 0,
        ),
    )
