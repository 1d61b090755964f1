"""Streams in every dress a provider may send them in: what a client reads is always well made.

The same format goes through byte for byte, so there the client sees the dress too.
"""

import json
from collections.abc import Callable

import pytest
from support.answers import VOICES, sse
from support.fake_provider import Chunk, Head
from support.gateway import CROSS, FORMATS, PAIRS, Stand, ask_body
from support.judges import read_stream

TEXT = ("grün 😀", " is a", " colour. 漢字")


def _commented(stream: bytes) -> bytes:
    return b": begin\n\n" + stream.replace(b"\n\n", b"\n: between\n\n: alone\n\n")


def _folded(stream: bytes) -> bytes:
    """Data over two lines, which is the same JSON."""
    return stream.replace(b'data: {"', b'data: {\ndata: "')


DRESSES: dict[str, Callable[[bytes], bytes]] = {
    "CR": lambda stream: stream.replace(b"\n", b"\r"),
    "CR LF": lambda stream: stream.replace(b"\n", b"\r\n"),
    "mixed ends": lambda stream: stream.replace(b"\n\n", b"\r\n\n", 2).replace(b"\n\n", b"\r\r", 1),
    "comments": _commented,
    "no space": lambda stream: stream.replace(b"data: ", b"data:").replace(b"event: ", b"event:"),
    "more fields": lambda stream: stream.replace(b"data: ", b"id: 1\nretry: 100\nfoo\ndata: "),
    "folded": _folded,
    "mark": lambda stream: b"\xef\xbb\xbf" + stream,
    "blank lines": lambda stream: b"\n\n" + stream.replace(b"\n\n", b"\n\n\n\n"),
    "no last blank line": lambda stream: stream.removesuffix(b"\n\n"),
}


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
@pytest.mark.parametrize("dress", DRESSES)
@pytest.mark.provider_breaks_grammar  # and a client of its own format gets the same
async def test_a_stream_is_understood_in_every_dress(
    stand: Stand, fmt: str, upstream: str, dress: str
) -> None:
    """Cut at odd places: between CR and LF and inside of characters."""
    stream = DRESSES[dress](b"".join(VOICES[upstream].frames(TEXT)))
    cuts = [Chunk(stream[at : at + 41]) for at in range(0, len(stream), 41)]
    stand.provider(upstream).enqueue(Head(), *cuts)
    body = ask_body(fmt, upstream, stream=True)
    if fmt == "chat":
        body["stream_options"] = {"include_usage": True}
    reply = await stand.gateway.ask(fmt, body)
    if fmt != upstream:
        answer = read_stream(fmt, reply.body)
        assert (answer.text, answer.error) == ("".join(TEXT), None)
    else:
        assert reply.body.startswith(stream)
        assert not reply.body.removeprefix(stream).strip(b"\n")
    row = await stand.gateway.row()
    assert (row["status"], row["input_tokens"], row["cache_read_tokens"]) == ("success", 17, 4)


def _unnamed(frames: list[bytes]) -> list[bytes]:
    return [frame[frame.index(b"data: ") :] for frame in frames]


def _begun_twice(frames: list[bytes]) -> list[bytes]:
    return [frames[0], *frames]


def _ended_twice(frames: list[bytes]) -> list[bytes]:
    return [*frames, frames[-1], frames[-1]]


def _with_the_future(frames: list[bytes]) -> list[bytes]:
    """Events of kinds that nobody knows yet."""
    return [*frames[:1], sse({"type": "new.thing", "n": 1}), *frames[1:]]


TWISTS: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "no event names": _unnamed,
    "begun twice": _begun_twice,
    "ended twice": _ended_twice,
    "of the future": _with_the_future,
}


@pytest.mark.parametrize(("fmt", "upstream"), CROSS)
@pytest.mark.parametrize("twist", TWISTS)
async def test_a_client_is_told_one_beginning_and_one_end(
    stand: Stand, fmt: str, upstream: str, twist: str
) -> None:
    frames = VOICES[upstream].frames(TEXT)
    if twist == "begun twice" and upstream == "gemini":
        frames = [sse({"candidates": [], "modelVersion": "m", "responseId": "r"}), *frames]
    stand.provider(upstream).enqueue(Head(), *map(Chunk, TWISTS[twist](frames)))
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=True))
    answer = read_stream(fmt, reply.body)
    assert (answer.text, answer.error) == ("".join(TEXT), None)
    assert (await stand.gateway.row())["status"] == "success"


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_says_nothing_is_told_as_one(
    stand: Stand, fmt: str, upstream: str, stream: bool
) -> None:
    frames = VOICES[upstream].frames(())
    stand.provider(upstream).enqueue(Head(), *map(Chunk, frames))
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=stream))
    assert reply.status == 200
    if stream:
        answer = read_stream(fmt, reply.body)
        assert (answer.text, answer.error) == ("", None)
        assert answer.reason is not None
    else:
        assert "error" not in {name for name, value in reply.json().items() if value}


@pytest.mark.parametrize("upstream", FORMATS)
@pytest.mark.parametrize("how", ["whole", "cut", "error"])
async def test_an_array_is_json_however_the_stream_ends(
    stand: Stand, upstream: str, how: str
) -> None:
    voice = VOICES[upstream]
    ends = {
        "whole": voice.frames(),
        "cut": voice.opening(),
        "error": [*voice.opening(), voice.error_frame("Overloaded", "overloaded")],
    }
    stand.provider(upstream).enqueue(Head(), *map(Chunk, ends[how]))
    async with stand.gateway.session.post(
        f"{stand.gateway.url}/v1beta/models/to-{upstream}:streamGenerateContent",
        json={"contents": [{"parts": [{"text": "What is teal?"}]}]},
        headers=stand.gateway.auth("gemini"),
    ) as response:
        assert response.status == 200
        elements = json.loads(await response.read())
    answer = read_stream("gemini", b"".join(map(sse, elements)))
    assert answer.text == ("Teal is a colour." if how == "whole" else "Teal is a")
    assert (answer.error is None) == (how == "whole")
    assert how != "error" or "Overloaded" in str(answer.error)
