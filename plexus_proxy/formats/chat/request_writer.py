"""The canonical conversation → a request for a Chat Completions provider."""

import msgspec
from msgspec import UNSET

from plexus_proxy.errors import BadRequest
from plexus_proxy.formats import logprobs, openai
from plexus_proxy.formats.chat import types as wire
from plexus_proxy.formats.chat.capabilities import capabilities_of
from plexus_proxy.formats.chat.turns import messages_of
from plexus_proxy.formats.conversation import Conversation, Crossing, Tool, WebSearch
from plexus_proxy.formats.customtools import as_function
from plexus_proxy.formats.schemas import may_be_strict_for_chat
from plexus_proxy.formats.stops import watchable
from plexus_proxy.formats.toolnames import wire_name
from plexus_proxy.formats.toolset import offered_tools, tools_of_history
from plexus_proxy.formats.websearch import offered_search

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
        messages = messages_of(conversation, crossing)
        if not messages:
            raise BadRequest("The conversation has no content.", param="messages")
        search = offered_search(
            conversation,
            crossing,
            known.web_search,
            carried=("location", "context_size"),
            barrable=False,
        )
        offered = offered_tools(conversation, crossing, search=search)
        choice = self._tool_choice(offered)
        if not offered and not search and (offered := tools_of_history(conversation)):
            choice = "none"
        tools = [self._tool(each) for each in offered]
        limit = conversation.max_output_tokens
        likely, top = logprobs.asked(conversation, crossing, known=known.sampling)
        user, key = conversation.user, conversation.prompt_cache_key
        return wire.Request(
            model=crossing.model,
            messages=messages,
            max_completion_tokens=limit if known.max_completion_tokens else None,
            max_tokens=None if known.max_completion_tokens else limit,
            temperature=self._sampling("temperature", conversation.temperature),
            top_p=self._sampling("top_p", conversation.top_p),
            seed=conversation.seed,
            presence_penalty=self._penalty("presence_penalty", conversation.presence_penalty),
            frequency_penalty=self._penalty("frequency_penalty", conversation.frequency_penalty),
            logprobs=likely or None,
            top_logprobs=top or None,
            stop=self._stop(),
            tools=tools or None,
            tool_choice=choice,
            parallel_tool_calls=conversation.parallel_tool_calls if tools else None,
            response_format=self._response_format(),
            reasoning_effort=self._effort(),
            verbosity=conversation.verbosity,
            service_tier=openai.service_tier(conversation.service_tier),
            user=openai.identifier(user) if user else None,
            prompt_cache_key=openai.identifier(key) if key else None,
            web_search_options=_search_options(search) if search else None,
            stream=conversation.stream or None,
            stream_options=wire.StreamOptions(True) if conversation.stream else None,
        )

    def _lose(self, field: str) -> None:
        self._conversation.lose(field, self._crossing)

    def _note_losses(self) -> None:
        conversation, crossing = self._conversation, self._crossing
        for name in conversation.extra:
            crossing.drop(name)
        for field in ("top_k", "metadata"):
            if getattr(conversation, field) is not None:
                self._lose(field)
        if any(each.cache for each in (*conversation.system, *self._client_tools())):
            self._lose("cache")
        if conversation.reasoning is not None and conversation.reasoning.show is False:
            crossing.show_reasoning = False

    def _client_tools(self) -> list[Tool]:
        return [each for each in self._conversation.tools if isinstance(each, Tool)]

    def _sampling(self, field: str, value: float | None) -> float | None:
        if value is None or self._known.sampling:
            return value
        if value != 1:
            self._lose(field)
        return None

    def _penalty(self, field: str, value: float | None) -> float | None:
        if self._known.sampling:
            return value
        if value:
            self._lose(field)
        return None

    def _stop(self) -> list[str] | None:
        stop = [each for each in self._conversation.stop if each]
        kept = stop[: wire.MAX_STOPS] if self._known.sampling else []
        self._crossing.stops = watchable(stop[len(kept) :])
        return kept or None

    def _tool(self, sent: Tool) -> wire.Tool:
        name = wire_name(sent.name, wire.TOOL_NAME_CHARS, self._crossing)
        tool = sent
        if not self._known.custom_tools:
            tool = as_function(sent, self._conversation, self._crossing)
        if tool.custom:
            form = UNSET if tool.custom_format is None else tool.custom_format
            return wire.Tool("custom", custom=wire.CustomTool(name, tool.description, form))
        strict = tool.strict
        if strict and not may_be_strict_for_chat(tool.schema):
            self._lose("tools.strict")
            strict = None
        schema = UNSET if tool.schema is None else tool.schema
        return wire.Tool("function", wire.FunctionTool(name, tool.description, schema, strict))

    def _tool_choice(self, offered: list[Tool]) -> str | wire.ToolChoice | None:
        """Only functions can be chosen: a model that searches does so by itself."""
        choice = self._conversation.tool_choice
        if choice is None:
            return None
        if not offered or (choice.names and not {each.name for each in offered} & {*choice.names}):
            if choice.mode == "required":
                self._lose("tool_choice")
            return "auto" if offered else None
        if choice.mode != "required" or len(choice.names) != 1:
            return choice.mode
        name = choice.names[0]
        wire_one = wire.Named(wire_name(name, wire.TOOL_NAME_CHARS, self._crossing))
        custom = self._known.custom_tools and any(
            each.custom and each.name == name for each in self._client_tools()
        )
        if custom:
            return wire.ToolChoice("custom", custom=wire_one)
        return wire.ToolChoice("function", wire_one)

    def _response_format(self) -> wire.ResponseFormat | None:
        wanted = self._conversation.response_format
        if wanted is None:
            return None
        if wanted.schema is None:
            return wire.ResponseFormat("json_object")
        strict = wanted.strict
        if strict is None and may_be_strict_for_chat(wanted.schema):
            strict = True  # other formats always enforce the schema
        name = openai.schema_name(wanted.name)
        schema = wire.JsonSchema(name, wanted.description, wanted.schema, strict)
        return wire.ResponseFormat("json_schema", schema)

    def _effort(self) -> str | None:
        effort, lost = openai.effort_of(self._conversation.reasoning, self._known.efforts)
        if lost:
            self._lose("reasoning")
        return effort


def _search_options(search: WebSearch) -> wire.WebSearchOptions:
    location = search.location
    return wire.WebSearchOptions(
        search.context_size, wire.UserLocation("approximate", location) if location else None
    )
