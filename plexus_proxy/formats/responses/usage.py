"""Usage of Responses. `input_tokens` includes cache reads and writes, `output_tokens` includes
reasoning. Source: OpenAI API reference, "The response object", usage."""

import msgspec
from msgspec import Raw, Struct, UnsetType

from plexus_proxy.formats import body as bodies
from plexus_proxy.formats.events import Usage


class InputDetails(Struct, frozen=True, gc=False):
    cached_tokens: int | None = 0
    cache_write_tokens: int | None = 0


class OutputDetails(Struct, frozen=True, gc=False):
    reasoning_tokens: int | None = 0


class WireUsage(Struct, frozen=True, gc=False):
    """As servers send it: any field may be missing."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: InputDetails | None = None
    output_tokens_details: OutputDetails | None = None


class WrittenUsage(Struct, frozen=True, gc=False):
    """As we send it; typed clients demand both details."""

    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int


_USAGE = msgspec.json.Decoder(WireUsage | None)


def read_usage(wire: WireUsage) -> Usage:
    """In disjoint buckets; contradictory and negative counts are clamped at 0."""
    sent = wire.input_tokens_details or InputDetails()
    got = wire.output_tokens_details or OutputDetails()
    read = max(0, sent.cached_tokens or 0)
    written = max(0, sent.cache_write_tokens or 0)
    reasoning = max(0, got.reasoning_tokens or 0)
    return Usage(
        input_tokens=max(0, (wire.input_tokens or 0) - read - written),
        cache_read_tokens=read,
        cache_write_tokens=written,
        output_tokens=max(0, (wire.output_tokens or 0) - reasoning),
        reasoning_tokens=reasoning,
    )


def known_usage(stated: Raw | UnsetType) -> Usage | None:
    """None if there is none, or none we can read."""
    wire = bodies.known(_USAGE, stated)
    if wire is None or wire.input_tokens is wire.output_tokens is None:
        return None
    return read_usage(wire)


def write_usage(usage: Usage) -> WrittenUsage:
    return WrittenUsage(
        usage.prompt_tokens,
        InputDetails(usage.cache_read_tokens, usage.cache_write_tokens),
        usage.completion_tokens,
        OutputDetails(usage.reasoning_tokens),
        usage.total_tokens,
    )
