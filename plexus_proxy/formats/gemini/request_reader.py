"""A client's generateContent request → the canonical conversation."""

from collections.abc import Iterable, Iterator

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec.structs import replace

from plexus_proxy.formats import arguments, media
from plexus_proxy.formats import body as bodies
from plexus_proxy.formats.body import invalid
from plexus_proxy.formats.conversation import (
    Audio,
    Conversation,
    Document,
    Foreign,
    Image,
    Part,
    Reasoning,
    ReasoningControl,
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
from plexus_proxy.formats.events import Opaque
from plexus_proxy.formats.gemini import types as wire
from plexus_proxy.formats.gemini.schema import json_schema
from plexus_proxy.formats.gemini.spelling import camel, camel_case, shape_of
from plexus_proxy.formats.signatures import read_signature

_FORMAT = "gemini"
_REQUEST = msgspec.json.Decoder(wire.Request)
_SHAPE = shape_of(wire.Request)
_NEUTRAL = frozenset((b"null", b"false", b"0", b"0.0", b"{}", b"[]"))
"""Values that ask for what would happen anyway."""
_FIELD_NAMES = {
    "max_output_tokens": "generationConfig.maxOutputTokens",
    "temperature": "generationConfig.temperature",
    "top_p": "generationConfig.topP",
    "top_k": "generationConfig.topK",
    "seed": "generationConfig.seed",
    "presence_penalty": "generationConfig.presencePenalty",
    "frequency_penalty": "generationConfig.frequencyPenalty",
    "logprobs": "generationConfig.responseLogprobs",
    "top_logprobs": "generationConfig.logprobs",
    "stop": "generationConfig.stopSequences",
    "reasoning": "generationConfig.thinkingConfig",
    "response_format": "generationConfig.responseMimeType",
    "service_tier": "serviceTier",
    "tool_choice": "toolConfig.functionCallingConfig",
    "turns.reasoning": "contents.parts.thoughtSignature",
    "turns.foreign": "contents.parts",
    "parts.is_error": "contents.parts.functionResponse.response",
    "search.blocked_domains": "tools.googleSearch.excludeDomains",
}
_ROLES: dict[str | None, Role] = {
    None: "user",
    "": "user",
    "user": "user",
    "function": "user",  # of earlier versions
    "model": "assistant",
}
_AUDIO_FORMATS = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav", "vnd.wave": "wav"}
_TIERS = {"standard": "default"}
_ENUM = "text/x.enum"
_JSON = "application/json"
_UNSPECIFIED = ("", "MODE_UNSPECIFIED")
_DYNAMIC_BUDGET = -1
_OWN_FILES = ("https://generativelanguage.googleapis.com/", "gs://")
_VIDEO_SITES = ("https://www.youtube.com/", "https://youtube.com/", "https://youtu.be/")
_NO_VIDEO = "this model's provider does not take video."
_URL_SAFE = str.maketrans("-_", "+/")


class _Response(Struct, frozen=True):
    """What a function said, if it said it by the book."""

    output: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


_RESPONSE = msgspec.json.Decoder(_Response)
_STRING = msgspec.json.Decoder(str)
_SEARCHES = ("googleSearch", "googleSearchRetrieval")
_SEARCH = msgspec.json.Decoder(wire.GoogleSearch)


def read_request(body: bytes, model: str, stream: bool) -> Conversation:
    """See Format.read_request; `model` and `stream` are said by the URL. Raises BadRequest naming
    the path."""
    body = camel_case(body, _SHAPE)
    request, fields = bodies.decode(_REQUEST, body), bodies.decode_fields(body)
    return _Reading(request, fields).conversation(model, stream)


class _Reading:
    """One request while it is read; `lost` collects the names of what the canon cannot hold."""

    def __init__(self, request: wire.Request, fields: dict[str, Raw]) -> None:
        self._request = request
        self._fields = fields
        self._config = request.generation_config or wire.GenerationConfig()
        self._calls = _Calls()
        self._lost: dict[str, None] = {}

    def conversation(self, model: str, stream: bool) -> Conversation:
        config = self._config
        self._refuse_what_changes_the_meaning()
        self._note(self._fields, wire.Request, "")
        for name, kind in (
            ("generationConfig", wire.GenerationConfig),
            ("toolConfig", wire.ToolConfig),
        ):
            if (inner := self._fields.get(name)) is not None and bytes(inner) != b"null":
                self._note(bodies.decode_fields(inner), kind, f"{name}.")
        told = self._request.tool_config
        if told is not None and told.include_server_side_tool_invocations:
            self._lose("toolConfig.includeServerSideToolInvocations")
        system = tuple(self._system())
        turns = tuple(self._turns())
        return Conversation(
            model=model,
            system=system,
            turns=turns,
            tools=tuple(self._tools()),
            tool_choice=self._tool_choice(),
            max_output_tokens=config.max_output_tokens,
            temperature=config.temperature,
            top_p=config.top_p,
            top_k=None if config.top_k is None else int(config.top_k),
            seed=config.seed,
            presence_penalty=config.presence_penalty,
            frequency_penalty=config.frequency_penalty,
            logprobs=config.response_logprobs,
            top_logprobs=config.logprobs,
            stop=tuple(config.stop_sequences or ()),
            response_format=self._response_format(),
            reasoning=self._reasoning(),
            service_tier=self._tier(),
            stream=stream,
            include_usage=True,
            extra={name: Raw(b"null") for name in self._lost},
            field_names=_FIELD_NAMES,
        )

    def _lose(self, name: str) -> None:
        self._lost[name] = None

    def _note(self, fields: dict[str, Raw], known: type[Struct], prefix: str) -> None:
        """Lose the fields that `known` has not."""
        for name, value in fields.items():
            if name not in known.__struct_encode_fields__ and bytes(value) not in _NEUTRAL:
                self._lose(prefix + name)

    def _refuse_what_changes_the_meaning(self) -> None:
        request, config = self._request, self._config
        if not request.contents:
            raise invalid("contents", "at least one content is required.")
        if request.cached_content:
            raise invalid(
                "cachedContent", "this model's provider has no such cache: send the content."
            )
        if config.candidate_count not in (None, 0, 1):
            raise invalid(
                "generationConfig.candidateCount",
                "this model's provider gives one candidate only.",
            )
        for each in config.response_modalities or ():
            if each.upper() not in ("TEXT", "MODALITY_UNSPECIFIED"):
                raise invalid(
                    "generationConfig.responseModalities",
                    f"this model's provider does not answer with {each.lower()}.",
                )

    def _system(self) -> Iterator[Text]:
        instruction = self._request.system_instruction
        for index, part in enumerate(instruction.parts if instruction else ()):
            if part.text is None:
                raise invalid(f"systemInstruction.parts[{index}]", "it must be text.")
            if part.text.strip():
                yield Text(text=part.text)

    def _turns(self) -> Iterator[Turn]:
        before: Role = "user"
        for index, content in enumerate(self._request.contents):
            path = f"contents[{index}]"
            role = _ROLES.get(content.role)
            if role is None:
                raise invalid(f"{path}.role", "it must be 'user' or 'model'.")
            if role == "assistant" and before == "user":
                self._calls.begin_step()
            before = role
            yield Turn(role, tuple(self._parts(content, role, f"{path}.parts")))

    def _parts(self, content: wire.Content, role: Role, path: str) -> list[Part]:
        """Parts in order; what is said in thought, and its state, before what it led to."""
        parts: list[Part] = []
        for index, part in enumerate(content.parts):
            at = f"{path}[{index}]"
            self._note_part(part)
            state = read_signature(part.thought_signature)
            if role == "user":
                if part.thought or state:
                    self._lose("contents.parts.thought")
            elif part.thought:
                _think(parts, part.text or "", state)
            elif state is not None:
                _sign(parts, state)
            if not part.thought:
                parts += self._part(part, role, at)
            elif part.text is None:
                self._lose("contents.parts.thought")
        return parts

    def _note_part(self, part: wire.Part) -> None:
        for name in ("video_metadata", "media_resolution", "part_metadata"):
            if getattr(part, name) is not UNSET:
                self._lose(f"contents.parts.{camel(name)}")

    def _part(self, part: wire.Part, role: Role, path: str) -> Iterable[Part]:
        if part.text is not None:
            return (Text(text=part.text),) if part.text else ()
        if part.inline_data is not None or part.file_data is not None:
            return (_media(part, path),)
        if call := part.function_call:
            if role != "assistant":
                raise invalid(f"{path}.functionCall", "only a content of the model may hold it.")
            return (self._tool_call(call, f"{path}.functionCall"),)
        if response := part.function_response:
            if role != "user":
                raise invalid(f"{path}.functionResponse", "only a content of the user may hold it.")
            return (self._tool_result(response, f"{path}.functionResponse"),)
        for name in ("executable_code", "code_execution_result", "tool_call", "tool_response"):
            found: Raw | UnsetType = getattr(part, name)
            if found is not UNSET:
                return (Foreign(format=_FORMAT, type=camel(name), json=found),)
        if part.thought_signature is None:
            self._lose("contents.parts")
        return ()

    def _tool_call(self, call: wire.FunctionCall, path: str) -> ToolCall:
        args = call.args
        if args is UNSET or bytes(args) == b"null":
            args = Raw(b"{}")
        if not bytes(args).startswith(b"{"):
            raise invalid(f"{path}.args", "it must be an object.")
        return ToolCall(
            id=self._calls.id_of_call(call), name=call.name, arguments=arguments.as_text(args)
        )

    def _tool_result(self, response: wire.FunctionResponse, path: str) -> ToolResult:
        for name in ("will_continue", "scheduling"):
            value: Raw | UnsetType = getattr(response, name)
            if value is not UNSET and bytes(value) not in _NEUTRAL:
                self._lose(f"contents.parts.functionResponse.{camel(name)}")
        text, is_error = _said(response.response, f"{path}.response")
        parts: list[Part] = [Text(text=text)] if text else []
        parts += [
            _media(each, f"{path}.parts[{index}]")
            for index, each in enumerate(response.parts or ())
        ]
        return ToolResult(
            call_id=self._calls.id_of_response(response),
            name=response.name or None,
            parts=tuple(parts),
            is_error=is_error,
        )

    def _tools(self) -> Iterator[Tool | ServerTool]:
        """Functions, and the tools the provider would execute, each by its field's name."""
        sent = self._fields.get("tools")
        fields = [] if sent is None or not self._request.tools else bodies.decode_items(sent)
        for tool, each in zip(self._request.tools or (), fields, strict=True):
            for name, value in bodies.decode_fields(each).items():
                if bytes(value) == b"null":
                    continue
                if name in _SEARCHES:
                    yield self._web_search(name, value)
                elif name != "functionDeclarations":
                    yield ServerTool(format=_FORMAT, type=name, name=name, json=value)
                elif tool.function_declarations:
                    for declaration in bodies.decode_items(value):
                        self._note(
                            bodies.decode_fields(declaration),
                            wire.FunctionDeclaration,
                            "tools.functionDeclarations.",
                        )
            yield from map(_function, tool.function_declarations or ())

    def _web_search(self, name: str, json: Raw) -> WebSearch:
        found = bodies.decode(_SEARCH, json, f"tools.{name}")
        self._note(bodies.decode_fields(json), wire.GoogleSearch, f"tools.{name}.")
        blocked = tuple(found.exclude_domains or ())
        return WebSearch(format=_FORMAT, type=name, name=name, json=json, blocked_domains=blocked)

    def _tool_choice(self) -> ToolChoice | None:
        config = self._request.tool_config and self._request.tool_config.function_calling_config
        if config is None:
            return None
        names = tuple(config.allowed_function_names or ())
        match (config.mode or "").upper():
            case "AUTO" | "VALIDATED":
                return ToolChoice("auto", names)
            case "ANY":
                return ToolChoice("required", names)
            case "NONE":
                return ToolChoice("none")
            case mode if mode in _UNSPECIFIED:
                return ToolChoice("auto", names) if names else None
            case _:
                raise invalid(
                    "toolConfig.functionCallingConfig.mode",
                    "it must be 'AUTO', 'ANY', 'NONE' or 'VALIDATED'.",
                )

    def _response_format(self) -> ResponseFormat | None:
        config = self._config
        if config.response_mime_type == _ENUM:
            self._lose("generationConfig.responseMimeType")
            return None
        schema = _present(config.response_json_schema)
        if schema is None and (subset := _present(config.response_schema)) is not None:
            schema = json_schema(subset)
        if schema is not None:
            return ResponseFormat(kind="json_schema", schema=schema)
        return ResponseFormat(kind="json_object") if config.response_mime_type == _JSON else None

    def _reasoning(self) -> ReasoningControl:
        """Thoughts are shown only to clients that ask for them."""
        thinking = self._config.thinking_config or wire.ThinkingConfig()
        word = (thinking.thinking_level or "").lower()
        effort = known_effort(word)
        if effort is None and word not in ("", "thinking_level_unspecified"):
            self._lose("generationConfig.thinkingConfig.thinkingLevel")
        budget = thinking.thinking_budget
        return ReasoningControl(
            effort=effort,
            budget_tokens=None if budget == _DYNAMIC_BUDGET else budget,
            adaptive=budget == _DYNAMIC_BUDGET,
            enabled=False if budget == 0 else None,
            show=bool(thinking.include_thoughts),
        )

    def _tier(self) -> str | None:
        tier = self._request.service_tier
        if tier is None:
            return None
        word = tier.lower().removeprefix("service_tier_")
        return None if word in ("", "unspecified") else _TIERS.get(word, word)


class _Calls:
    """Ids for calls that have none, and which call a response answers: by its id, else the first
    call of that name that has no answer yet."""

    def __init__(self) -> None:
        self._open: list[tuple[str, str]] = []
        self._count = 0

    def begin_step(self) -> None:
        """Responses belong to the calls since the last of these."""
        self._open.clear()

    def id_of_call(self, call: wire.FunctionCall) -> str:
        self._count += 1
        tool_id = call.id or f"call_fc_{self._count}"
        self._open.append((tool_id, call.name))
        return tool_id

    def id_of_response(self, response: wire.FunctionResponse) -> str:
        found = next((each for each in self._open if each[0] == response.id), None)
        if found is None:
            found = next((each for each in self._open if each[1] == response.name), None)
        if found is None:
            return response.id or response.name
        self._open.remove(found)
        return found[0]


def _think(parts: list[Part], text: str, state: Opaque | None) -> None:
    """Add to `parts` a piece of thought, which goes on with the last one until a state ends it."""
    last = parts[-1] if parts else None
    if isinstance(last, Reasoning) and last.opaque is None:
        parts[-1] = replace(last, text=last.text + text, opaque=state)
    elif text or state:
        parts.append(Reasoning(text=text, opaque=state))


def _sign(parts: list[Part], state: Opaque) -> None:
    """Add to `parts` the state that comes on what the thought has led to.

    It ends the last thought that has none. Where the client has seen no thought, state of another
    vendor goes to the beginning: there that vendor's own thinking stood."""
    thoughts = [at for at, part in enumerate(parts) if isinstance(part, Reasoning)]
    last = parts[thoughts[-1]] if thoughts else None
    if isinstance(last, Reasoning) and last.opaque is None:
        parts[thoughts[-1]] = replace(last, opaque=state)
    elif thoughts or state.kind == "gsig":
        parts.append(Reasoning(text="", opaque=state))
    else:
        parts.insert(0, Reasoning(text="", opaque=state))


def _media(part: wire.Part | wire.ResponsePart, path: str) -> Part:
    blob, file = part.inline_data, part.file_data
    if blob is not None:
        return _blob(blob, f"{path}.inlineData")
    return _file(bodies.require(file, f"{path}.inlineData"), f"{path}.fileData")


def _blob(blob: wire.Blob, path: str) -> Part:
    data = _standard(blob.data)
    kind = media.media_type(blob.mime_type, data)
    family, _, subtype = kind.partition(";")[0].partition("/")
    match family:
        case "image":
            return Image(media_type=kind, data=data)
        case "audio":
            return Audio(data=data, format=_AUDIO_FORMATS.get(subtype, subtype))
        case "video":
            raise invalid(path, _NO_VIDEO)
        case "text":
            text = media.decoded_text(data)
            if text is None:
                raise invalid(f"{path}.data", "it must be UTF-8 text in base64.")
            return Document(text=text, title=blob.display_name)
        case _:
            return Document(media_type=kind, data=data, title=blob.display_name)


def _standard(data: str) -> str:
    """Base64 in the alphabet of the other formats; Python's SDK sends the URL-safe one."""
    data = data.translate(_URL_SAFE)
    return data + "=" * (-len(data) % 4)


def _file(file: wire.FileData, path: str) -> Part:
    uri, family = file.file_uri, (file.mime_type or "").partition("/")[0].lower()
    if family == "video" or uri.startswith(_VIDEO_SITES):
        raise invalid(path, _NO_VIDEO)
    if family == "audio":
        raise invalid(path, "this model's provider does not take audio by URI.")
    if uri.startswith(_OWN_FILES) or not uri.startswith(("https://", "http://")):
        is_image = family == "image"
        return Image(file_id=uri) if is_image else Document(file_id=uri, title=file.display_name)
    if family == "image":
        return Image(url=uri)
    return Document(url=uri, title=file.display_name)


def _said(response: Raw | UnsetType, path: str) -> tuple[str, bool]:
    """The text of a function's response, and whether it is an error."""
    if response is UNSET or bytes(response) == b"null":
        return "", False
    if not bytes(response).startswith(b"{"):
        raise invalid(path, "it must be an object.")
    if len(bodies.decode_fields(response)) == 1:
        found = bodies.decode(_RESPONSE, response, path)
        if found.output is not UNSET:
            return _text_of(found.output), False
        if found.error is not UNSET:
            return _text_of(found.error), True
    return arguments.as_text(response), False


def _text_of(value: Raw) -> str:
    if bytes(value) == b"null":
        return ""
    is_string = bytes(value).startswith(b'"')
    return bodies.decode(_STRING, value) if is_string else arguments.as_text(value)


def _function(declaration: wire.FunctionDeclaration) -> Tool:
    schema = _present(declaration.parameters_json_schema)
    if schema is None and (subset := _present(declaration.parameters)) is not None:
        schema = json_schema(subset)
    return Tool(name=declaration.name, description=declaration.description, schema=schema)


def _present(value: Raw | UnsetType) -> Raw | None:
    return None if value is UNSET or bytes(value) == b"null" else value
