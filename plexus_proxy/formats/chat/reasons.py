"""Finish reasons of Chat Completions. Source: OpenAI API reference; translation rules §12."""

from typing import Literal

from plexus_proxy.formats.events import FinishReason

ERROR = "error"
"""ext: the answer has failed; not a reason to finish."""

WireReason = Literal["stop", "length", "tool_calls", "content_filter"]

_READ: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    # words of compatible servers
    "max_tokens": "length",
    "max_output_tokens": "length",
    "model_length": "length",
    "tool_use": "tool_calls",
    "tool_call": "tool_calls",
    "content_filtered": "content_filter",
    "safety": "content_filter",
    "sensitive": "content_filter",
    "refusal": "refusal",
    "pause_turn": "pause",
    "model_context_window_exceeded": "context_full",
}
_WRITTEN: dict[FinishReason, WireReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "refusal": "stop",
    "pause": "stop",
    "context_full": "length",
}


def read_reason(word: str) -> FinishReason:
    """Unknown words mean a normal end (eos, end_turn and the like)."""
    return _READ.get(word.lower(), "stop")


def write_reason(reason: FinishReason) -> WireReason:
    return _WRITTEN[reason]
