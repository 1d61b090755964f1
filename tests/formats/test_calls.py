"""Peeking at a body tells the corridor what it needs, or refuses with the field's name."""

from typing import Any

import msgspec
import pytest

from plexus_proxy.errors import BadRequest
from plexus_proxy.formats.chat import call as chat
from plexus_proxy.formats.messages import call as messages

BOTH = pytest.mark.parametrize("fmt", [chat, messages], ids=["chat", "messages"])


def body(**fields: Any) -> bytes:
    return msgspec.json.encode({"model": "alias", "messages": [], **fields})


def test_a_chat_body_is_peeked_at() -> None:
    call = chat.read_call(
        body(
            messages=[{"role": "user", "content": "hi"}] * 3,
            stream=True,
            stream_options={"include_usage": True, "include_obfuscation": False},
            tools=[{}, {}],
            functions=[{}],
            parallel_tool_calls=False,
            prompt_cache_key="k",
            user="u",
        )
    )
    assert (call.model, call.stream, call.include_usage) == ("alias", True, True)
    assert (call.message_count, call.tool_count) == (3, 3)
    assert call.parallel_tool_calls is False
    assert call.session == "k"


def test_a_messages_body_is_peeked_at() -> None:
    call = messages.read_call(
        body(
            messages=[{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
            stream=True,
            tools=[{"name": "a"}],
            tool_choice={"type": "auto", "disable_parallel_tool_use": True},
            metadata={"user_id": "u"},
        )
    )
    assert (call.model, call.stream, call.message_count, call.tool_count) == ("alias", True, 1, 1)
    assert call.parallel_tool_calls is False
    assert call.session == "u"


@BOTH
def test_fields_that_are_null_count_as_absent(fmt: Any) -> None:
    call = fmt.read_call(body(stream=None, tools=None, metadata=None, stream_options=None))
    assert (call.stream, call.tool_count, call.session) == (False, 0, None)


@BOTH
@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (b"{", "The request body is not valid JSON: Input data was truncated."),
        (b'{"a":1,}', "The request body is not valid JSON: trailing comma in object (byte 7)."),
        (b'"text"', "The request body must be a JSON object, got string."),
        (b'{"messages":[]}', "Missing required field 'model'."),
        (b'{"model":null,"messages":[]}', "Missing required field 'model'."),
        (b'{"model":"","messages":[]}', "'model' must not be empty."),
        (b'{"model":" ","messages":[]}', "'model' must not be empty."),
        (b'{"messages":[],"model":""}', "'model' must not be empty."),
        (b'{"model":5,"messages":[]}', "'model': expected string or null, got integer."),
        (b'{"model":"m"}', "Missing required field 'messages'."),
        (b'{"model":"m","messages":{}}', "'messages': expected array, got object."),
        (b'{"model":"m","messages":[1]}', "'messages[0]': expected object, got integer."),
        (
            b'{"model":"m","messages":[],"stream":"yes"}',
            "'stream': expected boolean or null, got string.",
        ),
        (b'{"model":"m","messages":[],"tools":{}}', "'tools': expected array or null, got object."),
    ],
)
def test_a_body_that_is_wrong_is_refused_by_name(fmt: Any, sent: bytes, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        fmt.read_call(sent)
    assert caught.value.message.endswith(message)


@BOTH
def test_the_last_of_two_models_is_the_one_asked_for(fmt: Any) -> None:
    sent = b'{"model":"a","messages":[],"model":"b"}'
    assert fmt.read_call(sent).model == "b"


@BOTH
@pytest.mark.parametrize("name", ["a/b:free", 'qu"ote', "ü", "back\\slash"])
def test_model_names_are_unescaped(fmt: Any, name: str) -> None:
    assert fmt.read_call(body(model=name)).model == name
