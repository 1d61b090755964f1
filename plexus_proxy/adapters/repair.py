"""What to change in a payload that a provider has refused with a 400 it explains itself, or with a
404 of reasoning it does not keep.

Three kinds of refusal can be repaired without changing what is asked: a parameter that only tunes
the answer, reasoning state that the provider does not accept, and Anthropic's tool search at a
server that has none (the tools themselves stay). Pure; when and how often a repaired
payload is tried again is the caller's business. Sources: error messages of OpenAI, Anthropic,
Gemini and vLLM; translation.md §10 and pitfall P105 of the design notes.
"""

import re
from collections.abc import Iterator
from typing import Any, cast

import msgspec
from msgspec import UNSET, Raw, Struct

from plexus_proxy.adapters.payload import (
    Fields,
    read_fields,
    read_items,
    read_value,
    value_at,
    with_value,
    without,
    write,
)
from plexus_proxy.adapters.state import without_state
from plexus_proxy.errors import Refused

_REPAIRABLE = (400, 404, 422)
STATE = "reasoning"
"""How the loss of reasoning state is named."""

_NAME = r"['\"`]?(?<![\w.])(?P<name>[A-Za-z_][\w.]{0,80})(?![\w.])['\"`]?"
_REFUSALS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?:unsupported|unknown|unrecognized|unexpected) (?:parameter|value|field"
        rf"|(?:request |keyword )?argument)s?(?: supplied)?:? *{_NAME}",
        rf"{_NAME}: extra inputs are not permitted",
        rf"{_NAME} (?:parameter )?is not (?:supported|permitted|allowed)",
        rf"{_NAME} is deprecated for this model",
        rf"does not support (?:the )?(?:parameters? )?{_NAME}",
        r"`\w+` and `(?P<name>\w+)` cannot both be specified",
    )
)
_GOOGLE = re.compile(
    r"""Unknown name "(?P<name>\w+)"(?: at '(?P<at>[\w.]*)')?: Cannot find field"""
)
_INSTEAD = re.compile(r"use ['\"`](\w+)['\"`] instead", re.IGNORECASE)
_STATE_REFUSALS = re.compile(
    r"invalid_encrypted_content|encrypted content|thought[ _]?signature"
    r"|`?signature`? in `?thinking|thinking\.signature|redacted_thinking"
    r"|reasoning' was provided without|without its required 'reasoning'"
    r"|item with id '(?:rs|fc|msg)_[^']*' not found",
    re.IGNORECASE,
)
_TOOL_SEARCH_REFUSAL = re.compile(r"unknown server-tool shorthand", re.IGNORECASE)
"""OpenRouter's words, July 2026."""
_TOOL_SEARCH = "tool_search_tool_"
_CODES = ("unsupported_parameter", "unknown_parameter", "unsupported_value", "extra_forbidden")
_LENGTHS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_TUNING = frozenset(
    (
        *("temperature", "top_p", "top_k", "min_p", "seed", "logit_bias", "logprobs"),
        *("top_logprobs", "presence_penalty", "frequency_penalty", "repetition_penalty"),
        *("user", "safety_identifier", "metadata", "labels", "store", "service_tier", "speed"),
        *("prompt_cache_key", "prompt_cache_retention", "cache_control", "context_management"),
        *("truncation", "verbosity", "text.verbosity", "parallel_tool_calls", "stream_options"),
        *("include", "reasoning", "reasoning_effort", "thinking", "output_config.effort"),
        *("generationConfig.seed", "generationConfig.topK", "generationConfig.topP"),
        *("generationConfig.temperature", "generationConfig.presencePenalty"),
        *("generationConfig.frequencyPenalty", "generationConfig.logprobs"),
        *("generationConfig.responseLogprobs", "generationConfig.thinkingConfig"),
        "generationConfig.mediaResolution",
    )
)
"""What the same question is answered without. All else is the question."""


class Repair(Struct, frozen=True):
    """A payload to try instead, and what it lacks."""

    body: bytes
    dropped: tuple[str, ...]


def repaired(fault: Refused, body: bytes) -> Repair | None:
    """None if nothing can be repaired."""
    if fault.upstream_status not in _REPAIRABLE:
        return None
    payload = read_fields(body)
    if payload is None:
        return None
    if _STATE_REFUSALS.search(f"{fault.code} {fault.message}"):
        found = without_state(payload)
        return None if found is payload else Repair(bytes(write(found)), (STATE,))
    if _TOOL_SEARCH_REFUSAL.search(fault.message):
        return _without_tool_search(payload)
    return _without_parameters(fault, payload)


def _without_tool_search(payload: Fields) -> Repair | None:
    tools = read_items(payload.get("tools"))
    kept = [tool for tool in tools if not _is_tool_search(tool)]
    if not kept or len(kept) == len(tools):
        return None
    return Repair(bytes(write({**payload, "tools": write(kept)})), ("tools",))


def _is_tool_search(tool: Raw) -> bool:
    kind = read_value((read_fields(tool) or {}).get("type"))
    return isinstance(kind, str) and kind.startswith(_TOOL_SEARCH)


def _without_parameters(fault: Refused, payload: Fields) -> Repair | None:
    patched = payload
    dropped: list[str] = []
    instead = _INSTEAD.search(fault.message)
    for path in dict.fromkeys(_named(fault)):
        value = value_at(patched, path)
        if value is UNSET:
            continue
        if instead is not None and path in _LENGTHS and instead[1] in _LENGTHS:
            patched = with_value(without(patched, path), instead[1], value)
        elif path in _TUNING:
            patched = without(patched, path)
            dropped.append(path)
    return None if patched is payload else Repair(bytes(write(patched)), tuple(dropped))


def _named(fault: Refused) -> Iterator[str]:
    """Dotted paths of the parameters that the refusal names."""
    for entry in _entries(_json(fault.body)):
        kind, param, place = entry.get("type"), entry.get("param"), entry.get("loc")
        if isinstance(param, str) and entry.get("code") in _CODES:
            yield param
        if kind in _CODES and isinstance(place, list):
            yield ".".join(str(each) for each in cast("list[Any]", place) if each != "body")
    for found in _GOOGLE.finditer(fault.message):
        path = f"{found['at']}.{found['name']}" if found["at"] else found["name"]
        yield path
        yield re.sub(r"_([a-z])", lambda match: match[1].upper(), path)
    for pattern in _REFUSALS:
        for found in pattern.finditer(fault.message):
            yield found["name"]


def _entries(value: Any) -> Iterator[dict[str, Any]]:
    """The error objects of a body: itself, its `error`, and the items of its `detail`."""
    if isinstance(value, dict):
        entry = cast("dict[str, Any]", value)
        yield entry
        for name in ("error", "detail"):
            yield from _entries(entry.get(name))
    elif isinstance(value, list):
        for each in cast("list[Any]", value):
            yield from _entries(each)


def _json(text: bytes) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
