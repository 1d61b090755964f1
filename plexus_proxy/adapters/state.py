"""A payload of any format without the reasoning state it carries. Pure.

What is left is what each API takes from a client that never had state: Source: translation.md §10
of the design notes, "Degrade rules".
"""

from collections.abc import Iterable

from msgspec import Raw

from plexus_proxy.adapters.payload import Fields, read_fields, read_items, read_value, write

_THINKING = ("thinking", "redacted_thinking")
_SIGNATURES = ("thoughtSignature", "thought_signature")
_CALLS = ("functionCall", "function_call")
_SKIP = write("skip_thought_signature_validator")
"""What Gemini takes in place of the signature of a call that was made elsewhere."""


def without_state(payload: Fields) -> Fields:
    """The very same object if there is none."""
    patched = payload
    if "messages" in payload:
        patched = _without_thinking(_without_details(patched))
    if "input" in payload:
        patched = _without_items(patched)
    if "contents" in payload:
        patched = _without_signatures(patched)
    return patched


def _with_list(payload: Fields, name: str, items: list[Raw], before: list[Raw]) -> Fields:
    return payload if items == before else {**payload, name: write(items)}


def _without_thinking(payload: Fields) -> Fields:
    """Messages: thinking blocks, and turns that consisted of them. A running tool loop that has
    lost its thinking must not think on, unless the model thinks as it likes."""
    messages = read_items(payload["messages"])
    kept: list[Raw] = []
    for message in messages:
        fields = read_fields(message) or {}
        blocks = read_items(fields.get("content"))
        rest = [block for block in blocks if _type_of(block) not in _THINKING]
        if len(rest) == len(blocks):
            kept.append(message)
        elif rest:
            kept.append(write({**fields, "content": rest}))
    if kept == messages:
        return payload
    patched = {**payload, "messages": write(kept)}
    thinking = read_fields(payload["thinking"]) if "thinking" in payload else None
    if thinking and read_value(thinking.get("type")) == "enabled" and _is_loop(kept):
        del patched["thinking"]
    return patched


def _is_loop(messages: list[Raw]) -> bool:
    last = (read_fields(messages[-1]) or {}) if messages else {}
    return any(_type_of(block) == "tool_result" for block in read_items(last.get("content")))


def _without_details(payload: Fields) -> Fields:
    """Chat: reasoning_details of assistant messages, and Google's signatures of calls."""
    messages = read_items(payload["messages"])
    kept = [_without_names(each, ("reasoning_details", "thinking_blocks")) for each in messages]
    kept = [_with_bare_calls(each) for each in kept]
    return _with_list(payload, "messages", kept, messages)


def _with_bare_calls(message: Raw) -> Raw:
    fields = read_fields(message) or {}
    calls = read_items(fields.get("tool_calls"))
    bare = [_without_names(call, ("extra_content",)) for call in calls]
    return message if bare == calls else write({**fields, "tool_calls": bare})


def _without_items(payload: Fields) -> Fields:
    """Responses: reasoning items, and the ids of those that came of them."""
    items = read_items(payload["input"])
    kept = [
        _without_names(item, ("id",)) if _role_of(item) != "user" else item
        for item in items
        if _type_of(item) != "reasoning"
    ]
    return _with_list(payload, "input", kept, items)


def _without_signatures(payload: Fields) -> Fields:
    """Gemini: signatures; the first call of each step says that it has none."""
    contents = read_items(payload["contents"])
    kept: list[Raw] = []
    for content in contents:
        fields = read_fields(content) or {}
        parts = read_items(fields.get("parts"))
        bare = [_without_names(part, _SIGNATURES) for part in parts]
        first = next((at for at, part in enumerate(bare) if _is_call(part)), None)
        if first is not None:
            call = read_fields(bare[first]) or {}
            bare[first] = write({**call, "thoughtSignature": _SKIP})
        kept.append(content if bare == parts else write({**fields, "parts": bare}))
    return _with_list(payload, "contents", kept, contents)


def _is_call(part: Raw) -> bool:
    return any(name in (read_fields(part) or {}) for name in _CALLS)


def _type_of(item: Raw) -> object:
    return read_value((read_fields(item) or {}).get("type"))


def _role_of(item: Raw) -> object:
    return read_value((read_fields(item) or {}).get("role"))


def _without_names(item: Raw, names: Iterable[str]) -> Raw:
    fields = read_fields(item)
    if fields is None or not any(name in fields for name in names):
        return item
    return write({name: value for name, value in fields.items() if name not in names})
