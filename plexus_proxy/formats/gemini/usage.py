"""Usage of generateContent. `promptTokenCount` includes cache reads but not what server tools fed
in, `candidatesTokenCount` excludes thoughts. Source: Gemini API reference, "UsageMetadata"."""

from msgspec import Struct

from plexus_proxy.formats.events import Usage


class WireUsage(Struct, frozen=True, gc=False, rename="camel"):
    """As servers send it; a count that is zero may be missing."""

    prompt_token_count: int | None = None
    cached_content_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    total_token_count: int | None = None


class WrittenUsage(Struct, frozen=True, gc=False, rename="camel"):
    """As we send it."""

    prompt_token_count: int
    candidates_token_count: int
    total_token_count: int
    cached_content_token_count: int
    thoughts_token_count: int


def merge_usage(known: WireUsage, told: WireUsage) -> WireUsage:
    """Counts of a stream so far and those of its next chunk: totals, so the last one of each
    counts and none is added. Called for every chunk."""
    prompt = told.prompt_token_count
    cached = told.cached_content_token_count
    candidates = told.candidates_token_count
    thoughts = told.thoughts_token_count
    tools = told.tool_use_prompt_token_count
    total = told.total_token_count
    return WireUsage(
        known.prompt_token_count if prompt is None else prompt,
        known.cached_content_token_count if cached is None else cached,
        known.candidates_token_count if candidates is None else candidates,
        known.thoughts_token_count if thoughts is None else thoughts,
        known.tool_use_prompt_token_count if tools is None else tools,
        known.total_token_count if total is None else total,
    )


def read_usage(wire: WireUsage) -> Usage:
    """In disjoint buckets; contradictory and negative counts are clamped at 0.

    Some proxies count thoughts among the candidates: the total tells."""
    prompt = wire.prompt_token_count or 0
    cached = max(0, wire.cached_content_token_count or 0)
    candidates = wire.candidates_token_count or 0
    thoughts = max(0, wire.thoughts_token_count or 0)
    if thoughts and prompt + candidates == wire.total_token_count:
        candidates -= thoughts
    return Usage(
        input_tokens=max(0, prompt + (wire.tool_use_prompt_token_count or 0) - cached),
        cache_read_tokens=cached,
        output_tokens=max(0, candidates),
        reasoning_tokens=thoughts,
    )


def write_usage(usage: Usage) -> WrittenUsage:
    """What was written to a cache cannot be told apart from the prompt."""
    return WrittenUsage(
        usage.prompt_tokens,
        usage.output_tokens,
        usage.total_tokens,
        usage.cache_read_tokens,
        usage.reasoning_tokens,
    )
