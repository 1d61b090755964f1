"""Names and ids that a provider accepts, made from those a client chose.

What is legal passes unchanged. The rest is cleaned, shortened and given 8 hex digits of its hash,
so that equal input gives equal output and two different names do not meet.
"""

import hashlib
import re

from plexus_proxy.formats.conversation import Crossing

_PLAIN = re.compile(r"[a-zA-Z0-9_-]+")
_ILLEGAL = re.compile(r"[^a-zA-Z0-9_-]")
_HASH_CHARS = 9  # an underscore and 8 hex digits
_ID_CHARS = 64


def wire_name(name: str, limit: int, crossing: Crossing, is_legal: re.Pattern[str] = _PLAIN) -> str:
    """A tool's name on the provider's wire; remembered in `crossing`, so that answers name the
    tool as the client declared it."""
    if len(name) <= limit and is_legal.fullmatch(name):
        return name
    legal = _hashed(name, limit)
    if not is_legal.fullmatch(legal):  # a digit at the beginning
        legal = _hashed(f"_{name}", limit)
    crossing.tool_names[legal] = name
    return legal


def legal_id(tool_id: str) -> str:
    """A tool call's id in the charset of Messages; any length will do there."""
    return _hashed(tool_id, _ID_CHARS) if _ILLEGAL.search(tool_id) else tool_id


def short_id(tool_id: str) -> str:
    """A tool call's id of at most 64 characters."""
    return tool_id if len(tool_id) <= _ID_CHARS else _hashed(tool_id, _ID_CHARS)


def _hashed(text: str, limit: int) -> str:
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{_ILLEGAL.sub('_', text)[: limit - _HASH_CHARS]}_{digest}"
