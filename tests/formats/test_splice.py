"""A same-format body reaches the provider as the client wrote it, but for the model."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.strict_messages import problems

from plexus_proxy.formats import envelope
from plexus_proxy.formats.chat import call as chat
from plexus_proxy.formats.events import Opaque
from plexus_proxy.formats.messages import call as messages

BOTH = pytest.mark.parametrize("fmt", [chat, messages], ids=["chat", "messages"])
ENVELOPE = envelope.pack(Opaque("sig", "secret state", "other", "model"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=12,
)


def splice(fmt: Any, sent: bytes, **extra: Any) -> bytes:
    return fmt.splice(fmt.read_call(sent), "real", extra)


@BOTH
@pytest.mark.parametrize(
    ("sent", "upstream"),
    [
        (
            b'{"model":"a","messages":[ ],"t":1.50,"i":9007199254740993,"x":{"b":1, "a":2}}',
            b'{"model":"real","messages":[ ],"t":1.50,"i":9007199254740993,"x":{"b":1, "a":2}}',
        ),
        (
            b' { "model" : "a" , "messages" : [] } \n',
            b' { "model" : "real" , "messages" : [] } \n',
        ),
        (
            b'{"messages":[],"seed":1e3,"model":"a","zz":"\\u00e9"}',
            b'{"messages":[],"seed":1e3,"model":"real","zz":"\\u00e9"}',
        ),
        (b'{"messages":[],"model":"\\"a\\\\"}', b'{"messages":[],"model":"real"}'),
    ],
)
@pytest.mark.pitfall("P130", "B30")
def test_p130_every_byte_but_the_model_survives(fmt: Any, sent: bytes, upstream: bytes) -> None:
    assert splice(fmt, sent) == upstream


@BOTH
@pytest.mark.parametrize(
    "sent",
    [
        b'{"model":"a","messages":[],"model":"b"}',
        b'{"model":"a","messages":[],"mod\\u0065l":"b"}',
        b'{"mod\\u0065l":"a","messages":[]}',
        b'{"m\\u006Fdel":"a","messages":[],"model":"b"}',
        b'{"messages":[],"model":"a","tools":[{"name":"model","x":{"model":"inner"}}]}',
        b'{"messages":[],"model":"a","x":"\\"model\\":\\"b\\""}',
        b'{"x":{"model":"inner"},"messages":[],"model":"a"}',
        b'{"messages":[],"model":"a","x":{"model":"inner"}}',
        b'{"\x7f\x7f\x7f\x7f\x7f":"mask","messages":[],"model":"a"}',
        b'{"model":"a","messages":[],"\x7f\x7f\x7f\x7f\x7f":"mask"}',
    ],
)
def test_the_provider_sees_exactly_one_model_and_it_is_its_own(fmt: Any, sent: bytes) -> None:
    pairs: list[tuple[str, Any]] = []

    def note(found: list[tuple[str, Any]]) -> dict[str, Any]:
        pairs[:] = found  # the outermost object is finished last
        return dict(found)

    json.loads(splice(fmt, sent), object_pairs_hook=note)
    assert [value for name, value in pairs if name == "model"] == ["real"]
    expected = json.loads(sent) | {"model": "real"}
    assert dict(pairs) == expected


@BOTH
@given(before=st.dictionaries(st.text(max_size=6), JSON, max_size=4), after=JSON)
def test_any_other_content_is_kept(fmt: Any, before: dict[str, Any], after: Any) -> None:
    ours = {"stream", "stream_options", "tools", "functions", "metadata", "user", "tool_choice"}
    before = {name: value for name, value in before.items() if name not in ours}
    sent = before | {"messages": [], "model": "alias", "after": after}
    for separators in ((",", ":"), (", ", ": ")):
        spliced = splice(fmt, json.dumps(sent, separators=separators).encode())
        assert json.loads(spliced) == sent | {"model": "real"}
        assert list(json.loads(spliced)) == list(sent)


@BOTH
def test_extra_fields_are_merged_last_and_override(fmt: Any) -> None:
    sent = b'{"a": 1.0,"model":"x","messages":[],"b":2}'
    spliced = splice(fmt, sent, b={"c": [1]}, d=None)
    assert spliced == b'{"a":1.0,"model":"real","messages":[],"b":{"c":[1]},"d":null}'


@BOTH
def test_marks_of_another_body_are_not_used(fmt: Any) -> None:
    call = fmt.read_call(b'{"model":"alias","messages":[]}')
    other = msgspec.structs.replace(call, body=b'{"messages":[1],"model":"written"}')
    assert fmt.splice(other, "real", {}) == b'{"messages":[1],"model":"real"}'


@pytest.mark.parametrize(
    ("sent", "upstream"),
    [
        (
            b'{"model":"a","messages":[],"stream":true} ',
            b'{"model":"real","messages":[],"stream":true,"stream_options":{"include_usage":true}}',
        ),
        (
            b'{"model":"a","messages":[],"stream":true,"stream_options":{"x":1,"include_usage":false}}',
            b'{"model":"real","messages":[],"stream":true,"stream_options":{"x":1,"include_usage":true}}',
        ),
        (
            b'{"model":"a","messages":[],"stream":true,"stream_options":null}',
            b'{"model":"real","messages":[],"stream":true,"stream_options":{"include_usage":true}}',
        ),
        (
            b'{"model":"a","messages":[],"stream_options":{"include_usage" :true},"stream":true}',
            b'{"model":"real","messages":[],"stream_options":{"include_usage" :true},'
            b'"stream":true}',
        ),
        (
            b'{"model":"a","messages":[],"stream":false}',
            b'{"model":"real","messages":[],"stream":false}',
        ),
    ],
)
def test_chat_streams_ask_for_usage(sent: bytes, upstream: bytes) -> None:
    assert splice(chat, sent) == upstream


def test_chat_streams_ask_for_usage_beside_extra_fields() -> None:
    sent = b'{"model":"a","messages":[],"stream":true,"stream_options":{"include_usage":true}}'
    spliced = json.loads(splice(chat, sent, stream_options={"include_obfuscation": False}))
    assert spliced["stream_options"] == {"include_obfuscation": False, "include_usage": True}


def test_messages_streams_get_no_stream_options() -> None:
    sent = b'{"model":"a","messages":[],"stream":true}'
    assert b"stream_options" not in splice(messages, sent)


def test_envelopes_are_taken_out_of_chat_messages() -> None:
    kept = {"type": "reasoning.text", "text": "t", "signature": "native"}
    ours = {"type": "reasoning.text", "text": "t", "signature": ENVELOPE}
    sealed = {"type": "reasoning.encrypted", "data": ENVELOPE}
    sent = {
        "model": "a",
        "messages": [
            {"role": "user", "content": f"what is {ENVELOPE}?"},
            {"role": "assistant", "content": "x", "reasoning_details": [ours, kept, sealed]},
            {"role": "assistant", "content": "y", "reasoning_details": [ours]},
        ],
    }
    spliced = json.loads(splice(chat, msgspec.json.encode(sent)))
    assert spliced["messages"] == [
        {"role": "user", "content": f"what is {ENVELOPE}?"},
        {"role": "assistant", "content": "x", "reasoning_details": [kept]},
        {"role": "assistant", "content": "y"},
    ]


def thinking(signature: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": "t", "signature": signature}


def test_envelopes_are_taken_out_of_messages_blocks() -> None:
    text = {"type": "text", "text": f"about {ENVELOPE}"}
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "x"}}
    sent = {
        "model": "a",
        "messages": [
            {"role": "user", "content": [text, image]},
            {"role": "assistant", "content": [thinking(ENVELOPE), thinking("native"), text]},
            {"role": "user", "content": "next"},
            {"role": "assistant", "content": [{"type": "redacted_thinking", "data": ENVELOPE}]},
            {"role": "user", "content": "last"},
        ],
    }
    spliced = json.loads(splice(messages, msgspec.json.encode(sent)))
    assert spliced["messages"] == [
        {"role": "user", "content": [text, image]},
        {"role": "assistant", "content": [thinking("native"), text]},
        {"role": "user", "content": "next"},
        {"role": "user", "content": "last"},
    ]


def cited(index: str, url: str) -> dict[str, Any]:
    """As Anthropic writes it with an index; as we do without."""
    return {
        "type": "web_search_result_location",
        "url": url,
        "title": "T",
        "encrypted_index": index,
        "cited_text": "t",
    }


def searched(tool_id: str, encrypted: str) -> list[dict[str, Any]]:
    found = {
        "type": "web_search_result",
        "url": "https://a",
        "title": "A",
        "page_age": None,
        "encrypted_content": encrypted,
    }
    return [
        {"type": "server_tool_use", "id": tool_id, "name": "web_search", "input": {"query": "q"}},
        {"type": "web_search_tool_result", "tool_use_id": tool_id, "content": [found]},
    ]


QUESTION = {"role": "user", "content": "q"}


@pytest.mark.parametrize("indent", [None, 1], ids=["dense", "indented"])
def test_searches_of_other_providers_are_taken_out_of_messages(indent: int | None) -> None:
    """Anthropic refuses results and citations that it has not encrypted."""
    own = searched("srvtoolu_01", "sealed")
    mixed = [cited("sealed", "https://a"), cited("", "https://b")]
    sent = {
        "model": "a",
        "max_tokens": 9,
        "messages": [
            QUESTION,
            {
                "role": "assistant",
                "content": [
                    *own,
                    *searched("srvtoolu_gw1_R1_0", ""),
                    {"type": "text", "text": "one", "citations": [cited("", "https://a")]},
                    {"type": "text", "text": "two", "citations": mixed},
                    {"type": "text", "text": 'three "encrypted_index": "" srvtoolu_gw1_'},
                ],
            },
            QUESTION,
            {"role": "assistant", "content": searched("srvtoolu_gw1_R1_1", "")},
            QUESTION,
        ],
    }
    spliced = json.loads(splice(messages, json.dumps(sent, indent=indent).encode()))
    assert spliced["messages"] == [
        QUESTION,
        {
            "role": "assistant",
            "content": [
                *own,
                {"type": "text", "text": "one"},
                {"type": "text", "text": "two", "citations": [cited("sealed", "https://a")]},
                {"type": "text", "text": 'three "encrypted_index": "" srvtoolu_gw1_'},
            ],
        },
        QUESTION,
        QUESTION,
    ]
    assert problems(spliced, newest=False, signatures=frozenset({"sealed"})) == []


def test_a_providers_own_searches_stay_as_they_are() -> None:
    block = {"type": "text", "text": "t", "citations": [cited("sealed", "https://a")]}
    content = [*searched("srvtoolu_01", "sealed"), block]
    sent = json.dumps({"model": "a", "messages": [{"role": "assistant", "content": content}]})
    assert splice(messages, sent.encode()) == sent.replace('"a"', '"real"', 1).encode()


def test_our_citations_are_found_where_the_models_place_is_not() -> None:
    text = {"type": "text", "text": "t", "citations": [cited("", "https://a")]}
    told = json.dumps([{"role": "assistant", "content": [text]}])
    sent = f'{{"model":"x","messages":{told},"model":"a"}}'.encode()
    assert json.loads(splice(messages, sent))["messages"] == [
        {"role": "assistant", "content": [{"type": "text", "text": "t"}]}
    ]


def loop(*, ended: bool) -> dict[str, Any]:
    use = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
    turns: list[dict[str, Any]] = [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": [thinking(ENVELOPE), use]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1"}]},
    ]
    if ended:
        turns += [{"role": "assistant", "content": "done"}, {"role": "user", "content": "again"}]
    budget = {"type": "enabled", "budget_tokens": 2048}
    return {"model": "a", "messages": turns, "thinking": budget}


def test_a_running_loop_that_lost_its_thinking_goes_on_without() -> None:
    spliced = json.loads(splice(messages, msgspec.json.encode(loop(ended=False))))
    assert spliced["thinking"] == {"type": "disabled"}


def test_a_finished_loop_that_lost_its_thinking_changes_nothing() -> None:
    spliced = json.loads(splice(messages, msgspec.json.encode(loop(ended=True))))
    assert spliced["thinking"] == {"type": "enabled", "budget_tokens": 2048}
