"""Usage of Messages. `input_tokens` excludes cache reads and writes, `output_tokens` includes
thinking. Source: Anthropic API reference, "Messages", usage."""

import msgspec
from msgspec import Raw, Struct, UnsetType

from plexus_proxy.formats import body as bodies
from plexus_proxy.formats.events import Usage
from plexus_proxy.formats.messages.searches import ServerToolUsage


class OutputDetails(Struct, frozen=True, gc=False):
    thinking_tokens: int | None = None


class WireUsage(Struct, frozen=True, gc=False):
    """As servers send it; every count may be missing or null."""

    input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens: int | None = None
    output_tokens_details: OutputDetails | None = None


_NOTHING = WireUsage()
_USAGE = msgspec.json.Decoder(WireUsage | None)


class WrittenUsage(Struct, frozen=True, gc=False, omit_defaults=True):
    """As we send it."""

    input_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int
    output_tokens_details: OutputDetails | None = None
    server_tool_use: ServerToolUsage | None = None


def merge_usage(known: WireUsage, told: WireUsage) -> WireUsage:
    """Counts of a stream so far and those of its next event: totals, so what is told replaces what
    was known and is never added to it."""

    def latest(new: int | None, old: int | None) -> int | None:
        return old if new is None else new

    return WireUsage(
        latest(told.input_tokens, known.input_tokens),
        latest(told.cache_creation_input_tokens, known.cache_creation_input_tokens),
        latest(told.cache_read_input_tokens, known.cache_read_input_tokens),
        latest(told.output_tokens, known.output_tokens),
        told.output_tokens_details or known.output_tokens_details,
    )


def read_usage(wire: WireUsage) -> Usage:
    """In disjoint buckets; contradictory and negative counts are clamped at 0."""
    details = wire.output_tokens_details
    thinking = max(0, (details.thinking_tokens if details else None) or 0)
    return Usage(
        input_tokens=max(0, wire.input_tokens or 0),
        cache_read_tokens=max(0, wire.cache_read_input_tokens or 0),
        cache_write_tokens=max(0, wire.cache_creation_input_tokens or 0),
        output_tokens=max(0, (wire.output_tokens or 0) - thinking),
        reasoning_tokens=thinking,
    )


def known_usage(stated: Raw | UnsetType) -> Usage | None:
    """Of a whole answer; None if there is none, or none we can read."""
    wire = bodies.known(_USAGE, stated)
    return None if wire in (None, _NOTHING) else read_usage(wire)


def write_usage(usage: Usage, server_tools: ServerToolUsage | None = None) -> WrittenUsage:
    return WrittenUsage(
        usage.input_tokens,
        usage.cache_write_tokens,
        usage.cache_read_tokens,
        usage.completion_tokens,
        OutputDetails(usage.reasoning_tokens) if usage.reasoning_tokens else None,
        server_tools,
    )
