"""Frames cut out of a stream, wherever its chunks are cut and however its lines end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plexus_proxy.errors import Garbled
from plexus_proxy.formats import sse
from plexus_proxy.formats.sse import Frame, Framer

LINE_ENDS = pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])


def frames(*chunks: bytes) -> list[Frame]:
    framer = Framer()
    return [frame for chunk in chunks for frame in framer.feed(chunk)] + framer.close()


def told(*chunks: bytes) -> list[tuple[str, bytes]]:
    """Event and data of the frames that mean anything."""
    return [(frame.event, frame.data) for frame in frames(*chunks) if frame.data]


def bytewise(stream: bytes) -> list[bytes]:
    return [stream[at : at + 1] for at in range(len(stream))]


@LINE_ENDS
@pytest.mark.pitfall("P39")
def test_all_line_ends_end_lines(end: str) -> None:
    stream = "event: a\ndata: 1\n\ndata: 2\n\n".replace("\n", end).encode()
    assert told(stream) == [("a", b"1"), ("", b"2")]
    assert told(*bytewise(stream)) == [("a", b"1"), ("", b"2")]


def test_mixed_line_ends_make_a_blank_line() -> None:
    for blank in (b"\n\r\n", b"\r\n\n", b"\r\r", b"\n\r", b"\r\n\r\n", b"\r\n\r"):
        assert told(b"data: 1" + blank + b"data: 2\n\n") == [("", b"1"), ("", b"2")]


def test_cr_lf_is_one_line_end() -> None:
    assert told(b"data: 1\r\ndata: 2\r\n\r\n") == [("", b"1\n2")]


def test_a_chunk_may_end_between_cr_and_lf() -> None:
    assert told(b"data: 1\r", b"\ndata: 2\r\n\r", b"\ndata: 3\r\n\r\n") == [
        ("", b"1\n2"),
        ("", b"3"),
    ]


def test_a_frame_is_not_held_back_for_the_lf_of_its_blank_line() -> None:
    framer = Framer()
    assert [frame.data for frame in framer.feed(b"data: 1\r\n\r")] == [b"1"]
    assert framer.feed(b"\n") == []


def test_a_frame_is_given_out_as_soon_as_it_is_whole() -> None:
    framer = Framer()
    assert framer.feed(b"data: 1\n") == []
    assert [frame.data for frame in framer.feed(b"\nda")] == [b"1"]
    assert [frame.data for frame in framer.feed(b"ta: 2\n\n")] == [b"2"]


@pytest.mark.pitfall("P39")
def test_the_space_after_the_colon_is_optional_and_only_one() -> None:
    assert told(b"data:1\n\ndata: 2\n\ndata:  3\n\n") == [("", b"1"), ("", b"2"), ("", b" 3")]


def test_data_lines_are_joined_by_a_newline() -> None:
    assert told(b"data: {\ndata:\ndata: }\n\n") == [("", b"{\n\n}")]


def test_a_field_without_a_colon_has_an_empty_value() -> None:
    assert told(b"data\ndata: 1\nevent\n\n") == [("", b"\n1")]


def test_comments_and_other_fields_mean_nothing() -> None:
    assert told(b": keep-alive\n\nid: 7\nretry: 1\n:data: 0\ndata: 1\n\n") == [("", b"1")]


def test_the_last_event_name_counts() -> None:
    assert told(b"event: a\nevent: b\ndata: 1\n\n") == [("b", b"1")]


def test_a_byte_order_mark_is_no_part_of_the_first_line() -> None:
    assert told(b"\xef\xbb\xbfdata: 1\n\n") == [("", b"1")]
    assert told(*bytewise(b"\xef\xbb\xbfdata: 1\n\n")) == [("", b"1")]


@pytest.mark.pitfall("P40")
def test_the_last_frame_needs_no_blank_line() -> None:
    for end in (b"", b"\n", b"\r\n", b"\r"):
        assert told(b"data: 1\n\ndata: 2" + end) == [("", b"1"), ("", b"2")]


@pytest.mark.pitfall("P39", "B65")
def test_characters_may_be_cut_in_two() -> None:
    stream = "data: Grüße 👋\n\n".encode()
    assert told(*bytewise(stream)) == [("", "Grüße 👋".encode())]


def test_nothing_is_nothing() -> None:
    assert frames() == []
    assert frames(b"", b"") == []


def test_a_record_that_never_ends_is_garbled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_FRAME_BYTES", 100)
    framer = Framer()
    framer.feed(b"data: " + b"x" * 90)
    with pytest.raises(Garbled):
        framer.feed(b"x" * 90)


def test_many_frames_in_one_chunk_are_not_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_FRAME_BYTES", 100)
    assert len(frames(b"data: 1\n\n" * 100)) == 100


LINES = st.sampled_from(
    ["data: 1", "data:2", "data: ü", "event: e", ": comment", "id: 3", "data", "", ""]
)
ENDS = st.sampled_from(["\n", "\r\n", "\r"])
STREAMS = st.lists(st.tuples(LINES, ENDS)) | st.builds(
    lambda lines, end: [(line, end) for line in lines], st.lists(LINES), ENDS
)
"""Lines that end in any way, and lines that all end alike."""


@given(STREAMS, st.data())
@pytest.mark.pitfall("P39")
def test_cuts_between_chunks_change_nothing(
    lines: list[tuple[str, str]], data: st.DataObject
) -> None:
    stream = "".join(line + end for line, end in lines).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert told(*chunks) == told(stream) == told(*bytewise(stream))


@given(STREAMS)
def test_frames_agree_with_a_plain_reading(lines: list[tuple[str, str]]) -> None:
    """Line by line, as the standard says it."""
    stream = "".join(line + end for line, end in lines)
    expected: list[tuple[str, bytes]] = []
    event, data = "", []
    for line in [*stream.replace("\r\n", "\n").replace("\r", "\n").split("\n"), ""]:
        name, _, value = line.partition(":")
        if not line:
            if any(data) or len(data) > 1:
                expected.append((event, "\n".join(data).encode()))
            event, data = "", []
        elif name == "data":
            data.append(value.removeprefix(" "))
        elif name == "event":
            event = value.removeprefix(" ")
    assert told(stream.encode()) == expected


@given(STREAMS, st.booleans())
def test_raw_bytes_joined_are_the_stream(lines: list[tuple[str, str]], whole: bool) -> None:
    stream = "".join(line + end for line, end in lines).encode()
    chunks = [stream] if whole else bytewise(stream)
    assert b"".join(frame.raw for frame in frames(*chunks)) == stream


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert told(b"data: a\xffb\n\n") == [("", "a\ufffdb".encode())]
    assert frames(b"data: \xff\n\n")[0].raw == b"data: \xff\n\n"
