"""Frames of Gemini providers, short to write."""

import json
from typing import Any

from plexus_proxy.formats.registry import FORMATS

GEMINI = FORMATS["gemini"]


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
