"""Wire types of Messages streams as servers send them, and what is read from them without state.
Source: Anthropic API reference, "Streaming Messages"."""

from msgspec import Raw, Struct

from plexus_proxy.formats.lenient import Lenient
from plexus_proxy.formats.messages.usage import WireUsage
from plexus_proxy.formats.sse import Frame


class SentMessage(Struct, frozen=True, gc=False):
    id: str | None = None
    model: str | None = None
    usage: WireUsage | None = None


class SentBlock(Struct, frozen=True, gc=False):
    """The block of a content_block_start, of any type."""

    type: str
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: Raw = Raw(b"null")
    id: str | None = None
    name: str | None = None
    input: Raw = Raw(b"{}")
    tool_use_id: str | None = None
    content: Raw = Raw(b"null")


class SentCitation(Struct, frozen=True, gc=False):
    url: str | None = None
    title: str | None = None
    cited_text: str | None = None


class SentDelta(Struct, frozen=True, gc=False):
    """The delta of a content_block_delta or a message_delta, of any type."""

    type: str | None = None
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None
    citation: SentCitation | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None


class SentEvent(Struct, frozen=True, gc=False):
    """Any event, told apart by `type`."""

    type: str
    index: int = 0
    message: SentMessage | None = None
    content_block: SentBlock | None = None
    delta: SentDelta | None = None
    usage: WireUsage | None = None


_EVENT = Lenient(SentEvent, whole=[WireUsage])


def read_event(data: bytes) -> SentEvent | None:
    """None for JSON of a shape we do not know: the future. Raises msgspec.DecodeError for what is
    no JSON."""
    return _EVENT.decode(data)


def is_error(event: SentEvent | None, frame: Frame) -> bool:
    """An error of the provider; gateways before it name the event and forget the type."""
    return frame.event == "error" if event is None else event.type == "error"
