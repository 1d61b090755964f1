"""The answer side of the Gemini format, and its frames as providers send them, short to write."""

import json
from typing import Any

from msgspec.structs import replace
from support.golden import CHAT

from plexus_proxy.formats.gemini.errors import read_error, write_error
from plexus_proxy.formats.gemini.headers import provider_headers
from plexus_proxy.formats.gemini.observer import GeminiObserver, is_usage_only
from plexus_proxy.formats.gemini.response import read_response, write_response
from plexus_proxy.formats.gemini.stream_reader import GeminiReader
from plexus_proxy.formats.gemini.stream_writer import DONE, KEEPALIVE, GeminiWriter, stream_error

GEMINI = replace(
    CHAT,
    name="gemini",
    done=DONE,
    keepalive=KEEPALIVE,
    read_response=read_response,
    write_response=write_response,
    reader=GeminiReader,
    writer=GeminiWriter,
    stream_error=stream_error,
    observer=GeminiObserver,
    estimated_usage=lambda _last, _chars, _crossing: b"",
    is_usage_only=is_usage_only,
    provider_headers=provider_headers,
    read_error=read_error,
    write_error=write_error,
)
"""Its request side is not looked at here."""


def sse(value: Any) -> bytes:
    return b"data: %b\n\n" % json.dumps(value, ensure_ascii=False).encode()


def answer(*parts: Any, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    """A whole answer or a chunk of a stream. `fields` in camel case go to the top, those of
    `candidate` into the candidate."""
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    candidate |= fields.pop("candidate", {})
    return {"candidates": [candidate], "modelVersion": "gemini", "responseId": "r1"} | fields


def chunk(*parts: Any, finish: str | None = None, **fields: Any) -> bytes:
    return sse(answer(*parts, finish=finish, **fields))


def text(words: str, signature: str | None = None) -> dict[str, Any]:
    return {"text": words} | ({"thoughtSignature": signature} if signature else {})


def thought(words: str) -> dict[str, Any]:
    return {"text": words, "thought": True}


def call(
    name: str, args: Any, id: str | None = None, signature: str | None = None
) -> dict[str, Any]:
    called = {"name": name, "args": args} | ({"id": id} if id else {})
    return {"functionCall": called} | ({"thoughtSignature": signature} if signature else {})


def usage(prompt: int, candidates: int, total: int | None = None, **counts: int) -> dict[str, Any]:
    told = {"promptTokenCount": prompt, "candidatesTokenCount": candidates, **counts}
    return told if total is None else told | {"totalTokenCount": total}
