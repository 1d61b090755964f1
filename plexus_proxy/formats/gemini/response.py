"""Whole answers of generateContent, both ways: streams in one chunk. Source: Gemini API reference,
"GenerateContentResponse"; gemini.md §5 of the design notes."""

from collections.abc import Sequence
from typing import cast

import msgspec
from msgspec.structs import replace

from plexus_proxy.formats.conversation import Crossing
from plexus_proxy.formats.events import Event, Failure, Finish
from plexus_proxy.formats.fold import fold, unfold
from plexus_proxy.formats.gemini import answers
from plexus_proxy.formats.gemini.parts import Part, PartsWriter
from plexus_proxy.formats.gemini.reasons import STOP
from plexus_proxy.formats.gemini.stream_reader import GeminiReader

_PARTS = msgspec.json.Decoder(list[Part])


def read_response(body: bytes, crossing: Crossing) -> list[Event]:
    """See Format.read_response."""
    chunk = answers.read_whole(body)
    if (error := answers.error_of_whole(chunk, body)) is not None:
        raise error
    candidate = answers.first_candidate(chunk)
    if candidate is not None:
        ended = replace(candidate, finish_reason=candidate.finish_reason or STOP)
        chunk = replace(chunk, candidates=[ended])
    reader = GeminiReader(crossing)
    events = [*reader.read(chunk), *reader.close()]
    for event in events:
        if isinstance(event, Failure):
            raise event.error
    return events


def write_response(events: Sequence[Event], crossing: Crossing) -> bytes:
    """See Format.write_response. Raises the error of a Failure among the events."""
    writer = PartsWriter(crossing, tail=b",")
    *before, finish = unfold(fold(events))
    written = b"".join([writer.feed(event) for event in before])
    parts = _PARTS.decode(b"[%b]" % written.removesuffix(b","))
    return writer.answer(cast("Finish", finish), _joined(parts))


def _joined(parts: Sequence[Part]) -> list[Part]:
    """Neighbouring texts as one, and thoughts too: pieces make sense in streams only."""
    joined: list[Part] = []
    for part in parts:
        last = joined[-1] if joined else None
        if last is None or not (last.is_plain and part.is_plain and last.thought == part.thought):
            joined.append(part)
        else:
            joined[-1] = replace(last, text=f"{last.text}{part.text}")
    return joined
