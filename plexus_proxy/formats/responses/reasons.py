"""Why a response ended: its status and, if it is incomplete, the reason. Source: translation rules
§12."""

from msgspec import Struct

from plexus_proxy.formats.events import FinishReason


class End(Struct, frozen=True):
    """`incomplete` is incomplete_details.reason; None means completed."""

    status: str
    incomplete: str | None = None


_COMPLETED = End("completed")
_LENGTH = End("incomplete", "max_output_tokens")
_FILTERED = End("incomplete", "content_filter")
_WRITE: dict[FinishReason, End] = {
    "length": _LENGTH,
    "context_full": _LENGTH,
    "content_filter": _FILTERED,
}
_READ: dict[str, FinishReason] = {
    "max_output_tokens": "length",
    "max_messages": "length",
    "content_filter": "content_filter",
}


def read_reason(incomplete: str | None) -> FinishReason:
    """`stop` of a completed answer becomes tool_calls where there are calls."""
    return "stop" if incomplete is None else _READ.get(incomplete, "length")


def write_end(reason: FinishReason) -> End:
    return _WRITE.get(reason, _COMPLETED)
