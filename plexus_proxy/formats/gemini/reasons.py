"""Finish reasons of generateContent. Source: Gemini API reference, "FinishReason"; translation
rules §12."""

from typing import Literal

from plexus_proxy.errors import Refused
from plexus_proxy.formats.events import FinishReason

UNSPECIFIED = "FINISH_REASON_UNSPECIFIED"
"""Says nothing; the answer goes on."""

WireReason = Literal["STOP", "MAX_TOKENS", "SAFETY", "MALFORMED_FUNCTION_CALL"]

STOP: WireReason = "STOP"
MALFORMED: WireReason = "MALFORMED_FUNCTION_CALL"

_READ: dict[str, FinishReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "IMAGE_OTHER": "content_filter",
    "MODEL_ARMOR": "content_filter",
}
_WRITTEN: dict[FinishReason, WireReason] = {
    "stop": "STOP",
    "length": "MAX_TOKENS",
    "tool_calls": "STOP",
    "content_filter": "SAFETY",
    "refusal": "STOP",
    "pause": "STOP",
    "context_full": "MAX_TOKENS",
}


def read_reason(
    word: str, *, has_output: bool, message: str | None = None
) -> FinishReason | Refused:
    """Words for an answer that went wrong, and unknown ones, mean a normal end if there was output
    before, else an error; `message` is the provider's about it."""
    reason = _READ.get(word)
    if reason is not None:
        return reason
    if has_output:
        return "stop"
    return Refused(
        f"The provider ended the answer with {word}{': ' + message if message else '.'}",
        upstream_status=502,
        kind="upstream_broken",
        cause="incidental",
        code=word.lower(),
        in_stream=True,
    )


def write_reason(reason: FinishReason) -> WireReason:
    return _WRITTEN[reason]
