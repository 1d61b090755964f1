"""Stop reasons of Messages. Source: Anthropic API reference; translation rules §12."""

from typing import Literal

from plexus_proxy.formats.events import FinishReason

WireReason = Literal[
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "pause_turn",
    "refusal",
    "model_context_window_exceeded",
]

_READ: dict[str, FinishReason] = {
    "end_turn": "stop",
    "max_tokens": "length",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "pause_turn": "pause",
    "refusal": "content_filter",
    "model_context_window_exceeded": "context_full",
}
_WRITTEN: dict[FinishReason, WireReason] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "refusal": "refusal",
    "pause": "pause_turn",
    "context_full": "model_context_window_exceeded",
}


def read_reason(word: str) -> FinishReason:
    """Unknown words mean a normal end."""
    return _READ.get(word, "stop")


def write_reason(reason: FinishReason, stop_sequence: str | None = None) -> WireReason:
    """`stop_sequence` is the text that ended the answer, if one did."""
    if reason == "stop" and stop_sequence is not None:
        return "stop_sequence"
    return _WRITTEN[reason]
