"""A client's Chat Completions request → the canonical conversation."""

from collections.abc import Iterable, Iterator

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from plexus_proxy.formats import body as bodies
from plexus_proxy.formats import media
from plexus_proxy.formats.body import invalid
from plexus_proxy.formats.chat import types as wire
from plexus_proxy.formats.chat.reasoning import read_call_state, read_reasoning
from plexus_proxy.formats.conversation import (
    Audio,
    Cache,
    Conversation,
    Document,
    Image,
    Part,
    Reasoning,
    ReasoningControl,
    Refusal,
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
from plexus_proxy.formats.events import Citation
from plexus_proxy.formats.format import IN_BODY, Asked
from plexus_proxy.formats.websearch import NAME as WEB_SEARCH

_FORMAT = "chat"
_REQUEST = msgspec.json.Decoder(wire.SentRequest)
_READ = frozenset(wire.SentRequest.__struct_fields__)
_NEUTRAL = frozenset((b"null", b"false", b"0", b"0.0", b"{}", b"[]"))
"""Values that ask for what would happen anyway."""
_FIELD_NAMES = {
    "tools.schema": "tools.function.parameters",
    "response_format.schema": "response_format.json_schema.schema",
    "max_output_tokens": "max_completion_tokens",
    "reasoning": "reasoning_effort",
    "effort": "reasoning_effort",
    "cache": "prompt_cache_breakpoint",
    "turns.reasoning": "messages.reasoning_content",
    "parts.detail": "messages.content.image_url.detail",
    "parts.title": "messages.content.file.filename",
    "parts.citations": "messages.annotations",
    "tools.custom_format": "tools.custom.format",
    "tools.strict": "tools.function.strict",
    "search.location": "web_search_options.user_location",
    "search.context_size": "web_search_options.search_context_size",
}
_LONG_TTL = "1h"


class _Typed(Struct, frozen=True):
    type: str


_TYPED = msgspec.json.Decoder(_Typed)
_TOOL = msgspec.json.Decoder(wire.Tool)
_STRING = msgspec.json.Decoder(str)


def read_request(body: bytes, _asked: Asked = IN_BODY) -> Conversation:
    """See Format.read_request. Raises BadRequest naming the path."""
    return _Reading(bodies.decode(_REQUEST, body)).conversation(bodies.decode_fields(body))


class _Reading:
    """One request while it is read; `lost` collects the names of what the canon cannot hold."""

    def __init__(self, request: wire.SentRequest) -> None:
        self._request = request
        self._lost: dict[str, None] = {}
        self._function_calls = 0

    def conversation(self, fields: dict[str, Raw]) -> Conversation:
        request = self._request
        if not request.messages:
            raise invalid("messages", "at least one message is required.")
        if request.n not in (None, 1):
            raise invalid("n", "this model's provider gives one choice only.")
        if "audio" in (request.modalities or ()):
            raise invalid("modalities", "this model's provider does not answer with audio.")
        for name, value in fields.items():
            if name not in _READ and bytes(value) not in _NEUTRAL:
                self._lose(name)
        system, turns = self._system_and_turns()
        return Conversation(
            model=request.model,
            system=system,
            turns=turns,
            tools=self._tools(),
            tool_choice=self._tool_choice(),
            parallel_tool_calls=request.parallel_tool_calls,
            max_output_tokens=request.max_completion_tokens or request.max_tokens,
            temperature=request.temperature,
            top_p=request.top_p,
            top_k=request.top_k,
            seed=request.seed,
            presence_penalty=request.presence_penalty,
            frequency_penalty=request.frequency_penalty,
            logprobs=request.logprobs,
            top_logprobs=request.top_logprobs,
            stop=(request.stop,) if isinstance(request.stop, str) else tuple(request.stop or ()),
            response_format=self._response_format(),
            reasoning=self._reasoning_control(),
            user=request.safety_identifier or request.user,
            service_tier=request.service_tier,
            verbosity=request.verbosity,
            prompt_cache_key=request.prompt_cache_key,
            metadata=request.metadata or None,
            stream=bool(request.stream),
            include_usage=bool(request.stream_options and request.stream_options.include_usage),
            legacy_functions=bool(request.functions),
            extra={name: Raw(b"null") for name in self._lost},
            field_names=_FIELD_NAMES,
        )

    def _lose(self, name: str) -> None:
        self._lost[name] = None

    def _system_and_turns(self) -> tuple[tuple[Text, ...], tuple[Turn, ...]]:
        system: list[Text] = []
        turns: list[Turn] = []
        for index, message in enumerate(self._request.messages):
            path = f"messages[{index}]"
            if message.name and message.role != "function":
                self._lose("messages.name")
            match message.role:
                case "system" | "developer":
                    texts = tuple(self._texts(message, path))
                    if turns:
                        turns.append(Turn("system", texts))
                    else:
                        system += texts
                case "assistant":
                    turns.append(Turn("assistant", tuple(self._assistant(message, path))))
                case "user":
                    parts = tuple(self._parts(message.content, f"{path}.content"))
                    turns.append(Turn("user", parts))
                case "tool" | "function":
                    turns.append(Turn("user", (self._tool_result(message, path),)))
        return tuple(system), tuple(turns)

    def _texts(self, message: wire.SentMessage, path: str) -> Iterator[Text]:
        for part in self._parts(message.content, f"{path}.content"):
            if not isinstance(part, Text):
                raise invalid(f"{path}.content", f"a {message.role} message holds text only.")
            if part.text.strip():
                yield part

    def _assistant(self, message: wire.SentMessage, path: str) -> Iterator[Part]:
        thoughts = list(read_reasoning(message))
        told = [each.opaque for each in thoughts]
        yield from thoughts
        yield from self._cited(message, f"{path}.content")
        if message.refusal:
            yield Refusal(text=message.refusal)
        if message.audio is not UNSET and bytes(message.audio) != b"null":
            self._lose("messages.audio")
        for index, call in enumerate(message.tool_calls or ()):
            state = read_call_state(call.extra_content)
            if state is not None and state not in told:
                yield Reasoning(text="", opaque=state)
            yield _tool_call(call, f"{path}.tool_calls[{index}]")
        if function := message.function_call:
            self._function_calls += 1
            yield ToolCall(
                id=self._function_id(), name=function.name, arguments=_arguments(function)
            )

    def _cited(self, message: wire.SentMessage, path: str) -> Iterable[Part]:
        """What an assistant said; its citations are counted over the whole text, so they are of
        a lone text only."""
        parts = list(self._parts(message.content, path))
        found = [each.url_citation for each in message.annotations or ()]
        citations = tuple(
            Citation(each.url, each.title or "", start=each.start_index, end=each.end_index)
            for each in found
            if each is not None and each.url
        )
        if len(parts) == 1 and isinstance(text := parts[0], Text):
            return (msgspec.structs.replace(text, citations=citations),)
        if citations:
            self._lose("messages.annotations")
        return parts

    def _function_id(self) -> str:
        """The deprecated form has no ids: a result belongs to the latest call."""
        return f"call_fn_{self._function_calls}"

    def _tool_result(self, message: wire.SentMessage, path: str) -> ToolResult:
        is_function = message.role == "function"
        return ToolResult(
            call_id=self._function_id() if is_function else message.tool_call_id or "",
            name=message.name,
            parts=tuple(self._parts(message.content, f"{path}.content")),
        )

    def _parts(self, content: wire.Content | None, path: str) -> Iterable[Part]:
        if content is None:
            return ()
        if isinstance(content, str):
            return (Text(text=content),)
        return [_part(each, f"{path}[{index}]") for index, each in enumerate(content)]

    def _tools(self) -> tuple[Tool | ServerTool, ...]:
        request = self._request
        tools = [_tool(each, f"tools[{index}]") for index, each in enumerate(request.tools or ())]
        tools += [_function_tool(each) for each in request.functions or ()]
        if request.web_search_options is not None:
            tools.append(_web_search(request.web_search_options))
        return tuple(tools)

    def _tool_choice(self) -> ToolChoice | None:
        choice = self._request.tool_choice
        if choice is None:
            return _function_choice(self._request.function_call)
        if isinstance(choice, str):
            if choice in ("auto", "none", "required"):
                return ToolChoice(choice)
            raise invalid("tool_choice", "it must be 'none', 'auto', 'required' or an object.")
        if allowed := choice.allowed_tools:
            names = tuple(_name_of(each) for each in allowed.tools)
            return ToolChoice(allowed.mode, names)
        return ToolChoice("required", (_name_of(choice),))

    def _response_format(self) -> ResponseFormat | None:
        found = self._request.response_format
        if found is None or found.type == "text":
            return None
        if found.type == "json_object":
            return ResponseFormat(kind="json_object")
        if found.type != "json_schema":
            raise invalid(
                "response_format.type", "it must be 'text', 'json_object' or 'json_schema'."
            )
        schema = bodies.require(found.json_schema, "response_format.json_schema")
        return ResponseFormat(
            kind="json_schema",
            name=schema.name,
            description=schema.description,
            schema=_absent_is_none(schema.schema),
            strict=schema.strict,
        )

    def _reasoning_control(self) -> ReasoningControl | None:
        request = self._request
        aggregated = request.reasoning or wire.Reasoning()
        thinking = request.thinking or wire.Thinking()
        word = request.reasoning_effort or aggregated.effort
        effort = known_effort(word)
        if word is not None and effort is None:
            self._lose("reasoning_effort")
        enabled = aggregated.enabled
        if effort == "none" or thinking.type == "disabled":
            enabled = False
        elif thinking.type == "enabled":
            enabled = True
        control = ReasoningControl(
            effort=effort,
            budget_tokens=aggregated.max_tokens or thinking.budget_tokens,
            adaptive=thinking.type == "adaptive",
            enabled=enabled,
            show=None if aggregated.exclude is None else not aggregated.exclude,
        )
        return None if control == ReasoningControl() else control


def _absent_is_none(value: Raw | UnsetType) -> Raw | None:
    return None if value is UNSET or bytes(value) == b"null" else value


def _cache(part: wire.ContentPart) -> Cache | None:
    """A marker of either dialect; Messages has only two lifetimes."""
    marker = part.prompt_cache_breakpoint
    if marker is not None:
        return Cache(_LONG_TTL if marker.ttl else None)
    control = part.cache_control
    return None if control is None else Cache(control.ttl)


def _part(part: wire.ContentPart, path: str) -> Part:
    cache = _cache(part)
    match part:
        case wire.TextPart():
            return Text(text=part.text, cache=cache)
        case wire.RefusalPart():
            return Refusal(text=part.refusal, cache=cache)
        case wire.AudioPart():
            audio = part.input_audio
            return Audio(data=audio.data, format=audio.format, cache=cache)
        case wire.ImagePart():
            return _image(part.image_url, f"{path}.image_url.url", cache)
        case wire.FilePart():
            return _file(part.file, f"{path}.file", cache)


def _image(image: wire.ImageUrl | str, path: str, cache: Cache | None) -> Image:
    url, detail = (image, None) if isinstance(image, str) else (image.url, image.detail)
    if found := media.parse_data_url(url):
        return Image(media_type=found.media_type, data=found.data, detail=detail, cache=cache)
    if not url.lower().startswith(("http://", "https://")):
        raise invalid(path, "it must be an http(s) or data URL.")
    return Image(url=url, detail=detail, cache=cache)


def _file(file: wire.File, path: str, cache: Cache | None) -> Document:
    if file.file_id:
        return Document(file_id=file.file_id, title=file.filename, cache=cache)
    data = bodies.require(file.file_data, f"{path}.file_data")
    found = media.parse_data_url(data) or media.Data(media.media_type("", data), data)
    title = file.filename
    if found.media_type.startswith("text/"):
        text = media.decoded_text(found.data)
        if text is not None:
            return Document(text=text, title=title, cache=cache)
    return Document(media_type=found.media_type, data=found.data, title=title, cache=cache)


def _arguments(function: wire.Function) -> str:
    """The JSON text, whether sent as a string, as is right, or as the value itself."""
    found = _absent_is_none(function.arguments)
    if found is None:
        return ""
    text = bytes(found)
    return bodies.decode(_STRING, text) if text.startswith(b'"') else text.decode()


def _tool_call(call: wire.ToolCall, path: str) -> ToolCall:
    if custom := call.custom:
        return ToolCall(id=call.id or "", name=custom.name, arguments=custom.input, custom=True)
    function = bodies.require(call.function, f"{path}.function")
    return ToolCall(id=call.id or "", name=function.name, arguments=_arguments(function))


def _tool(tool: Raw, path: str) -> Tool | ServerTool:
    kind = bodies.decode(_TYPED, tool, path).type
    if kind not in ("function", "custom"):
        return ServerTool(format=_FORMAT, type=kind, name=kind, json=tool)
    found = bodies.decode(_TOOL, tool, path)
    control = found.cache_control
    cache = None if control is None else Cache(control.ttl)
    if kind == "custom":
        custom = bodies.require(found.custom, f"{path}.custom")
        return Tool(
            name=custom.name,
            description=custom.description,
            custom=True,
            custom_format=_absent_is_none(custom.format),
            cache=cache,
        )
    function = bodies.require(found.function, f"{path}.function")
    return msgspec.structs.replace(_function_tool(function), cache=cache)


def _web_search(options: wire.WebSearchOptions) -> WebSearch:
    location = options.user_location
    return WebSearch(
        format=_FORMAT,
        type="web_search_options",
        name=WEB_SEARCH,
        json=bodies.raw(options),
        location=location.approximate if location else None,
        context_size=options.search_context_size,
    )


def _function_tool(function: wire.FunctionTool) -> Tool:
    return Tool(
        name=function.name,
        description=function.description,
        schema=_absent_is_none(function.parameters),
        strict=function.strict,
    )


def _function_choice(choice: str | wire.Named | None) -> ToolChoice | None:
    if choice is None:
        return None
    if isinstance(choice, wire.Named):
        return ToolChoice("required", (choice.name,))
    if choice in ("auto", "none"):
        return ToolChoice(choice)
    raise invalid("function_call", "it must be 'none', 'auto' or an object.")


def _name_of(choice: wire.ToolChoice | wire.NamedTool) -> str:
    named = choice.function or choice.custom
    return named.name if named else choice.type
