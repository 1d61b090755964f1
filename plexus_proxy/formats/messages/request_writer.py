"""The canonical conversation → a request for a Messages provider."""

from collections.abc import Iterator

import msgspec
from msgspec import Raw, Struct

from plexus_proxy.errors import BadRequest
from plexus_proxy.formats import answertool, arguments
from plexus_proxy.formats.body import raw
from plexus_proxy.formats.conversation import (
    Cache,
    Conversation,
    Crossing,
    Document,
    Image,
    Part,
    Reasoning,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    WebSearch,
)
from plexus_proxy.formats.customtools import as_function
from plexus_proxy.formats.messages import thinking
from plexus_proxy.formats.messages import types as wire
from plexus_proxy.formats.messages.capabilities import capabilities_of
from plexus_proxy.formats.messages.markers import Markers
from plexus_proxy.formats.messages.turns import legal_turns, running_loop_has_thinking
from plexus_proxy.formats.schemas import closed, may_be_strict_for_messages, object_root
from plexus_proxy.formats.stops import watchable
from plexus_proxy.formats.toolnames import wire_name
from plexus_proxy.formats.toolset import offered_tools, tools_of_history
from plexus_proxy.formats.websearch import NAME as WEB_SEARCH
from plexus_proxy.formats.websearch import offered_search, write_location

NO_SAMPLING_VERSION = "2026-10-21"
"""From this anthropic-version on, temperature, top_p and top_k are refused at any value."""

_TIERS = {"auto": "auto", "priority": "auto", "fast": "auto", "default": "standard_only"}
_PDF = "application/pdf"
_JSON_ONLY = "Answer with one JSON object and nothing else."
_JSON_OF_SCHEMA = "Answer with JSON that matches this JSON Schema, and nothing else:\n"
_ANSWER = "Gives the answer to the user."
_MIN_TOP_P_WITH_THINKING = 0.95

_encode = msgspec.json.Encoder().encode


def write_request(conversation: Conversation, crossing: Crossing) -> bytes:
    """See Format.write_request. Raises BadRequest for what would change the meaning if left out."""
    return _encode(_Writing(conversation, crossing).request())


class _Sampling(Struct, frozen=True):
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None


class _Writing:
    """One request while it is written."""

    def __init__(self, conversation: Conversation, crossing: Crossing) -> None:
        self._conversation = conversation
        self._crossing = crossing
        self._known = capabilities_of(crossing.model)

    def request(self) -> wire.Request:
        conversation, crossing = self._conversation, self._crossing
        self._note_losses()
        turns = legal_turns(conversation, crossing)
        system = list(conversation.system)
        if not turns:  # nothing but system text: it becomes the question
            turns, system = [Turn("user", tuple(system))], []
        if not turns[0].parts:
            raise BadRequest("The conversation has no content.", param="messages")
        search = self._search()
        declared = offered_tools(conversation, crossing, search=search)
        choice = self._choice(has_tools=bool(declared or search))
        plan = self._plan(turns, forced=choice is not None and choice.mode == "required")
        if plan.active and choice is not None and choice.mode == "required":
            choice = ToolChoice("auto", choice.names)
            self._lose("tool_choice")
        if turns[-1].role == "assistant":
            turns[-1] = self._prefill(turns[-1], thinks=plan.active)
        if not declared and not search and (declared := tools_of_history(conversation)):
            choice = ToolChoice("none")
        tools = [self._tool(each) for each in declared]
        forced = self._answer_tool(is_free=not tools and not search and not plan.active)
        if forced is not None:
            tools, choice = [forced], ToolChoice("required", (forced.name,))
        system += self._format_instruction()
        blocks = [(turn.role, [self._block(part) for part in turn.parts]) for turn in turns]
        system_blocks = [wire.TextBlock(text=e.text, cache_control=_marker(e)) for e in system]
        markers = Markers(
            piece for pieces in (tools, system_blocks, *(b for _, b in blocks)) for piece in pieces
        )
        tools, system_blocks = markers.legal(tools), markers.legal(system_blocks)
        sampling = self._sampling(thinks=plan.active)
        output = wire.OutputConfig(plan.effort, self._output_format())
        return wire.Request(
            model=crossing.model,
            max_tokens=plan.max_tokens,
            system=_system(system_blocks),
            messages=[_message(turn, markers.legal(each)) for turn, each in blocks],
            tools=[raw(each) for each in (*tools, *_web_search(search))] or None,
            tool_choice=self._wire_choice(choice),
            stop_sequences=self._stop(),
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            thinking=plan.thinking,
            output_config=None if output == wire.OutputConfig() else output,
            metadata=wire.Metadata(conversation.user) if conversation.user else None,
            service_tier=self._tier(),
            stream=conversation.stream or None,
        )

    def _lose(self, field: str) -> None:
        self._conversation.lose(field, self._crossing)

    def _note_losses(self) -> None:
        conversation, crossing = self._conversation, self._crossing
        for name in conversation.extra:
            crossing.drop(name)
        for field in ("verbosity", "prompt_cache_key", "metadata", "seed"):
            if getattr(conversation, field) is not None:
                self._lose(field)
        for field in ("presence_penalty", "frequency_penalty", "logprobs", "top_logprobs"):
            if getattr(conversation, field):
                self._lose(field)
        crossing.legacy_functions = conversation.legacy_functions
        if conversation.reasoning is not None and conversation.reasoning.show is False:
            crossing.show_reasoning = False

    def _plan(self, turns: list[Turn], *, forced: bool) -> thinking.Plan:
        conversation = self._conversation
        plan = thinking.plan(
            conversation.reasoning,
            self._known,
            thinking.Limits(conversation.max_output_tokens, self._crossing.default_max_tokens),
            forced=forced,
            loop_intact=running_loop_has_thinking(turns),
        )
        if plan.lost:
            self._lose("reasoning")
        return plan

    def _prefill(self, turn: Turn, *, thinks: bool) -> Turn:
        """The last turn when it is the assistant's: the beginning of the answer."""
        last = turn.parts[-1]
        if thinks or not self._known.prefill or not isinstance(last, Text):
            raise BadRequest(
                "This model does not continue an assistant message: the last message must be the"
                " user's.",
                param="messages",
            )
        return Turn(
            turn.role, (*turn.parts[:-1], msgspec.structs.replace(last, text=last.text.rstrip()))
        )

    def _search(self) -> WebSearch | None:
        """Unless the client has a function of the name that this tool must have."""
        conversation, use = self._conversation, self._known.web_search
        tools = [each for each in conversation.tools if isinstance(each, Tool)]
        if any(self._wire_name(each.name) == WEB_SEARCH for each in tools):
            use = "never"
        options = ("allowed_domains", "blocked_domains", "location", "max_uses")
        return offered_search(conversation, self._crossing, use, carried=options)

    def _choice(self, *, has_tools: bool) -> ToolChoice | None:
        conversation = self._conversation
        if not has_tools:
            return None
        if conversation.tool_choice is None and conversation.parallel_tool_calls is False:
            return ToolChoice("auto")
        return conversation.tool_choice

    def _wire_choice(self, choice: ToolChoice | None) -> wire.ToolChoice | None:
        if choice is None:
            return None
        if choice.mode == "none":
            return wire.ToolChoice("none")
        is_serial = self._conversation.parallel_tool_calls is False or self._crossing.answer_tool
        serial = True if is_serial else None
        if choice.mode == "auto":
            return wire.ToolChoice("auto", disable_parallel_tool_use=serial)
        if len(choice.names) == 1:
            name = self._chosen(choice.names[0])
            return wire.ToolChoice("tool", name, disable_parallel_tool_use=serial)
        return wire.ToolChoice("any", disable_parallel_tool_use=serial)

    def _chosen(self, name: str) -> str:
        """The tool of that name, as it is called there."""
        is_search = any(
            isinstance(each, WebSearch) and each.name == name for each in self._conversation.tools
        )
        return WEB_SEARCH if is_search else self._wire_name(name)

    def _wire_name(self, name: str) -> str:
        return wire_name(name, wire.TOOL_NAME_CHARS, self._crossing)

    def _tool(self, sent: Tool) -> wire.Tool:
        tool = as_function(sent, self._conversation, self._crossing)
        schema = object_root(tool.schema)
        strict = tool.strict or None
        if strict and not (self._known.enforces_schemas and may_be_strict_for_messages(schema)):
            self._lose("tools.strict")
            strict = None
        return wire.Tool(
            name=self._wire_name(tool.name),
            description=tool.description,
            input_schema=schema,
            strict=strict,
            cache_control=_marker(tool),
        )

    def _block(self, part: Part) -> wire.Block:
        match part:
            case Text():
                return wire.TextBlock(text=part.text, cache_control=_marker(part))
            case Image():
                return self._image(part)
            case Document():
                return _document(part)
            case ToolCall():
                wrap = arguments.wrapped if part.custom else arguments.as_object
                return wire.ToolUseBlock(
                    id=part.id,
                    name=self._wire_name(part.name),
                    input=wrap(part.arguments),
                    cache_control=_marker(part),
                )
            case ToolResult():
                return wire.ToolResultBlock(
                    tool_use_id=part.call_id,
                    content=_content([self._block(each) for each in part.parts]) or None,
                    is_error=part.is_error or None,
                    cache_control=_marker(part),
                )
            case Reasoning(opaque=state) if state is not None:
                if state.kind == "redacted":
                    return wire.RedactedThinkingBlock(state.data)
                return wire.ThinkingBlock(part.text, state.data)
            case _:
                raise AssertionError(part)  # legal_turns lets nothing else through

    def _image(self, image: Image) -> wire.ImageBlock:
        if image.detail not in (None, "auto"):
            self._lose("parts.detail")
        marker = _marker(image)
        if image.url is not None:
            return wire.ImageBlock(source=wire.UrlSource(image.url), cache_control=marker)
        if image.data is None or image.media_type is None:
            raise _no_file_id()
        if image.media_type not in wire.IMAGE_TYPES:
            raise BadRequest(
                f"Images of type '{image.media_type}' are not taken by this model's provider:"
                f" use one of {', '.join(wire.IMAGE_TYPES)}.",
                param="messages",
            )
        source = wire.Base64Source(image.media_type, image.data)
        return wire.ImageBlock(source=source, cache_control=marker)

    def _sampling(self, *, thinks: bool) -> _Sampling:
        """What of the sampling fields the model and the API version take.

        Left out silently are values that say the default."""
        conversation, mode = self._conversation, self._known.sampling
        if self._crossing.api_version >= NO_SAMPLING_VERSION:
            mode = "none"
        temperature, top_p, top_k = conversation.temperature, conversation.top_p, conversation.top_k
        kept = _Sampling()
        if mode != "none" and not thinks:
            kept = _Sampling(
                None if temperature is None else min(temperature, 1.0),
                None if mode == "one" and temperature is not None else top_p,
                top_k,
            )
        elif mode != "none" and top_p is not None and top_p >= _MIN_TOP_P_WITH_THINKING:
            kept = _Sampling(top_p=top_p)
        if temperature != kept.temperature and temperature != 1:
            self._lose("temperature")
        if top_p != kept.top_p and top_p != 1:
            self._lose("top_p")
        if top_k != kept.top_k:
            self._lose("top_k")
        return kept

    def _stop(self) -> list[str] | None:
        stop = [each for each in self._conversation.stop if each.strip()]
        blank = [each for each in self._conversation.stop if not each.strip()]
        self._crossing.stops = watchable(blank)  # which the API refuses
        return stop or None

    def _output_format(self) -> wire.OutputFormat | None:
        wanted = self._conversation.response_format
        if wanted is None or wanted.schema is None or not self._known.enforces_schemas:
            return None
        return wire.OutputFormat("json_schema", closed(wanted.schema))

    def _answer_tool(self, *, is_free: bool) -> wire.Tool | None:
        """A tool whose input is the answer, for a model that enforces no schema but for tools;
        `is_free`: nothing forbids to force it."""
        wanted = self._conversation.response_format
        if wanted is None or wanted.schema is None or self._known.enforces_schemas:
            return None
        if not is_free or object_root(wanted.schema) is not wanted.schema:
            return None
        self._crossing.answer_tool = True
        return wire.Tool(
            name=answertool.NAME,
            description=wanted.description or _ANSWER,
            input_schema=wanted.schema,
        )

    def _format_instruction(self) -> list[Text]:
        """What a model that does not enforce the format is told instead."""
        wanted = self._conversation.response_format
        if wanted is None or (wanted.schema is not None and self._known.enforces_schemas):
            return []
        if self._crossing.answer_tool:
            return []
        self._lose("response_format")
        if wanted.schema is None:
            return [Text(text=_JSON_ONLY)]
        return [Text(text=_JSON_OF_SCHEMA + bytes(wanted.schema).decode())]

    def _tier(self) -> str | None:
        tier = self._conversation.service_tier
        if tier is not None and tier not in _TIERS:
            self._lose("service_tier")
        return _TIERS.get(tier or "")


def _web_search(search: WebSearch | None) -> Iterator[wire.WebSearchTool]:
    if search is not None:
        yield wire.WebSearchTool(
            WEB_SEARCH,
            search.max_uses,
            search.allowed_domains or None,
            search.blocked_domains or None,
            write_location(search.location),
        )


def _no_file_id() -> BadRequest:
    return BadRequest(
        "Files uploaded to another provider cannot be used with this model: send the content.",
        param="messages",
    )


def _marker(part: Part | Tool) -> wire.CacheControl | None:
    cache: Cache | None = part.cache
    return None if cache is None else wire.CacheControl(cache.ttl)


def _document(part: Document) -> wire.DocumentBlock:
    source: wire.UrlSource | wire.TextSource | wire.Base64Source
    if part.url is not None:
        source = wire.UrlSource(part.url)
    elif part.text is not None:
        source = wire.TextSource("text/plain", part.text)
    elif part.data is None:
        raise _no_file_id()
    elif part.media_type != _PDF:
        raise BadRequest(
            f"Files of type '{part.media_type or 'unknown'}' are not taken by this model's"
            f" provider: use {_PDF} or text.",
            param="messages",
        )
    else:
        source = wire.Base64Source(_PDF, part.data)
    return wire.DocumentBlock(
        source=source, title=part.title, context=part.context, cache_control=_marker(part)
    )


def _system(blocks: list[wire.TextBlock]) -> str | list[wire.TextBlock] | None:
    if len(blocks) == 1 and blocks[0].cache_control is None:
        return blocks[0].text
    return blocks or None


def _content(blocks: list[wire.Block]) -> str | list[Raw]:
    """A lone text is written as a string, as clients do."""
    if len(blocks) == 1:
        only = blocks[0]
        if isinstance(only, wire.TextBlock) and only.cache_control is None:
            return only.text
    return [raw(each) for each in blocks]


def _message(role: str, blocks: list[wire.Block]) -> wire.Message:
    return wire.Message("assistant" if role == "assistant" else "user", _content(blocks))
