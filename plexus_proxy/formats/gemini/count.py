"""Counting the tokens of a generateContent request.

A count is asked with `contents` alone, as in a request, or with the whole request in
`generateContentRequest`, which then names the model again. Source: Gemini API reference,
"countTokens"; the page of the Vertex API, where a count takes the request's other fields as well.
"""

import msgspec
from msgspec import Raw

from plexus_proxy.errors import BadRequest
from plexus_proxy.formats import body as bodies
from plexus_proxy.formats.body import raw
from plexus_proxy.formats.counts import number_in
from plexus_proxy.formats.format import TokenCount
from plexus_proxy.formats.gemini.names import qualified

_WHOLE = ("generateContentRequest", "generate_content_request")
_FIELDS = msgspec.json.Decoder(dict[str, Raw])


def _read(body: bytes) -> bytes:
    fields = bodies.decode(_FIELDS, body)
    name = _whole(fields)
    if name is None:
        return body
    if "contents" in fields:
        raise BadRequest(f"'contents' and '{name}' exclude each other.", param=name)
    request = bodies.decode(_FIELDS, fields[name], name)
    request.pop("model", None)
    return bytes(raw(request))


def _whole(fields: dict[str, Raw]) -> str | None:
    return next((name for name in _WHOLE if name in fields), None)


def _forward(body: bytes, request: bytes, model: str) -> bytes:
    """In the way the client asked."""
    return request if _whole(bodies.decode_fields(body)) is None else _write(request, model)


def _write(request: bytes, model: str) -> bytes:
    fields = {"model": raw(qualified(model)), **bodies.decode_fields(request)}
    return msgspec.json.encode({_WHOLE[0]: fields})


def _answer(tokens: int) -> bytes:
    return msgspec.json.encode({"totalTokens": tokens})


TOKEN_COUNT = TokenCount(
    url=lambda url: url.removesuffix(":generateContent") + ":countTokens",
    read=_read,
    forward=_forward,
    write=_write,
    read_answer=lambda body: number_in(body, "totalTokens"),
    write_answer=_answer,
)
