"""A client's Messages request → the canonical conversation."""

import hashlib
import re
from collections.abc import Collection, Iterable
from typing import Protocol

import msgspec
from msgspec import UNSET, Raw, Struct
from msgspec.structs import replace

from plexus_proxy.formats import arguments, envelope, media
from plexus_proxy.formats import body as bodies
from plexus_proxy.formats.body import invalid
from plexus_proxy.formats.conversation import (
    Cache,
    Conversation,
    Document,
    Foreign,
    Image,
    Part,
    Reasoning,
    ReasoningControl,
    ResponseFormat,
    ServerTool,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    WebSearch,
)
from plexus_proxy.formats.effort import known_effort
from plexus_proxy.formats.events import Citation, Opaque, OpaqueKind
from plexus_proxy.formats.format import IN_BODY, Asked
from plexus_proxy.formats.messages import types as wire
from plexus_proxy.formats.messages.sessions import session_in
from plexus_proxy.formats.websearch import UserLocation, read_location

_FORMAT = "messages"
_REQUEST = msgspec.json.Decoder(wire.SentRequest)
_READ = frozenset(wire.SentRequest.__struct_fields__)
_FIELD_NAMES = {
    "tools.schema": "tools.input_schema",
    "response_format.schema": "output_config.format.schema",
    "max_output_tokens": "max_tokens",
    "stop": "stop_sequences",
    "reasoning": "thinking",
    "effort": "output_config.effort",
    "response_format": "output_config.format",
    "user": "metadata.user_id",
    "prompt_cache_key": "metadata.user_id",
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
    "cache": "cache_control",
    "turns.reasoning": "messages.content.thinking",
    "turns.foreign": "messages.content",
    "parts.is_error": "messages.content.is_error",
    "parts.context": "messages.content.context",
    "parts.citations": "messages.content.citations",
    "parts.title": "messages.content.title",
    "search.allowed_domains": "tools.allowed_domains",
    "search.blocked_domains": "tools.blocked_domains",
    "search.location": "tools.user_location",
    "search.max_uses": "tools.max_uses",
}
_BILLING_LINE = re.compile(r"\A\s*x-anthropic-billing-header:[^\n]*\n?", re.IGNORECASE)
_TIERS = {"auto": "auto", "standard_only": "default"}


class _Typed(Struct, frozen=True):
    type: str


class _NamedTool(Struct, frozen=True):
    name: str = ""
    type: str | None = None


class _SentSearch(Struct, frozen=True):
    """A web_search tool of any date."""

    type: str
    name: str
    max_uses: int | None = None
    allowed_domains: list[str] | None = None
    blocked_domains: list[str] | None = None
    user_location: UserLocation | None = None


class _UrlCitation(Struct, frozen=True):
    type: str = ""
    url: str | None = None
    title: str | None = None
    cited_text: str | None = None


_TYPED = msgspec.json.Decoder(_Typed)
_NAMED_TOOL = msgspec.json.Decoder(_NamedTool)
_TOOL = msgspec.json.Decoder(wire.Tool)
_SEARCH = msgspec.json.Decoder(_SentSearch)
_SEARCH_TYPES = "web_search_"
_BLOCK: msgspec.json.Decoder[wire.Block] = msgspec.json.Decoder(wire.Block)
_BLOCK_TYPES = frozenset(
    (
        "text",
        "image",
        "document",
        "search_result",
        "tool_use",
        "tool_result",
        "thinking",
        "redacted_thinking",
    )
)
_IN_RESULTS = frozenset(("text", "image", "document", "search_result"))
_IN_TURNS = {
    "user": _IN_RESULTS | {"tool_result"},
    "assistant": _BLOCK_TYPES - {"tool_result"},
    "system": frozenset(("text",)),
}
_IN_DOCUMENTS = frozenset(("text", "image"))
_TEXT = msgspec.json.Decoder(wire.TextBlock)
_URL_CITATION = msgspec.json.Decoder(_UrlCitation)
_TOOL_FIELDS = frozenset((*wire.Tool.__struct_fields__, "type"))


def read_request(body: bytes, _asked: Asked = IN_BODY) -> Conversation:
    """See Format.read_request. Raises BadRequest naming the path."""
    return _Reading(bodies.decode(_REQUEST, body)).conversation(bodies.decode_fields(body))


class _Reading:
    """One request while it is read; `lost` collects the names of what the canon cannot hold."""

    def __init__(self, request: wire.SentRequest) -> None:
        self._request = request
        self._lost: dict[str, None] = {}

    def conversation(self, fields: dict[str, Raw]) -> Conversation:
        request = self._request
        if not request.messages:
            raise invalid("messages", "at least one message is required.")
        for name, value in fields.items():
            if name not in _READ and value != Raw(b"null"):
                self._lose(name)
        system = tuple(self._system())
        turns = tuple(
            self._turn(each, f"messages[{index}]") for index, each in enumerate(request.messages)
        )
        tools = tuple(
            self._tool(each, f"tools[{index}]") for index, each in enumerate(request.tools or ())
        )
        choice = request.tool_choice
        user = request.metadata.user_id if request.metadata else None
        return Conversation(
            model=request.model,
            system=system,
            turns=turns,
            tools=tools,
            tool_choice=self._tool_choice(),
            parallel_tool_calls=(
                None
                if choice is None or choice.disable_parallel_tool_use is None
                else not choice.disable_parallel_tool_use
            ),
            max_output_tokens=request.max_tokens,
            temperature=request.temperature,
            top_p=request.top_p,
            top_k=request.top_k,
            stop=tuple(request.stop_sequences or ()),
            response_format=self._response_format(),
            reasoning=self._reasoning(),
            user=user,
            prompt_cache_key=_session_of(user) if user else None,
            service_tier=self._tier(),
            stream=bool(request.stream),
            include_usage=True,
            extra={name: Raw(b"null") for name in self._lost},
            field_names=_FIELD_NAMES,
        )

    def _lose(self, name: str) -> None:
        self._lost[name] = None

    def _system(self) -> Iterable[Text]:
        """System texts, without the billing line that changes with every request."""
        system = self._request.system
        texts = [Text(text=system)] if isinstance(system, str) else map(self._text, system or ())
        for index, each in enumerate(texts):
            text = each.text if index else _BILLING_LINE.sub("", each.text)
            if text != each.text:
                self._lose("system.x-anthropic-billing-header")
            if text.strip():
                yield replace(each, text=text)

    def _turn(self, message: wire.Message, path: str) -> Turn:
        allowed = _IN_TURNS[message.role]
        return Turn(message.role, tuple(self._parts(message.content, f"{path}.content", allowed)))

    def _parts(
        self, content: str | list[Raw], path: str, allowed: Collection[str]
    ) -> Iterable[Part]:
        if isinstance(content, str):
            return (Text(text=content),)
        return [
            part
            for index, each in enumerate(content)
            for part in self._block(each, f"{path}[{index}]", allowed)
        ]

    def _block(self, block: Raw, path: str, allowed: Collection[str]) -> Iterable[Part]:
        """`allowed` are the kinds that may stand here, of those we know."""
        kind = bodies.decode(_TYPED, block, path).type
        if kind not in _BLOCK_TYPES:
            return (Foreign(format=_FORMAT, type=kind, json=block),)
        if kind not in allowed:
            raise invalid(f"{path}.type", f"a block of type '{kind}' cannot stand here.")
        found = bodies.decode(_BLOCK, block, path)
        match found:
            case wire.TextBlock():
                return (self._text(found),)
            case wire.ImageBlock():
                return (_image(found, f"{path}.source"),)
            case wire.DocumentBlock():
                return self._document(found, path)
            case wire.SearchResultBlock():
                return (_search_result(found),)
            case wire.ToolUseBlock():
                return (_tool_call(found, path),)
            case wire.ToolResultBlock():
                return (self._tool_result(found, path),)
            case wire.ThinkingBlock():
                return (Reasoning(text=found.thinking, opaque=_opaque(found.signature, "sig")),)
            case wire.RedactedThinkingBlock():
                return (Reasoning(text="", opaque=_opaque(found.data, "redacted")),)

    def _text(self, block: wire.TextBlock) -> Text:
        citations: list[Citation] = []
        for each in block.citations or ():
            found = bodies.decode(_URL_CITATION, each, "citations")
            if found.url is None:
                self._lose("messages.content.citations")
            else:
                citations.append(Citation(found.url, found.title or "", found.cited_text or ""))
        return Text(text=block.text, citations=tuple(citations), cache=_cache(block))

    def _document(self, block: wire.DocumentBlock, path: str) -> Iterable[Part]:
        document = Document(
            title=block.title,
            context=block.context,
            citations=block.citations.enabled if block.citations else None,
            cache=_cache(block),
        )
        match source := block.source:
            case wire.UrlSource():
                return (replace(document, url=source.url),)
            case wire.FileSource():
                return (replace(document, file_id=source.file_id),)
            case wire.TextSource():
                return (replace(document, text=source.data),)
            case wire.Base64Source():
                kind = media.media_type(source.media_type, source.data)
                return (replace(document, media_type=kind, data=source.data),)
            case wire.ContentSource():
                parts = list(self._parts(source.content, f"{path}.source.content", _IN_DOCUMENTS))
                text = "\n".join(part.text for part in parts if isinstance(part, Text))
                rest = [part for part in parts if not isinstance(part, Text)]
                return (replace(document, text=text), *rest)

    def _tool_result(self, block: wire.ToolResultBlock, path: str) -> ToolResult:
        content = "" if block.content is None else block.content
        return ToolResult(
            call_id=block.tool_use_id,
            parts=tuple(self._parts(content, f"{path}.content", _IN_RESULTS)),
            is_error=bool(block.is_error),
            cache=_cache(block),
        )

    def _tool(self, tool: Raw, path: str) -> Tool | ServerTool:
        named = bodies.decode(_NAMED_TOOL, tool, path)
        if named.type is not None and named.type.startswith(_SEARCH_TYPES):
            return self._web_search(tool, path)
        if named.type not in (None, "custom"):
            return ServerTool(format=_FORMAT, type=str(named.type), name=named.name, json=tool)
        found = bodies.decode(_TOOL, tool, path)
        for name in bodies.decode_fields(tool):
            if name not in _TOOL_FIELDS:
                self._lose(f"tools.{name}")
        return Tool(
            name=found.name,
            description=found.description,
            schema=None if found.input_schema is UNSET else found.input_schema,
            strict=found.strict,
            cache=_cache(found),
        )

    def _web_search(self, tool: Raw, path: str) -> WebSearch:
        found = bodies.decode(_SEARCH, tool, path)
        if found.allowed_domains and found.blocked_domains:
            raise invalid(path, "allowed_domains and blocked_domains exclude each other.")
        for name in bodies.decode_fields(tool):
            if name not in _SentSearch.__struct_fields__:
                self._lose(f"tools.{name}")
        return WebSearch(
            format=_FORMAT,
            type=found.type,
            name=found.name,
            json=tool,
            allowed_domains=tuple(found.allowed_domains or ()),
            blocked_domains=tuple(found.blocked_domains or ()),
            location=read_location(found.user_location),
            max_uses=found.max_uses,
        )

    def _tool_choice(self) -> ToolChoice | None:
        choice = self._request.tool_choice
        if choice is None:
            return None
        match choice.type:
            case "auto" | "none":
                return ToolChoice(choice.type)
            case "any":
                return ToolChoice("required")
            case "tool":
                return ToolChoice("required", (bodies.require(choice.name, "tool_choice.name"),))

    def _response_format(self) -> ResponseFormat | None:
        config = self._request.output_config
        found = config.format if config and config.format else self._request.output_format
        if found is None:
            return None
        if found.type != "json_schema":
            raise invalid("output_config.format.type", "only 'json_schema' is known.")
        schema = bodies.require(found.schema, "output_config.format.schema")
        return ResponseFormat(kind="json_schema", schema=schema)

    def _reasoning(self) -> ReasoningControl | None:
        thinking, config = self._request.thinking, self._request.output_config
        word = config.effort if config else None
        effort = known_effort(word)
        if word is not None and effort is None:
            self._lose("output_config.effort")
        if thinking is None:
            return ReasoningControl(effort=effort) if effort else None
        on = thinking.type in ("enabled", "adaptive")
        return ReasoningControl(
            effort=effort,
            budget_tokens=thinking.budget_tokens if thinking.type == "enabled" else None,
            adaptive=thinking.type == "adaptive",
            enabled=on,
            show=None if thinking.display is None else thinking.display != "omitted",
        )

    def _tier(self) -> str | None:
        request = self._request
        if request.speed == "fast":
            return "fast"
        tier = request.service_tier
        return None if tier is None else _TIERS.get(tier, tier)


class _Cacheable(Protocol):
    @property
    def cache_control(self) -> wire.CacheControl | None: ...


def _cache(block: _Cacheable) -> Cache | None:
    control = block.cache_control
    return None if control is None else Cache(control.ttl)


def _image(block: wire.ImageBlock, path: str) -> Image:
    cache, source = _cache(block), block.source
    match source:
        case wire.UrlSource():
            if not source.url.lower().startswith(("http://", "https://")):
                raise invalid(f"{path}.url", "it must be an http(s) URL.")
            return Image(url=source.url, cache=cache)
        case wire.FileSource():
            return Image(file_id=source.file_id, cache=cache)
        case wire.Base64Source():
            kind = media.media_type(source.media_type, source.data)
            if not kind.startswith("image/"):
                raise invalid(f"{path}.media_type", f"'{kind}' is no image.")
            return Image(media_type=kind, data=source.data, cache=cache)


def _search_result(block: wire.SearchResultBlock) -> Document:
    text = "\n".join(each.text for each in block.content)
    return Document(text=text, title=block.title, context=block.source, cache=_cache(block))


def _tool_call(block: wire.ToolUseBlock, path: str) -> ToolCall:
    if not bytes(block.input).startswith(b"{"):
        raise invalid(f"{path}.input", "it must be an object.")
    return ToolCall(
        id=block.id,
        name=block.name,
        arguments=arguments.as_text(block.input),
        cache=_cache(block),
    )


def _opaque(data: str, kind: OpaqueKind) -> Opaque | None:
    """State of another provider in our envelope, or a provider's own; None if there is none."""
    if envelope.is_envelope(data):
        return envelope.unpack(data)
    return Opaque(kind, data) if data else None


def _session_of(user_id: str) -> str:
    """What stays the same through a client's session: its id within the user id, else a hash."""
    return session_in(user_id) or hashlib.sha256(user_id.encode()).hexdigest()[:32]
