"""Clients' JSON is decoded, or refused with place and reason."""

from typing import Any

import msgspec
import pytest
from msgspec import Struct

from plexus_proxy.errors import BadRequest
from plexus_proxy.formats import body
from plexus_proxy.formats.chat import request_reader as chat
from plexus_proxy.formats.messages import request_reader as messages


class Inner(Struct):
    text: str


class Outer(Struct):
    model: str
    items: list[Inner] = []
    count: int | None = None


OUTER = msgspec.json.Decoder(Outer)


@pytest.mark.parametrize(
    ("sent", "message", "param"),
    [
        (b"", "The request body is not valid JSON: Input data was truncated.", None),
        (b"{]", "The request body is not valid JSON: object keys must be strings (byte 1).", None),
        (b"[1]", "The request body must be a JSON object, got array.", None),
        (b"{}", "Missing required field 'model'.", "model"),
        (b'{"model":1}', "Invalid type for 'model': expected string, got integer.", "model"),
        (
            b'{"model":"m","items":[{"text":"a"},{"text":[]}]}',
            "Invalid type for 'items[1].text': expected string, got array.",
            "items[1].text",
        ),
        (
            b'{"model":"m","items":[{}]}',
            "Missing required field 'items[0].text'.",
            "items[0].text",
        ),
        (
            b'{"model":"m","count":"3"}',
            "Invalid type for 'count': expected integer or null, got string.",
            "count",
        ),
        (b'{"model":"\xff"}', "The request body is not valid UTF-8.", None),
        (b'{"x":' + b"[" * 100_000, "The request body is nested too deeply.", None),
    ],
)
def test_a_body_that_cannot_be_read_says_where_and_why(
    sent: bytes, message: str, param: str | None
) -> None:
    with pytest.raises(BadRequest) as caught:
        body.decode(OUTER, sent)
    assert caught.value.message == message
    assert caught.value.param == param


def test_the_path_of_an_embedded_piece_starts_where_the_piece_stands() -> None:
    with pytest.raises(BadRequest) as caught:
        body.decode(OUTER, b'{"model":null}', at="messages[2].content[0]")
    assert caught.value.param == "messages[2].content[0].model"


@pytest.mark.parametrize(
    ("escaped", "text"),
    [
        (rb"x\ud83d", "x\N{REPLACEMENT CHARACTER}"),
        (rb"\ude00!", "\N{REPLACEMENT CHARACTER}!"),
        (rb"\ud83d\ude00", "\N{GRINNING FACE}"),
        (rb"\ud83d\ud83d\ude00", "\N{REPLACEMENT CHARACTER}\N{GRINNING FACE}"),
        (rb"\\ud83d \ud83d", "\\ud83d \N{REPLACEMENT CHARACTER}"),
    ],
)
def test_half_an_emoji_becomes_the_replacement_character(escaped: bytes, text: str) -> None:
    assert body.decode(OUTER, b'{"model":"' + escaped + b'"}').model == text


@pytest.mark.parametrize("read", [chat.read_request, messages.read_request])
def test_half_an_emoji_does_not_spoil_a_request(read: Any) -> None:
    sent = rb'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"a\ud83d"}]}'
    assert read(sent).turns[0].parts[0].text == "a\N{REPLACEMENT CHARACTER}"
