"""Canonical turns → Chat Completions messages.

Every assistant message with tool calls is followed by one `tool` message per call, in order, and by
nothing else before those. `tool` messages hold text only, so images among the results follow in a
user message. Source: chat-completions.md §3 and translation rules §3, §4, §6 of the design notes.
"""

from collections.abc import Iterator, Sequence

from msgspec import UNSET, Raw, UnsetType
from msgspec.structs import replace

from plexus_proxy.errors import BadRequest
from plexus_proxy.formats import arguments, openai
from plexus_proxy.formats.body import raw
from plexus_proxy.formats.chat import types as wire
from plexus_proxy.formats.chat.capabilities import capabilities_of
from plexus_proxy.formats.chat.reasoning import google_content
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
    ToolCall,
    ToolResult,
    Turn,
)
from plexus_proxy.formats.toolnames import wire_name

_IMAGE_ATTACHED = "[image attached below]"
_FILE_ATTACHED = "[file attached below]"
_PARAM = "messages"
_OF_CALL = "gsig"
"""State that stands beside a call, not in the reasoning_details."""


def messages_of(conversation: Conversation, crossing: Crossing) -> list[wire.Message]:
    """All messages, the system text first. Raises BadRequest for content Chat cannot hold."""
    writing = _Writing(conversation, crossing)
    messages: list[wire.Message] = []
    if system := "\n\n".join(each.text for each in conversation.system):
        messages.append(wire.Message("system", system))
    for turn in openai.paired_turns(conversation, crossing):
        messages += writing.messages(turn)
    return messages


class _Writing:
    def __init__(self, conversation: Conversation, crossing: Crossing) -> None:
        self._conversation = conversation
        self._crossing = crossing
        self._known = capabilities_of(crossing.model)

    def _lose(self, field: str) -> None:
        self._conversation.lose(field, self._crossing)

    def messages(self, turn: Turn) -> Iterator[wire.Message]:
        match turn.role:
            case "assistant":
                yield self._assistant(turn.parts)
            case "system":
                texts = [part.text for part in turn.parts if isinstance(part, Text)]
                yield wire.Message("system", "\n\n".join(texts))
            case "user":
                yield from self._user(turn.parts)

    def _user(self, parts: Sequence[Part]) -> Iterator[wire.Message]:
        content: list[wire.ContentPart] = []
        for part in parts:
            if isinstance(part, ToolResult):
                yield self._tool(part, content)
            else:
                content.append(self._part(part))
        if len(content) == 1 and isinstance(content[0], wire.TextPart):
            yield wire.Message("user", content[0].text)
        elif content:
            yield wire.Message("user", content)

    def _tool(self, result: ToolResult, attached: list[wire.ContentPart]) -> wire.Message:
        """The message of one result; what it cannot hold is added to `attached`."""
        texts: list[str] = []
        for part in result.parts:
            content = self._part(part)
            if isinstance(content, wire.TextPart):
                texts.append(content.text)
            else:
                texts.append(_IMAGE_ATTACHED if isinstance(part, Image) else _FILE_ATTACHED)
                attached.append(content)
        text = "\n".join(texts)
        if result.is_error and not text:
            text = openai.EMPTY_ERROR
        return wire.Message("tool", text, tool_call_id=result.call_id)

    def _assistant(self, parts: Sequence[Part]) -> wire.Message:
        text = "".join(part.text for part in parts if isinstance(part, Text | Refusal))
        if any(part.citations for part in parts if isinstance(part, Text)):
            self._lose("parts.citations")
        has_calls = any(isinstance(part, ToolCall) for part in parts)
        reasoning = self._reasoning(parts, has_calls=has_calls)
        details = [
            _detail(index, each)
            for index, each in enumerate(reasoning)
            if each.opaque and each.opaque.kind != _OF_CALL
        ]
        return wire.Message(
            "assistant",
            text or None,
            reasoning_content="".join(each.text for each in reasoning) or None,
            reasoning_details=details or None,
            tool_calls=list(self._calls(parts)) or None,
        )

    def _reasoning(self, parts: Sequence[Part], *, has_calls: bool) -> Sequence[Reasoning]:
        """What of a turn's reasoning goes back: state to the provider that issued it, text,
        whoever thought it, to providers that want it beside tool calls."""
        found = [part for part in parts if isinstance(part, Reasoning)]
        kept: list[Reasoning] = []
        for part in found:
            if openai.is_own(part, self._crossing):
                kept.append(part)
            elif self._known.wants_reasoning and has_calls and part.text:
                kept.append(replace(part, opaque=None))
        if len(kept) < len(found):
            self._lose("turns.reasoning")
        return kept

    def _calls(self, parts: Sequence[Part]) -> Iterator[wire.ToolCall]:
        """The calls of a turn, each with the provider's own state that came before it."""
        states: list[str] = []
        for part in parts:
            if isinstance(part, ToolCall):
                yield self._call(part, google_content(states.pop(0)) if states else UNSET)
            elif isinstance(part, Reasoning):
                state = part.opaque if openai.is_own(part, self._crossing) else None
                if state is not None and state.kind == _OF_CALL:
                    states.append(state.data)
        if states:
            self._lose("turns.reasoning")

    def _call(self, call: ToolCall, extra: Raw | UnsetType) -> wire.ToolCall:
        name = wire_name(call.name, wire.TOOL_NAME_CHARS, self._crossing)
        if call.custom and self._known.custom_tools:
            custom = wire.Custom(name, call.arguments)
            return wire.ToolCall(call.id, "custom", custom=custom, extra_content=extra)
        text = call.arguments or "{}"
        if call.custom:
            text = bytes(arguments.wrapped(call.arguments)).decode()
        function = wire.Function(name, raw(text))
        return wire.ToolCall(call.id, "function", function, extra_content=extra)

    def _part(self, part: Part) -> wire.ContentPart:
        match part:
            case Text():
                return wire.TextPart(text=part.text)
            case Image():
                url = openai.image_url(part, _PARAM)
                return wire.ImagePart(image_url=wire.ImageUrl(url, part.detail))
            case Document():
                return self._document(part)
            case Audio():
                return wire.AudioPart(input_audio=wire.InputAudio(part.data, part.format))
            case _:
                raise AssertionError(part)  # users send no other parts

    def _document(self, part: Document) -> wire.ContentPart:
        if part.citations:
            self._lose("parts.citations")
        if (text := openai.document_text(part)) is not None:
            return wire.TextPart(text=text)
        if part.context is not None:
            self._lose("parts.context")
        if part.url is not None:
            raise BadRequest(
                "This model's provider does not take documents by URL: send the content.",
                param="messages",
            )
        return wire.FilePart(file=wire.File(*openai.file_of(part, _PARAM)))


def _detail(index: int, part: Reasoning) -> wire.ReasoningDetail:
    """A provider's own state, in the form it was given."""
    state = part.opaque
    if state is None or state.kind == "sig":
        signature = state.data if state else None
        return wire.ReasoningDetail(
            "reasoning.text", index, text=part.text or None, signature=signature
        )
    return wire.ReasoningDetail(
        "reasoning.encrypted", index, data=state.data, id=state.item_id or None
    )
