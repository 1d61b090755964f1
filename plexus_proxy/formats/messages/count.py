"""Counting the tokens of a Messages request. Source: Anthropic API reference, "Count tokens"."""

import msgspec

from plexus_proxy.formats.counts import number_in, only
from plexus_proxy.formats.format import TokenCount

_FIELDS = frozenset(
    ("model", "messages", "system", "tools", "tool_choice", "thinking", "output_config")
)
"""Any other is refused."""


def _answer(tokens: int) -> bytes:
    return msgspec.json.encode({"input_tokens": tokens})


TOKEN_COUNT = TokenCount(
    url=lambda url: url + "/count_tokens",
    read=lambda body: body,
    forward=lambda _body, request, _model: request,
    write=lambda request, _model: only(request, _FIELDS),
    read_answer=lambda body: number_in(body, "input_tokens"),
    write_answer=_answer,
)
