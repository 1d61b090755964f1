"""A conversation keeps its name over its turns, and no two conversations share one."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from msgspec import Struct

from plexus_proxy.formats import envelope
from plexus_proxy.formats.events import Opaque
from plexus_proxy.formats.format import IN_BODY, Asked, Call
from plexus_proxy.formats.registry import CLIENT_FORMATS
from plexus_proxy.routing.sticky import Session, carries_state, degraded, pins_of, session_of

UUID = "0f0e0d0c-0b0a-4908-8706-050403020100"
OTHER_UUID = "1f1e1d1c-1b1a-4918-9716-151413121110"


def call_of(fmt: str, **body: Any) -> Call:
    asked = Asked("m") if fmt == "gemini" else IN_BODY
    fields = body if fmt == "gemini" else {"model": "m", **body}
    return CLIENT_FORMATS[fmt].read_call(json.dumps(fields).encode(), asked)


class Turn(Struct):
    """A request of a client: its headers and its body."""

    fmt: str
    body: dict[str, Any]
    headers: dict[str, str] = {}

    @property
    def session(self) -> Session:
        found = session_of(self.headers, call_of(self.fmt, **self.body))
        assert found is not None
        return found


# Each of these plays three turns of a conversation, as its client sends them: what begins with
# `seed` differs between conversations, `question` may be the same in many.


def claude_code(seed: str, question: str) -> Sequence[Turn]:
    """The session is in `metadata.user_id`; a marker of the prompt cache wanders on."""
    user_id = f"user_{'ab' * 32}_account_{UUID}_session_{seed}"
    return [
        Turn("messages", {**turn.body, "metadata": {"user_id": user_id}})
        for turn in messages_sdk("", question)
    ]


def claude_code_json(seed: str, question: str) -> Sequence[Turn]:
    user_id = json.dumps({"device_id": "d", "account_uuid": UUID, "session_id": seed})
    return [
        Turn("messages", {**turn.body, "metadata": {"user_id": user_id}})
        for turn in messages_sdk("", question)
    ]


def codex(seed: str, question: str) -> Sequence[Turn]:
    """Header and key say the same; the input begins with the same items in every session."""
    begin = [
        {"type": "message", "role": "developer", "content": [text_part("input_text", "Rules")]},
        {"type": "message", "role": "user", "content": [text_part("input_text", "<env/>")]},
    ]
    said: list[dict[str, Any]] = [
        {"type": "message", "role": "user", "content": [text_part("input_text", question)]}
    ]
    turns: list[Turn] = []
    for number in range(3):
        body = {"input": begin + said, "prompt_cache_key": seed, "store": False}
        turns.append(Turn("responses", body, {"session_id": seed, "x-client-request-id": "r"}))
        said += [
            {"type": "reasoning", "summary": [], "encrypted_content": "gAAAA"},
            {"type": "function_call", "call_id": f"c{number}", "name": "shell", "arguments": "{}"},
            {"type": "function_call_output", "call_id": f"c{number}", "output": "ok"},
        ]
    return turns


def responses_sdk(seed: str, question: str) -> Sequence[Turn]:
    """No key, no header: the history alone. Reasoning items and ids come and go."""
    first: list[dict[str, Any]] = [{"role": "user", "content": question}]
    answer = {"type": "message", "role": "assistant", "content": [text_part("output_text", seed)]}
    second = [
        *first,
        {"type": "reasoning", "summary": []},
        answer,
        {"role": "user", "content": "b"},
    ]
    third = [
        {"type": "message", "role": "user", "content": [text_part("input_text", question)]},
        {**answer, "id": "msg_1", "status": "completed"},
        {"type": "message", "role": "user", "content": [text_part("input_text", "b")]},
        answer,
        {"role": "user", "content": "c"},
    ]
    return [Turn("responses", {"input": each}) for each in (question, second, third)]


def gemini_cli(seed: str, question: str) -> Sequence[Turn]:
    """Each conversation begins with the same question and the same answer, neither of the user."""
    begin = [
        {"role": "user", "parts": [{"text": "This is the Gemini CLI. Today is Monday."}]},
        {"role": "model", "parts": [{"text": "Got it. Thanks for the context!"}]},
        {"role": "user", "parts": [{"text": seed + question}]},
    ]
    call = {"functionCall": {"name": "ls", "args": {}}, "thoughtSignature": "c2ln"}
    said = [
        {"role": "model", "parts": [{"text": "Hmm", "thought": True}, call]},
        {"role": "user", "parts": [{"functionResponse": {"name": "ls", "response": {}}}]},
    ]
    system = {"parts": [{"text": "Rules"}]}
    contents = [begin, begin + said, begin + said * 2]
    return [Turn("gemini", {"contents": each, "systemInstruction": system}) for each in contents]


def gemini_sdk(seed: str, question: str) -> Sequence[Turn]:
    """The thoughts and their signatures are not always sent back."""
    ask = {"parts": [{"text": question}]}
    answer = {"role": "model", "parts": [{"text": "t", "thought": True}, {"text": seed}]}
    signed = {"role": "model", "parts": [{"text": seed, "thoughtSignature": "c2ln"}]}
    more = {"role": "user", "parts": [{"text": "more"}]}
    contents = [ask], [ask, answer, more], [ask, signed, more, answer, more]
    return [Turn("gemini", {"contents": each}) for each in contents]


def opencode(seed: str, question: str) -> Sequence[Turn]:
    """AI SDK: a header of its own."""
    return [
        Turn(turn.fmt, turn.body, {"x-session-affinity": seed}) for turn in chat_sdk("", question)
    ]


def ai_sdk_tools(seed: str, question: str) -> Sequence[Turn]:
    """Messages with tools: the outputs of old ones are cleared later."""
    ask = {"role": "user", "content": [text_part("text", question)]}
    use = {"type": "tool_use", "id": seed, "name": "ls", "input": {"path": "."}}
    result = {"type": "tool_result", "tool_use_id": seed, "content": "a b c"}
    cleared = {**result, "content": "[cleared]"}
    marked = {**ask["content"][0], "cache_control": {"type": "ephemeral"}}
    answer = {"role": "assistant", "content": [text_part("text", "Looking."), use]}
    last = {"role": "assistant", "content": [text_part("text", "Done.")]}
    histories = [
        [{**ask, "content": [marked]}],
        [ask, answer, {"role": "user", "content": [result]}],
        [ask, answer, {"role": "user", "content": [cleared]}, last, ask],
    ]
    return [Turn("messages", {"messages": each, "max_tokens": 9}) for each in histories]


def messages_sdk(seed: str, question: str) -> Sequence[Turn]:
    """Text is a list where the marker of the cache stands, else a string."""
    marked = [{**text_part("text", question), "cache_control": {"type": "ephemeral"}}]
    answer = {"role": "assistant", "content": [text_part("text", f"{seed}!")]}
    histories = [
        [{"role": "user", "content": marked}],
        [{"role": "user", "content": marked}, answer, {"role": "user", "content": "b"}],
        [
            {"role": "user", "content": question},
            {"role": "assistant", "content": f"{seed}!"},
            {"role": "user", "content": "b"},
            answer,
            {"role": "user", "content": marked},
        ],
    ]
    return [
        Turn("messages", {"messages": each, "system": "Rules", "max_tokens": 9})
        for each in histories
    ]


def chat_sdk(seed: str, question: str) -> Sequence[Turn]:
    """A user who is the same in all conversations; reasoning is dropped from older turns."""
    begin = [{"role": "system", "content": "Rules"}, {"role": "user", "content": question}]
    answer = {"role": "assistant", "content": seed, "reasoning_content": "Hmm"}
    bare = {"role": "assistant", "content": seed}
    more = {"role": "user", "content": "more"}
    histories = [begin, [*begin, answer, more], [*begin, bare, more, answer, more]]
    return [Turn("chat", {"messages": each, "user": "everyone"}) for each in histories]


def langchain(seed: str, question: str) -> Sequence[Turn]:
    """Chat Completions with tools; content is null beside calls."""
    begin = [{"role": "user", "content": question}]
    function = {"name": "ls", "arguments": "{}"}
    call = {"id": seed, "type": "function", "function": function}
    step = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": seed, "content": "out", "name": "ls"},
    ]
    histories = [begin, begin + step, [*begin, *step, {"role": "assistant", "content": "x"}, *step]]
    return [Turn("chat", {"messages": each}) for each in histories]


def text_part(kind: str, text: str) -> dict[str, Any]:
    return {"type": kind, "text": text}


NAMED = [claude_code, claude_code_json, codex, opencode]
UNNAMED = [responses_sdk, gemini_sdk, ai_sdk_tools, messages_sdk, chat_sdk, langchain]
Client = Callable[[str, str], Sequence[Turn]]


@pytest.mark.parametrize("client", NAMED)
def test_a_session_that_the_client_names_keeps_its_name(client: Client) -> None:
    names = {turn.session.text for turn in client(UUID, "hi")}
    assert names == {UUID}
    assert all(turn.session.prefers for turn in client(UUID, "hi"))
    assert {turn.session.text for turn in client(OTHER_UUID, "hi")} == {OTHER_UUID}


@pytest.mark.parametrize("client", [*UNNAMED, gemini_cli])
def test_a_conversation_that_nobody_names_keeps_its_name(client: Client) -> None:
    first, second, third = (turn.session for turn in client("one", "hi"))
    assert second.prefers
    assert second.text == third.text
    assert first.text in second.names


@pytest.mark.parametrize("client", UNNAMED)
def test_what_may_begin_many_conversations_prefers_nothing(client: Client) -> None:
    first, second, _ = (turn.session for turn in client("one", "hi"))
    assert not first.prefers
    assert first.opening is None
    assert second.prefers


@pytest.mark.parametrize("client", [*UNNAMED, gemini_cli])
def test_conversations_that_begin_alike_part_with_their_first_answer(client: Client) -> None:
    _, one, _ = (turn.session for turn in client("one", "hi"))
    _, other, _ = (turn.session for turn in client("other", "hi"))
    assert one.text != other.text


@pytest.mark.parametrize("client", UNNAMED)
def test_conversations_that_begin_otherwise_never_meet(client: Client) -> None:
    one = {name for turn in client("s", "hi") for name in turn.session.names}
    other = {name for turn in client("s", "hello") for name in turn.session.names}
    assert one.isdisjoint(other)


def test_gemini_cli_tells_sessions_apart_at_the_first_turn_already() -> None:
    assert gemini_cli("one", "hi")[0].session.text != gemini_cli("two", "hi")[0].session.text


def test_system_texts_part_conversations_at_the_first_turn() -> None:
    bodies = [{"messages": [{"role": "user", "content": "q"}], "system": s} for s in ("a", "b")]
    one, other = (Turn("messages", {**body, "max_tokens": 9}).session for body in bodies)
    assert one.text != other.text


@pytest.mark.parametrize(
    "body",
    [
        {"messages": []},
        {"messages": [{"role": "user"}], "user": "everyone", "safety_identifier": "everyone"},
        {"messages": [{"role": "system", "content": "Rules"}], "user": "everyone"},
    ],
)
def test_a_user_is_no_session(body: dict[str, Any]) -> None:
    assert session_of({"x-prompt-cache-isolation-key": "a"}, call_of("chat", **body)) is None


def test_a_user_id_without_a_session_is_none() -> None:
    body = {"messages": [], "max_tokens": 9, "metadata": {"user_id": f"user_1_account_{UUID}"}}
    assert session_of({}, call_of("messages", **body)) is None


HISTORY = [{"role": "user", "content": "q"}]


@pytest.mark.parametrize(
    ("fmt", "headers", "body", "name"),
    [
        ("chat", {"x-session-id": " s ", "x-session-affinity": "a"}, {}, "s"),
        ("chat", {"x-claude-code-session-id": "c", "session_id": "s"}, {}, "c"),
        ("chat", {"session_id": "s", "session-id": "t"}, {}, "s"),
        ("chat", {"session-id": "t", "x-session-id": "s"}, {}, "t"),
        ("chat", {"x-multi-turn-session-id": "m"}, {"prompt_cache_key": "k"}, "m"),
        ("chat", {"x-session-id": " "}, {"prompt_cache_key": "k", "user": "u"}, "k"),
        ("responses", {}, {"prompt_cache_key": "k", "previous_response_id": "resp_1"}, "k"),
        ("responses", {}, {"previous_response_id": "resp_1"}, "resp_1"),
        ("responses", {}, {"conversation": "conv_1"}, "conv_1"),
        ("responses", {}, {"conversation": {"id": "conv_1"}}, "conv_1"),
        ("gemini", {}, {"cachedContent": "cachedContents/1"}, "cachedContents/1"),
    ],
)
def test_the_order_of_what_names_a_session(
    fmt: str, headers: dict[str, str], body: dict[str, Any], name: str
) -> None:
    turns = {"chat": {"messages": HISTORY}, "responses": {"input": "q"}, "gemini": {"contents": []}}
    found = session_of(headers, call_of(fmt, **turns[fmt], **body))
    assert found is not None
    assert (found.text, found.prefers, found.opening) == (name, True, None)


@pytest.mark.parametrize("sent", [b'{"model":"m","messages":[{"role":5,"content":{"a":[1]}}]}'])
def test_shapes_that_nobody_knows_are_no_error(sent: bytes) -> None:
    session_of({}, CLIENT_FORMATS["chat"].read_call(sent, IN_BODY))


def test_a_half_emoji_in_the_first_message_is_no_error() -> None:
    sent = b'{"model":"m","messages":[{"role":"user","content":"\\ud83d"}]}'
    assert session_of({}, CLIENT_FORMATS["chat"].read_call(sent, IN_BODY)) is not None


def packed(issuer: str, data: str = "c2ln") -> str:
    return envelope.pack(Opaque("sig", data, issuer, "m"))


def packed_base64(issuer: str, data: str = "c2ln") -> str:
    return envelope.pack_base64(Opaque("sig", data, issuer, "m"))


def thinking(*signatures: str) -> Call:
    blocks = [{"type": "thinking", "thinking": "t", "signature": each} for each in signatures]
    return call_of("messages", messages=[{"role": "assistant", "content": blocks}])


def encrypted(*states: str) -> Call:
    return call_of(
        "responses", input=[{"type": "reasoning", "encrypted_content": s} for s in states]
    )


def signed(*signatures: str) -> Call:
    parts = [{"text": "t", "thoughtSignature": each} for each in signatures]
    return call_of("gemini", contents=[{"role": "model", "parts": parts}])


def detailed(*signatures: str) -> Call:
    details = [{"type": "reasoning.text", "signature": each} for each in signatures]
    return call_of("chat", messages=[{"role": "assistant", "reasoning_details": details}])


def extra_content(*signatures: str) -> Call:
    calls = [{"extra_content": {"google": {"thought_signature": each}}} for each in signatures]
    return call_of("chat", messages=[{"role": "assistant", "tool_calls": calls}])


HOLDERS = [thinking, encrypted, signed, detailed, extra_content]


@pytest.mark.parametrize("holding", HOLDERS)
def test_envelopes_pin_their_issuers_newest_first(holding: Callable[..., Call]) -> None:
    pack = packed_base64 if holding is signed else packed
    call = holding(pack("old", "a"), pack("acme", "b"), pack("old", "c"), pack("last ü", "d" * 999))
    assert pins_of(call) == ("last ü", "old", "acme")
    assert not carries_state(call)


@pytest.mark.parametrize("holding", HOLDERS)
def test_state_of_a_providers_own_pins_nobody_but_is_seen(holding: Callable[..., Call]) -> None:
    call = holding("EqQBCkYIARgC", "CiIB/x+y==")
    assert pins_of(call) == ()
    assert carries_state(call)


def test_both_kinds_are_seen_side_by_side() -> None:
    call = thinking(packed("acme"), "EqQBCkYIARgC")
    assert pins_of(call) == ("acme",)
    assert carries_state(call)


@pytest.mark.parametrize(
    "call",
    [
        thinking(""),
        signed("skip_thought_signature_validator"),
        extra_content("skip_thought_signature_validator"),
        encrypted(),
        call_of("messages", messages=[{"role": "user", "content": '"signature":"abc"'}]),
        call_of("gemini", contents=[{"parts": [{"text": '{"thoughtSignature":"abc"}'}]}]),
        call_of("chat", messages=[{"role": "user", "content": f'"{packed("acme")}"'}]),
    ],
)
def test_what_only_looks_like_state_is_none(call: Call) -> None:
    assert pins_of(call) == ()
    assert not carries_state(call)


def test_an_envelope_with_escaped_slashes_is_read() -> None:
    text = packed_base64("??")
    body = b'{"contents":[{"parts":[{"thoughtSignature":"%b"}]}]}'
    body %= text.replace("/", "\\/").encode()
    assert b"\\/" in body
    assert pins_of(CLIENT_FORMATS["gemini"].read_call(body, Asked("m"))) == ("??",)


def test_a_damaged_envelope_pins_nobody() -> None:
    assert pins_of(thinking("gw1.%%%", "gw1.", "gw1.AAAA")) == ()


@pytest.mark.parametrize(
    "call",
    [
        call_of("responses", input="q", previous_response_id="resp_1"),
        call_of("responses", input="q", conversation={"id": "conv_1"}),
        call_of("gemini", contents=[], cachedContent="cachedContents/1"),
    ],
)
def test_what_a_provider_keeps_is_state_too(call: Call) -> None:
    assert carries_state(call)


class Speed(Struct):
    ttft_ms: float | None


@pytest.mark.parametrize(
    ("bound", "others", "expected"),
    [
        (None, [100], False),
        (9_000, [], False),
        (9_000, [None], False),
        (9_000, [2_000], True),
        (9_000, [2_000, 8_000, None], True),
        (9_000, [3_000], False),  # three times as slow, no more
        (3_100, [200], False),  # not three seconds
        (3_300, [200], True),
        (500, [9_000], False),
    ],
)
def test_a_target_much_slower_than_the_best_other_is_degraded(
    bound: float | None, others: list[float | None], expected: bool
) -> None:
    assert degraded(Speed(bound), [Speed(each) for each in others]) is expected
    assert degraded(Speed(bound), [*(Speed(each) for each in others), None]) is expected


def test_a_target_of_which_nothing_is_known_is_not_degraded() -> None:
    assert not degraded(None, [Speed(1)])
