"""The canonical conversation → a request for a Responses provider.

Nothing is stored there (`store: false`), so every item is sent whole and reasoning goes back as its
encrypted content, only to the provider and model that issued it.
"""

from collections.abc import Iterator, Sequence

import msgspec
from msgspec import UNSET, Raw

from plexus_proxy.errors import BadRequest
from plexus_proxy.formats import logprobs, openai
from plexus_proxy.formats.chat.capabilities import capabilities_of
from plexus_proxy.formats.conversation import (
    Audio,
    Conversation,
    Crossing,
    Document,
    Image,
    Part,
    Reasoning,
    Refusal,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    WebSearch,
)
from plexus_proxy.formats.responses import types as wire
from plexus_proxy.formats.schemas import may_be_strict_for_chat
from plexus_proxy.formats.stops import watchable
from plexus_proxy.formats.toolnames import wire_name
from plexus_proxy.formats.toolset import offered_tools
from plexus_proxy.formats.websearch import NAME as WEB_SEARCH
from plexus_proxy.formats.websearch import offered_search, write_location

_ENCRYPTED = "reasoning.encrypted_content"
_SOURCES = "web_search_call.action.sources"
_NO_PARAMETERS = Raw(b'{"type":"object","properties":{}}')
_PARAM = "input"

_encode = msgspec.json.Encoder().encode


def write_request(conversation: Conversation, crossing: Crossing) -> bytes:
    """See Format.write_request. Raises BadRequest for what would change the meaning if left out."""
    return _encode(_Writing(conversation, crossing).request())


class _Writing:
    """One request while it is written."""

    def __init__(self, conversation: Conversation, crossing: Crossing) -> None:
        self._conversation = conversation
        self._crossing = crossing
        self._known = capabilities_of(crossing.model)

    def request(self) -> wire.Request:
        conversation, crossing, known = self._conversation, self._crossing, self._known
        self._note_losses()
        items = list(self._items())
        instructions = "\n\n".join(each.text for each in conversation.system) or None
        if not items:
            if instructions is None:
                raise BadRequest("The conversation has no content.", param="input")
            items.append(wire.Message("developer", instructions))
            instructions = None
        options = ("allowed_domains", "location", "max_uses", "context_size")
        search = offered_search(conversation, crossing, "always", carried=options)
        tools: list[wire.FunctionTool | wire.CustomTool | wire.WebSearchTool] = [
            self._tool(each) for each in offered_tools(conversation, crossing, search=search)
        ]
        likely, top = logprobs.asked(conversation, crossing, known=known.sampling)
        include = [_ENCRYPTED] if known.efforts else []
        include += [wire.LOGPROBS] if likely else []
        if search is not None:
            tools.append(_web_search(search))
            include.append(_SOURCES)
        limit = conversation.max_output_tokens
        user, key = conversation.user, conversation.prompt_cache_key
        return wire.Request(
            model=crossing.model,
            input=items,
            store=False,
            instructions=instructions,
            include=include or None,
            top_logprobs=top or None,
            max_output_tokens=None if limit is None else max(limit, wire.MIN_OUTPUT_TOKENS),
            temperature=self._sampling("temperature", conversation.temperature),
            top_p=self._sampling("top_p", conversation.top_p),
            tools=tools or None,
            tool_choice=self._tool_choice() if tools else None,
            max_tool_calls=search.max_uses if search else None,
            parallel_tool_calls=conversation.parallel_tool_calls if tools else None,
            text=self._text(),
            reasoning=self._reasoning_options(),
            service_tier=openai.service_tier(conversation.service_tier),
            metadata=conversation.metadata,
            user=openai.identifier(user) if user else None,
            prompt_cache_key=openai.identifier(key) if key else None,
            stream=conversation.stream or None,
        )

    def _lose(self, field: str) -> None:
        self._conversation.lose(field, self._crossing)

    def _note_losses(self) -> None:
        conversation, crossing = self._conversation, self._crossing
        for name in conversation.extra:
            crossing.drop(name)
        for field in ("top_k", "seed"):
            if getattr(conversation, field) is not None:
                self._lose(field)
        for field in ("presence_penalty", "frequency_penalty"):
            if getattr(conversation, field):
                self._lose(field)
        crossing.stops = watchable(conversation.stop)  # the API has none
        tools = [each for each in conversation.tools if isinstance(each, Tool)]
        if any(each.cache for each in (*conversation.system, *tools)):
            self._lose("cache")
        if conversation.reasoning is not None and conversation.reasoning.show is False:
            crossing.show_reasoning = False

    def _sampling(self, field: str, value: float | None) -> float | None:
        if value is None or self._known.sampling:
            return value
        if value != 1:
            self._lose(field)
        return None

    def _tool(self, tool: Tool) -> wire.FunctionTool | wire.CustomTool:
        name = wire_name(tool.name, wire.TOOL_NAME_CHARS, self._crossing)
        if tool.custom:
            form = UNSET if tool.custom_format is None else tool.custom_format
            return wire.CustomTool(name, tool.description, form)
        strict = bool(tool.strict)  # left out, the server would try to be strict
        if strict and not may_be_strict_for_chat(tool.schema):
            self._lose("tools.strict")
            strict = False
        return wire.FunctionTool(name, tool.schema or _NO_PARAMETERS, strict, tool.description)

    def _tool_choice(self) -> str | wire.NamedChoice | None:
        choice = self._conversation.tool_choice
        if choice is None:
            return None
        if choice.mode != "required" or len(choice.names) != 1:
            return choice.mode
        name = choice.names[0]
        tools = [each for each in self._conversation.tools if isinstance(each, Tool)]
        tool = next((each for each in tools if each.name == name), None)
        if tool is None:
            return wire.NamedChoice(WEB_SEARCH)
        legal = wire_name(name, wire.TOOL_NAME_CHARS, self._crossing)
        return wire.NamedChoice("custom" if tool.custom else "function", legal)

    def _text(self) -> wire.TextOptions | None:
        wanted, verbosity = self._conversation.response_format, self._conversation.verbosity
        form: wire.Format | None = None
        if wanted is not None and wanted.schema is None:
            form = wire.Format("json_object")
        elif wanted is not None and wanted.schema is not None:
            strict = wanted.strict
            if strict is None and may_be_strict_for_chat(wanted.schema):
                strict = True  # other formats always enforce the schema
            name = openai.schema_name(wanted.name)
            form = wire.Format("json_schema", name, wanted.description, wanted.schema, strict)
        return wire.TextOptions(form, verbosity) if form or verbosity else None

    def _reasoning_options(self) -> wire.ReasoningOptions | None:
        control = self._conversation.reasoning
        effort, lost = openai.effort_of(control, self._known.efforts)
        if lost:
            self._lose("reasoning")
        asked = control is not None and control.enabled is not False and self._known.efforts
        summary = "auto" if asked and self._crossing.show_reasoning else None
        return wire.ReasoningOptions(effort, summary) if effort or summary else None

    # Items

    def _items(self) -> Iterator[wire.Item]:
        for turn in openai.paired_turns(self._conversation, self._crossing):
            match turn.role:
                case "assistant":
                    yield from self._assistant(turn.parts)
                case "system":
                    texts = [part.text for part in turn.parts if isinstance(part, Text)]
                    yield wire.Message("developer", "\n\n".join(texts))
                case "user":
                    yield from self._user(turn.parts)

    def _is_own(self, part: Reasoning) -> bool:
        state = part.opaque
        return state is not None and state.kind == "enc" and openai.is_own(part, self._crossing)

    def _assistant(self, parts: Sequence[Part]) -> Iterator[wire.Item]:
        """Reasoning stands right before what it led to; without that it is left out."""
        said: list[wire.OutputPart] = []
        waiting: list[wire.Item] = []
        for part in parts:
            if isinstance(part, Text | Refusal):
                said.append(
                    _output_text(part) if isinstance(part, Text) else wire.RefusalPart(part.text)
                )
                continue
            if said:
                yield from (*waiting, wire.Message("assistant", said))
                said, waiting = [], []
            if isinstance(part, Reasoning):
                if self._is_own(part):
                    waiting.append(_reasoning(part))
                else:
                    self._lose("turns.reasoning")
            elif isinstance(part, ToolCall):
                yield from (*waiting, self._call(part))
                waiting = []
        if said:
            yield from (*waiting, wire.Message("assistant", said))
        elif waiting:
            self._lose("turns.reasoning")

    def _call(self, call: ToolCall) -> wire.Item:
        name = wire_name(call.name, wire.TOOL_NAME_CHARS, self._crossing)
        if call.custom:
            return wire.CustomToolCall(call.id, name, call.arguments)
        return wire.FunctionCall(call.id, name, call.arguments or "{}")

    def _user(self, parts: Sequence[Part]) -> Iterator[wire.Item]:
        content: list[wire.InputPart] = []
        for part in parts:
            if isinstance(part, ToolResult):
                yield self._output(part)
            else:
                content.append(self._part(part))
        if len(content) == 1 and isinstance(content[0], wire.InputText):
            yield wire.Message("user", content[0].text)
        elif content:
            yield wire.Message("user", content)

    def _output(self, result: ToolResult) -> wire.Item:
        parts = [self._part(each) for each in result.parts]
        texts = [part.text for part in parts if isinstance(part, wire.InputText)]
        output = "\n".join(texts) if len(texts) == len(parts) else parts
        if result.is_error and not output:
            output = openai.EMPTY_ERROR
        if result.custom:
            return wire.CustomToolCallOutput(result.call_id, output)
        return wire.FunctionCallOutput(result.call_id, output)

    def _part(self, part: Part) -> wire.InputPart:
        match part:
            case Text():
                return wire.InputText(part.text)
            case Image():
                return wire.InputImage(openai.image_url(part, _PARAM), part.detail or "auto")
            case Document():
                return self._document(part)
            case Audio():
                return wire.InputAudio(wire.InputAudioData(part.data, part.format))
            case _:
                raise AssertionError(part)  # users send no other parts

    def _document(self, part: Document) -> wire.InputPart:
        if part.citations:
            self._lose("parts.citations")
        if (text := openai.document_text(part)) is not None:
            return wire.InputText(text)
        if part.context is not None:
            self._lose("parts.context")
        if part.url is not None:
            return wire.InputFile(filename=part.title, file_url=part.url)
        return wire.InputFile(*openai.file_of(part, _PARAM))


def _output_text(part: Text) -> wire.OutputText:
    length = len(part.text)
    cited = [wire.Annotation(*e.span(length), e.url, e.title) for e in part.citations]
    return wire.OutputText(part.text, cited)


def _web_search(search: WebSearch) -> wire.WebSearchTool:
    domains = search.allowed_domains
    return wire.WebSearchTool(
        wire.SearchFilters(domains) if domains else None,
        search.context_size,
        write_location(search.location),
    )


def _reasoning(part: Reasoning) -> wire.Reasoning:
    state = part.opaque
    assert state is not None  # only own state has come this far
    summary = [wire.SummaryText(part.text)] if part.text else []
    return wire.Reasoning(summary, state.item_id or None, state.data)
