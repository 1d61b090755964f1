"""Canned answers of Chat Completions and Messages providers, as bytes. No code of the package."""

import json
from collections.abc import Sequence
from typing import Any

PROMPT_TOKENS = 21
CACHED_TOKENS = 4
OUTPUT_TOKENS = 6
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
        "completion_tokens_details": {"reasoning_tokens": 2},
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
