"""Canned answers of providers of every format, as bytes. No code of the package."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

PROMPT_TOKENS = 21
CACHED_TOKENS = 4
OUTPUT_TOKENS = 6
REASONING_TOKENS = 2
"""Of the output, where a format tells them apart."""
TEXT = ("Teal", " is a", " colour.")


def sse(data: Any, event: str | None = None) -> bytes:
    """One record; `data` that is text goes out as it is."""
    text = (
        data
        if isinstance(data, str)
        else json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    )
    return (f"event: {event}\n" if event else "").encode() + f"data: {text}\n\n".encode()


# ---- Chat Completions


def chat_usage() -> dict[str, Any]:
    return {
        "prompt_tokens": PROMPT_TOKENS,
        "completion_tokens": OUTPUT_TOKENS,
        "total_tokens": PROMPT_TOKENS + OUTPUT_TOKENS,
        "prompt_tokens_details": {"cached_tokens": CACHED_TOKENS},
        "completion_tokens_details": {"reasoning_tokens": REASONING_TOKENS},
    }


def _chat_chunk(**changes: Any) -> bytes:
    return sse(
        {
            "id": "chatcmpl-F1",
            "object": "chat.completion.chunk",
            "created": 1790000000,
            "model": "up-chat-0613",
            "choices": [],
            **changes,
        }
    )


def chat_delta(delta: dict[str, Any], finish: str | None = None) -> bytes:
    return _chat_chunk(choices=[{"index": 0, "delta": delta, "finish_reason": finish}])


def chat_usage_chunk() -> bytes:
    return _chat_chunk(usage=chat_usage())


DONE = sse("[DONE]")


def chat_frames(text: Sequence[str] = TEXT, *, usage: bool = True) -> list[bytes]:
    """A whole streamed answer, one frame each."""
    return [
        chat_delta({"role": "assistant", "content": ""}),
        *(chat_delta({"content": piece}) for piece in text),
        chat_delta({}, "stop"),
        *([chat_usage_chunk()] if usage else []),
        DONE,
    ]


def chat_body(text: str = "".join(TEXT), **changes: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-F1",
        "object": "chat.completion",
        "created": 1790000000,
        "model": "up-chat-0613",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "finish_reason": "stop",
            }
        ],
        "usage": chat_usage(),
        **changes,
    }


def chat_tool_body(name: str, arguments: str, call_id: str = "call_F1") -> dict[str, Any]:
    call = {
        "id": call_id,
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }
    return chat_body(
        choices=[
            {
                "index": 0,
                "message": {"role": "assistant", "content": None, "tool_calls": [call]},
                "finish_reason": "tool_calls",
            }
        ]
    )


def chat_tool_frames(
    name: str, pieces: Sequence[str], call_id: str = "call_F1", *, usage: bool = True
) -> list[bytes]:
    opening = {
        "index": 0,
        "id": call_id,
        "type": "function",
        "function": {"name": name, "arguments": ""},
    }
    return [
        chat_delta({"role": "assistant", "content": None, "tool_calls": [opening]}),
        *(
            chat_delta({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
            for piece in pieces
        ),
        chat_delta({}, "tool_calls"),
        *([chat_usage_chunk()] if usage else []),
        DONE,
    ]


def chat_error(message: str, kind: str = "server_error", code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


# ---- Messages


def messages_usage(output: int = OUTPUT_TOKENS) -> dict[str, Any]:
    return {
        "input_tokens": PROMPT_TOKENS - CACHED_TOKENS,
        "cache_read_input_tokens": CACHED_TOKENS,
        "cache_creation_input_tokens": 0,
        "output_tokens": output,
    }


def message_start() -> bytes:
    return sse(
        {
            "type": "message_start",
            "message": {
                "id": "msg_F1",
                "type": "message",
                "role": "assistant",
                "model": "up-messages-1",
                "content": [],
                "stop_reason": None,
                "stop_sequence": None,
                "usage": messages_usage(1),
            },
        },
        "message_start",
    )


def block_start(index: int, block: dict[str, Any]) -> bytes:
    return sse(
        {"type": "content_block_start", "index": index, "content_block": block},
        "content_block_start",
    )


def block_delta(index: int, delta: dict[str, Any]) -> bytes:
    return sse(
        {"type": "content_block_delta", "index": index, "delta": delta}, "content_block_delta"
    )


def block_stop(index: int) -> bytes:
    return sse({"type": "content_block_stop", "index": index}, "content_block_stop")


def message_end(reason: str = "end_turn") -> list[bytes]:
    return [
        sse(
            {
                "type": "message_delta",
                "delta": {"stop_reason": reason, "stop_sequence": None},
                "usage": messages_usage(),
            },
            "message_delta",
        ),
        sse({"type": "message_stop"}, "message_stop"),
    ]


def text_delta(text: str, index: int = 0) -> bytes:
    return block_delta(index, {"type": "text_delta", "text": text})


def messages_frames(text: Sequence[str] = TEXT) -> list[bytes]:
    """A whole streamed answer, one frame each."""
    return [
        message_start(),
        block_start(0, {"type": "text", "text": ""}),
        *(text_delta(piece) for piece in text),
        block_stop(0),
        *message_end(),
    ]


def messages_body(
    content: Sequence[dict[str, Any]] | str = "".join(TEXT), reason: str = "end_turn"
) -> dict[str, Any]:
    return {
        "id": "msg_F1",
        "type": "message",
        "role": "assistant",
        "model": "up-messages-1",
        "content": [{"type": "text", "text": content}] if isinstance(content, str) else content,
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": messages_usage(),
    }


def messages_error(message: str, kind: str = "api_error") -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}}


def tool_use(name: str, arguments: Any, call_id: str = "toolu_F1") -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": name, "input": arguments}


def messages_block_frames(
    blocks: Sequence[dict[str, Any]], reason: str = "tool_use"
) -> list[bytes]:
    """A streamed answer of whole content blocks: text, thinking, tool_use."""
    frames = [message_start()]
    for index, block in enumerate(blocks):
        match block["type"]:
            case "text":
                frames += [
                    block_start(index, {"type": "text", "text": ""}),
                    text_delta(block["text"], index),
                ]
            case "thinking":
                frames += [
                    block_start(index, {"type": "thinking", "thinking": "", "signature": ""}),
                    block_delta(index, {"type": "thinking_delta", "thinking": block["thinking"]}),
                    block_delta(
                        index, {"type": "signature_delta", "signature": block["signature"]}
                    ),
                ]
            case "tool_use":
                text = json.dumps(block["input"])
                middle = len(text) // 2
                frames += [
                    block_start(index, {**block, "input": {}}),
                    *(
                        block_delta(index, {"type": "input_json_delta", "partial_json": part})
                        for part in (text[:middle], text[middle:])
                    ),
                ]
            case other:
                raise ValueError(other)
        frames.append(block_stop(index))
    return [*frames, *message_end(reason)]


# ---- Responses


def responses_usage() -> dict[str, Any]:
    return {
        "input_tokens": PROMPT_TOKENS,
        "input_tokens_details": {"cached_tokens": CACHED_TOKENS, "cache_write_tokens": 0},
        "output_tokens": OUTPUT_TOKENS,
        "output_tokens_details": {"reasoning_tokens": REASONING_TOKENS},
        "total_tokens": PROMPT_TOKENS + OUTPUT_TOKENS,
    }


def responses_body(text: str = "".join(TEXT), **changes: Any) -> dict[str, Any]:
    return {
        "id": "resp_F1", "object": "response", "created_at": 1790000000, "status": "completed",
        "background": False, "error": None, "incomplete_details": None, "instructions": None,
        "max_output_tokens": None, "metadata": {}, "model": "up-responses-5",
        "output": [_message_item([_output_text(text)])], "parallel_tool_calls": True,
        "previous_response_id": None, "reasoning": {"effort": None, "summary": None},
        "service_tier": "default", "store": False, "temperature": 1.0,
        "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [], "top_p": 1.0,
        "truncation": "disabled", "usage": responses_usage(),
        **changes,
    }  # fmt: skip


def _output_text(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _message_item(content: Sequence[dict[str, Any]], status: str = "completed") -> dict[str, Any]:
    return {
        "type": "message",
        "id": "msg_F1",
        "status": status,
        "role": "assistant",
        "content": content,
    }


def _numbered(events: Iterable[tuple[str, dict[str, Any]]], first: int = 0) -> list[bytes]:
    return [
        sse({"type": f"response.{kind}", **fields, "sequence_number": number}, f"response.{kind}")
        for number, (kind, fields) in enumerate(events, first)
    ]


_PLACE = {"item_id": "msg_F1", "output_index": 0, "content_index": 0}


def responses_delta(text: str, number: int = 4) -> bytes:
    return _numbered([("output_text.delta", {**_PLACE, "delta": text, "logprobs": []})], number)[0]


def responses_frames(text: Sequence[str] = TEXT, *, usage: bool = True) -> list[bytes]:
    begun = responses_body(status="in_progress", output=[], usage=None)
    whole = "".join(text)
    final = responses_body(whole) if usage else responses_body(whole, usage=None)
    return _numbered(
        [
            ("created", {"response": begun}),
            ("in_progress", {"response": begun}),
            ("output_item.added", {"output_index": 0, "item": _message_item([], "in_progress")}),
            ("content_part.added", {**_PLACE, "part": _output_text("")}),
            *(("output_text.delta", {**_PLACE, "delta": piece, "logprobs": []}) for piece in text),
            ("output_text.done", {**_PLACE, "text": whole, "logprobs": []}),
            ("content_part.done", {**_PLACE, "part": _output_text(whole)}),
            ("output_item.done", {"output_index": 0, "item": final["output"][0]}),
            ("completed", {"response": final}),
        ]
    )


def responses_failed(message: str, code: str = "server_error") -> bytes:
    error = {"code": code, "message": message}
    response = responses_body(status="failed", output=[], usage=None, error=error)
    return _numbered([("failed", {"response": response})], 6)[0]


# ---- Gemini


def gemini_usage() -> dict[str, Any]:
    return {
        "promptTokenCount": PROMPT_TOKENS,
        "cachedContentTokenCount": CACHED_TOKENS,
        "candidatesTokenCount": OUTPUT_TOKENS - REASONING_TOKENS,
        "thoughtsTokenCount": REASONING_TOKENS,
        "totalTokenCount": PROMPT_TOKENS + OUTPUT_TOKENS,
    }


def gemini_answer(
    *parts: dict[str, Any], finish: str | None = None, **changes: Any
) -> dict[str, Any]:
    """A whole answer or one chunk of a stream."""
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    if finish is not None:
        candidate["finishReason"] = finish
    return {
        "candidates": [candidate],
        "modelVersion": "up-gemini-3",
        "responseId": "F1",
        **changes,
    }


def gemini_body(text: str = "".join(TEXT), **changes: Any) -> dict[str, Any]:
    answer = gemini_answer({"text": text}, finish="STOP", usageMetadata=gemini_usage())
    return answer | changes


def gemini_delta(text: str) -> bytes:
    return sse(gemini_answer({"text": text}))


def gemini_frames(text: Sequence[str] = TEXT, *, usage: bool = True) -> list[bytes]:
    end = {"usageMetadata": gemini_usage()} if usage else {}
    return [*map(gemini_delta, text), sse(gemini_answer({"text": ""}, finish="STOP", **end))]


def gemini_error(message: str, code: int = 500, status: str = "INTERNAL") -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "status": status}}


# ---- All of them

Meaning = Literal["bad request", "auth", "rate limit", "overloaded", "broken"]
_OPENAI_WORDS: dict[Meaning, tuple[str, str | None]] = {
    "bad request": ("invalid_request_error", None),
    "auth": ("invalid_request_error", "invalid_api_key"),
    "rate limit": ("rate_limit_error", "rate_limit_exceeded"),
    "overloaded": ("server_error", "overloaded"),
    "broken": ("server_error", None),
}
_MESSAGES_WORDS: dict[Meaning, str] = {
    "bad request": "invalid_request_error",
    "auth": "authentication_error",
    "rate limit": "rate_limit_error",
    "overloaded": "overloaded_error",
    "broken": "api_error",
}
_GEMINI_WORDS: dict[Meaning, tuple[int, str]] = {
    "bad request": (400, "INVALID_ARGUMENT"),
    "auth": (401, "UNAUTHENTICATED"),
    "rate limit": (429, "RESOURCE_EXHAUSTED"),
    "overloaded": (503, "UNAVAILABLE"),
    "broken": (500, "INTERNAL"),
}
_FAILED_CODES: dict[Meaning, str] = {
    "bad request": "invalid_prompt",
    "rate limit": "rate_limit_exceeded",
    "overloaded": "server_is_overloaded",
}


def _openai_error(message: str, meaning: Meaning = "broken") -> dict[str, Any]:
    return chat_error(message, *_OPENAI_WORDS[meaning])


def _messages_error(message: str, meaning: Meaning = "broken") -> dict[str, Any]:
    return messages_error(message, _MESSAGES_WORDS[meaning])


def _gemini_error(message: str, meaning: Meaning = "broken") -> dict[str, Any]:
    return gemini_error(message, *_GEMINI_WORDS[meaning])


def _failed(message: str, meaning: Meaning = "broken") -> bytes:
    return responses_failed(message, _FAILED_CODES.get(meaning, "server_error"))


@dataclass(frozen=True)
class Voice:
    """How providers of one format say what all of them can say."""

    frames: Callable[..., list[bytes]]
    """(pieces of text) → a whole streamed answer, one frame each."""
    before_text: int
    """How many of the frames come before the first piece of text."""
    delta: Callable[[str], bytes]
    """A frame with a piece of text."""
    body: Callable[..., dict[str, Any]]
    """(text) → a whole answer."""
    error: Callable[..., dict[str, Any]]
    """(message, meaning) → the body of a refusal."""
    error_frame: Callable[..., bytes]
    """(message, meaning) → the frame that ends a stream with an error."""

    def opening(self, pieces: int = 2) -> list[bytes]:
        """The first frames, up to and with so many pieces of text."""
        return self.frames()[: self.before_text + pieces]


VOICES = {
    "chat": Voice(
        chat_frames,
        1,
        lambda text: chat_delta({"content": text}),
        chat_body,
        _openai_error,
        lambda *said: sse(_openai_error(*said)),
    ),
    "messages": Voice(
        messages_frames,
        2,
        text_delta,
        messages_body,
        _messages_error,
        lambda *said: sse(_messages_error(*said), "error"),
    ),
    "responses": Voice(
        responses_frames, 4, responses_delta, responses_body, _openai_error, _failed
    ),
    "gemini": Voice(
        gemini_frames,
        0,
        gemini_delta,
        gemini_body,
        _gemini_error,
        lambda *said: sse(_gemini_error(*said)),
    ),
}
