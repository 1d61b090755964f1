"""Frames of both formats as providers send them, short to write."""

import json
from typing import Any

DONE = b"data: [DONE]\n\n"
STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


def data(value: Any) -> bytes:
    return b"data: %b\n\n" % json.dumps(value).encode()


def chunk(finish: str | None = None, **delta: Any) -> bytes:
    """A Chat chunk with one choice."""
    return chunk_with({}, finish, **delta)


def chunk_with(fields: dict[str, Any], finish: str | None = None, **delta: Any) -> bytes:
    return data(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "gpt",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        }
        | fields
    )


def call(index: int | None, arguments: Any, id: str | None = None, name: str | None = None) -> Any:
    """A piece of a Chat tool call; what is None is left out."""
    fields = {"index": index, "id": id, "function": {"name": name, "arguments": arguments}}
    fields["function"] = {k: v for k, v in fields["function"].items() if v is not None}  # type: ignore[union-attr]
    return {k: v for k, v in fields.items() if v is not None}


def usage_chunk(prompt: int, completion: int, **details: Any) -> bytes:
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    return chunk_with({"choices": [], "usage": usage | details})


ROLE = chunk(role="assistant", content="")


def event(kind: str, **fields: Any) -> bytes:
    """A Messages event."""
    value = json.dumps({"type": kind} | fields).encode()
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), value)


def message_start(**usage: Any) -> bytes:
    message: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 5, "output_tokens": 1} | usage,
    }
    return event("message_start", message=message)


def block(index: int, start: dict[str, Any], *deltas: dict[str, Any]) -> bytes:
    """A whole Messages block."""
    out = event("content_block_start", index=index, content_block=start)
    out += b"".join(event("content_block_delta", index=index, delta=delta) for delta in deltas)
    return out + event("content_block_stop", index=index)


def text_block(index: int, *texts: str) -> bytes:
    deltas = [{"type": "text_delta", "text": text} for text in texts]
    return block(index, {"type": "text", "text": ""}, *deltas)


def thinking_block(index: int, text: str, signature: str = "") -> bytes:
    deltas = [{"type": "thinking_delta", "thinking": text}] if text else []
    if signature:
        deltas.append({"type": "signature_delta", "signature": signature})
    return block(index, {"type": "thinking", "thinking": "", "signature": ""}, *deltas)


def tool_block(index: int, id: str, name: str, *pieces: str) -> bytes:
    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    return block(index, {"type": "tool_use", "id": id, "name": name, "input": {}}, *deltas)


def message_end(reason: str = "end_turn", sequence: str | None = None, **usage: Any) -> bytes:
    delta = {"stop_reason": reason, "stop_sequence": sequence}
    usage = {"output_tokens": 7} | usage
    return event("message_delta", delta=delta, usage=usage) + STOP
