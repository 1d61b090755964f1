"""What a wire format is to the rest of the program: one frozen record of pure functions.

Adding a format is one folder beside this file and one line in `registry.py`. A `Format` is spoken
by clients and providers, a `ClientFormat` by clients alone: it is always translated. Nothing here
does I/O; streams are state machines that take bytes and give bytes.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct

from plexus_proxy.crypto import Secret
from plexus_proxy.errors import PlexusError, Refused, UpstreamFault
from plexus_proxy.formats.conversation import Conversation, Crossing, Remembered
from plexus_proxy.formats.events import Event, Usage
from plexus_proxy.formats.remote import MediaKind
from plexus_proxy.formats.sse import Frame


class Marks(Struct, frozen=True, kw_only=True, gc=False):
    """Where things stand in a body, found while peeking, so that splicing need not look again."""

    body: bytes
    """The very body the marks belong to."""
    model: tuple[int, int]
    """Start and end of the value of the only top-level `model`, quotes included."""
    envelopes: bool
    """The body carries reasoning envelopes of ours, or traces of searches as we write them."""
    stream_options: bool = False
    """Chat Completions: the body has stream_options."""


class Call(Struct, frozen=True, kw_only=True, gc=False):
    """What the corridor needs to know of a request body; everything else stays bytes."""

    model: str
    stream: bool
    body: bytes
    include_usage: bool = False
    message_count: int = 0
    tool_count: int = 0
    parallel_tool_calls: bool | None = None
    session: str | None = None
    """What the body says of the client's session (prompt_cache_key, metadata.user_id, user)."""
    cache_key: str | None = None
    """The body's prompt_cache_key."""
    conversation: str | None = None
    """What else the body says that names one conversation: an earlier response, a session."""
    state: bool | None = False
    """The body holds or names what only the provider that made it can use: encrypted reasoning of
    its own form, an earlier response, a cache. Envelopes say by themselves whose they are. None:
    only a search for signatures could tell."""
    marks: Marks | None = None


class Asked(Struct, frozen=True, gc=False):
    """What the path of a request says, for formats that say it there and not in the body."""

    model: str = ""
    stream: bool = False
    array: bool = False
    """Gemini: the stream is to be one JSON array, not SSE."""


IN_BODY = Asked()


class Observer(Protocol):
    """Reads, from upstream frames or bodies, what the usage row and the commit point need.

    Runs on every path, translated or not, so that there is one truth about usage. Native words
    (`finish_reason`) are kept as the upstream spelled them.
    """

    finish_reason: str | None
    output_chars: int
    """Characters of output seen: an estimate of usage when the upstream never states any."""
    committed: bool
    """A frame that carries content or ends the answer has been seen."""
    complete: bool
    """The answer has been told to its end: what may still come is usage and the terminal frame."""
    ended: bool
    """The terminal frame of a stream has been seen."""
    failure: UpstreamFault | None
    """The upstream sent an error event."""

    @property
    def empty(self) -> bool:
        """The answer came to its natural end without having said, thought or called anything:
        text that is all white space counts as nothing."""
        ...

    @property
    def usage(self) -> Usage | None: ...

    @property
    def tool_calls(self) -> int: ...

    @property
    def kept_id(self) -> str | None:
        """Under which the provider keeps the answer, for later requests to name it."""
        ...

    def frame(self, frame: Frame) -> None: ...

    def body(self, body: bytes) -> None:
        """Observe a whole non-streaming answer. Raises Garbled if it is not a JSON object."""
        ...


class Reader(Protocol):
    """Wire frames of an upstream → canonical events."""

    def feed(self, frame: Frame) -> Sequence[Event]:
        """Raises Garbled on broken JSON."""
        ...

    def close(self) -> Sequence[Event]:
        """At the upstream's end: what it forgot (BlockEnd, Finish), or Failure if it was cut."""
        ...


class Writer(Protocol):
    """Canonical events → wire bytes for a client. Failure may come at any time, also first, and
    is written as the in-band error; nothing follows it."""

    def feed(self, event: Event) -> bytes:
        """`Finish` brings out what was held back for it, and the terminal frame."""
        ...


class Relay(Protocol):
    """One upstream answer on its way to the client: bytes in, bytes out. Never raises.

    When `fault` is set, the returned bytes already end with the client format's in-band error and
    nothing must follow them. Before `committed` the caller may still throw all output away.
    """

    observer: Observer
    fault: PlexusError | None

    @property
    def waiting(self) -> bool:
        """The answer is complete, and its end waits in `tail`."""
        ...

    @property
    def cut(self) -> bool:
        """The answer has come to its end, and what the upstream may still say is not wanted."""
        ...

    @property
    def committed(self) -> bool: ...

    def feed(self, chunk: bytes) -> bytes: ...

    def close(self) -> bytes:
        """The upstream has ended. Sets `fault` (Garbled) if the answer was not complete."""
        ...

    def fail(self, error: PlexusError) -> bytes:
        """End the stream with an error that happened outside (time-out, lost connection)."""
        ...

    def remembered(self) -> Remembered | None:
        """After the end: reasoning the gateway should keep for this client, if any."""
        ...

    def tail(self) -> bytes:
        """The rest of the stream, to be sent once what is remembered has been kept: when the
        relay is waiting, else after the end. Asked again, it is empty."""
        ...


class TokenCount(Struct, frozen=True, kw_only=True):
    """How an API counts the tokens of a request without answering it. Pure functions."""

    url: Callable[[str], str]
    """URL that answers requests → the one that counts them."""
    read: Callable[[bytes], bytes]
    """A client's body → that of the request it asks about. Raises BadRequest."""
    forward: Callable[[bytes, bytes, str], bytes]
    """(client's body, body of its request made fit for a provider of the same format, provider's
    model) → the body for that provider's count."""
    write: Callable[[bytes, str], bytes]
    """(body of a request as `write_request` made it, model) → the body for the provider's count,
    without the fields that it would refuse."""
    read_answer: Callable[[bytes], int]
    """Raises Garbled."""
    write_answer: Callable[[int], bytes]


class ClientFormat(Struct, frozen=True, kw_only=True):
    """What clients may speak. All functions are pure; errors they raise are PlexusErrors."""

    name: str
    """As rows show it: chat, messages."""
    keepalive: bytes
    """A frame every client of the format ignores, sent while the upstream is silent."""

    read_call: Callable[[bytes, Asked], Call]
    """Peek at a client's body. Raises BadRequest with the field's name."""
    read_request: Callable[[bytes, Asked], Conversation]
    write_response: Callable[[Sequence[Event], Crossing], bytes]
    """The fold of the events into a whole answer for the client."""
    writer: Callable[[Crossing], Writer]
    write_error: Callable[[PlexusError, str], tuple[int, bytes]]
    """(error, request id) → HTTP status and JSON body in this format's own shape."""


class Format(ClientFormat, frozen=True, kw_only=True):
    """What providers speak too; `name` is then what the config calls it."""

    endpoint: Callable[[str, bool], str]
    """(model, stream) → path below a provider's base URL."""
    done: bytes
    """The terminal frame of a complete stream."""
    token_count: TokenCount | None = None
    """None: the API counts nothing."""

    splice: Callable[[Call, str, Mapping[str, Any]], bytes]
    """The client's body with another model name and extra top-level fields; nothing else changes,
    except that Chat asks for a usage chunk when streaming, and that envelopes of other issuers
    are taken out (they must never reach a provider)."""
    write_request: Callable[[Conversation, Crossing], bytes]
    inlines: tuple[MediaKind, ...] = ()
    """Media that its providers take only as content, never by URL."""
    read_response: Callable[[bytes, Crossing], list[Event]]
    """A whole provider answer as the events its stream would have been. Raises Garbled, Refused."""
    reader: Callable[[Crossing], Reader]
    stream_error: Callable[[PlexusError, bytes], bytes]
    """(error, data of the last frame) → the in-band error that ends a stream of the provider's own
    frames; nothing may follow it."""
    observer: Callable[[], Observer]
    estimated_usage: Callable[[bytes, int, Crossing], bytes]
    """(data of the last frame, characters of output) → the usage frame that a complete stream
    lacks; nothing where usage has no frame of its own."""
    is_usage_only: Callable[[Frame], bool]
    """A frame that exists only to carry usage (hidden from clients that did not ask for it)."""

    provider_headers: Callable[[Secret | None, Mapping[str, str]], dict[str, str]]
    """Headers for a provider: credential, version, and those of the client's headers (lower-case
    names) that the format allows through."""
    read_error: Callable[[int, Mapping[str, str], bytes], Refused]
    """A provider's error status and body, in any shape (HTML, empty, list, nested text)."""
