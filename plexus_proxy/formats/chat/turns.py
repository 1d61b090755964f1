"""Canonical turns → Chat Completions messages.

Every assistant message with tool calls is followed by one `tool` message per call, in order, and by
nothing else before those. `tool` messages hold text only, so images among the results follow in a
user message. Source: chat-completions.md §3 and translation rules §3, §4, §6 of the design notes.
"""

from collections.abc import Iterable, Iterator, Sequence

from msgspec.structs import replace

from plexus_proxy.errors import BadRequest
from plexus_proxy.formats import media
from plexus_proxy.formats.body import raw
from plexus_proxy.formats.chat import types as wire
from plexus_proxy.formats.chat.capabilities import capabilities_of
from plexus_proxy.formats.conversation import (
    Audio,
    Conversation,
    Crossing,
    Document,
    Foreign,
    Image,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from plexus_proxy.formats.toolnames import short_id, wire_name
from plexus_proxy.formats.toolpairs import merged, paired

_IMAGE_ATTACHED = "[image attached below]"
_FILE_ATTACHED = "[file attached below]"
_EMPTY_ERROR = "Error: the tool gave no output."
_PDF = "application/pdf"


def messages_of(conversation: Conversation, crossing: Crossing) -> list[wire.Message]:
    """All messages, the system text first. Raises BadRequest for content Chat cannot hold."""
    writing = _Writing(conversation, crossing)
    messages: list[wire.Message] = []
    if system := "\n\n".join(each.text for each in conversation.system):
        messages.append(wire.Message("system", system))
    known = (Turn(each.role, tuple(writing.known_parts(each))) for each in conversation.turns)
    for turn in merged(paired(merged(known), short_id)):
        messages += writing.messages(turn)
    return messages


class _Writing:
    def __init__(self, conversation: Conversation, crossing: Crossing) -> None:
        self._conversation = conversation
        self._crossing = crossing
        self._wants_reasoning = capabilities_of(crossing.model).wants_reasoning

    def _lose(self, field: str) -> None:
        self._conversation.lose(field, self._crossing)

    def known_parts(self, turn: Turn) -> Sequence[Part]:
        """A turn's parts that Chat can say, with the reasoning its client did not echo. None if
        they are reasoning alone."""
        known = list(self._known(turn.parts))
        if turn.role != "assistant":
            return known
        said = [part for part in known if not isinstance(part, Image | Document | Audio)]
        if len(said) < len(known):  # only users may send these
            self._lose("turns.foreign")
        thought = [part for part in said if isinstance(part, Reasoning)]
        if thought and len(thought) == len(said):
            self._lose("turns.reasoning")
            return ()
        if thought:
            return said
        ids = (part.id for part in said if isinstance(part, ToolCall))
        return (*self._crossing.remembered.get(next(ids, ""), ()), *said)

    def _known(self, parts: Iterable[Part]) -> Iterator[Part]:
        for part in parts:
            if part.cache is not None:
                self._lose("cache")
            if isinstance(part, Foreign):
                self._lose("turns.foreign")
            elif isinstance(part, ToolResult):
                if part.is_error:
                    self._lose("parts.is_error")
                yield replace(part, parts=tuple(self._known(part.parts)))
            elif not isinstance(part, Text | Refusal) or part.text:
                yield part

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
            text = _EMPTY_ERROR
        return wire.Message("tool", text, tool_call_id=result.call_id)

    def _assistant(self, parts: Sequence[Part]) -> wire.Message:
        text = "".join(part.text for part in parts if isinstance(part, Text | Refusal))
        calls = [part for part in parts if isinstance(part, ToolCall)]
        reasoning = self._reasoning(parts, has_calls=bool(calls))
        details = [_detail(index, each) for index, each in enumerate(reasoning) if each.opaque]
        return wire.Message(
            "assistant",
            text or None,
            reasoning_content="".join(each.text for each in reasoning) or None,
            reasoning_details=details or None,
            tool_calls=[self._call(each) for each in calls] or None,
        )

    def _reasoning(self, parts: Sequence[Part], *, has_calls: bool) -> Sequence[Reasoning]:
        """What of a turn's reasoning goes back: state to the provider that issued it, text,
        whoever thought it, to providers that want it beside tool calls."""
        found = [part for part in parts if isinstance(part, Reasoning)]
        kept: list[Reasoning] = []
        for part in found:
            if self._is_own(part):
                kept.append(part)
            elif self._wants_reasoning and has_calls and part.text:
                kept.append(replace(part, opaque=None))
        if len(kept) < len(found):
            self._lose("turns.reasoning")
        return kept

    def _is_own(self, part: Reasoning) -> bool:
        state = part.opaque
        return (
            state is not None
            and state.issuer == self._crossing.provider
            and state.model == self._crossing.model
        )

    def _call(self, call: ToolCall) -> wire.ToolCall:
        name = wire_name(call.name, wire.TOOL_NAME_CHARS, self._crossing)
        if call.custom:
            return wire.ToolCall(call.id, "custom", custom=wire.Custom(name, call.arguments))
        arguments = raw(call.arguments or "{}")
        return wire.ToolCall(call.id, "function", wire.Function(name, arguments))

    def _part(self, part: Part) -> wire.ContentPart:
        match part:
            case Text():
                return wire.TextPart(text=part.text)
            case Image():
                return wire.ImagePart(image_url=wire.ImageUrl(_image_url(part), part.detail))
            case Document():
                return self._document(part)
            case Audio():
                return wire.AudioPart(input_audio=wire.InputAudio(part.data, part.format))
            case _:
                raise AssertionError(part)  # users send no other parts

    def _document(self, part: Document) -> wire.ContentPart:
        if part.citations:
            self._lose("parts.citations")
        if part.text is not None:
            title = f' title="{part.title}"' if part.title else ""
            about = f"{part.context}\n" if part.context else ""
            return wire.TextPart(text=f"<document{title}>\n{about}{part.text}\n</document>")
        if part.context is not None:
            self._lose("parts.context")
        if part.url is not None:
            raise BadRequest(
                "This model's provider does not take documents by URL: send the content.",
                param="messages",
            )
        if part.data is None:
            raise _no_file_id()
        kind = part.media_type or _PDF
        name = part.title or "document.pdf"
        return wire.FilePart(file=wire.File(name, media.data_url(kind, part.data)))


def _image_url(image: Image) -> str:
    if image.url is not None:
        return image.url
    if image.data is None or image.media_type is None:
        raise _no_file_id()
    return media.data_url(image.media_type, image.data)


def _no_file_id() -> BadRequest:
    return BadRequest(
        "Files uploaded to another provider cannot be used with this model: send the content.",
        param="messages",
    )


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
