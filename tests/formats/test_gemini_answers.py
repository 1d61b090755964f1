"""Whole Gemini answers and errors, both ways."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.gemini import GEMINI, answer, call, text, thought, usage
from support.golden import CHAT, MESSAGES, crossing, read, write
from support.strict_gemini_stream import STATUSES, read_whole_gemini
from support.strict_streams import Answer
from support.whole_answers import chat_problems, messages_problems

from plexus_proxy.crypto import Secret
from plexus_proxy.errors import (
    KINDS,
    AllAttemptsFailed,
    ContextTooLong,
    Garbled,
    Kind,
    PlexusError,
    Refused,
    UnknownModel,
)
from plexus_proxy.formats import arguments, envelope
from plexus_proxy.formats.conversation import Crossing
from plexus_proxy.formats.events import Opaque, Usage
from plexus_proxy.formats.fold import fold
from plexus_proxy.formats.format import Format, Observer

SAMPLES = Path(__file__).parent.parent / "samples"
STATE = "b3BhcXVlLXJlYXNvbmluZy1zdGF0ZS0wMDAx"


def sample(name: str) -> dict[str, Any]:
    return json.loads((SAMPLES / f"{name}.response.json").read_text())


def names(fmt: str) -> list[str]:
    skipped = ("error", "models", "count-tokens")
    found = sorted(SAMPLES.glob(f"{fmt}.*.response.json"))
    return [
        path.name.removesuffix(".response.json")
        for path in found
        if not any(word in path.name for word in skipped)
    ]


def body(value: Any) -> bytes:
    return json.dumps(value).encode()


def to_chat(value: dict[str, Any], over: Crossing | None = None) -> dict[str, Any]:
    """A Gemini provider's answer as a Chat client gets it, found legal."""
    over = over or crossing()
    found = json.loads(CHAT.write_response(GEMINI.read_response(body(value), over), over))
    assert chat_problems(found) == []
    assert len(found["choices"]) == 1
    return found


def to_messages(value: dict[str, Any], over: Crossing | None = None) -> dict[str, Any]:
    over = over or crossing()
    found = json.loads(MESSAGES.write_response(GEMINI.read_response(body(value), over), over))
    assert messages_problems(found) == []
    return found


def to_gemini(provider: Format, value: dict[str, Any], over: Crossing | None = None) -> Answer:
    """Another provider's answer as a Gemini client puts it together, found legal."""
    over = over or crossing()
    events = provider.read_response(body(value), over)
    return read_whole_gemini(GEMINI.write_response(events, over))


def message_of(found: dict[str, Any]) -> dict[str, Any]:
    return found["choices"][0]["message"]


def observed(value: dict[str, Any]) -> Observer:
    observer = GEMINI.observer()
    observer.body(body(value))
    return observer


# Reading


@pytest.mark.parametrize("name", names("gemini"))
def test_a_sample_says_the_same_to_other_clients(name: str) -> None:
    source = sample(name)
    candidate = source.get("candidates", [{}])[0]
    parts = candidate.get("content", {}).get("parts", [])
    words = "".join(each["text"] for each in parts if "text" in each and "thought" not in each)
    thoughts = "".join(each["text"] for each in parts if "thought" in each)
    calls = [each["functionCall"] for each in parts if "functionCall" in each]
    states = [each["thoughtSignature"] for each in parts if "thoughtSignature" in each]
    blocked = "promptFeedback" in source

    chat = to_chat(source)
    message = message_of(chat)
    assert (message["content"] or "") == words
    assert message.get("reasoning_content", "") == thoughts
    assert [
        (each["id"], each["function"]["name"], json.loads(each["function"]["arguments"]))
        for each in message.get("tool_calls", [])
    ] == [(each["id"], each["name"], each["args"]) for each in calls]
    reason = "content_filter" if blocked else "tool_calls" if calls else "stop"
    assert chat["choices"][0]["finish_reason"] == reason
    told = source["usageMetadata"]
    thinking = told.get("thoughtsTokenCount", 0)
    assert chat["usage"]["prompt_tokens"] == told["promptTokenCount"]
    assert chat["usage"]["completion_tokens"] == told.get("candidatesTokenCount", 0) + thinking
    assert chat["usage"]["total_tokens"] == told["totalTokenCount"]
    cached = told.get("cachedContentTokenCount", 0)
    assert chat["usage"]["prompt_tokens_details"]["cached_tokens"] == cached
    assert chat["model"] == source["modelVersion"]

    content = to_messages(source)["content"]
    assert "".join(each.get("text", "") for each in content) == words
    found = [envelope.unpack(each["signature"]) for each in content if each.get("signature")]
    assert found == [Opaque("gsig", each, "acme", "sample-1") for each in states]


@pytest.mark.parametrize("name", ["text", "tool-call", "parallel-tools", "reasoning-tool"])
def test_streamed_and_whole_samples_are_read_alike(name: str) -> None:
    streamed = fold(read(GEMINI, (SAMPLES / f"gemini.{name}.stream.sse").read_bytes()))
    whole = fold(GEMINI.read_response(body(sample(f"gemini.{name}")), crossing()))
    assert streamed == whole


@pytest.mark.parametrize("name", names("gemini"))
def test_a_sample_is_observed_as_it_is_read(name: str) -> None:
    source = sample(name)
    observer = observed(source)
    found = fold(GEMINI.read_response(body(source), crossing()))
    assert observer.usage == found.usage
    assert observer.tool_calls == len(found.of("tool"))
    assert observer.output_chars == sum(len(block.text) for block in found.blocks)
    assert observer.committed
    assert observer.complete
    assert observer.failure is None


@pytest.mark.pitfall("P90")
def test_p90_a_blocked_prompt_is_filtered_content() -> None:
    found = to_messages(sample("gemini.blocked"))
    assert (found["stop_reason"], found["content"]) == ("refusal", [{"type": "text", "text": ""}])
    assert found["usage"]["input_tokens"] == 9
    assert observed(sample("gemini.blocked")).finish_reason == "PROHIBITED_CONTENT"


@pytest.mark.parametrize("content", [{}, None, {"role": "model"}, {"parts": None}, {"parts": []}])
@pytest.mark.pitfall("B33")
def test_content_may_be_missing(content: Any) -> None:
    value = answer(finish="MAX_TOKENS", candidate={"content": content})
    assert to_chat(value)["choices"][0]["finish_reason"] == "length"
    del value["candidates"][0]["content"]
    del value["candidates"][0]["index"]
    assert to_chat(value)["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize("reason", [{}, {"finishReason": None}, {"finishReason": ""}])
def test_a_whole_answer_needs_no_finish_reason(reason: dict[str, Any]) -> None:
    value = answer(text("Hi"), candidate=reason)
    assert to_chat(value)["choices"][0]["finish_reason"] == "stop"
    assert observed(value).complete


@pytest.mark.pitfall("P92", "B45")
def test_p92_an_answer_that_went_wrong_is_refused() -> None:
    """P92: by the observer as well, so that it is seen on every path."""
    value = answer(
        finish="MALFORMED_FUNCTION_CALL", candidate={"content": {}, "finishMessage": "f(a="}
    )
    with pytest.raises(Refused, match="MALFORMED_FUNCTION_CALL: f") as caught:
        GEMINI.read_response(body(value), crossing())
    assert (caught.value.status, caught.value.code) == (502, "malformed_function_call")
    failed = observed(value)
    assert isinstance(failed.failure, Refused)
    assert not failed.complete


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ({"candidates": []}, Garbled),
        ({}, Garbled),
        ([], Garbled),
        ("x", Garbled),
        ({"candidates": "x"}, Garbled),
        ({"error": {"code": 429, "message": "Slow.", "status": "RESOURCE_EXHAUSTED"}}, Refused),
        ([{"error": {"code": 429, "message": "Slow."}}], Refused),
        ({"candidates": [{"content": {"parts": [{"functionCall": {}}]}}]}, Garbled),
    ],
)
def test_an_answer_without_an_answer(value: Any, error: type[PlexusError]) -> None:
    with pytest.raises(error):
        GEMINI.read_response(body(value), crossing())
    observer = GEMINI.observer()
    try:
        observer.body(body(value))
    except Garbled:
        assert error is Garbled
    else:
        assert isinstance(observer.failure, Refused) == (error is Refused)


@pytest.mark.parametrize("broken", [b"", b"{", b"[DONE]", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_garbled(broken: bytes) -> None:
    with pytest.raises(Garbled):
        GEMINI.read_response(broken, crossing())
    with pytest.raises(Garbled):
        GEMINI.observer().body(broken)


def test_unreadable_usage_spoils_no_answer() -> None:
    value = answer(text("Hi"), finish="STOP", usageMetadata={"promptTokenCount": 1.5})
    assert message_of(to_chat(value))["content"] == "Hi"
    assert observed(value).usage is None


def test_half_an_emoji_spoils_no_answer() -> None:
    broken = body(answer(text("a"), finish="STOP")).replace(b'"a"', b'"a\\ud83d"')
    events = GEMINI.read_response(broken, crossing())
    assert fold(events).blocks[0].text == "a\ufffd"


def test_images_and_executed_code_are_left_out() -> None:
    value = answer(
        {"inlineData": {"mimeType": "image/png", "data": "AA=="}}, text("Here."), finish="STOP"
    )
    assert message_of(to_chat(value))["content"] == "Here."
    only = answer({"executableCode": {"code": "1"}}, finish="OTHER")
    assert to_chat(only)["choices"][0]["finish_reason"] == "stop"


def test_grounding_becomes_annotations() -> None:
    grounding = {
        "groundingChunks": [{"web": {"uri": "https://a", "title": "A"}}],
        "groundingSupports": [
            {
                "segment": {"startIndex": 3, "endIndex": 10, "text": "Zürich"},
                "groundingChunkIndices": [0],
            }
        ],
    }
    value = answer(
        thought("Hm."),
        text("In Zürich."),
        finish="STOP",
        candidate={"groundingMetadata": grounding},
    )
    assert message_of(to_chat(value))["annotations"] == [
        {
            "type": "url_citation",
            "url_citation": {"url": "https://a", "title": "A", "start_index": 3, "end_index": 9},
        }
    ]
    _, before, cited, after = to_messages(value)["content"]
    assert [each["text"] for each in (before, cited, after)] == ["In ", "Zürich", "."]
    assert cited["citations"][0]["url"] == "https://a"
    assert "citations" not in before | after


# Writing


@pytest.mark.parametrize("name", names("chat"))
def test_a_chat_sample_says_the_same_to_a_gemini_client(name: str) -> None:
    source = sample(name)
    said = message_of(source)
    found = to_gemini(CHAT, source)
    assert found.text == (said.get("content") or "") + (said.get("refusal") or "")
    assert found.reasoning == (said.get("reasoning_content") or said.get("reasoning") or "")
    assert [(each.id, each.name, each.value) for each in found.tools] == [
        (each["id"], each["function"]["name"], json.loads(each["function"]["arguments"]))
        for each in said.get("tool_calls") or []
    ]
    assert found.reason == "STOP"
    assert found.usage is not None
    assert found.usage["promptTokenCount"] == source["usage"]["prompt_tokens"]
    assert found.usage["totalTokenCount"] == source["usage"]["total_tokens"]


@pytest.mark.parametrize("name", names("messages"))
def test_a_messages_sample_says_the_same_to_a_gemini_client(name: str) -> None:
    source = sample(name)
    found = to_gemini(MESSAGES, source)
    content = source["content"]
    assert found.text == "".join(each.get("text", "") for each in content)
    assert found.reasoning == "".join(each.get("thinking", "") for each in content)
    assert [(each.id, each.name, each.value) for each in found.tools] == [
        (each["id"], each["name"], each["input"]) for each in content if each["type"] == "tool_use"
    ]
    states = [each.get("signature") or each.get("data") for each in content]
    assert [json.loads(base64.b64decode(each))["data"] for each in found.states] == [
        each for each in states if each
    ]
    reason = {"max_tokens": "MAX_TOKENS", "refusal": "SAFETY"}.get(source["stop_reason"], "STOP")
    assert found.reason == reason
    assert found.model == source["model"]


def test_texts_in_a_row_are_one_part() -> None:
    content = [{"type": "text", "text": each} for each in ("a", "b")]
    value = sample("messages.text") | {"content": content}
    events = MESSAGES.read_response(body(value), crossing())
    written = json.loads(GEMINI.write_response(events, crossing()))
    assert written["candidates"][0]["content"]["parts"] == [{"text": "ab"}]


def test_a_failure_is_raised() -> None:
    events = read(GEMINI, (SAMPLES / "gemini.midstream-error.stream.sse").read_bytes())
    with pytest.raises(Refused, match="overloaded"):
        GEMINI.write_response(events, crossing())


def test_a_whole_answer_has_these_fields() -> None:
    events = CHAT.read_response(body(sample("chat.tool-call")), crossing())
    written = json.loads(GEMINI.write_response(events, crossing()))
    assert written == {
        "candidates": [
            {
                "content": {
                    "role": "model",
                    "parts": written["candidates"][0]["content"]["parts"],
                },
                "finishReason": "STOP",
                "index": 0,
            }
        ],
        "usageMetadata": written["usageMetadata"],
        "modelVersion": sample("chat.tool-call")["model"],
        "responseId": "R0001",
    }


# Errors


def refusal(status: int, error: Any, **headers: str) -> Refused:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return GEMINI.read_error(status, named, body(error))


def test_the_samples_of_errors() -> None:
    found = refusal(429, sample("gemini.error-429"))
    assert (found.kind, found.retry_after_s, found.message) == (
        "rate_limit",
        22.0,
        "Quota exceeded.",
    )
    found = refusal(400, sample("gemini.error"))
    assert (found.kind, found.status, found.code) == ("bad_request", 400, "invalid_argument")
    assert found.message.startswith("Unable to submit request")


def retry_info(delay: Any) -> dict[str, Any]:
    details = [{"@type": "x"}, "y", {"retryDelay": delay}]
    return {"error": {"code": 429, "message": "m", "details": details}}


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [("22s", 22.0), ("1.5s", 1.5), ("0s", None), ("soon", None), (22, None), (None, None)],
)
@pytest.mark.parametrize("fmt", [GEMINI, CHAT], ids=["gemini", "chat"])
def test_when_to_come_back(fmt: Format, delay: Any, seconds: float | None) -> None:
    """Also of Google's endpoint that is compatible with Chat Completions, which sends a list."""
    assert fmt.read_error(429, {}, body(retry_info(delay))).retry_after_s == seconds
    assert fmt.read_error(429, {}, body([retry_info(delay)])).retry_after_s == seconds


def test_a_header_counts_for_more_than_details() -> None:
    assert refusal(429, retry_info("22s"), retry_after="3").retry_after_s == 3.0


@pytest.mark.pitfall("P120")
def test_p120_a_bad_key_is_ours_not_the_clients() -> None:
    """P120: Google says it with a 400."""
    details = [
        {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"},
    ]
    error = {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT"}
    found = refusal(400, {"error": error | {"details": details}})
    assert (found.upstream_status, found.status, found.kind) == (401, 502, "upstream_broken")
    assert refusal(400, {"error": error}).status == 400


@pytest.mark.parametrize(
    ("status", "word", "kind"),
    [
        (200, "RESOURCE_EXHAUSTED", "rate_limit"),
        (200, "UNAVAILABLE", "overloaded"),
        (200, "DEADLINE_EXCEEDED", "timeout"),
        (200, "NOT_FOUND", "not_found"),
        (200, "INVALID_ARGUMENT", "bad_request"),
        (200, "PERMISSION_DENIED", "upstream_broken"),
        (200, "INTERNAL", "upstream_broken"),
        (503, "UNAVAILABLE", "overloaded"),
    ],
)
def test_status_names_mean_their_status(status: int, word: str, kind: Kind) -> None:
    assert refusal(status, {"error": {"message": "m", "status": word}}).kind == kind


def test_a_prompt_that_is_too_long() -> None:
    said = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."
    assert refusal(400, {"error": {"code": 400, "message": said}}).kind == "context_too_long"


GEMINI_SAYS: dict[Kind, tuple[int, str]] = {
    "bad_request": (400, "INVALID_ARGUMENT"),
    "context_too_long": (400, "INVALID_ARGUMENT"),
    "auth": (401, "UNAUTHENTICATED"),
    "billing": (429, "RESOURCE_EXHAUSTED"),
    "permission": (403, "PERMISSION_DENIED"),
    "not_found": (404, "NOT_FOUND"),
    "method_not_allowed": (405, "INVALID_ARGUMENT"),
    "request_timeout": (408, "DEADLINE_EXCEEDED"),
    "too_large": (413, "INVALID_ARGUMENT"),
    "unsupported_media": (415, "INVALID_ARGUMENT"),
    "rate_limit": (429, "RESOURCE_EXHAUSTED"),
    "overloaded": (503, "UNAVAILABLE"),
    "timeout": (504, "DEADLINE_EXCEEDED"),
    "upstream_broken": (503, "UNAVAILABLE"),
    "content_policy": (400, "INVALID_ARGUMENT"),
    "internal": (500, "INTERNAL"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.pitfall("P122")
def test_p122_what_a_gemini_client_is_told(kind: Kind) -> None:
    error = Refused("no", upstream_status=599, kind=kind, body=b"raw", code="theirs")
    status, written = GEMINI.write_error(error, "req_1")
    ours, word = GEMINI_SAYS[kind]
    message = "no"
    if kind == "context_too_long":
        message = "The input token count exceeds the maximum number of tokens allowed: no"
    assert status == ours
    assert word in STATUSES[status]
    assert json.loads(written) == {"error": {"code": ours, "message": message, "status": word}}
    assert GEMINI.stream_error(error) == b"data: " + written + b"\n\n"


def test_when_a_client_may_come_back() -> None:
    last = PlexusError("Slow.", retry_after_s=21.2)
    error = AllAttemptsFailed("All failed.", last=last)
    assert json.loads(GEMINI.write_error(error, "")[1])["error"]["details"] == [
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "22s"}
    ]


def test_errors_of_the_gateway() -> None:
    assert GEMINI.write_error(UnknownModel("x"), "")[0] == 404
    said = json.loads(
        GEMINI.write_error(ContextTooLong("Exceeds the maximum number of tokens."), "")[1]
    )
    assert said["error"]["message"] == "Exceeds the maximum number of tokens."


# Headers, envelopes, arguments


def test_headers_for_a_provider() -> None:
    client = {"x-goog-api-key": "theirs", "authorization": "theirs", "session_id": "s1"}
    assert GEMINI.provider_headers(Secret("k"), client) == {
        "x-goog-api-key": "k",
        "session_id": "s1",
    }
    assert GEMINI.provider_headers(None, {}) == {}


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
OPAQUES = st.builds(
    Opaque,
    kind=st.sampled_from(["sig", "redacted", "enc", "gsig"]),
    data=TEXTS,
    issuer=TEXTS.filter(bool),
    model=TEXTS,
    item_id=TEXTS,
)


@given(OPAQUES)
@pytest.mark.pitfall("P51")
def test_p51_an_envelope_in_base64(opaque: Opaque) -> None:
    """P51: plain base64 as a client decodes it, read again in either alphabet."""
    packed = envelope.pack_base64(opaque)
    base64.b64decode(packed, validate=True)
    assert envelope.pack_base64(opaque) == packed
    for sent in (packed, packed.rstrip("="), packed.replace("+", "-").replace("/", "_")):
        assert envelope.unpack_base64(sent) == opaque


@given(TEXTS)
def test_no_text_makes_unpacking_fail(junk: str) -> None:
    envelope.unpack_base64(junk)
    envelope.unpack_base64(base64.b64encode(junk.encode()).decode())


@pytest.mark.parametrize(
    "junk", ["", STATE, "gw1.AAAA", "skip_thought_signature_validator", "=", "e30=", "AAAA\n"]
)
def test_a_vendors_own_state_is_no_envelope(junk: str) -> None:
    assert envelope.unpack_base64(junk) is None


def test_arguments_that_are_no_json() -> None:
    assert arguments.object_of('{"a":') is None
    assert bytes(arguments.object_of("") or b"") == b"{}"
    assert bytes(arguments.object_of("[1]") or b"") == b'{"value":[1]}'
    assert bytes(arguments.as_object('{"a":')) == b'{"__invalid_json":"{\\"a\\":"}'


# Usage through whole answers


@pytest.mark.pitfall("P94")
def test_p94_thoughts_count_as_completion() -> None:
    told = usage(5, 5, 358, thoughtsTokenCount=348)
    found = to_chat(answer(text("x"), finish="STOP", usageMetadata=told))["usage"]
    assert (found["completion_tokens"], found["total_tokens"]) == (353, 358)
    assert found["completion_tokens_details"] == {"reasoning_tokens": 348}


def test_usage_is_observed_in_buckets() -> None:
    assert observed(sample("gemini.cached-usage")).usage == Usage(300, 1000, 0, 100, 150)


def test_what_is_written_is_read_back() -> None:
    over = crossing()
    value = answer(
        thought("Hm."), text("Well."), call("f", {"a": 1}, "c1", STATE), call("g", {}, "c2")
    )
    events = GEMINI.read_response(body(value), over)
    again = fold(GEMINI.read_response(GEMINI.write_response(events, over), over))
    first = fold(events)
    assert [(block.kind, block.text, block.tool_id) for block in again.blocks] == [
        (block.kind, block.text, block.tool_id) for block in first.blocks
    ]
    assert write(GEMINI, events).count(b"functionCall") == 2
