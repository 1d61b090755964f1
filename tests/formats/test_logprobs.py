"""Probabilities of tokens, asked for and told across the formats that know them.

Source: translation rules §7 of the design notes and the sheets of the formats."""

import json
from typing import Any

import pytest
from support.gemini import GEMINI
from support.gemini import chunk as gemini_chunk
from support.gemini import text as gemini_text
from support.golden import CHAT, MESSAGES, crossing, read, translated, write
from support.judges import read_stream
from support.strict_gemini_stream import read_whole_gemini
from support.strict_responses import check_response
from support.whole_answers import chat_problems
from support.wire import DONE, ROLE, chunk, chunk_with, data

from plexus_proxy.formats.events import (
    BlockEnd,
    BlockStart,
    Event,
    Finish,
    Likelihood,
    Logprobs,
    Start,
    TextDelta,
    TokenLogprob,
)
from plexus_proxy.formats.format import IN_BODY, Asked, Format
from plexus_proxy.formats.registry import FORMATS
from plexus_proxy.formats.relay import kept_of

RESPONSES = FORMATS["responses"]
KNOWING = [CHAT, RESPONSES, GEMINI]
CLIENTS = pytest.mark.parametrize("client", KNOWING, ids=[each.name for each in KNOWING])
PROVIDERS = pytest.mark.parametrize("provider", KNOWING, ids=[each.name for each in KNOWING])
INCLUDE = "message.output_text.logprobs"
MODELS = {"chat": "llama", "responses": "gpt-4.1", "gemini": "gemini-2.5-flash", "messages": "c"}


def asking(client: Format, *, wanted: bool, top: int | None) -> bytes:
    told = {} if top is None else {"top_logprobs": top}
    body: dict[str, Any]
    match client.name:
        case "chat":
            body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **told}
            body |= {"logprobs": True} if wanted else {}
        case "responses":
            body = {"model": "m", "input": "hi", **told}
            body |= {"include": [INCLUDE]} if wanted else {}
        case _:
            config = {} if top is None else {"logprobs": top}
            config |= {"responseLogprobs": True} if wanted else {}
            body = {"contents": [{"parts": [{"text": "hi"}]}], "generationConfig": config}
    return json.dumps(body).encode()


def asked(client: Format, provider: Format, body: bytes, **over: Any) -> tuple[Any, list[str]]:
    """(wanted, how many others) in the provider's request, and what was dropped."""
    fields = {"model": MODELS[provider.name]} | over
    noted = crossing(**fields)
    conversation = client.read_request(body, IN_BODY if client is not GEMINI else Asked("m"))
    sent = json.loads(provider.write_request(conversation, noted))
    match provider.name:
        case "chat":
            found = sent.get("logprobs"), sent.get("top_logprobs")
        case "responses":
            found = INCLUDE in sent.get("include", []) or None, sent.get("top_logprobs")
        case "gemini":
            config = sent.get("generationConfig", {})
            found = config.get("responseLogprobs"), config.get("logprobs")
        case _:
            assert "logprobs" not in json.dumps(sent)
            found = None, None
    return found, noted.dropped


@CLIENTS
@PROVIDERS
def test_the_wish_is_passed_on(client: Format, provider: Format) -> None:
    assert asked(client, provider, asking(client, wanted=True, top=3)) == ((True, 3), [])
    assert asked(client, provider, asking(client, wanted=True, top=None)) == ((True, None), [])
    assert asked(client, provider, asking(client, wanted=False, top=None)) == ((None, None), [])


@CLIENTS
def test_providers_of_messages_cannot_tell(client: Format) -> None:
    names = {
        "chat": ["logprobs", "top_logprobs"],
        "responses": ["include", "top_logprobs"],
        "gemini": ["generationConfig.responseLogprobs", "generationConfig.logprobs"],
    }
    found = asked(client, MESSAGES, asking(client, wanted=True, top=3))
    assert found == ((None, None), names[client.name])


@pytest.mark.parametrize("provider", [CHAT, RESPONSES], ids=["chat", "responses"])
def test_reasoning_models_are_not_asked(provider: Format) -> None:
    body = asking(CHAT, wanted=True, top=2)
    other = asked(CHAT, provider, body, model="o3")
    assert other == ((None, None), ["logprobs", "top_logprobs"])


@CLIENTS
@PROVIDERS
def test_a_number_without_the_wish_is_lost(client: Format, provider: Format) -> None:
    """Providers refuse it."""
    found, dropped = asked(client, provider, asking(client, wanted=False, top=3))
    assert found == (None, None)
    assert dropped == ["generationConfig.logprobs" if client is GEMINI else "top_logprobs"]


HI = TokenLogprob(Likelihood("Hi", -0.25), (Likelihood("Hi", -0.25), Likelihood("Ho", -1.5)))
YOU = TokenLogprob(Likelihood(" you", -0.5), (Likelihood(" you", -0.5), Likelihood(" all", -2.0)))


def openai(each: TokenLogprob, *, with_bytes: bool = True) -> dict[str, Any]:
    def one(found: Likelihood) -> dict[str, Any]:
        octets = {"bytes": list(found.token.encode())} if with_bytes else {}
        return {"token": found.token, "logprob": found.logprob, **octets}

    return {**one(each.chosen), "top_logprobs": [one(top) for top in each.top]}


def google(*tokens: TokenLogprob) -> dict[str, Any]:
    def one(found: Likelihood) -> dict[str, Any]:
        return {"token": found.token, "logProbability": found.logprob}

    return {
        "chosenCandidates": [one(each.chosen) for each in tokens],
        "topCandidates": [{"candidates": [one(top) for top in each.top]} for each in tokens],
    }


def told(tokens: list[Any], client: Format) -> bool:
    """Whether a client was told of both tokens, each once."""
    if client is GEMINI:
        return tokens == google(HI, YOU)["chosenCandidates"]
    return tokens == [openai(HI), openai(YOU)]


def chat_piece(text: str, *tokens: TokenLogprob) -> bytes:
    likely = {"content": [openai(each) for each in tokens], "refusal": None}
    choice = {"index": 0, "delta": {"content": text}, "logprobs": likely, "finish_reason": None}
    return chunk_with({"choices": [choice]})


PLACE = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
BOTH = [openai(HI), openai(YOU)]
PART = {"type": "output_text", "text": "Hi you", "annotations": [], "logprobs": BOTH}
ITEM = {
    "type": "message",
    "id": "msg_1",
    "status": "completed",
    "role": "assistant",
    "content": [PART],
}
RESPONSE = {"id": "resp_1", "model": "m", "status": "completed", "output": [ITEM]}


def responses_stream(*, deltas: bool, done: bool) -> bytes:
    events: list[dict[str, Any]] = [{"type": "response.created", "response": {"id": "resp_1"}}]
    if deltas:
        events += [
            {"type": "response.output_text.delta", **PLACE, "delta": each.chosen.token,
             "logprobs": [openai(each, with_bytes=False)]}
            for each in (HI, YOU)
        ]  # fmt: skip
    if done:
        whole = {"text": "Hi you", "logprobs": BOTH}
        events.append({"type": "response.output_text.done", **PLACE, **whole})
    events.append({"type": "response.output_item.done", "output_index": 0, "item": ITEM})
    events.append({"type": "response.completed", "response": RESPONSE})
    return b"".join(map(data, events))


STREAMS = {
    "chat": (CHAT, ROLE + chat_piece("Hi", HI) + chat_piece(" you", YOU) + chunk("stop") + DONE),
    "chat-late": (
        CHAT,
        ROLE + chunk(content="Hi you") + chat_piece("", HI, YOU) + chunk("stop") + DONE,
    ),
    "responses": (RESPONSES, responses_stream(deltas=True, done=True)),
    "responses-done": (RESPONSES, responses_stream(deltas=False, done=True)),
    "responses-item": (RESPONSES, responses_stream(deltas=False, done=False)),
    "gemini": (
        GEMINI,
        gemini_chunk(gemini_text("Hi"), candidate={"logprobsResult": google(HI)})
        + gemini_chunk(
            gemini_text(" you"), finish="STOP", candidate={"logprobsResult": google(YOU)}
        ),
    ),
    "gemini-late": (
        GEMINI,
        gemini_chunk(gemini_text("Hi you"))
        + gemini_chunk(finish="STOP", candidate={"logprobsResult": google(HI, YOU)}),
    ),
}
STREAM = pytest.mark.parametrize("name", STREAMS)


@CLIENTS
@STREAM
def test_a_stream_tells_each_token_once(name: str, client: Format) -> None:
    provider, stream = STREAMS[name]
    if provider is client:
        events = read(provider, stream)
        out = write(client, events)
    else:
        out, _ = translated(provider, client, [stream])
    answer = read_stream(client.name, out)
    assert answer.text == "Hi you"
    assert told(answer.logprobs, client)


@STREAM
def test_clients_of_messages_get_the_text_alone(name: str) -> None:
    provider, stream = STREAMS[name]
    answer = read_stream("messages", translated(provider, MESSAGES, [stream])[0])
    assert (answer.text, answer.logprobs) == ("Hi you", [])


def test_tokens_stand_in_the_chunk_of_their_text() -> None:
    out = write(CHAT, read(CHAT, STREAMS["chat"][1]))
    chunks = [json.loads(each[6:]) for each in out.split(b"\n\n") if each.startswith(b"data: {")]
    found = [
        (choice["delta"].get("content"), choice["logprobs"] and choice["logprobs"]["content"])
        for each in chunks
        for choice in each["choices"]
    ]
    assert found == [("", None), ("Hi", [openai(HI)]), (" you", [openai(YOU)]), (None, None)]


def whole(provider: Format) -> list[Event]:
    likely = {"content": BOTH, "refusal": None}
    message = {"role": "assistant", "content": "Hi you"}
    choice = {"index": 0, "message": message, "logprobs": likely, "finish_reason": "stop"}
    part = {"content": {"parts": [{"text": "Hi you"}]}, "finishReason": "STOP"}
    body = {
        "chat": {"id": "x", "choices": [choice]},
        "responses": RESPONSE,
        "gemini": {"candidates": [{**part, "logprobsResult": google(HI, YOU)}]},
    }[provider.name]
    return provider.read_response(json.dumps(body).encode(), crossing())


@CLIENTS
@PROVIDERS
def test_a_whole_answer_tells_each_token_once(provider: Format, client: Format) -> None:
    body = client.write_response(whole(provider), crossing())
    answer = json.loads(body)
    match client.name:
        case "chat":
            assert chat_problems(answer) == []
            found = answer["choices"][0]["logprobs"]["content"]
        case "responses":
            check_response(answer)
            found = answer["output"][0]["content"][0]["logprobs"]
        case _:
            found = read_whole_gemini(body).logprobs
            assert answer["candidates"][0]["logprobsResult"] == google(HI, YOU)
    assert told(found, client)


@PROVIDERS
def test_a_whole_answer_without_them_says_so(provider: Format) -> None:
    events = [each for each in whole(provider) if not isinstance(each, Logprobs)]
    chat = json.loads(CHAT.write_response(events, crossing()))
    assert chat["choices"][0]["logprobs"] is None
    responses = json.loads(RESPONSES.write_response(events, crossing()))
    assert responses["output"][0]["content"][0]["logprobs"] == []
    assert b"logprobs" not in GEMINI.write_response(events, crossing())


def test_octets_of_a_part_of_a_character_are_kept() -> None:
    half = TokenLogprob(Likelihood("\\xe2\\x82", -1.0, (226, 130)))
    events = [Start("i", "m"), BlockStart(0, "text"), Logprobs(0, (half,)), TextDelta(0, "€")]
    out = read_stream("chat", write(CHAT, [*events, BlockEnd(0), Finish("stop")]))
    assert out.logprobs[0]["bytes"] == [226, 130]


@pytest.mark.parametrize("odd", [3, {}, [1], {"content": 3}, {"content": [{"token": 1}]}, []])
def test_odd_shapes_lose_no_text(odd: Any) -> None:
    choice = {"index": 0, "delta": {"content": "a"}, "logprobs": odd, "finish_reason": None}
    stream = ROLE + chunk_with({"choices": [choice]}) + chunk("stop") + DONE
    assert [type(each) for each in read(CHAT, stream)].count(TextDelta) == 1
    assert not any(isinstance(each, Logprobs) for each in read(CHAT, stream))
    delta = {"type": "response.output_text.delta", **PLACE, "delta": "a", "logprobs": odd}
    assert TextDelta(0, "a") in read(RESPONSES, data(delta))
    frame = gemini_chunk(gemini_text("a"), finish="STOP", candidate={"logprobsResult": odd})
    assert TextDelta(0, "a") in read(GEMINI, frame)


def test_tokens_beside_a_forced_answer_are_told_only_if_there_is_none() -> None:
    beside: list[Event] = [BlockStart(0, "text"), Logprobs(0, (HI,)), TextDelta(0, "Hi")]
    beside.append(BlockEnd(0))
    call = [BlockStart(1, "tool", "t", "structured_output"), BlockEnd(1)]
    told, _ = kept_of([*beside, *call, Finish("tool_calls")], crossing(answer_tool=True))
    assert told == [BlockStart(0, "text"), BlockEnd(0), Finish("stop")]
    told, _ = kept_of([*beside, Finish("stop")], crossing(answer_tool=True))
    assert told == [*beside, Finish("stop")]


def tokens_of(events: list[Event]) -> list[str]:
    told = [each.tokens for each in events if isinstance(each, Logprobs)]
    return [token.chosen.token for tokens in told for token in tokens]


def test_what_a_stop_sequence_cuts_off_is_not_told() -> None:
    events: list[Event] = [Start("i", "m"), BlockStart(0, "text")]
    for token in ("Hi", " E", "ND", "!"):
        events += [Logprobs(0, (TokenLogprob(Likelihood(token, -1.0)),)), TextDelta(0, token)]
    events += [BlockEnd(0), Finish("stop")]
    cut, _ = kept_of(events, crossing(stops=("END",)))
    told = [
        token.chosen.token for each in cut if isinstance(each, Logprobs) for token in each.tokens
    ]
    assert told == ["Hi"]
    kept, _ = kept_of(events, crossing(stops=("never",)))
    told = [
        token.chosen.token for each in kept if isinstance(each, Logprobs) for token in each.tokens
    ]
    assert told == ["Hi", " E", "ND", "!"]
    assert "".join(each.text for each in kept if isinstance(each, TextDelta)) == "Hi END!"
