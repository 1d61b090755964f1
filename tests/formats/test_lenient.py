"""What is of an unknown shape costs nothing but itself."""

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import msgspec
import pytest
from msgspec import UNSET, Raw, Struct, UnsetType
from support.answers import VOICES, sse
from support.golden import crossing, observed, others, read

from plexus_proxy.errors import Garbled
from plexus_proxy.formats.events import Event, Failure, Finish, TextDelta
from plexus_proxy.formats.format import Format, Observer
from plexus_proxy.formats.lenient import Lenient
from plexus_proxy.formats.registry import FORMATS


class Inner(Struct):
    number: int
    word: str | None = None


class Sums(Struct):
    a: int | None = None
    b: int | None = None


class Outer(Struct, rename="camel"):
    name: str = ""
    one_inner: Inner | None = None
    many: list[Inner] | None = None
    mixed: str | list[Inner] | None = None
    sums: Sums | None = None
    rest: Raw | UnsetType = UNSET


OUTER = Lenient(Outer, whole=[Sums])


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        ({"name": "n", "sums": {"a": 1}}, Outer("n", sums=Sums(1))),
        ({"name": "n", "sums": {"a": 1, "b": "2"}}, Outer("n")),
        ({"name": "n", "many": "none"}, Outer("n")),
        ({"name": "n", "oneInner": {"number": 1, "word": 2}}, Outer("n", Inner(1))),
        ({"name": "n", "oneInner": {"number": "1", "word": "w"}}, Outer("n")),
        ({"name": "n", "oneInner": {"word": "w"}}, Outer("n")),
        (
            {"many": [{"number": 1}, 5, {"number": 2, "word": []}, {"word": "w"}]},
            Outer(many=[Inner(1), Inner(2)]),
        ),
        ({"mixed": [{"number": 1}, {}], "many": 5}, Outer(mixed=[Inner(1)])),
        ({"mixed": "m", "many": 5}, Outer(mixed="m")),
        ({"name": 5, "many": []}, None),
        ({"name": None}, None),
        ([], None),
        ("text", None),
    ],
)
def test_only_what_is_of_unknown_shape_is_missing(sent: Any, found: Outer | None) -> None:
    data = json.dumps(sent).encode()
    assert OUTER.decode(data) == found
    assert OUTER.known(Raw(data)) == found
    if found is None:
        with pytest.raises(Garbled, match="unknown shape"):
            OUTER.answer(data)
    else:
        assert OUTER.answer(data) == found


def test_what_is_no_json_is_told_apart() -> None:
    for data in (b'{"name": "n', b'{"name": 5, "many": [}', b'{"name": "\xff"}'):
        with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
            OUTER.decode(data)
        with pytest.raises(Garbled, match="cannot be read"):
            OUTER.answer(data)
        assert OUTER.known(Raw(data)) is None
    assert OUTER.known(UNSET) is None


@pytest.mark.parametrize("before", ["", '"name": 5, ', '"sums": 5, '])
def test_what_is_nested_without_end_is_unknown(before: str) -> None:
    deep = "[" * 5000 + "]" * 5000
    assert OUTER.decode(f'{{{before}"rest": {deep}}}'.encode()) is None


def test_half_an_emoji_is_no_unknown_shape() -> None:
    assert OUTER.decode(b'{"name": "n\\ud83d", "many": 5}') == Outer("n\ufffd")


ITEM = {"type": "program", "id": "x", "content": "x = 1", "summary": 5, "status": {}, "action": 1}
IN_STREAMS = {
    "chat": [
        ("id", 7),
        ("model", {}),
        ("x_groq", "x"),
        ("choices.0.delta.annotations", "x"),
        ("choices.0.delta.annotations", [{"url_citation": "x"}]),
        ("choices.0.delta.refusal", 5),
        ("choices.0.delta.tool_calls", "none"),
        ("choices.0.delta.function_call", []),
        ("choices.0.usage", [1]),
    ],
    "messages": [
        ("message.id", 7),
        ("message.model", []),
        ("content_block.id", 7),
        ("content_block.signature", {}),
        ("delta.citation", 5),
        ("delta.stop_sequence", 5),
        ("delta.signature", 5),
    ],
    "responses": [
        ("response.model", 5),
        ("response.incomplete_details", "none"),
        ("response.output.-1", ITEM),
        ("item.summary", "x"),
        ("item.call_id", 5),
        ("item.content.0.annotations", "x"),
        ("part.refusal", 5),
        ("part.annotations", [5]),
        ("annotation", 1),
    ],
    "gemini": [
        ("modelVersion", 5),
        ("responseId", []),
        ("promptFeedback", "x"),
        ("candidates.0.finishMessage", {}),
        ("candidates.0.content.parts.0.thought", "no"),
        ("candidates.0.content.parts.0.functionCall", 5),
    ],
}
IN_BODIES = {
    "chat": [
        (path.replace("delta", "message"), odd) for path, odd in IN_STREAMS["chat"] if odd != [1]
    ],
    "messages": [("id", 7), ("stop_sequence", 5), ("content.0.citations", "x"), ("content.-1", 5)],
    "responses": [
        (path.removeprefix("response."), odd)
        for path, odd in IN_STREAMS["responses"]
        if path.startswith("response.")
    ]
    + [("output.0.summary", 5), ("output.0.content.0.annotations", [{"url": 5}])],
    "gemini": IN_STREAMS["gemini"],
}


def cases(table: dict[str, list[tuple[str, Any]]]) -> pytest.MarkDecorator:
    found = [(FORMATS[name], *each) for name, every in table.items() for each in every]
    ids = [f"{fmt.name} {path}={odd}" for fmt, path, odd in found]
    return pytest.mark.parametrize(("fmt", "path", "odd"), found, ids=ids)


def bent(sent: Any, path: str, odd: Any) -> tuple[Any, bool]:
    """`sent` with something odd at a place; -1 is behind the end of a list. Whether it has it."""
    where = sent = deepcopy(sent)
    *names, last = path.split(".")
    for name in names:
        if isinstance(where, list) and name.isdecimal() and where:
            where = where[int(name)]
        elif isinstance(where, dict) and name in where:
            where = where[name]
        else:
            return sent, False
    if isinstance(where, list):
        where.append(odd)
    elif isinstance(where, dict):
        where[last] = odd
    return sent, isinstance(where, list | dict)


def frames_of(voice: Any, change: Callable[[Any], tuple[Any, bool]]) -> bytes:
    out: list[bytes] = []
    changed = 0
    for frame in voice.frames():
        event, _, data = frame.rpartition(b"data: ")
        if data.strip() == b"[DONE]":
            out.append(frame)
            continue
        sent, has_it = change(json.loads(data))
        changed += has_it
        name = event.decode().removeprefix("event: ").strip()
        out.append(sse(sent, name or None))
    assert changed, "no frame of the stream has that place"
    return b"".join(out)


def text_of(events: list[Event]) -> str:
    assert isinstance(events[-1], Finish)
    assert not any(isinstance(each, Failure) for each in events)
    return "".join(each.text for each in events if isinstance(each, TextDelta))


def told(observer: Observer) -> dict[str, Any]:
    assert observer.complete
    assert observer.failure is None
    return {
        "usage": observer.usage,
        "reason": observer.finish_reason,
        "chars": observer.output_chars,
        "calls": observer.tool_calls,
    }


@cases(IN_STREAMS)
def test_a_stream_loses_nothing_to_an_odd_member(fmt: Format, path: str, odd: Any) -> None:
    voice = VOICES[fmt.name]
    stream = frames_of(voice, lambda sent: bent(sent, path, odd))
    straight = b"".join(voice.frames())
    assert told(observed(fmt, stream)) == told(observed(fmt, straight))
    assert text_of(read(fmt, stream)) == text_of(read(fmt, straight)) != ""


@cases(IN_BODIES)
def test_a_whole_answer_loses_nothing_to_an_odd_member(fmt: Format, path: str, odd: Any) -> None:
    straight = VOICES[fmt.name].body()
    sent, has_it = bent(straight, path, odd)
    assert has_it
    seen: list[tuple[dict[str, Any], str]] = []
    for each in (sent, straight):
        body, observer = json.dumps(each).encode(), fmt.observer()
        observer.body(body)
        events = fmt.read_response(body, crossing())
        seen.append((told(observer), text_of(list(events))))
        for client in others(fmt):
            client.write_response(events, crossing())
    assert seen[0] == seen[1]
    assert seen[0][1] != ""
