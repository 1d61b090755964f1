"""Adapters of what a provider is sent: payload in, payload out. Pure."""

from collections.abc import Callable, Iterable
from typing import Any

from msgspec import UNSET, Raw

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
from plexus_proxy.config.model import (
    ModelRules,
    ReasoningCondition,
    ReasoningRules,
    Rewrite,
    WebSearchForm,
)
from plexus_proxy.formats.toolnames import legal_id

_GPT5_REFUSES = (
    "temperature",
    "top_p",
    "logprobs",
    "top_logprobs",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "truncation",
    "max_output_tokens",
    "max_completion_tokens",
    "safety_identifier",
)
_ID_FIELDS = ("id", "tool_use_id")
_SEARCH_TYPES = ("web_search", "openrouter:web_search", "googleSearch", "google_search")
_GOOGLE_SEARCHES = ("googleSearch", "google_search", "googleSearchRetrieval")
_FORMS: dict[str, dict[str, Any]] = {
    "anthropic": {"type": "web_search_20250305", "name": "web_search"},
    "openai": {"type": "web_search"},
    "openrouter": {"type": "openrouter:web_search"},
    "google": {"googleSearch": {}},
}


def with_reasoning_content(payload: Fields) -> Fields:
    """Of assistant messages: `reasoning`, else `thinking.content`, becomes `reasoning_content`."""

    def patched(message: Fields) -> Fields:
        if read_value(message.get("role")) != "assistant":
            return message
        thought = message.get("reasoning")
        if thought is None and "thinking" in message:
            thought = (read_fields(message["thinking"]) or {}).get("content")
        if thought is None:
            return message
        rest = {
            name: value for name, value in message.items() if name not in ("reasoning", "thinking")
        }
        return {**rest, "reasoning_content": thought}

    return _each(payload, ("messages",), patched)


def without_developer_role(payload: Fields) -> Fields:
    """Chat's messages and Responses' items."""

    def patched(message: Fields) -> Fields:
        if read_value(message.get("role")) != "developer":
            return message
        return {**message, "role": write("system")}

    return _each(payload, ("messages", "input"), patched)


def without_gpt5_options(payload: Fields) -> Fields:
    kept = {name: value for name, value in payload.items() if name not in _GPT5_REFUSES}
    return kept if len(kept) < len(payload) else payload


def with_legal_tool_ids(payload: Fields) -> Fields:
    """Of Messages' content blocks. Equal ids stay equal, so a result still belongs to its call."""

    def block(fields: Fields) -> Fields:
        for name in _ID_FIELDS:
            found = read_value(fields.get(name))
            if isinstance(found, str) and legal_id(found) != found:
                fields = {**fields, name: write(legal_id(found))}
        return fields

    return _each(payload, ("messages",), lambda message: _each(message, ("content",), block))


def with_model(payload: Fields, options: ModelRules) -> Fields:
    model = read_value(payload.get("model"))
    for rule in options.rules:
        if rule.model != model:
            continue
        for condition in rule.conditions:
            found = value_at(payload, condition.field)
            wanted = condition.value
            is_met = found is not UNSET if wanted is UNSET else _is_same(found, wanted)
            if is_met:
                return {**payload, "model": write(rule.rewrite_to)}
    return payload


def with_reasoning_rewritten(payload: Fields, options: ReasoningRules) -> Fields:
    for rule in options.rules:
        source = value_at(payload, rule.source)
        if not _holds(source, rule.when):
            continue
        for rewrite in rule.rewrites:
            value = _rewritten(source, rewrite)
            if value is not UNSET:
                payload = with_value(payload, rewrite.target, value)
        for path in rule.strip:
            payload = without(payload, path)
    return payload


def _holds(source: Any, when: ReasoningCondition | None) -> bool:
    if when is None or when.op == "present":
        return source is not UNSET
    if when.op == "absent":
        return source is UNSET
    if source is UNSET:
        return False
    if when.op == "in":
        return any(_is_same(source, value) for value in when.values)
    if when.op in _COMPARISONS:
        try:
            return _COMPARISONS[when.op](source, when.value)
        except TypeError:  # a number against a text
            return False
    return _is_same(source, when.value) == (when.op == "eq")


def _is_same(one: Any, other: Any) -> bool:
    """As JSON sees it: true is not 1."""
    return isinstance(one, bool) == isinstance(other, bool) and one == other


_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "gt": lambda one, other: one > other,
    "gte": lambda one, other: one >= other,
    "lt": lambda one, other: one < other,
    "lte": lambda one, other: one <= other,
}


def _rewritten(source: Any, rewrite: Rewrite) -> Any:
    """UNSET if there is nothing to be set."""
    match rewrite.value:
        case {"from": "source"}:
            return source
        case {"from": "boolean", **options}:
            return options.get("truthy" if source is not UNSET and source else "falsy", UNSET)
        case {"from": "map", "values": dict(values)}:  # pyright: ignore[reportUnknownVariableType] - any JSON
            key = str(source).lower() if isinstance(source, bool) else str(source)
            return values.get(key, UNSET)  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType] - any JSON
        case literal:
            return literal


def with_web_search(payload: Fields, options: WebSearchForm) -> Fields:
    form = dict(_FORMS[options.target])
    if options.target == "anthropic" and options.max_uses is not None:
        form["max_uses"] = options.max_uses
    tools = read_items(payload.get("tools"))
    patched = [write(form) if _is_web_search(tool) else tool for tool in tools]
    return {**payload, "tools": write(patched)} if patched != tools else payload


def _is_web_search(tool: Raw) -> bool:
    fields = read_fields(tool) or {}
    kind = read_value(fields.get("type"))
    if isinstance(kind, str):
        return kind.startswith("web_search") or kind in _SEARCH_TYPES
    return any(name in fields for name in _GOOGLE_SEARCHES)


def _each(payload: Fields, names: Iterable[str], patch: Callable[[Fields], Fields]) -> Fields:
    """With `patch` applied to every object in the lists of these names."""
    for name in names:
        items = read_items(payload.get(name))
        patched = [_patched(item, patch) for item in items]
        if any(one is not other for one, other in zip(patched, items, strict=True)):
            payload = {**payload, name: write(patched)}
    return payload


def _patched(item: Raw, patch: Callable[[Fields], Fields]) -> Raw:
    fields = read_fields(item)
    if fields is None:
        return item
    changed = patch(fields)
    return item if changed is fields else write(changed)
