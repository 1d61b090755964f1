"""The models clients may ask for, in the shape of the SDK that asks.

Three SDKs read the same path. Who sends `anthropic-version` is Anthropic's, who names a Google key
or client is Google's, everybody else is OpenAI's; `/v1beta` is Google's alone. Source: gemini.md
§10 of the design notes.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import unquote

import msgspec
from aiohttp import web
from msgspec import Struct

from plexus_proxy.config.model import Alias
from plexus_proxy.config.snapshot import Snapshot
from plexus_proxy.errors import BadRequest, UnknownModel

_METHODS = ("generateContent", "streamGenerateContent")
_encode = msgspec.json.Encoder().encode


class _OpenAIModel(Struct, frozen=True):
    id: str
    created: int
    object: str = "model"
    owned_by: str = "plexus"


class _OpenAIList(Struct, frozen=True):
    data: Sequence[_OpenAIModel]
    object: str = "list"


class _AnthropicModel(Struct, frozen=True):
    id: str
    display_name: str
    created_at: str
    type: str = "model"


class _AnthropicList(Struct, frozen=True):
    data: Sequence[_AnthropicModel]
    has_more: bool
    first_id: str | None
    last_id: str | None


class _GeminiModel(Struct, frozen=True, rename="camel"):
    name: str
    display_name: str
    version: str = "1"
    supported_generation_methods: tuple[str, ...] = _METHODS


class _GeminiList(Struct, frozen=True, rename="camel", omit_defaults=True):
    models: Sequence[_GeminiModel]
    next_page_token: str | None = None


def shape_of(path: str, headers: Mapping[str, str], query: Mapping[str, str]) -> str:
    """The format whose SDK is asking."""
    if path.startswith(("/v1beta/", "/v1alpha/")):
        return "gemini"
    if "anthropic-version" in headers:
        return "messages"
    agent = f"{headers.get('user-agent', '')} {headers.get('x-goog-api-client', '')}"
    if "x-goog-api-key" in headers or "key" in query or "google-genai" in agent:
        return "gemini"
    return "chat"


def names_of(models: Mapping[str, Alias]) -> list[str]:
    """Every alias followed by its additional names, each once."""
    return list(
        dict.fromkeys(
            each for name, alias in models.items() for each in (name, *alias.additional_aliases)
        )
    )


def list_models(shape: str, query: Mapping[str, str], snapshot: Snapshot) -> bytes:
    """Raises BadRequest for a page that cannot be."""
    names = names_of(snapshot.config.models)
    match shape:
        case "messages":
            page, more = _between(names, query)
            return _encode(
                _AnthropicList(
                    [_anthropic(name, snapshot) for name in page],
                    more,
                    page[0] if page else None,
                    page[-1] if page else None,
                )
            )
        case "gemini":
            start = _whole(query, "pageToken", 0, least=0)
            end = start + _whole(query, "pageSize", len(names) or 1)
            token = str(end) if end < len(names) else None
            return _encode(_GeminiList([_gemini(name) for name in names[start:end]], token))
        case _:
            return _encode(_OpenAIList([_openai(name, snapshot) for name in names]))


def one_model(shape: str, name: str, snapshot: Snapshot) -> bytes:
    """Raises UnknownModel."""
    if name not in snapshot.alias_names:
        raise UnknownModel(name)
    match shape:
        case "messages":
            return _encode(_anthropic(name, snapshot))
        case "gemini":
            return _encode(_gemini(name))
        case _:
            return _encode(_openai(name, snapshot))


def reply(body: bytes, if_none_match: str | None) -> web.Response:
    """`body` with its ETag, or 304 if the client has it already (RFC 9110 §13.1.2)."""
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"etag": tag, "cache-control": "no-cache"}
    if if_none_match is not None and _has(if_none_match.split(","), tag):
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, content_type="application/json", headers=headers)


def _has(tags: Iterable[str], tag: str) -> bool:
    return any(each.strip().removeprefix("W/") in (tag, "*") for each in tags)


def _openai(name: str, snapshot: Snapshot) -> _OpenAIModel:
    return _OpenAIModel(name, snapshot.made_s)


def _anthropic(name: str, snapshot: Snapshot) -> _AnthropicModel:
    made = datetime.fromtimestamp(snapshot.made_s, UTC)
    return _AnthropicModel(name, name, made.strftime("%Y-%m-%dT%H:%M:%SZ"))


def _gemini(name: str) -> _GeminiModel:
    return _GeminiModel(f"models/{name}", name)


def _between(names: Sequence[str], query: Mapping[str, str]) -> tuple[Sequence[str], bool]:
    """The page that `after_id`, `before_id` and `limit` ask for, and whether there is more."""
    after, before = query.get("after_id"), query.get("before_id")
    limit = _whole(query, "limit", len(names) or 1)
    if after is not None:
        at = names.index(after) + 1 if after in names else len(names)
        rest = names[at:]
        return rest[:limit], len(rest) > limit
    if before is not None:
        rest = names[: names.index(before) if before in names else 0]
        return rest[-limit:], len(rest) > limit
    return names[:limit], len(names) > limit


def _whole(query: Mapping[str, str], field: str, default: int, *, least: int = 1) -> int:
    text = query.get(field)
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise BadRequest(f"'{field}' must be a whole number of at least {least}.", param=field)
    return int(text)


def name_in(raw_path: str) -> str:
    """The model of a path `/…/models/<model>`: it may hold slashes, colons and escapes."""
    return unquote(raw_path.partition("?")[0].partition("/models/")[2])
