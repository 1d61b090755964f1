"""The models clients may ask for, in the shape of the SDK that asks.

Three SDKs read the same path. Who sends `anthropic-version` is Anthropic's, who names a Google key
or client is Google's, everybody else is OpenAI's; `/v1beta` is Google's alone. Source: gemini.md
§10 of the design notes. What is known of a model stands in the vendors' own fields; OpenAI has
none, so there OpenRouter's are used, which Anthropic's shape takes for what it lacks. Google's is
closed: its clients parse protocol buffers.

Every model is written once for each shape and config in force. When a config came into force is no
part of an ETag, so that workers and restarts agree.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import unquote

import msgspec
from aiohttp import web
from msgspec import Raw, Struct

from plexus_proxy.config.model import Alias, ModelType
from plexus_proxy.config.snapshot import Snapshot
from plexus_proxy.errors import BadRequest, UnknownModel
from plexus_proxy.gateway.facts import Facts, Prices, WrittenArchitecture, facts_of
from plexus_proxy.usage.catalogue import Catalogue

_TEXT_METHODS = ("generateContent", "streamGenerateContent", "countTokens")
_METHODS: Mapping[ModelType, tuple[str, ...]] = {
    "embeddings": ("embedContent",),
    "transcriptions": (),
    "speech": (),
    "image": (),
}
"""Google's names of what a model that is not for text can do here."""
_VARY = "anthropic-version, x-goog-api-key, x-goog-api-client, user-agent"
_PAGING: Mapping[str, frozenset[str]] = {
    "chat": frozenset(),
    "messages": frozenset(("limit", "after_id", "before_id")),
    "gemini": frozenset(("pageSize", "pageToken")),
}
"""Query parameters that ask for a page."""
_MAX_DIGITS = 18
_encode = msgspec.json.Encoder().encode


class _Limits(Struct, frozen=True, omit_defaults=True):
    context_length: int | None = None
    max_completion_tokens: int | None = None


class _OpenAIModel(Struct, frozen=True, omit_defaults=True, kw_only=True):
    id: str
    object: str
    created: int
    owned_by: str
    name: str | None = None
    description: str | None = None
    context_length: int | None = None
    architecture: WrittenArchitecture | None = None
    pricing: Prices | None = None
    supported_parameters: tuple[str, ...] = ()
    top_provider: _Limits | None = None


class _OpenAIList(Struct, frozen=True):
    object: str
    data: Sequence[Raw]


class _AnthropicModel(Struct, frozen=True, omit_defaults=True, kw_only=True):
    type: str
    id: str
    display_name: str
    created_at: str
    lifecycle: str
    max_input_tokens: int | None = None
    max_tokens: int | None = None
    description: str | None = None
    architecture: WrittenArchitecture | None = None
    pricing: Prices | None = None


class _AnthropicList(Struct, frozen=True):
    data: Sequence[Raw]
    has_more: bool
    first_id: str | None
    last_id: str | None


class _GeminiModel(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    name: str
    version: str
    display_name: str
    supported_generation_methods: tuple[str, ...]
    description: str | None = None
    input_token_limit: int | None = None
    output_token_limit: int | None = None


class _GeminiList(Struct, frozen=True, rename="camel", omit_defaults=True):
    models: Sequence[Raw]
    next_page_token: str | None = None


class Found(Struct, frozen=True):
    """An answer with its ETag."""

    body: bytes
    tag: str


class _Item(Struct, frozen=True):
    """One model in one shape. `mark` is a digest of all but the time."""

    name: str
    body: Raw
    mark: bytes


class _Shelf(Struct, frozen=True):
    """All models in one shape, in the order of the config."""

    shape: str
    items: Sequence[_Item]
    places: Mapping[str, int]
    whole: Found
    """The list that is not cut into pages."""


class ModelLists:
    """The lists of the config in force, one for each shape; written when first asked for."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._snapshot: Snapshot | None = None
        self._shelves: dict[str, _Shelf] = {}

    def all(self, shape: str, query: Mapping[str, str], snapshot: Snapshot) -> Found:
        """Raises BadRequest for a page that cannot be."""
        shelf = self._shelf(shape, snapshot)
        if _PAGING[shape].isdisjoint(query):
            return shelf.whole
        if shape == "messages":
            items, more = _between(shelf, query)
            return _written(shape, items, more=more)
        items, token = _from(shelf, query)
        return _written(shape, items, token=token)

    def one(self, shape: str, name: str, snapshot: Snapshot) -> Found:
        """Raises UnknownModel."""
        shelf = self._shelf(shape, snapshot)
        place = shelf.places.get(name)
        if place is None:
            raise UnknownModel(name)
        item = shelf.items[place]
        return Found(bytes(item.body), _tag(shape, [item]))

    def _shelf(self, shape: str, snapshot: Snapshot) -> _Shelf:
        if self._snapshot is not snapshot:
            self._snapshot = snapshot
            self._shelves.clear()
        shelf = self._shelves.get(shape)
        if shelf is None:
            shelf = self._shelves[shape] = _shelf_of(shape, snapshot, self._catalogue)
        return shelf


MODELS = web.AppKey("models", ModelLists)


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


def name_in(raw_path: str) -> str:
    """The model of a path `/…/models/<model>`: it may hold slashes, colons and escapes."""
    return unquote(raw_path.partition("?")[0].partition("/models/")[2])


def reply(found: Found, if_none_match: str | None) -> web.Response:
    """What was found with its ETag, or 304 if the client has it already (RFC 9110 §13.1.2)."""
    headers = {"etag": found.tag, "cache-control": "no-cache", "vary": _VARY}
    if if_none_match is not None and _has(if_none_match.split(","), found.tag):
        return web.Response(status=304, headers=headers)
    return web.Response(body=found.body, content_type="application/json", headers=headers)


def _has(tags: Iterable[str], tag: str) -> bool:
    """By the weak comparison, as RFC 9110 §13.1.2 asks."""
    return any(each.strip().removeprefix("W/") in (tag.removeprefix("W/"), "*") for each in tags)


def _written(
    shape: str, items: Sequence[_Item], *, more: bool = False, token: str | None = None
) -> Found:
    """A list or a page of one."""
    bodies = [each.body for each in items]
    match shape:
        case "messages":
            first, last = (items[0].name, items[-1].name) if items else (None, None)
            page: Struct = _AnthropicList(bodies, more, first, last)
        case "gemini":
            page = _GeminiList(bodies, token)
        case _:
            page = _OpenAIList("list", bodies)
    return Found(_encode(page), _tag(f"{shape} {more} {token}", items))


def _tag(about: str, items: Iterable[_Item]) -> str:
    digest = hashlib.sha256(about.encode())
    for each in items:
        digest.update(each.mark)
    return f'W/"{digest.hexdigest()[:32]}"'


def _shelf_of(shape: str, snapshot: Snapshot, catalogue: Catalogue) -> _Shelf:
    config = snapshot.config
    write = _WRITE[shape]
    names = names_of(config.models)
    facts = {name: facts_of(alias, config, catalogue) for name, alias in config.models.items()}
    items = [_item(name, facts[snapshot.alias_names[name]], write, snapshot) for name in names]
    places = {name: place for place, name in enumerate(names)}
    return _Shelf(shape, items, places, _written(shape, items))


_Write = Callable[[str, Facts, int], Struct]


def _item(name: str, facts: Facts, write: _Write, snapshot: Snapshot) -> _Item:
    mark = hashlib.sha256(_encode(write(name, facts, 0))).digest()
    return _Item(name, Raw(_encode(write(name, facts, snapshot.made_s))), mark)


def _openai(name: str, facts: Facts, made_s: int) -> _OpenAIModel:
    limits = _Limits(facts.context_length, facts.max_output_tokens)
    return _OpenAIModel(
        id=name,
        object="model",
        created=made_s,
        owned_by="plexus",
        name=facts.name,
        description=facts.description,
        context_length=facts.context_length,
        architecture=facts.architecture,
        pricing=facts.prices,
        supported_parameters=facts.supported_parameters,
        top_provider=limits if limits != _Limits() else None,
    )


def _anthropic(name: str, facts: Facts, made_s: int) -> _AnthropicModel:
    return _AnthropicModel(
        type="model",
        id=name,
        display_name=facts.name or name,
        created_at=datetime.fromtimestamp(made_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        lifecycle="active",
        max_input_tokens=facts.context_length,
        max_tokens=facts.max_output_tokens,
        description=facts.description,
        architecture=facts.architecture,
        pricing=facts.prices,
    )


def _gemini(name: str, facts: Facts, _made_s: int) -> _GeminiModel:
    return _GeminiModel(
        name=f"models/{name}",
        version="1",
        display_name=facts.name or name,
        supported_generation_methods=(
            _METHODS.get(facts.type, _TEXT_METHODS) if facts.type else _TEXT_METHODS
        ),
        description=facts.description,
        input_token_limit=facts.context_length,
        output_token_limit=facts.max_output_tokens,
    )


_WRITE: Mapping[str, _Write] = {"chat": _openai, "messages": _anthropic, "gemini": _gemini}


def _between(shelf: _Shelf, query: Mapping[str, str]) -> tuple[Sequence[_Item], bool]:
    """The page that `after_id`, `before_id` and `limit` ask for, and whether there is more."""
    items, places = shelf.items, shelf.places
    after, before = query.get("after_id"), query.get("before_id")
    limit = _whole(query, "limit", len(items) or 1)
    if after:
        rest = items[places.get(after, len(items)) + 1 :]
        return rest[:limit], len(rest) > limit
    if before:
        rest = items[: places.get(before, 0)]
        return rest[-limit:], len(rest) > limit
    return items[:limit], len(items) > limit


def _from(shelf: _Shelf, query: Mapping[str, str]) -> tuple[Sequence[_Item], str | None]:
    """The page that `pageToken` and `pageSize` ask for, and the token of the next."""
    items = shelf.items
    start = _whole(query, "pageToken", 0, least=0)
    end = start + _whole(query, "pageSize", len(items) or 1)
    return items[start:end], str(end) if end < len(items) else None


def _whole(query: Mapping[str, str], field: str, default: int, *, least: int = 1) -> int:
    text = query.get(field)
    if not text:
        return default
    is_number = len(text) <= _MAX_DIGITS and text.isascii() and text.isdigit()
    if not is_number or int(text) < least:
        raise BadRequest(f"'{field}' must be a whole number of at least {least}.", param=field)
    return int(text)
