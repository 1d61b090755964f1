"""A client's Responses request → the canonical conversation.

Neighbouring items of the assistant (reasoning, message, calls) are one turn. What needs state that
another provider does not have (`previous_response_id`, `item_reference`, …) is refused: to ignore
it would lose the conversation.
"""

from collections.abc import Iterable, Iterator

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from plexus_proxy.formats import body as bodies
from plexus_proxy.formats import envelope, media
from plexus_proxy.formats.body import invalid
from plexus_proxy.formats.conversation import (
    Audio,
    Cache,
    Conversation,
    Document,
    Foreign,
    Image,
    Part,
    Reasoning,
    ReasoningControl,
    Refusal,
    ResponseFormat,
    Role,
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
from plexus_proxy.formats.events import Citation, Opaque
from plexus_proxy.formats.format import IN_BODY, Asked
from plexus_proxy.formats.responses import types as wire
from plexus_proxy.formats.websearch import NAME as WEB_SEARCH
from plexus_proxy.formats.websearch import read_location

_FORMAT = "responses"
_REQUEST = msgspec.json.Decoder(wire.SentRequest)
_READ = frozenset(wire.SentRequest.__struct_fields__)
_NEUTRAL = frozenset((b"null", b"false", b"0", b"{}", b"[]", b'"disabled"'))
"""Values that ask for what would happen anyway."""
_FIELD_NAMES = {
    "tools.schema": "tools.parameters",
    "response_format.schema": "text.format.schema",
    "logprobs": "include",
    "response_format": "text.format",
    "verbosity": "text.verbosity",
    "effort": "reasoning.effort",
    "cache": "prompt_cache_breakpoint",
    "turns.reasoning": "input.reasoning",
    "turns.foreign": "input",
    "parts.detail": "input.detail",
    "parts.title": "input.filename",
    "parts.citations": "input.content.annotations",
    "tools.custom_format": "tools.format",
    "search.allowed_domains": "tools.filters.allowed_domains",
    "search.location": "tools.user_location",
    "search.max_uses": "max_tool_calls",
    "search.context_size": "tools.search_context_size",
}
_STATEFUL = ("previous_response_id", "conversation", "prompt", "background")
ECHOED = (
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "parallel_tool_calls",
    "prompt_cache_key",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
)
"""Fields of the request that every response object repeats."""
_LONG_TTL = "1h"


class _Typed(Struct, frozen=True):
    type: str | None = None


class _Choice(Struct, frozen=True):
    type: str
    name: str | None = None
    mode: str | None = None
    tools: list["_Choice"] | None = None


_TYPED = msgspec.json.Decoder(_Typed)
_CHOICE = msgspec.json.Decoder(_Choice)
_STRING = msgspec.json.Decoder(str)
_MESSAGE = msgspec.json.Decoder(wire.SentMessage)
_CALL = msgspec.json.Decoder(wire.SentCall)
_OUTPUT = msgspec.json.Decoder(wire.SentOutput)
_REASONING = msgspec.json.Decoder(wire.SentReasoning)
_TOOL = msgspec.json.Decoder(wire.SentTool)
_SEARCH = msgspec.json.Decoder(wire.SentSearch)
_TEXT = msgspec.json.Decoder(wire.SentText)
_REFUSAL = msgspec.json.Decoder(wire.SentRefusal)
_IMAGE = msgspec.json.Decoder(wire.SentImage)
_FILE = msgspec.json.Decoder(wire.SentFile)
_AUDIO = msgspec.json.Decoder(wire.SentAudio)


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
        for name in _STATEFUL:
            if name in fields and bytes(fields[name]) not in _NEUTRAL:
                raise invalid(name, "this model's provider keeps no state of earlier responses.")
        for name, value in fields.items():
            if name not in _READ and bytes(value) not in _NEUTRAL:
                self._lost[name] = None
        if request.truncation not in (None, "disabled"):
            self._lost["truncation"] = None
        system, turns = self._system_and_turns()
        choice = self._tool_choice()
        return Conversation(
            model=request.model,
            system=system,
            turns=turns,
            tools=tuple(self._tools(choice)),
            tool_choice=choice,
            parallel_tool_calls=request.parallel_tool_calls,
            max_output_tokens=request.max_output_tokens,
            temperature=request.temperature,
            top_p=request.top_p,
            logprobs=wire.LOGPROBS in (request.include or ()) or None,
            top_logprobs=request.top_logprobs,
            response_format=self._response_format(),
            reasoning=self._reasoning_control(),
            user=request.safety_identifier or request.user,
            service_tier=request.service_tier,
            verbosity=request.text.verbosity if request.text else None,
            prompt_cache_key=request.prompt_cache_key,
            metadata=request.metadata or None,
            stream=bool(request.stream),
            include_usage=True,
            echo={
                name: value
                for name in ECHOED
                if (value := fields.get(name)) is not None and bytes(value) != b"null"
            },
            extra={name: Raw(b"null") for name in self._lost},
            field_names=_FIELD_NAMES,
        )

    def _system_and_turns(self) -> tuple[tuple[Text, ...], tuple[Turn, ...]]:
        request = self._request
        instructions = request.instructions or ""
        system = [Text(text=instructions)] if instructions.strip() else []
        turns: list[Turn] = []
        if isinstance(request.input, str):
            return tuple(system), (Turn("user", (Text(text=request.input),)),)
        if not request.input:
            raise invalid("input", "a text or at least one item is required.")
        for role, parts in self._items(request.input):
            if role == "system" and not turns:
                system += [part for part in parts if isinstance(part, Text)]
            elif role == "assistant" and turns and turns[-1].role == "assistant":
                turns[-1] = Turn("assistant", turns[-1].parts + parts)
            else:
                turns.append(Turn(role, parts))
        return tuple(system), tuple(turns)

    def _items(self, items: Iterable[Raw]) -> Iterator[tuple[Role, tuple[Part, ...]]]:
        for index, item in enumerate(items):
            path = f"input[{index}]"
            kind = bodies.decode(_TYPED, item, path).type or "message"
            match kind:
                case "message":
                    yield self._message(item, path)
                case "function_call" | "custom_tool_call":
                    yield "assistant", (_tool_call(item, path, custom=kind[0] == "c"),)
                case "function_call_output" | "custom_tool_call_output":
                    yield "user", (self._tool_result(item, path),)
                case "reasoning":
                    yield "assistant", (_reasoning(bodies.decode(_REASONING, item, path)),)
                case "item_reference":
                    raise invalid(path, "this model's provider keeps no items to refer to.")
                case _:
                    role = "user" if kind.endswith(("_output", "_response")) else "assistant"
                    yield role, (Foreign(format=_FORMAT, type=kind, json=item),)

    def _message(self, item: Raw, path: str) -> tuple[Role, tuple[Part, ...]]:
        message = bodies.decode(_MESSAGE, item, path)
        parts = tuple(self._parts(message.content, f"{path}.content"))
        if message.role in ("user", "assistant"):
            return message.role, parts
        if any(not isinstance(part, Text) for part in parts):
            raise invalid(f"{path}.content", f"a {message.role} message holds text only.")
        return "system", tuple(
            part for part in parts if isinstance(part, Text) and part.text.strip()
        )

    def _parts(self, content: str | list[Raw], path: str) -> Iterator[Part]:
        if isinstance(content, str):
            yield Text(text=content)
            return
        for index, part in enumerate(content):
            yield self._part(part, f"{path}[{index}]")

    def _part(self, part: Raw, path: str) -> Part:
        kind = bodies.decode(_TYPED, part, path).type
        match kind:
            case "input_text" | "output_text" | "text" | "summary_text":
                return self._text(bodies.decode(_TEXT, part, path))
            case "refusal":
                return Refusal(text=bodies.decode(_REFUSAL, part, path).refusal)
            case "input_image":
                return _image(bodies.decode(_IMAGE, part, path), path)
            case "input_file":
                return _file(bodies.decode(_FILE, part, path), path)
            case "input_audio":
                audio = bodies.decode(_AUDIO, part, path).input_audio
                return Audio(data=audio.data, format=audio.format)
            case _:
                raise invalid(f"{path}.type", f"'{kind}' is no type of content known here.")

    def _text(self, part: wire.SentText) -> Text:
        citations: list[Citation] = []
        for each in part.annotations or ():
            if each.url is None:  # of a file
                self._lost["input.content.annotations"] = None
            else:
                title, start, end = each.title or "", each.start_index, each.end_index
                citations.append(Citation(each.url, title, start=start, end=end))
        cache = _cache(part.prompt_cache_breakpoint)
        return Text(text=part.text, citations=tuple(citations), cache=cache)

    def _tool_result(self, item: Raw, path: str) -> ToolResult:
        found = bodies.decode(_OUTPUT, item, path)
        return ToolResult(
            call_id=found.call_id, parts=tuple(self._parts(found.output, f"{path}.output"))
        )

    def _tools(self, choice: ToolChoice | None) -> Iterator[Tool | ServerTool]:
        """Without the search, if it is not among the allowed tools: to leave it out is the only way
        in which others can be kept from it."""
        limit = self._request.max_tool_calls
        has_search = False
        for index, tool in enumerate(self._request.tools or ()):
            path = f"tools[{index}]"
            kind = bodies.decode(_TYPED, tool, path).type
            if _is_search(kind):
                has_search = True
                if choice is None or not choice.names or WEB_SEARCH in choice.names:
                    yield self._web_search(tool, path, limit)
            else:
                yield _tool(tool, kind, path)
        if limit and not has_search:
            self._lost["max_tool_calls"] = None

    def _web_search(self, tool: Raw, path: str, limit: int | None) -> WebSearch:
        found = bodies.decode(_SEARCH, tool, path)
        for name, value in bodies.decode_fields(tool).items():
            is_known = name in wire.SentSearch.__struct_fields__
            if not is_known and bytes(value) not in (b"null", b"true"):
                self._lost[f"tools.{name}"] = None
        return WebSearch(
            format=_FORMAT,
            type=found.type,
            name=WEB_SEARCH,
            json=tool,
            allowed_domains=tuple((found.filters and found.filters.allowed_domains) or ()),
            location=read_location(found.user_location),
            max_uses=limit,
            context_size=found.search_context_size,
        )

    def _tool_choice(self) -> ToolChoice | None:
        sent = self._request.tool_choice
        if sent is UNSET or bytes(sent) == b"null":
            return None
        if bytes(sent).startswith(b'"'):
            word = bodies.decode(_STRING, sent, "tool_choice")
            if word in ("auto", "none", "required"):
                return ToolChoice(word)
            raise invalid("tool_choice", "it must be 'none', 'auto', 'required' or an object.")
        choice = bodies.decode(_CHOICE, sent, "tool_choice")
        if choice.type != "allowed_tools":
            return ToolChoice("required", (_chosen(choice),))
        names = tuple(_chosen(each) for each in choice.tools or ())
        return ToolChoice("required" if choice.mode == "required" else "auto", names)

    def _response_format(self) -> ResponseFormat | None:
        found = self._request.text.format if self._request.text else None
        if found is None or found.type == "text":
            return None
        if found.type == "json_object":
            return ResponseFormat(kind="json_object")
        if found.type != "json_schema":
            raise invalid("text.format.type", "it must be 'text', 'json_object' or 'json_schema'.")
        return ResponseFormat(
            kind="json_schema",
            name=found.name,
            description=found.description,
            schema=bodies.require(found.schema, "text.format.schema"),
            strict=found.strict,
        )

    def _reasoning_control(self) -> ReasoningControl | None:
        """Reasoning is shown to who asks for summaries, as the format's own server does it."""
        options = self._request.reasoning
        if options is None:
            return None
        effort = known_effort(options.effort)
        if options.effort is not None and effort is None:
            self._lost["reasoning.effort"] = None
        return ReasoningControl(
            effort=effort,
            enabled=False if effort == "none" else None,
            show=(options.summary or options.generate_summary) is not None,
        )


def _cache(marker: wire.CacheBreakpoint | None) -> Cache | None:
    """Messages has only two lifetimes."""
    return None if marker is None else Cache(_LONG_TTL if marker.ttl else None)


def _image(image: wire.SentImage, path: str) -> Image:
    cache, detail = _cache(image.prompt_cache_breakpoint), image.detail
    detail = None if detail == "auto" else detail
    if image.file_id:
        return Image(file_id=image.file_id, detail=detail, cache=cache)
    url = bodies.require(image.image_url, f"{path}.image_url")
    if found := media.parse_data_url(url):
        return Image(media_type=found.media_type, data=found.data, detail=detail, cache=cache)
    if not url.lower().startswith(("http://", "https://")):
        raise invalid(f"{path}.image_url", "it must be an http(s) or data URL.")
    return Image(url=url, detail=detail, cache=cache)


def _file(file: wire.SentFile, path: str) -> Document:
    cache, title = _cache(file.prompt_cache_breakpoint), file.filename
    if file.file_id:
        return Document(file_id=file.file_id, title=title, cache=cache)
    if file.file_url:
        return Document(url=file.file_url, title=title, cache=cache)
    data = bodies.require(file.file_data, f"{path}.file_data")
    found = media.parse_data_url(data) or media.Data(media.media_type("", data), data)
    if found.media_type.startswith("text/"):
        text = media.decoded_text(found.data)
        if text is not None:
            return Document(text=text, title=title, cache=cache)
    return Document(media_type=found.media_type, data=found.data, title=title, cache=cache)


def _tool_call(item: Raw, path: str, *, custom: bool) -> ToolCall:
    call = bodies.decode(_CALL, item, path)
    text = call.input if custom else call.arguments
    return ToolCall(id=call.call_id, name=call.name, arguments=text, custom=custom)


def _reasoning(item: wire.SentReasoning) -> Reasoning:
    pieces = [each.text for each in item.summary or item.content or ()]
    state = item.encrypted_content or ""
    opaque = None
    if envelope.is_envelope(state):
        opaque = envelope.unpack(state)
    elif state:
        opaque = Opaque("enc", state, item_id=item.id or "")
    return Reasoning(text="\n\n".join(pieces), opaque=opaque)


def _is_search(kind: str | None) -> bool:
    return kind is not None and kind.startswith(WEB_SEARCH)


def _chosen(choice: _Choice) -> str:
    return WEB_SEARCH if _is_search(choice.type) else choice.name or choice.type


def _tool(tool: Raw, kind: str | None, path: str) -> Tool | ServerTool:
    if kind not in ("function", "custom"):
        name = bodies.require(kind, f"{path}.type")
        return ServerTool(format=_FORMAT, type=name, name=name, json=tool)
    found = bodies.decode(_TOOL, tool, path)
    return Tool(
        name=found.name,
        description=found.description,
        schema=_absent_is_none(found.parameters),
        strict=found.strict,
        custom=kind == "custom",
        custom_format=_absent_is_none(found.format),
    )


def _absent_is_none(value: Raw | UnsetType) -> Raw | None:
    return None if value is UNSET or bytes(value) == b"null" else value
