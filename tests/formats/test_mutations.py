"""Requests, answers and streams that are almost right: refused in our words or carried, and never
any other exception."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.golden import CASES, IDS, crossing, format_of, others
from support.mutations import bent

from plexus_proxy.errors import ClientFault, PlexusError
from plexus_proxy.formats.events import Event, Failure, Finish, Start
from plexus_proxy.formats.format import IN_BODY, Asked, Format
from plexus_proxy.formats.registry import FORMATS
from plexus_proxy.formats.relay import Passthrough

SAMPLES = Path(__file__).parent.parent / "samples"
DEPTHS = pytest.mark.parametrize("depth", ["few", pytest.param("many", marks=pytest.mark.long)])
"""How many examples: the profile of hypothesis goes by the marker (conftest.py)."""
EVERY_FORMAT = pytest.mark.parametrize("fmt", FORMATS.values(), ids=FORMATS.keys())
GOLDEN = pytest.mark.parametrize("case", CASES, ids=IDS)


def samples(fmt: Format, kind: str) -> list[Any]:
    found = sorted(SAMPLES.glob(f"{fmt.name}.*.{kind}.json"))
    return [json.loads(path.read_text()) for path in found]


def asked(fmt: Format) -> Asked:
    return Asked(model="gemini-3-pro-preview") if fmt.name == "gemini" else IN_BODY


@DEPTHS
@EVERY_FORMAT
def test_a_bent_request_is_refused_or_carried(fmt: Format, depth: str) -> None:
    bodies = samples(fmt, "request")
    assert len(bodies) > 3
    refusals: list[ClientFault] = []

    @given(st.sampled_from(bodies).flatmap(bent))
    def check(body: Any) -> None:
        sent = json.dumps(body).encode()
        for target in others(fmt):
            over = crossing()
            try:
                call = fmt.read_call(sent, asked(fmt))
                conversation = fmt.read_request(sent, asked(fmt))
                written = target.write_request(conversation, over)
            except ClientFault as error:
                refusals.append(error)
                continue
            assert isinstance(call.model, str)
            assert isinstance(json.loads(written), dict)

    check()
    assert refusals, "some bodies are beyond repair"
    assert all(400 <= error.status < 500 and error.message for error in refusals)


@DEPTHS
@EVERY_FORMAT
def test_a_bent_request_is_spliced_or_refused(fmt: Format, depth: str) -> None:
    """In the same format: what the client said, but for the model."""
    bodies = samples(fmt, "request")

    @given(st.sampled_from(bodies).flatmap(bent))
    def check(body: Any) -> None:
        sent = json.dumps(body).encode()
        try:
            call = fmt.read_call(sent, asked(fmt))
            spliced = json.loads(fmt.splice(call, "another", {}))
        except ClientFault:
            return
        for name in body.keys() - {"model", "stream_options"}:
            assert name in spliced

    check()


@pytest.mark.parametrize(
    "asks", [{"input": "gw1. what?"}, {"input": None}, {}], ids=["text", "null", "none"]
)
def test_words_like_an_envelope_pass_where_responses_have_no_items(asks: dict[str, Any]) -> None:
    """Half an emoji in the model's name: its place is not known, so the body is taken apart."""
    body = {"model": "\ud83d", "instructions": "Say", "metadata": {"a": "gw1."}} | asks
    fmt = FORMATS["responses"]
    call = fmt.read_call(json.dumps(body).encode(), IN_BODY)
    assert json.loads(fmt.splice(call, "another", {})) == body | {"model": "another"}


@DEPTHS
@EVERY_FORMAT
def test_a_bent_answer_is_garbled_or_carried(fmt: Format, depth: str) -> None:
    answers = samples(fmt, "response")
    assert len(answers) > 3

    @given(st.sampled_from(answers).flatmap(bent))
    def check(answer: Any) -> None:
        body = json.dumps(answer).encode()
        try:
            fmt.observer().body(body)
            events = fmt.read_response(body, crossing())
        except PlexusError:
            return
        assert_whole(events)
        for client in others(fmt):
            assert isinstance(json.loads(client.write_response(events, crossing())), dict)

    check()


def assert_whole(events: list[Event]) -> None:
    assert isinstance(events[0], Start)
    assert isinstance(events[-1], Finish)
    assert not any(isinstance(each, Failure) for each in events)


def frames(stream: bytes) -> list[bytes]:
    return [frame + b"\n\n" for frame in stream.replace(b"\r\n", b"\n").split(b"\n\n") if frame]


@st.composite
def bent_streams(draw: st.DrawFn, stream: bytes) -> bytes:
    """A stream in which the data of one to three frames is bent, or frames change places."""
    out = frames(stream)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(out) - 1))
        way = draw(st.sampled_from(["bend", "bend", "bend", "drop", "repeat", "swap"]))
        head, mark, data = out[at].partition(b"data: ")
        if way == "bend" and mark and not data.startswith(b"[DONE]"):
            value = draw(bent(json.loads(data), 2))
            out[at] = head + mark + json.dumps(value).encode() + b"\n\n"
        elif way == "drop" and len(out) > 1:
            del out[at]
        elif way == "repeat":
            out.insert(at, out[at])
        elif way == "swap":
            other = draw(st.integers(0, len(out) - 1))
            out[at], out[other] = out[other], out[at]
    return b"".join(out)


@DEPTHS
@GOLDEN
def test_a_bent_stream_passes_through(case: Path, depth: str) -> None:
    """The same format: the very frames, and an end."""
    fmt = format_of(case)

    @given(bent_streams((case / "upstream.sse").read_bytes()))
    def check(stream: bytes) -> None:
        relay = Passthrough(fmt, crossing())
        out = relay.feed(stream) + relay.close()
        if relay.fault is None:
            assert out.startswith(stream)
            assert relay.observer.complete

    check()
