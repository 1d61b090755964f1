"""What there is to count in a conversation: texts for the tokenizer, and what has its own price.

A walk over the canonical request, so every client format is counted alike. Pure. A provider renders
a request as text in its own secret way; we take what OpenAI publishes for its models (three tokens
around a message, three before the answer, seven around a tool) for all, and leave the rest to the
factor learned per model. Sources: OpenAI Cookbook, "How to count tokens with tiktoken"; Anthropic
documentation, "Tool use", "Pricing"; `pictures` and `pages` for what is not text.
"""

from collections.abc import Iterable

import msgspec
from msgspec import Raw, Struct

from plexus_proxy.formats.conversation import (
    Audio,
    Conversation,
    Document,
    Foreign,
    Image,
    Part,
    Reasoning,
    Refusal,
    ServerTool,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
)
from plexus_proxy.formats.media import decoded_text
from plexus_proxy.tokens import pages
from plexus_proxy.tokens.dimensions import size_in
from plexus_proxy.tokens.pictures import Family, picture_tokens

_TURN = 3
_NAME = 1
_ANSWER = 3
_TOOL = 7
_TOOLS = 12
_CALL = 7
"""Around a call and around a result: id, type and brackets."""
_TOOL_PROMPT = 346
_FORCED_TOOL_PROMPT = 313
"""The system prompt that Anthropic puts before tools, by tool choice."""
_OPAQUE_CHARS_PER_TOKEN = 16 / 3
"""Of reasoning we cannot read: four characters a token, three quarters of base64."""


class Outline(Struct, frozen=True):
    """`texts` are to be tokenized; `fixed` tokens come on top."""

    texts: tuple[str, ...]
    fixed: int

    @property
    def chars(self) -> int:
        return sum(map(len, self.texts))


def outline(conversation: Conversation, family: Family, model: str) -> Outline:
    """`model` is the provider's own name for it."""
    walk = _Walk(family, model)
    if conversation.system:
        walk.fixed += _TURN
        walk.parts(conversation.system)
    for turn in conversation.turns:
        walk.turn(turn)
    walk.fixed += _ANSWER
    walk.tools(conversation)
    if conversation.response_format is not None:
        walk.schema(conversation.response_format.schema)
    return Outline(tuple(text for text in walk.texts if text), walk.fixed)


class _Walk:
    """Collects while it goes."""

    def __init__(self, family: Family, model: str) -> None:
        self.texts: list[str] = []
        self.fixed = 0
        self._family: Family = family
        self._model = model

    def turn(self, turn: Turn) -> None:
        self.fixed += _TURN
        if turn.name:
            self.fixed += _NAME
            self.texts.append(turn.name)
        self.parts(turn.parts)

    def parts(self, parts: Iterable[Part]) -> None:
        for part in parts:
            self.part(part)

    def part(self, part: Part) -> None:
        match part:
            case Text() | Refusal():
                self.texts.append(part.text)
            case ToolCall():
                self.fixed += _CALL
                self.texts += (part.name, part.arguments)
            case ToolResult():
                self.fixed += _CALL
                self.parts(part.parts)
            case Reasoning():
                self._reasoning(part)
            case Image():
                size = size_in(part.data) if part.data else None
                self.fixed += picture_tokens(self._family, self._model, size, part.detail)
            case Document():
                self._document(part)
            case Audio():
                self.fixed += pages.audio_tokens(self._family, part.data, part.format)
            case Foreign():
                self.texts.append(_text(part.json))
            case _:
                pass

    def tools(self, conversation: Conversation) -> None:
        if not conversation.tools:
            return
        self.fixed += self._before_tools(conversation)
        for tool in conversation.tools:
            self.fixed += _TOOL
            match tool:
                case Tool():
                    self.texts += (tool.name, tool.description or "")
                    self.schema(tool.schema)
                    self.schema(tool.custom_format)
                case ServerTool():
                    self.texts.append(_text(tool.json))

    def schema(self, schema: Raw | None) -> None:
        if schema is not None:
            self.texts.append(_text(schema))

    def _before_tools(self, conversation: Conversation) -> int:
        if self._family != "anthropic":
            return _TOOLS
        choice = conversation.tool_choice
        forced = choice is not None and choice.mode == "required"
        return _FORCED_TOOL_PROMPT if forced else _TOOL_PROMPT

    def _reasoning(self, part: Reasoning) -> None:
        """Some models are not shown the reasoning of earlier turns: it is counted all the same,
        for who counts wants to know what surely fits."""
        if part.text:
            self.texts.append(part.text)
        elif part.opaque is not None:
            self.fixed += round(len(part.opaque.data) / _OPAQUE_CHARS_PER_TOKEN)

    def _document(self, part: Document) -> None:
        self.texts += (part.title or "", part.context or "")
        text = part.text
        if text is None and part.data is not None and _is_text(part.media_type):
            text = decoded_text(part.data)
        if text is not None:
            self.texts.append(text)
            return
        count = pages.DEFAULT_PAGES if part.data is None else pages.pages_in(part.data)
        self.fixed += pages.document_tokens(self._family, self._model, count)


def _is_text(media_type: str | None) -> bool:
    return media_type is not None and (
        media_type.startswith("text/") or media_type in ("application/json", "application/xml")
    )


def _text(json: Raw) -> str:
    """JSON without the client's spaces and line breaks, as no provider shows them to its model."""
    return msgspec.json.format(bytes(json), indent=-1).decode("utf-8", "replace")
