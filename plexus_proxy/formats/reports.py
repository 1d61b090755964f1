"""What an error answer of a provider says, in whatever shape it came.

Providers, and the proxies in front of them, answer errors as JSON objects, lists, JSON inside JSON
strings, plain text, HTML and nothing at all, sometimes with status 200. Sources: provider-errors.md
§1-5 of the design notes; OpenAI, Anthropic and Gemini error references, google.rpc.error_details.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

import msgspec
from msgspec import Struct

MAX_MESSAGE_CHARS = 2000

_MAX_DEPTH = 6
_MAX_DETAILS = 100
_MAX_FOLDED_CHARS = 20_000

_TITLE = re.compile(r"<title[^>]*>(.*?)</title>|<h1[^>]*>(.*?)</h1>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^>]+>")
_SPACE = re.compile(r"\s+")
_COMMAS = re.compile(rb",\s*,")

Fields = Mapping[str, Any]


class Report(Struct, frozen=True, kw_only=True):
    """An error answer, taken apart."""

    status: int
    headers: Mapping[str, str]
    """By lower-case name."""
    objects: list[Fields]
    """The error objects, innermost last."""
    details: list[Fields]
    """`details` and `metadata` of the error objects, and the `metadata` within those."""
    words: list[str]
    """Codes and types in lower case, most specific first."""
    reasons: tuple[str, ...]
    """Finer codes, found in the details; lower case."""
    message: str
    """The provider's words, perhaps none."""
    text: str
    """`message` for comparisons: bounded, lower case."""

    def says(self, *phrases: str) -> bool:
        return any(each in self.text for each in phrases)


def read_report(status: int, headers: Mapping[str, str], body: bytes) -> Report:
    value = read_json(body)
    objects = list(_objects(value))
    details = list(_details(objects))[:_MAX_DETAILS]
    message = _message(value, objects, body)
    return Report(
        status=status,
        headers=headers,
        objects=objects,
        details=details,
        words=_words(objects),
        reasons=tuple(_reasons(details)),
        message=message,
        text=message[:_MAX_FOLDED_CHARS].lower(),
    )


def read_json(body: bytes) -> Any:
    """None for what is no JSON. Commas are sometimes doubled in errors of Google's (gemini-cli)."""
    for text in (body, _COMMAS.sub(b",", body)):
        try:
            return msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
    return None


def capped(message: str) -> str:
    """Of bounded length, and without NUL, which no database takes."""
    message = message.replace("\0", "\ufffd")
    over = len(message) - MAX_MESSAGE_CHARS
    return message if over <= 0 else f"{message[:MAX_MESSAGE_CHARS]}... [truncated {over} chars]"


def _objects(value: Any, depth: int = 0) -> Iterator[Fields]:
    """The error objects of a body, innermost last: itself, its `error`, JSON within its strings."""
    if depth == _MAX_DEPTH:
        return
    if isinstance(value, str):
        nested = value.strip()
        if nested.startswith(("{", "[")):
            yield from _objects(read_json(nested.encode()), depth + 1)
    elif isinstance(value, list):
        for each in cast("list[Any]", value)[:1]:
            yield from _objects(each, depth + 1)
    elif isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        yield fields
        for name in ("response", "error", "errorMessage", "message", "detail"):
            yield from _objects(fields.get(name), depth + 1)


def _details(objects: list[Fields]) -> Iterator[Fields]:
    """google.rpc.error_details, Anthropic's `details`, OpenRouter's `metadata`."""
    for found in objects:
        for name in ("details", "metadata"):
            value = found.get(name)
            for each in cast("list[Any]", value) if isinstance(value, list) else [value]:
                if isinstance(each, dict):
                    fields = cast("dict[str, Any]", each)
                    yield fields
                    metadata = fields.get("metadata")
                    if isinstance(metadata, dict):
                        yield cast("dict[str, Any]", metadata)


def _words(objects: list[Fields]) -> list[str]:
    words = [
        str(found[name]).lower()
        for found in reversed(objects)
        for name in ("code", "error_code", "type", "status")
        if isinstance(found.get(name), str | int) and not isinstance(found.get(name), bool)
    ]
    return [each for each in words if each not in ("error", "")]


def _reasons(details: list[Fields]) -> Iterator[str]:
    for found in details:
        for name in ("reason", "error_code", "limit_source"):
            reason = found.get(name)
            if isinstance(reason, str):
                yield reason.lower()


def _message(value: Any, objects: list[Fields], body: bytes) -> str:
    """The reason in the provider's words: the innermost message there is."""
    found = ""
    for each in objects:
        for name in ("errorMessage", "message", "error", "detail", "msg", "title"):
            text = each.get(name)
            if isinstance(text, str) and text.strip():
                if not isinstance(read_json(text.encode()), dict | list):
                    found = text.strip()
                break
    if found:
        return found
    if isinstance(value, str):
        return value.strip()
    text = body.decode("utf-8", "replace").strip()
    return _plain(text) if text.startswith("<") else text


def _plain(page: str) -> str:
    """What an HTML page says in short."""
    title = _TITLE.search(page)
    text = (title[1] or title[2] or "") if title else page
    return _SPACE.sub(" ", _TAG.sub(" ", text)).strip() or "an HTML page"
