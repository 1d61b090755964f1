"""Canonical turns → contents that obey the hard rules of the Gemini API.

Contents alternate and begin with the user's; every step of calls has as many responses, in the
calls' order, at the beginning of the very next content; no text is blank unless it carries a
signature; signatures stay only where this very model issued them, on the first call of a step.
Source: gemini.md §3 and translation rules §2, §3, §4, §6, §10 of the design notes.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from plexus_proxy.errors import BadRequest
from plexus_proxy.formats import arguments
from plexus_proxy.formats.body import raw
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
from plexus_proxy.formats.gemini import types as wire
from plexus_proxy.formats.gemini.capabilities import capabilities_of
from plexus_proxy.formats.replay import with_own_reasoning
from plexus_proxy.formats.signatures import SKIP
from plexus_proxy.formats.toolnames import wire_name
from plexus_proxy.formats.toolpairs import merged, paired

LEGAL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]*")

_NOTHING_SAID = Turn("user", (Text(text="…"),))
_IMAGE_ATTACHED = "[image attached below]"
_FILE_ATTACHED = "[file attached below]"
_PDF = "application/pdf"
_AUDIO_TYPES = {"mp3": "audio/mp3", "wav": "audio/wav"}
_STATE = ("gsig",)


def contents_of(conversation: Conversation, crossing: Crossing) -> list[wire.Content]:
    """All contents; none if the conversation has nothing but system text. Raises BadRequest."""
    return _Writing(conversation, crossing).contents()


class _Writing:
    def __init__(self, conversation: Conversation, crossing: Crossing) -> None:
        self._conversation = conversation
        self._crossing = crossing
        self._known = capabilities_of(crossing.model)

    def _lose(self, field: str) -> None:
        self._conversation.lose(field, self._crossing)

    def contents(self) -> list[wire.Content]:
        cleaned = map(self._cleaned, self._conversation.turns)
        turns = merged(paired(merged(cleaned), lambda tool_id: tool_id))
        if turns and turns[0].role == "assistant":
            turns.insert(0, _NOTHING_SAID)
        current = _current_turn(turns)
        return [
            self._model(turn.parts, is_current=index > current)
            if turn.role == "assistant"
            else self._user(turn.parts)
            for index, turn in enumerate(turns)
        ]

    def _cleaned(self, turn: Turn) -> Turn:
        parts: Iterable[Part]
        match turn.role:
            case "assistant":
                parts = with_own_reasoning(turn.parts, _STATE, self._conversation, self._crossing)
                parts = self._assistant_parts(parts)
            case "system":
                # there is no such role in contents
                parts = (
                    replace(part, text=f"<system>{part.text}</system>")
                    for part in turn.parts
                    if isinstance(part, Text) and part.text.strip()
                )
            case "user":
                parts = self._known_parts(turn.parts)
        return Turn("assistant" if turn.role == "assistant" else "user", tuple(parts))

    def _known_parts(self, parts: Iterable[Part]) -> Iterator[Part]:
        for part in parts:
            if part.cache is not None:
                self._lose("cache")
            if isinstance(part, Text) and part.citations:
                self._lose("parts.citations")
            if isinstance(part, Foreign):
                self._lose("turns.foreign")
            elif isinstance(part, ToolResult):
                yield replace(part, parts=tuple(self._known_parts(part.parts)))
            elif not isinstance(part, Text | Document) or part.text is None or part.text.strip():
                yield part

    def _assistant_parts(self, parts: Iterable[Part]) -> Iterator[Part]:
        for part in self._known_parts(parts):
            if isinstance(part, Refusal):
                if part.text.strip():
                    yield Text(text=part.text)
            elif not isinstance(part, Image | Document | Audio):  # only users may send these
                yield part

    def _model(self, parts: Sequence[Part], *, is_current: bool) -> wire.Content:
        """`is_current`: the model checks that this step is signed."""
        written: list[wire.Part] = []
        signature: str | None = None
        calls = 0
        for part in _signed(parts):
            match part:
                case Reasoning(opaque=state) if state is not None:
                    if signature is not None:  # of a text that is not there
                        written.append(wire.Part(text="", thought_signature=signature))
                    signature = state.data
                    continue
                case Text():
                    written.append(wire.Part(text=part.text, thought_signature=signature))
                case ToolCall():
                    if not calls and is_current and self._known.wants_signatures:
                        signature = signature or SKIP
                    written.append(
                        wire.Part(function_call=self._call(part), thought_signature=signature)
                    )
                    calls += 1
                case _:
                    raise AssertionError(part)  # _cleaned lets nothing else through
            signature = None
        if signature is not None:
            written.append(wire.Part(text="", thought_signature=signature))
        return wire.Content(role="model", parts=written)

    def _call(self, call: ToolCall) -> wire.FunctionCall:
        wrap = arguments.wrapped if call.custom else arguments.as_object
        return wire.FunctionCall(
            id=call.id if self._known.call_ids else None,
            name=self._wire_name(call.name),
            args=wrap(call.arguments),
        )

    def _wire_name(self, name: str) -> str:
        return wire_name(name, wire.TOOL_NAME_CHARS, self._crossing, LEGAL_NAME)

    def _user(self, parts: Sequence[Part]) -> wire.Content:
        responses: list[wire.Part] = []
        rest: list[wire.Part] = []
        attached: list[wire.Part] = []
        for part in parts:
            if isinstance(part, ToolResult):
                response = self._response(part, attached)
                responses.append(wire.Part(function_response=response))
            else:
                rest.append(self._part(part))
        return wire.Content(role="user", parts=[*responses, *attached, *rest])

    def _response(self, result: ToolResult, attached: list[wire.Part]) -> wire.FunctionResponse:
        """The response of one call; media it cannot hold is added to `attached`."""
        texts: list[str] = []
        own: list[wire.ResponsePart] = []
        for part in result.parts:
            content = self._part(part)
            if content.text is not None:
                texts.append(content.text)
            elif self._known.media_in_responses and not isinstance(part, Audio):
                own.append(wire.ResponsePart(inline_data=content.inline_data))
            else:
                texts.append(_IMAGE_ATTACHED if isinstance(part, Image) else _FILE_ATTACHED)
                attached.append(content)
        return wire.FunctionResponse(
            id=result.call_id if self._known.call_ids else None,
            name=self._wire_name(result.name or ""),
            response=_response_of("\n".join(texts), is_error=result.is_error),
            parts=own or None,
        )

    def _part(self, part: Part) -> wire.Part:
        match part:
            case Text():
                return wire.Part(text=part.text)
            case Image():
                if part.detail not in (None, "auto"):
                    self._lose("parts.detail")
                return _inline("images", part.url, part.media_type, part.data)
            case Document():
                return self._document(part)
            case Audio():
                kind = _AUDIO_TYPES.get(part.format, f"audio/{part.format}")
                return _inline("audio", None, kind, part.data)
            case _:
                raise AssertionError(part)  # users send no other parts

    def _document(self, part: Document) -> wire.Part:
        if part.text is not None:
            title = f' title="{part.title}"' if part.title else ""
            about = f"{part.context}\n" if part.context else ""
            return wire.Part(text=f"<document{title}>\n{about}{part.text}\n</document>")
        for field in ("title", "context"):
            if getattr(part, field):
                self._lose(f"parts.{field}")
        kind = part.media_type
        if kind is not None and kind != _PDF and not kind.startswith("text/"):
            raise BadRequest(
                f"Files of type '{kind or 'unknown'}' are not taken by this model's provider: use"
                f" {_PDF} or text.",
                param="messages",
            )
        return _inline("documents", part.url, kind, part.data)


def _signed(parts: Sequence[Part]) -> Iterator[Part]:
    """Parts with the state that belongs to a step of calls right before its first call.

    Later calls of the step carry none; what came before a text without calls stays there.
    """
    first = next((at for at, part in enumerate(parts) if isinstance(part, ToolCall)), None)
    if first is None:
        yield from parts
        return
    states = [at for at, part in enumerate(parts[:first]) if isinstance(part, Reasoning)]
    own = states[-1] if states else None
    for at, part in enumerate(parts):
        if at == first and own is not None:
            yield parts[own]
        if at != own and not (at > first and isinstance(part, Reasoning)):
            yield part


def _current_turn(turns: Sequence[Turn]) -> int:
    """Index of the last turn in which the user says something; steps after it are checked."""
    return max(
        (
            index
            for index, turn in enumerate(turns)
            if turn.role == "user" and any(isinstance(part, Text) for part in turn.parts)
        ),
        default=-1,
    )


def _response_of(text: str, *, is_error: bool) -> Raw:
    """A function's response: an object as it is, all else wrapped into one."""
    if is_error:
        return raw({"error": text})
    value = text.strip()
    if value.startswith(("{", "[")):
        try:
            msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            pass  # text that looks like JSON
        else:
            found = Raw(value.encode())
            return found if value.startswith("{") else raw({"output": found})
    return raw({"output": text})


def _inline(what: str, url: str | None, kind: str | None, data: str | None) -> wire.Part:
    """Media in the body itself: the only form that needs no upload to the provider before."""
    if url is not None:
        raise BadRequest(
            f"This model's provider takes no {what} by URL: send the content itself.",
            param="messages",
        )
    if data is None:
        raise BadRequest(
            "Files uploaded to another provider cannot be used with this model: send the content.",
            param="messages",
        )
    if not kind:
        raise BadRequest(f"The media type of one of the {what} is missing.", param="messages")
    return wire.Part(inline_data=wire.Blob(mime_type=kind, data=data))
