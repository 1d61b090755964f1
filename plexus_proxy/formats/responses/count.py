"""Counting the tokens of a Responses request. Source: OpenAI API reference, "Get input token
counts"."""

import msgspec

from plexus_proxy.formats.counts import number_in, only
from plexus_proxy.formats.format import TokenCount

_FIELDS = frozenset(
    (
        "model",
        "input",
        "instructions",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "text",
        "reasoning",
        "truncation",
    )
)


def _answer(tokens: int) -> bytes:
    return msgspec.json.encode({"object": "response.input_tokens", "input_tokens": tokens})


TOKEN_COUNT = TokenCount(
    url=lambda url: url + "/input_tokens",
    read=lambda body: body,
    forward=lambda _body, request, _model: request,
    write=lambda request, _model: only(request, _FIELDS),
    read_answer=lambda body: number_in(body, "input_tokens"),
    write_answer=_answer,
)
