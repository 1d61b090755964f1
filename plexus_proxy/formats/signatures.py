"""What stands in a thought signature of Google's, in Gemini's parts and in `extra_content` of Chat
Completions: state of the provider's own, ours of another, or a word that says there is none.
Sources: Gemini API, "Thought signatures"; translation rules §10."""

import re

from plexus_proxy.formats import envelope
from plexus_proxy.formats.events import Opaque

SKIP = "skip_thought_signature_validator"
"""Takes the place of a signature for calls that come from elsewhere."""

_MEMBER = re.compile(rb'"thought_?[sS]ignature"\s*:\s*"([^"]+)"')
_NONE = frozenset(
    (
        SKIP,
        "context_engineering_is_the_way_to_go",
        # the same words as SDKs write them that take the signature as bytes
        "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I",
        "Y29udGV4dF9lbmdpbmVlcmluZ19pc190aGVfd2F5X3RvX2dv",
    )
)


def read_signature(text: str | None) -> Opaque | None:
    """State of the provider's own or of our envelope; None if there is none."""
    if not text or text.rstrip("=") in _NONE:
        return None
    if envelope.is_envelope(text):
        return envelope.unpack(text)
    if envelope.is_base64_envelope(text):
        return envelope.unpack_base64(text)
    return Opaque("gsig", text)


def holds_own_signature(body: bytes) -> bool:
    """Whether state of a provider's own stands in a Gemini request."""
    found = _MEMBER.finditer(body)
    return any(_is_own(match[1].decode("ascii", "replace")) for match in found)


def _is_own(text: str) -> bool:
    return not (
        text.rstrip("=") in _NONE or envelope.is_envelope(text) or envelope.is_base64_envelope(text)
    )
