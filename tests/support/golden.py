"""The golden streams, and how what comes of them is written down."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from plexus_proxy.formats.conversation import Crossing
from plexus_proxy.formats.events import BlockStart, Event, Failure
from plexus_proxy.formats.format import ClientFormat, Format, Observer
from plexus_proxy.formats.registry import FORMATS
from plexus_proxy.formats.relay import Translation
from plexus_proxy.formats.sse import Framer

ROOT = Path(__file__).parent.parent / "golden"
CASES = sorted(path.parent for path in ROOT.glob("*/*/upstream.sse"))
IDS = [f"{case.parent.name}.{case.name}" for case in CASES]
CHAT, MESSAGES, RESPONSES = FORMATS["chat"], FORMATS["messages"], FORMATS["responses"]


def crossing(**changed: Any) -> Crossing:
    told: dict[str, Any] = {
        "provider": "acme",
        "model": "sample-1",
        "response_id": "R0001",
        "created_s": 1790000000,
        "include_usage": True,
        "estimated_input_tokens": 9,
    }
    return Crossing(**told | changed)


def format_of(case: Path) -> Format:
    return FORMATS[case.parent.name]


def others(fmt: Format) -> list[Format]:
    return [each for each in FORMATS.values() if each is not fmt]


def read(fmt: Format, stream: bytes, **changed: Any) -> list[Event]:
    """The events of a whole stream; what cannot be read raises Garbled."""
    reader = fmt.reader(crossing(**changed))
    framer = Framer()
    frames = [*framer.feed(stream), *framer.close()]
    return [event for frame in frames for event in reader.feed(frame)] + list(reader.close())


def write(fmt: ClientFormat, events: Sequence[Event], **changed: Any) -> bytes:
    writer = fmt.writer(crossing(**changed))
    return b"".join(writer.feed(event) for event in events)


def observed(fmt: Format, stream: bytes) -> Observer:
    observer = fmt.observer()
    framer = Framer()
    for frame in [*framer.feed(stream), *framer.close()]:
        observer.frame(frame)
    return observer


def translated(
    provider: Format, client: ClientFormat, chunks: Sequence[bytes], **changed: Any
) -> tuple[bytes, Translation]:
    """The client's whole stream, and the relay after its end."""
    relay = Translation(provider, client, crossing(**changed))
    out = b"".join([relay.feed(chunk) for chunk in chunks])
    return out + relay.close() + relay.tail(), relay


def marked(events: Sequence[Event]) -> list[Event]:
    """As a client of another format sees them: with the gateway's mark on the ids of calls before
    which something was thought."""
    has_thought = False
    seen: list[Event] = []
    for event in events:
        if isinstance(event, BlockStart):
            has_thought = has_thought or event.kind == "reasoning"
            if event.tool_id and has_thought:
                event = replace(event, tool_id=f"{event.tool_id}_gw")
        seen.append(event)
    return seen


def told(event: Event) -> dict[str, Any]:
    """An event in the words of events.jsonl."""
    fields: dict[str, Any] = {"event": type(event).__name__}
    if isinstance(event, Failure):
        error = event.error
        return fields | {"error": type(error).__name__, "kind": error.kind, "message": str(error)}
    return fields | {
        name: msgspec.to_builtins(value)
        for name in event.__struct_fields__
        if (value := getattr(event, name)) or type(value) is int
    }


def expected_files(case: Path) -> dict[str, str]:
    """Name → content of everything that is derived from the case's upstream.sse."""
    fmt = format_of(case)
    stream = (case / "upstream.sse").read_bytes()
    observer = observed(fmt, stream)
    usage = {
        "usage": msgspec.to_builtins(observer.usage),
        "finish_reason": observer.finish_reason,
        "tool_calls": observer.tool_calls,
        "output_chars": observer.output_chars,
        "complete": observer.complete,
        "ended": observer.ended,
        "failure": observer.failure.kind if observer.failure else None,
    }
    lines = [json.dumps(told(event), ensure_ascii=False) for event in read(fmt, stream)]
    files = {
        "events.jsonl": "".join(f"{line}\n" for line in lines),
        "usage.json": json.dumps(usage, indent=1) + "\n",
    }
    for client in others(fmt):
        files[f"to_{client.name}.sse"] = translated(fmt, client, [stream])[0].decode()
    return files
