"""Requests of clients of any format, as providers of any other get them."""

import json
from typing import Any

from support import strict_chat, strict_gemini, strict_messages, strict_responses_request

from plexus_proxy.formats.conversation import Conversation, Crossing
from plexus_proxy.formats.format import Asked
from plexus_proxy.formats.registry import FORMATS

MODELS = {
    "chat": "gpt-5-search-api",
    "messages": "claude-opus-9",
    "responses": "gpt-5.1",
    "gemini": "gemini-3-pro-preview",
}
"""Of each provider format one that searches."""


def crossing(provider: str, model: str | None = None) -> Crossing:
    model = model or MODELS[provider]
    return Crossing(provider="up", model=model, response_id="r", created_s=1)


def read(client: str, **fields: Any) -> Conversation:
    question: dict[str, Any] = {
        "chat": {"model": "m", "messages": [{"role": "user", "content": "hi"}]},
        "messages": {
            "model": "m",
            "max_tokens": 9,
            "messages": [{"role": "user", "content": "hi"}],
        },
        "responses": {"model": "m", "input": "hi"},
        "gemini": {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
    }[client]
    body = json.dumps(question | fields).encode()
    if client == "gemini":
        return FORMATS[client].read_request(body, Asked("m", stream=False))
    return FORMATS[client].read_request(body)


def problems(provider: str, body: dict[str, Any], model: str) -> list[str]:
    match provider:
        case "chat":
            return strict_chat.problems(body)
        case "messages":
            return strict_messages.problems(body)
        case "responses":
            return strict_responses_request.problems(body)
        case _:
            return strict_gemini.problems(body, model=model)


def asked(client: str, provider: str, over: Crossing | None = None, **fields: Any) -> Any:
    """The provider's body, which the strict judge has found legal."""
    over = over or crossing(provider)
    body = json.loads(FORMATS[provider].write_request(read(client, **fields), over))
    assert problems(provider, body, over.model) == []
    return body
