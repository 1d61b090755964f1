"""Events of a Responses stream as servers send them. Source: OpenAI API reference, "Streaming
events"; responses.md §8 of the design notes."""

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from plexus_proxy.formats.lenient import Lenient

UNSAID = -1
"""Output index of an event that says none."""


class Piece(Struct, frozen=True, gc=False):
    """A content part or a piece of a summary."""

    type: str = ""
    text: str | None = None
    refusal: str | None = None
    annotations: list["Annotation"] | None = None
    logprobs: Raw | UnsetType = UNSET


class Annotation(Struct, frozen=True, gc=False):
    type: str = ""
    url: str | None = None
    title: str | None = None
    start_index: int | None = None
    end_index: int | None = None


class Page(Struct, frozen=True, gc=False):
    url: str | None = None


class Action(Struct, frozen=True, gc=False):
    """What a web_search_call does."""

    type: str | None = None
    query: str | None = None
    queries: list[str] | None = None
    sources: list[Page] | None = None


class Item(Struct, frozen=True, gc=False):
    """An output item; of types not known here only `type` counts."""

    written_arguments: Raw = msgspec.field(name="arguments", default=Raw(b"null"))
    """Text in the calls known here, an object in some that clients execute (tool_search_call)."""
    type: str = ""
    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    input: str | None = None
    content: list[Piece] | None = None
    summary: list[Piece] | None = None
    encrypted_content: str | None = None
    status: str | None = None
    action: Raw | UnsetType = UNSET
    """Of hosted tools."""

    @property
    def arguments(self) -> str:
        written = bytes(self.written_arguments)
        if written == b"null":
            return ""
        return _TEXT.decode(written) if written.startswith(b'"') else written.decode()


class Incomplete(Struct, frozen=True, gc=False):
    reason: str | None = None


class Response(Struct, frozen=True, gc=False):
    id: str | None = None
    model: str | None = None
    status: str | None = None
    store: Raw = Raw(b"null")
    error: Raw | UnsetType = UNSET
    incomplete_details: Incomplete | None = None
    output: list[Item] | None = None
    usage: Raw | UnsetType = UNSET


class SentEvent(Struct, frozen=True, gc=False):
    """Any event: the fields of all that are read."""

    type: str = ""
    output_index: int = UNSAID
    content_index: int = 0
    summary_index: int = 0
    item_id: str | None = None
    delta: str | None = None
    logprobs: Raw | UnsetType = UNSET
    text: str | None = None
    refusal: str | None = None
    arguments: str | None = None
    input: str | None = None
    item: Item | None = None
    part: Piece | None = None
    annotation: Annotation | None = None
    response: Response | None = None


_TEXT = msgspec.json.Decoder(str)
_EVENT = Lenient(SentEvent)
TERMINAL = frozenset(("response.completed", "response.incomplete"))
FAILED = frozenset(("response.failed", "response.cancelled", "error"))


def read_event(data: bytes) -> SentEvent | None:
    """None for an event of a shape we do not know. Raises msgspec.DecodeError if it is no JSON."""
    return _EVENT.decode(data)
