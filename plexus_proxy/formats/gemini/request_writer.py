"""The canonical conversation → a request for a Gemini provider."""

from collections.abc import Iterable

import msgspec
from msgspec import UNSET, Raw

from plexus_proxy.errors import BadRequest
from plexus_proxy.formats import logprobs
from plexus_proxy.formats.conversation import Conversation, Crossing, Text, Tool, ToolChoice
from plexus_proxy.formats.customtools import as_function
from plexus_proxy.formats.gemini import thinking
from plexus_proxy.formats.gemini import types as wire
from plexus_proxy.formats.gemini.capabilities import capabilities_of
from plexus_proxy.formats.gemini.schema import parameters_of, written
from plexus_proxy.formats.gemini.turns import LEGAL_NAME, contents_of
from plexus_proxy.formats.stops import watchable
from plexus_proxy.formats.toolnames import wire_name
from plexus_proxy.formats.toolset import offered_tools
from plexus_proxy.formats.websearch import offered_search

_TIERS = {"flex": "flex", "priority": "priority", "fast": "priority", "default": "standard"}
_JSON = "application/json"
_JSON_ONLY = "Answer with one JSON object and nothing else."
_JSON_OF_SCHEMA = "Answer with JSON that matches this JSON Schema, and nothing else:\n"
_MAX_TEMPERATURE = 2.0

_encode = msgspec.json.Encoder().encode


def write_request(conversation: Conversation, crossing: Crossing) -> bytes:
    """See Format.write_request; model and stream go into the URL. Raises BadRequest for what would
    change the meaning if left out."""
    return _encode(_Writing(conversation, crossing).request())


class _Writing:
    """One request while it is written."""

    def __init__(self, conversation: Conversation, crossing: Crossing) -> None:
        self._conversation = conversation
        self._crossing = crossing
        self._known = capabilities_of(crossing.model)

    def request(self) -> wire.Request:
        conversation, crossing = self._conversation, self._crossing
        self._note_losses()
        contents = contents_of(conversation, crossing)
        search = offered_search(
            conversation, crossing, self._known.web_search, carried=(), barrable=False
        )
        tools = offered_tools(conversation, crossing, search=search, narrowed=False)
        config = self._generation_config(has_tools=bool(tools))
        system = _parts(conversation.system)
        instruction = _parts(self._format_instruction(has_tools=bool(tools)))
        if not contents:  # nothing but system text: it becomes the question
            contents, system = [wire.Content(role="user", parts=system)], []
        if not contents[0].parts:
            raise BadRequest("The conversation has no content.", param="messages")
        system += instruction
        functions = [self._function(each) for each in tools]
        declared = [wire.Tool(function_declarations=functions)] if functions else []
        if search is not None:
            declared.append(wire.Tool(google_search=wire.GoogleSearch()))
        return wire.Request(
            contents=contents,
            system_instruction=wire.Content(parts=system) if system else None,
            tools=declared or None,
            tool_config=self._tool_config(tools, searches=search is not None),
            generation_config=None if config == wire.GenerationConfig() else config,
            service_tier=self._tier(),
        )

    def _lose(self, field: str) -> None:
        self._conversation.lose(field, self._crossing)

    def _note_losses(self) -> None:
        conversation, crossing = self._conversation, self._crossing
        for name in conversation.extra:
            crossing.drop(name)
        for field in ("user", "metadata", "verbosity", "prompt_cache_key"):
            if getattr(conversation, field) is not None:
                self._lose(field)
        tools = [each for each in conversation.tools if isinstance(each, Tool)]
        if any(each.cache for each in (*conversation.system, *tools)):
            self._lose("cache")
        crossing.legacy_functions = conversation.legacy_functions
        if conversation.reasoning is not None and conversation.reasoning.show is False:
            crossing.show_reasoning = False

    def _lose_of(self, field: str, keywords: Iterable[str]) -> None:
        """Of a schema its keywords."""
        own = self._conversation.field_names.get(field, field)
        for keyword in keywords:
            self._crossing.drop(f"{own}.{keyword}")

    def _wire_name(self, name: str) -> str:
        return wire_name(name, wire.TOOL_NAME_CHARS, self._crossing, LEGAL_NAME)

    def _function(self, sent: Tool) -> wire.FunctionDeclaration:
        tool = as_function(sent, self._conversation, self._crossing)
        parameters = parameters_of(tool.schema, takes_json_schema=self._known.json_schema)
        self._lose_of("tools.schema", parameters.lost)
        return wire.FunctionDeclaration(
            name=self._wire_name(tool.name),
            description=tool.description,
            parameters=_or_unset(parameters.reduced),
            parameters_json_schema=_or_unset(parameters.json_schema),
        )

    def _tool_config(self, tools: list[Tool], *, searches: bool) -> wire.ToolConfig | None:
        """Functions beside a search are taken only with the search's traces in the answer."""
        conversation = self._conversation
        choice = conversation.tool_choice
        if searches and choice is not None and choice.mode == "required":
            names = {each.name for each in tools}
            if not names or (choice.names and not names.intersection(choice.names)):
                self._lose("tool_choice")  # a search cannot be forced
                choice = None
        if not tools:
            return None
        if conversation.parallel_tool_calls is False:
            self._lose("parallel_tool_calls")
        mode, names = self._mode(choice, tools)
        if mode is None and not searches:
            return None
        allowed = [self._wire_name(each) for each in names]
        calling = wire.FunctionCallingConfig(mode=mode, allowed_function_names=allowed or None)
        return wire.ToolConfig(
            function_calling_config=calling if mode is not None else None,
            include_server_side_tool_invocations=searches or None,
        )

    def _mode(
        self, choice: ToolChoice | None, tools: list[Tool]
    ) -> tuple[str | None, tuple[str, ...]]:
        """Calls are held to their schemas where one must come, or may come in mode VALIDATED."""
        strict = [bool(each.strict) for each in tools]
        declared = {each.name for each in tools}
        names = tuple(each for each in choice.names if each in declared) if choice else ()
        if choice is not None and choice.mode == "required":
            return "ANY", names
        if choice is not None and choice.mode == "none":
            return "NONE", ()
        if any(strict) and not all(strict):
            self._lose("tools.strict")
        if names or all(strict):
            return "VALIDATED", names
        return (None if choice is None else "AUTO"), ()

    def _generation_config(self, *, has_tools: bool) -> wire.GenerationConfig:
        conversation = self._conversation
        plan = thinking.plan(conversation.reasoning, self._known)
        if plan.lost:
            self._lose("reasoning")
        temperature = conversation.temperature
        likely, top = logprobs.asked(conversation, self._crossing, known=True)
        config = wire.GenerationConfig(
            temperature=None if temperature is None else min(temperature, _MAX_TEMPERATURE),
            top_p=conversation.top_p,
            top_k=conversation.top_k,
            max_output_tokens=conversation.max_output_tokens,
            stop_sequences=self._stop(),
            seed=conversation.seed,
            presence_penalty=conversation.presence_penalty,
            frequency_penalty=conversation.frequency_penalty,
            response_logprobs=likely or None,
            logprobs=top or None,
            thinking_config=plan.config,
        )
        wanted = conversation.response_format
        if wanted is None or not self._enforces_format(has_tools=has_tools):
            return config
        config = msgspec.structs.replace(config, response_mime_type=_JSON)
        if wanted.schema is None:
            return config
        schema = written(wanted.schema, takes_json_schema=self._known.json_schema)
        self._lose_of("response_format.schema", schema.lost)
        return msgspec.structs.replace(
            config,
            response_schema=_or_unset(schema.reduced),
            response_json_schema=_or_unset(schema.json_schema),
        )

    def _stop(self) -> list[str] | None:
        wanted = [each for each in self._conversation.stop if each]
        stop = wanted[: wire.MAX_STOPS]
        self._crossing.stops = watchable(wanted[len(stop) :])
        return stop or None

    def _enforces_format(self, *, has_tools: bool) -> bool:
        return self._known.json_with_tools or not has_tools

    def _format_instruction(self, *, has_tools: bool) -> list[Text]:
        """What a model is told that takes either functions or a format of the answer."""
        wanted = self._conversation.response_format
        if wanted is None or self._enforces_format(has_tools=has_tools):
            return []
        self._lose("response_format")
        if wanted.schema is None:
            return [Text(text=_JSON_ONLY)]
        return [Text(text=_JSON_OF_SCHEMA + bytes(wanted.schema).decode())]

    def _tier(self) -> str | None:
        tier = self._conversation.service_tier
        if tier not in (None, "auto", *_TIERS):
            self._lose("service_tier")
        return _TIERS.get(tier or "")


def _parts(texts: tuple[Text, ...] | list[Text]) -> list[wire.Part]:
    return [wire.Part(text=each.text) for each in texts if each.text.strip()]


def _or_unset(schema: Raw | None) -> Raw | msgspec.UnsetType:
    return UNSET if schema is None else schema
