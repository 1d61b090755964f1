"""The canonical stream: upstream formats are read into it, client formats written from it.

A stream is `Start`, then blocks, then `Finish`; or it ends early with `Failure`. A block is
`BlockStart(index)`, any number of deltas with the same index, `BlockEnd(index)`. Indices count up
from 0 over all kinds of block. Blocks of an upstream may be open at the same time (interleaved
parallel tool calls); writers whose format forbids that hold back what comes too early.
`UsageUpdate` may come anywhere between; the last one counts.

Shape and events follow protocols/translation.md §1.3, §12, §13, §15 of the design notes.
"""

from typing import Literal

from msgspec import Struct

from plexus_proxy.errors import PlexusError

BlockKind = Literal["text", "reasoning", "tool", "refusal", "search"]
FinishReason = Literal[
    "stop", "length", "tool_calls", "content_filter", "refusal", "pause", "context_full"
]
OpaqueKind = Literal["sig", "redacted", "enc", "gsig"]


class Usage(Struct, frozen=True, gc=False):
    """Tokens of one answer in five disjoint buckets; their sum is the total."""

    input_tokens: int = 0
    """Prompt tokens neither read from nor written to a cache."""
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    """Generated tokens without reasoning."""
    reasoning_tokens: int = 0

    @property
    def prompt_tokens(self) -> int:
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens

    @property
    def completion_tokens(self) -> int:
        return self.output_tokens + self.reasoning_tokens

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


class Opaque(Struct, frozen=True, gc=False):
    """State only its issuer can read: a signature, redacted thinking, encrypted reasoning.

    `issuer` is the provider id of our config, or "" when the client sent the vendor's own form and
    we cannot know. `data` is the vendor's text, never altered.
    """

    kind: OpaqueKind
    data: str
    issuer: str = ""
    model: str = ""
    item_id: str = ""


class Citation(Struct, frozen=True, gc=False):
    """A URL citation attached to a text block; offsets in characters of that block."""

    url: str
    title: str = ""
    cited_text: str = ""
    start: int | None = None
    end: int | None = None

    def span(self, length: int) -> tuple[int, int]:
        """From where to where in a block of `length` characters: all of it if nothing is said, and
        never beyond, whatever the provider has counted."""
        end = length if self.end is None else max(0, min(self.end, length))
        return min(max(0, self.start or 0), end), end


class Source(Struct, frozen=True, gc=False):
    """A page that a search has found."""

    url: str
    title: str = ""
    page_age: str = ""


class Search(Struct, frozen=True, gc=False):
    """A search that the provider has made, or failed to make: `error` is a code of the provider's,
    and "" if it succeeded."""

    queries: tuple[str, ...]
    sources: tuple[Source, ...] = ()
    error: str = ""


class Likelihood(Struct, frozen=True, gc=False):
    """How likely a token was, as natural logarithm."""

    token: str
    logprob: float
    octets: tuple[int, ...] | None = None
    """The token's bytes: a token may be a part of a character."""


class TokenLogprob(Struct, frozen=True, gc=False):
    chosen: Likelihood
    top: tuple[Likelihood, ...] = ()
    """The likeliest tokens at this place."""


class Event(Struct, frozen=True, gc=False):
    """Base of all canonical events."""


class Start(Event, frozen=True, gc=False):
    """First event of every answer. `usage` holds what the upstream knows at that moment."""

    id: str
    model: str
    usage: Usage | None = None


class BlockStart(Event, frozen=True, gc=False):
    index: int
    kind: BlockKind
    tool_id: str = ""
    """Of a tool block: the upstream's id; "" when it gave none (the writer mints one)."""
    tool_name: str = ""
    custom: bool = False
    """A custom (freeform) tool: its input is plain text, not JSON."""


class TextDelta(Event, frozen=True, gc=False):
    """Text of a text or refusal block."""

    index: int
    text: str


class ReasoningDelta(Event, frozen=True, gc=False):
    index: int
    text: str


class ReasoningSignature(Event, frozen=True, gc=False):
    """The opaque state of a reasoning block; at most one per block, before its BlockEnd."""

    index: int
    opaque: Opaque


class ToolInputDelta(Event, frozen=True, gc=False):
    """A fragment of a tool call's arguments, as JSON text (or plain text of a custom tool)."""

    index: int
    text: str


class CitationDelta(Event, frozen=True, gc=False):
    index: int
    citation: Citation


class Searched(Event, frozen=True, gc=False):
    """What a search block tells, all at once."""

    index: int
    search: Search


class Logprobs(Event, frozen=True, gc=False):
    """Probabilities of tokens of a text block, each told once and in order: right before the delta
    that holds the tokens, where that is known, else anywhere in the block."""

    index: int
    tokens: tuple[TokenLogprob, ...]


class BlockEnd(Event, frozen=True, gc=False):
    index: int


class UsageUpdate(Event, frozen=True, gc=False):
    """Totals so far, never increments."""

    usage: Usage


class Finish(Event, frozen=True, gc=False):
    reason: FinishReason
    stop_sequence: str | None = None


class Failure(Event, frozen=True, gc=False):
    """The upstream ended the answer with an error, or was cut before it was complete."""

    error: PlexusError
