"""Usage of Chat Completions. `prompt_tokens` includes cache reads and writes, `completion_tokens`
includes reasoning. Source: OpenAI API reference, "The chat completion object", usage."""

import msgspec
from msgspec import Raw, Struct, UnsetType

from plexus_proxy.formats import body as bodies
from plexus_proxy.formats.events import Usage


class PromptDetails(Struct, frozen=True, gc=False):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class CompletionDetails(Struct, frozen=True, gc=False):
    reasoning_tokens: int | None = None


class WireUsage(Struct, frozen=True, gc=False):
    """As servers send it. The last two are older spellings of cached_tokens."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    cached_tokens: int | None = None
    prompt_cache_hit_tokens: int | None = None

    @property
    def has_counts(self) -> bool:
        """One without says nothing."""
        return self.prompt_tokens is not None or self.completion_tokens is not None


_USAGE = msgspec.json.Decoder(WireUsage | None)


class WrittenUsage(Struct, frozen=True, gc=False):
    """As we send it."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails
    completion_tokens_details: CompletionDetails


def read_usage(wire: WireUsage) -> Usage:
    """In disjoint buckets; contradictory and negative counts are clamped at 0."""
    prompt = wire.prompt_tokens_details or PromptDetails()
    completion = wire.completion_tokens_details or CompletionDetails()
    cached = prompt.cached_tokens or wire.cached_tokens or wire.prompt_cache_hit_tokens or 0
    read = max(0, cached)
    written = max(0, prompt.cache_write_tokens or 0)
    reasoning = max(0, completion.reasoning_tokens or 0)
    return Usage(
        input_tokens=max(0, (wire.prompt_tokens or 0) - read - written),
        cache_read_tokens=read,
        cache_write_tokens=written,
        output_tokens=max(0, (wire.completion_tokens or 0) - reasoning),
        reasoning_tokens=reasoning,
    )


def known_usage(stated: Raw | UnsetType) -> Usage | None:
    """Of a whole answer; None if there is none, or none we can read."""
    wire = bodies.known(_USAGE, stated)
    return read_usage(wire) if wire is not None and wire.has_counts else None


def write_usage(usage: Usage) -> WrittenUsage:
    return WrittenUsage(
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.total_tokens,
        PromptDetails(usage.cache_read_tokens, usage.cache_write_tokens),
        CompletionDetails(usage.reasoning_tokens),
    )
