"""Adapters of what a provider says to a client of its own format: JSON in, JSON out. Pure."""

from plexus_proxy.adapters.payload import Fields, read_fields, read_items, write

_THOUGHT = b'"reasoning_content"'
_SAID = ("message", "delta")


def with_reasoning(text: bytes) -> bytes:
    """A Chat chunk or answer in which `reasoning_content` stands as `reasoning` too; the very
    same bytes if there is none."""
    if _THOUGHT not in text:
        return text
    fields = read_fields(text)
    choices = read_items(fields.get("choices")) if fields else []
    if fields is None or not choices:
        return text
    patched = [write(_choice(read_fields(each) or {})) for each in choices]
    return bytes(write({**fields, "choices": patched}))


def _choice(choice: Fields) -> Fields:
    for name in _SAID:
        said = read_fields(choice[name]) if name in choice else None
        if said and "reasoning_content" in said and "reasoning" not in said:
            choice = {**choice, name: write({**said, "reasoning": said["reasoning_content"]})}
    return choice
