"""How each API counts the tokens of a request: paths, bodies and answers."""

import json
from typing import Any

import pytest

from plexus_proxy.errors import BadRequest, Garbled
from plexus_proxy.formats.format import TokenCount
from plexus_proxy.formats.registry import FORMATS
from plexus_proxy.upstream.request import endpoint_url

FIELDS = {"messages": "input_tokens", "responses": "input_tokens", "gemini": "totalTokens"}


def count_of(fmt: str) -> TokenCount:
    found = FORMATS[fmt].token_count
    assert found is not None
    return found


def test_all_but_chat_have_a_count() -> None:
    assert {name for name, fmt in FORMATS.items() if fmt.token_count is not None} == set(FIELDS)


@pytest.mark.parametrize(
    ("fmt", "base", "url"),
    [
        ("messages", "https://a.example/v1", "https://a.example/v1/messages/count_tokens"),
        (
            "messages",
            "https://api.anthropic.com",
            "https://api.anthropic.com/v1/messages/count_tokens",
        ),
        ("messages", "https://a.example/v1/messages", "https://a.example/v1/messages/count_tokens"),
        ("responses", "https://a.example/v1", "https://a.example/v1/responses/input_tokens"),
        ("gemini", "https://a.example", "https://a.example/v1beta/models/m:1:countTokens"),
        ("gemini", "https://a.example/v1", "https://a.example/v1/models/m:1:countTokens"),
    ],
)
def test_the_url_follows_the_one_that_answers(fmt: str, base: str, url: str) -> None:
    model = "m:1" if fmt == "gemini" else "m"
    answers = endpoint_url(base, FORMATS[fmt].endpoint(model, False))
    assert count_of(fmt).url(answers) == url


@pytest.mark.parametrize("fmt", FIELDS)
def test_an_answer_is_read_as_it_is_written(fmt: str) -> None:
    count = count_of(fmt)
    assert json.loads(count.write_answer(2095))[FIELDS[fmt]] == 2095
    assert count.read_answer(count.write_answer(2095)) == 2095
    assert count.read_answer(count.write_answer(0)) == 0


@pytest.mark.parametrize("value", ["null", '"7"', "1.5", "-1", "true", "[1]"])
@pytest.mark.parametrize("fmt", FIELDS)
def test_what_is_no_number_of_tokens_is_garbled(fmt: str, value: str) -> None:
    with pytest.raises(Garbled):
        count_of(fmt).read_answer(b'{"%s":%s}' % (FIELDS[fmt].encode(), value.encode()))


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"{", b"<html>", b'{"a":"\xff"}'])
@pytest.mark.parametrize("fmt", FIELDS)
def test_what_is_no_answer_is_garbled(fmt: str, body: bytes) -> None:
    with pytest.raises(Garbled):
        count_of(fmt).read_answer(body)


REQUEST: dict[str, Any] = {"contents": [{"parts": [{"text": "hi"}]}], "tools": []}


@pytest.mark.parametrize("model", ["m", "models/m"])
def test_gemini_a_whole_request_loses_its_model_and_gets_it_back(model: str) -> None:
    count = count_of("gemini")
    body = json.dumps({"generateContentRequest": {"model": "models/alias", **REQUEST}}).encode()
    request = count.read(body)
    assert json.loads(request) == REQUEST
    told = json.loads(count.forward(body, request, model))
    assert told == {"generateContentRequest": {"model": "models/m", **REQUEST}}


def test_gemini_contents_stay_the_bytes_they_are() -> None:
    body = b'{ "contents" : [ ] }'
    count = count_of("gemini")
    assert count.read(body) is body
    assert count.forward(body, body, "m") is body


def test_gemini_a_nested_mistake_is_named() -> None:
    with pytest.raises(BadRequest) as caught:
        count_of("gemini").read(b'{"generateContentRequest":[]}')
    assert caught.value.param == "generateContentRequest"
