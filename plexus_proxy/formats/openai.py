"""What requests of Chat Completions and of Responses, two APIs of one vendor, have in common."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence

from msgspec.structs import replace

from plexus_proxy.errors import BadRequest
from plexus_proxy.formats import media
from plexus_proxy.formats.anchors import has_state, recalled
from plexus_proxy.formats.conversation import (
    Audio,
    Conversation,
    Crossing,
    Document,
    Effort,
    Foreign,
    Image,
    Part,
    Reasoning,
    ReasoningControl,
    Refusal,
    Text,
    ToolResult,
    Turn,
)
from plexus_proxy.formats.effort import effort_of_budget, nearest
from plexus_proxy.formats.toolnames import short_id
from plexus_proxy.formats.toolpairs import merged, paired

EMPTY_ERROR = "Error: the tool gave no output."
_ID_CHARS = 64
_SCHEMA_NAME = "response"
_ILLEGAL = re.compile(r"[^a-zA-Z0-9_-]")
_PDF = "application/pdf"


def service_tier(tier: str | None) -> str | None:
    """In OpenAI's word for it."""
    return "priority" if tier == "fast" else tier


def identifier(text: str) -> str:
    """Of at most 64 characters; a longer one by its hash."""
    return text if len(text) <= _ID_CHARS else hashlib.sha256(text.encode()).hexdigest()


def schema_name(name: str | None) -> str:
    """The name that a schema must have here and has not in other formats."""
    return _ILLEGAL.sub("_", name or _SCHEMA_NAME)[:_ID_CHARS]


def effort_of(
    control: ReasoningControl | None, known: Sequence[Effort]
) -> tuple[Effort | None, bool]:
    """The effort a model that takes `known` is told, and whether the client's wish was lost."""
    if control is None:
        return None, False
    effort = control.effort
    if control.enabled is False:
        effort = "none"
    elif effort is None and control.budget_tokens is not None:
        effort = effort_of_budget(control.budget_tokens)
    if effort is None:
        return None, False
    if not known or (effort == "none" and "none" not in known):
        return None, bool(known) or effort != "none"
    return nearest(effort, known), False


def is_own(part: Reasoning, crossing: Crossing) -> bool:
    """Whether its state was issued by the very provider and model it would go to."""
    state = part.opaque
    return state is not None and (state.issuer, state.model) == (crossing.provider, crossing.model)


def paired_turns(conversation: Conversation, crossing: Crossing) -> list[Turn]:
    """Turns of what both APIs can say, each call beside its result, with the reasoning that the
    client did not echo."""
    speaking = _Speaking(conversation, crossing)
    known = (Turn(each.role, tuple(speaking.parts(each))) for each in conversation.turns)
    return merged(paired(merged(known), short_id))


class _Speaking:
    def __init__(self, conversation: Conversation, crossing: Crossing) -> None:
        self._conversation = conversation
        self._crossing = crossing

    def _lose(self, field: str) -> None:
        self._conversation.lose(field, self._crossing)

    def parts(self, turn: Turn) -> Sequence[Part]:
        """None if they are reasoning alone."""
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
        if has_state(thought):
            return said
        known = recalled(said, self._crossing)
        if known:
            said = [part for part in said if not isinstance(part, Reasoning)]
        return (*known, *said)

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


def image_url(image: Image, param: str) -> str:
    """As an address or a data URL. Raises BadRequest."""
    if image.url is not None:
        return image.url
    if image.data is None or image.media_type is None:
        raise no_file_id(param)
    return media.data_url(image.media_type, image.data)


def document_text(document: Document) -> str | None:
    """A text document, marked as one; None for other documents."""
    if document.text is None:
        return None
    title = f' title="{document.title}"' if document.title else ""
    about = f"{document.context}\n" if document.context else ""
    return f"<document{title}>\n{about}{document.text}\n</document>"


def file_of(document: Document, param: str) -> tuple[str, str]:
    """Name and data URL of a document sent whole. Raises BadRequest."""
    if document.data is None:
        raise no_file_id(param)
    data = media.data_url(document.media_type or _PDF, document.data)
    return document.title or "document.pdf", data


def no_file_id(param: str) -> BadRequest:
    return BadRequest(
        "Files uploaded to another provider cannot be used with this model: send the content.",
        param=param,
    )
