"""Same format on both sides: bytes go through, and only what may."""

import gzip
import json
import zlib

import pytest
from support.answers import DONE, VOICES, chat_delta, chat_frames, sse
from support.fake_provider import Chunk, Head, Whole
from support.gateway import (
    BAD_GATEWAY,
    FORMATS,
    PAIRS,
    SOME_PAIRS,
    Stand,
    StandBuilder,
    ask_body,
    asked,
    path_of,
    posted,
    whole_text,
)
from support.judges import read_stream

FRAMES = {fmt: VOICES[fmt].frames() for fmt in FORMATS}
BODIES = {fmt: VOICES[fmt].body() for fmt in FORMATS}

ODD = (
    b'{ "zeta":1.0, "model" : "to-%s",%b,"big":9007199254740993,"exp":1e5,"neg":-0.0,'
    b'"huge":123456789012345678901234,"text_2":"\\u00e9 \\ud83d\\ude00 \xc3\xa9 \\/",'
    b'"max_tokens":64,"tiny":1E-400, "unknown_field":{"b":1,"a":[ ]},"n":null,"model_2":"to-%s" }'
)
TURNS = {"responses": b'"input" :"hi"', "gemini": b'"contents":[{"parts":[{"text":"hi"}]}]'}


def _odd(fmt: str, model: str) -> bytes:
    turns = TURNS.get(fmt, b'"messages":[{"role":"user","content":"hi"}]')
    body = ODD.replace(b"%b", turns).replace(b"to-%s", model.encode(), 1)
    if fmt == "gemini":
        body = body.replace(b'"model" : "%b",' % model.encode(), b"")
    return body.replace(b"to-%s", f"to-{fmt}".encode())


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.pitfall("P130", "B30")
async def test_the_request_differs_in_its_model_only(stand: Stand, fmt: str) -> None:
    reply = await stand.gateway.ask(fmt, _odd(fmt, f"to-{fmt}"))
    assert reply.status == 200
    received = stand.provider(fmt).last
    assert received.body == _odd(fmt, f"up-{fmt}")
    assert asked(fmt, received)["model"] == f"up-{fmt}"


@pytest.mark.pitfall("B61")
@pytest.mark.parametrize("stream", [False, True])
async def test_typed_tools_get_nothing_added(stand: Stand, stream: bool) -> None:
    tools = [
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 3},
        {"type": "bash_20250124", "name": "bash"},
        {"name": "f", "input_schema": {"type": "object"}},
    ]
    body = ask_body("messages", "messages", stream=stream, tools=tools)
    await stand.gateway.ask("messages", body)
    assert stand.messages.last.json() == body | {"model": "up-messages"}


@pytest.mark.parametrize("fmt", FORMATS)
async def test_a_model_named_inside_the_conversation_stays(stand: Stand, fmt: str) -> None:
    body = ask_body(fmt, fmt, question=f'say "model": "to-{fmt}"')
    body["metadata"] = {"model": f"to-{fmt}", "user_id": "u"}
    await stand.gateway.ask(fmt, body)
    assert asked(fmt, stand.provider(fmt).last) == body | {"model": f"up-{fmt}"}


@pytest.mark.parametrize("fmt", ["messages", "responses", "gemini"])
async def test_a_streaming_request_of_another_format_gets_nothing_added(
    stand: Stand, fmt: str
) -> None:
    body = ask_body(fmt, fmt, stream=True)
    await stand.gateway.ask(fmt, body)
    received = stand.provider(fmt).last
    assert asked(fmt, received) == body | {"model": f"up-{fmt}"}
    assert received.query == ("alt=sse" if fmt == "gemini" else "")


@pytest.mark.parametrize("version", ["v1beta", "v1", "v1alpha"])
@pytest.mark.pitfall("B63")
async def test_a_gemini_model_may_hold_slashes_and_colons(
    stand_builder: StandBuilder, version: str
) -> None:
    del stand_builder.provider_config("gemini")["models"]
    path, data = posted("gemini", ask_body("gemini", "gemini", model="direct/twins/a%2Fb/c:free"))
    async with stand_builder.started() as stand:
        async with stand.gateway.session.post(
            stand.gateway.url + path.replace("v1beta", version, 1).replace("%252F", "%2F"),
            data=data,
            headers=stand.gateway.auth("gemini") | {"content-type": "application/json"},
        ) as response:
            assert response.status == 200
        received = stand.providers["gemini"].last
        assert asked("gemini", received)["model"] == "a/b/c:free"
        assert (await stand.gateway.row())["model"] == "a/b/c:free"


@pytest.mark.pitfall("B58")
async def test_a_streaming_chat_request_also_asks_for_usage(stand: Stand) -> None:
    body = ask_body("chat", "chat", stream=True)
    await stand.gateway.ask("chat", body)
    assert stand.chat.last.json() == body | {
        "model": "up-chat",
        "stream_options": {"include_usage": True},
    }


async def test_the_clients_other_stream_options_are_kept(stand: Stand) -> None:
    options = {"include_usage": False, "include_obfuscation": False}
    await stand.gateway.ask("chat", ask_body("chat", "chat", stream=True, stream_options=options))
    assert stand.chat.last.json()["stream_options"] == options | {"include_usage": True}


async def test_a_whole_chat_request_gets_no_stream_options(stand: Stand) -> None:
    await stand.gateway.ask("chat", ask_body("chat", "chat"))
    assert "stream_options" not in stand.chat.last.json()


@pytest.mark.parametrize("fmt", FORMATS)
async def test_extra_body_of_provider_model_and_alias_is_set_in_that_order(
    stand_builder: StandBuilder, fmt: str
) -> None:
    provider, model = stand_builder.provider_config(fmt), f"up-{fmt}"
    provider["extraBody"] = {"a": 1, "b": 1, "c": 1, "top_k": 9}
    provider["models"][model]["extraBody"] = {"b": 2, "c": 2}
    stand_builder.config["models"][f"to-{fmt}"]["extraBody"] = {"c": {"x": [3]}}
    async with stand_builder.started() as stand:
        body = ask_body(fmt, fmt) | {"a": "client", "own": 1.0}
        await stand.gateway.ask(fmt, body)
        sent = stand.provider(fmt).last
        assert asked(fmt, sent) == body | {
            "model": model,
            "a": 1,
            "b": 2,
            "c": {"x": [3]},
            "top_k": 9,
        }
        assert b'"own":1.0' in sent.body.replace(b" ", b"")


@pytest.mark.parametrize("fmt", FORMATS)
async def test_a_whole_answer_comes_back_byte_for_byte(stand: Stand, fmt: str) -> None:
    odd = b' {"unknown":1.0,"e":1e5,"u":"\\u00e9",' + json.dumps(BODIES[fmt]).encode()[1:] + b"\n"
    stand.provider(fmt).enqueue(Whole(odd))
    reply = await stand.gateway.ask(fmt, ask_body(fmt, fmt))
    assert reply.body == odd


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("size", [1, 7, 100, 1_000_000])
@pytest.mark.provider_breaks_grammar  # with a comment, also in the format that has none
@pytest.mark.pitfall("B67")
async def test_a_stream_comes_back_byte_for_byte_however_it_is_cut(
    stand: Stand, fmt: str, size: int
) -> None:
    comment = b": hello\r\n\r\n"
    stream = comment + b"".join(FRAMES[fmt]).replace(b"\n\n", b"\r\n\r\n", 2)
    chunks = [Chunk(stream[at : at + size]) for at in range(0, len(stream), size)]
    stand.provider(fmt).enqueue(Head(), *chunks)
    body = ask_body(fmt, fmt, stream=True)
    if fmt == "chat":
        body["stream_options"] = {"include_usage": True}
    reply = await stand.gateway.ask(fmt, body)
    assert reply.body == stream
    assert reply.headers["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize("asked", [None, {}, {"include_usage": False}])
@pytest.mark.pitfall("P30", "B58")
async def test_the_usage_chunk_is_hidden_from_a_client_that_did_not_ask(
    stand: Stand, asked: dict[str, bool] | None
) -> None:
    body = ask_body("chat", "chat", stream=True)
    if asked is not None:
        body["stream_options"] = asked
    reply = await stand.gateway.ask("chat", body)
    assert reply.body == b"".join(chat_frames(usage=False))
    row = await stand.gateway.row()
    assert (row["input_tokens"], row["cache_read_tokens"]) == (17, 4)
    assert not row["tokens_estimated"]


@pytest.mark.provider_breaks_grammar
async def test_usage_beside_content_is_not_hidden(stand: Stand) -> None:
    last = json.loads(chat_delta({"content": "!"}, "stop")[6:]) | {
        "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
    }
    frames = [chat_delta({"role": "assistant", "content": "Hi"}), sse(last), DONE]
    stand.chat.enqueue(Head(), *map(Chunk, frames))
    reply = await stand.gateway.ask("chat", ask_body("chat", "chat", stream=True))
    assert reply.body == b"".join(frames)
    assert (await stand.gateway.row())["input_tokens"] == 3


NOISE = {
    "set-cookie": "session=1",
    "openai-organization": "org-of-the-operator",
    "anthropic-organization-id": "org-of-the-operator",
    "openai-project": "proj-of-the-operator",
    "server": "vendor",
    "alt-svc": "h3",
    "cf-ray": "1",
    "x-powered-by": "vendor",
    "strict-transport-security": "max-age=1",
    "content-language": "en",
    "keep-alive": "timeout=5",
    "proxy-authenticate": "Basic",
    "trailer": "x",
    "www-authenticate": "Bearer",
    "via": "1.1 vendor",
    "x-request-id": "req-of-the-vendor",
    "request-id": "req_011vendor",
    "openai-processing-ms": "12",
    "x-ratelimit-remaining-requests": "9",
    "anthropic-ratelimit-tokens-remaining": "8",
    "retry-after": "7",
}
ALLOWED = {
    "content-type",
    "content-length",
    "transfer-encoding",
    "date",
    "server",
    "connection",
    "cache-control",
    "x-accel-buffering",
    "x-request-id",
    "x-upstream-request-id",
    "request-id",
    "openai-processing-ms",
    "x-ratelimit-remaining-requests",
    "anthropic-ratelimit-tokens-remaining",
    "retry-after",
    "access-control-allow-origin",
    "access-control-expose-headers",
}


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("kind", ["whole", "stream", "error"])
async def test_only_safe_headers_of_the_provider_reach_the_client(
    stand: Stand, fmt: str, kind: str
) -> None:
    provider = stand.provider(fmt)
    if kind == "stream":
        noise = NOISE | {"content-type": "text/event-stream"}
        provider.enqueue(Head(200, noise), *map(Chunk, FRAMES[fmt]))
    elif kind == "whole":
        provider.enqueue(Whole(BODIES[fmt], 200, NOISE | {"content-type": "application/json"}))
    else:
        error = {"error": {"message": "no", "type": "x"}}
        provider.enqueue(Whole(error, 422, NOISE | {"content-type": "application/json"}))
    reply = await stand.gateway.ask(fmt, ask_body(fmt, fmt, stream=kind == "stream"))
    assert set(reply.headers) <= ALLOWED
    assert reply.headers.get("server") != "vendor"
    assert reply.headers["x-ratelimit-remaining-requests"] == "9"
    assert reply.headers["retry-after"] == "7"
    assert reply.headers["request-id"] == "req_011vendor"
    assert reply.headers["x-upstream-request-id"] == "req-of-the-vendor"
    assert reply.headers["x-request-id"].startswith("req_")
    assert [name for name, _ in reply.raw_headers].count("x-request-id") == 1


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.pitfall("P129", "B60")
async def test_nothing_of_the_clients_own_reaches_the_provider(
    stand: Stand, fmt: str, upstream: str, stream: bool
) -> None:
    private = {
        "cookie": "session=client",
        "authorization": f"Bearer {stand.secrets.app}:team",
        "x-api-key": stand.secrets.app,
        "x-goog-api-key": stand.secrets.app,
        "x-admin-key": stand.secrets.admin,
        "proxy-authorization": "Basic Y2xpZW50",
        "x-forwarded-for": "203.0.113.7",
        "forwarded": "for=203.0.113.7",
        "x-real-ip": "203.0.113.7",
        "te": "trailers",
        "keep-alive": "timeout=9",
        "connection": "keep-alive, x-hop",
        "x-hop": "hop",
        "origin": "https://client.example",
        "referer": "https://client.example/",
        "user-agent": "client/1",
        "x-app": "cli",
        "x-stainless-lang": "python",
        "traceparent": "00-1-1-01",
        "openai-organization": "org-client",
    }
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=stream), private)
    assert reply.status == 200
    received = stand.provider(upstream).last
    sent = received.headers
    assert set(sent) <= {
        "host",
        "content-type",
        "content-length",
        "accept",
        "accept-encoding",
        "authorization",
        "x-api-key",
        "x-goog-api-key",
        "anthropic-version",
        "user-agent",
    }
    assert len(received.raw_headers) == len(sent)
    everything = " ".join(sent.values()) + received.path + received.query
    for value in (stand.secrets.app, stand.secrets.admin, "203.0.113.7", "client"):
        assert value not in everything
    key = stand.secrets.providers[upstream]
    name, credential = {
        "messages": ("x-api-key", key),
        "gemini": ("x-goog-api-key", key),
    }.get(upstream, ("authorization", f"Bearer {key}"))
    assert sent[name] == credential
    assert len({"authorization", "x-api-key", "x-goog-api-key"} & set(sent)) == 1
    path = path_of(upstream, f"up-{upstream}", stream=stream).replace("v1beta", "v1")
    assert received.path + (f"?{received.query}" if received.query else "") == path
    assert sent["content-type"] == "application/json"
    assert sent["accept-encoding"] == "identity"
    assert int(sent["content-length"]) == len(received.body)


@pytest.mark.pitfall("B61")
async def test_beta_headers_are_merged_and_passed_with_the_clients_version(stand: Stand) -> None:
    async with stand.gateway.session.post(
        stand.gateway.url + "/v1/messages?beta=true",
        json=ask_body("messages", "messages"),
        headers=[
            ("x-api-key", stand.secrets.app),
            ("anthropic-version", "2026-10-21"),
            ("anthropic-beta", "a-1,b-2"),
            ("anthropic-beta", "c-3, a-1"),
        ],
    ) as response:
        assert response.status == 200
    sent = stand.messages.last.headers
    assert sent["anthropic-version"] == "2026-10-21"
    assert [flag.strip() for flag in sent["anthropic-beta"].split(",")] == ["a-1", "b-2", "c-3"]


async def test_a_messages_provider_is_told_a_version_even_if_the_client_told_none(
    stand: Stand,
) -> None:
    async with stand.gateway.session.post(
        stand.gateway.url + "/v1/messages",
        json=ask_body("messages", "messages"),
        headers={"x-api-key": stand.secrets.app},
    ) as response:
        assert response.status == 200
    assert stand.messages.last.headers["anthropic-version"]


@pytest.mark.parametrize("fmt", FORMATS)
async def test_configured_headers_are_sent_and_win(stand_builder: StandBuilder, fmt: str) -> None:
    credentials = {"messages": "X-API-Key", "gemini": "X-Goog-Api-Key"}
    credential = credentials.get(fmt, "Authorization")
    stand_builder.provider_config(fmt)["headers"] = {
        "X-Extra": "extra value",
        credential: "configured credential",
        "User-Agent": "plexus-test",
    }
    async with stand_builder.started() as stand:
        await stand.gateway.ask(fmt, ask_body(fmt, fmt))
        sent = stand.provider(fmt).last
        assert sent.headers["x-extra"] == "extra value"
        assert sent.headers[credential.lower()] == "configured credential"
        assert sent.headers["user-agent"] == "plexus-test"
        assert len(sent.raw_headers) == len(sent.headers)


AFFINITY = {
    "session_id": "s-1",
    "session-id": "s-2",
    "x-client-request-id": "s-3",
    "x-session-affinity": "s-4",
    "x-session-id": "s-5",
    "x-prompt-cache-isolation-key": "s-6",
    "x-multi-turn-session-id": "s-7",
}


@pytest.mark.parametrize("fmt", FORMATS)
async def test_headers_that_keep_a_session_at_its_cache_pass_and_no_secret_with_them(
    stand: Stand, fmt: str
) -> None:
    secrets = {"cookie": "session=client", "x-session-token": "client", "session": "client"}
    sent = {name.title(): value for name, value in AFFINITY.items()} | secrets
    assert (await stand.gateway.ask(fmt, ask_body(fmt, fmt), sent)).status == 200
    received = stand.provider(fmt).last.headers
    assert {name: received.get(name) for name in AFFINITY} == AFFINITY
    assert not set(secrets) & {name.lower() for name in received}
    assert "client" not in " ".join(received.values())


@pytest.mark.parametrize(("fmt", "upstream"), [pair for pair in PAIRS if pair[0] != pair[1]])
async def test_session_headers_mean_nothing_to_a_provider_of_another_format(
    stand: Stand, fmt: str, upstream: str
) -> None:
    await stand.gateway.ask(fmt, ask_body(fmt, upstream), AFFINITY)
    assert not set(AFFINITY) & set(stand.provider(upstream).last.headers)


@pytest.mark.parametrize("fmt", ["responses", "chat"])
@pytest.mark.parametrize(
    ("headers", "session"),
    [
        ({}, "key-1"),
        ({"Session_Id": "s"}, None),
        ({"Session-Id": "s"}, "s"),
        ({"X-Session-Id": "s"}, "key-1"),
    ],
)
async def test_responses_providers_get_the_cache_key_for_a_session(
    stand: Stand, fmt: str, headers: dict[str, str], session: str | None
) -> None:
    body = ask_body(fmt, "responses", prompt_cache_key="key-1")
    await stand.gateway.ask(fmt, body, headers)
    received = stand.provider("responses").last.headers
    assert received.get("session-id") == (session if fmt == "responses" else "key-1")


@pytest.mark.parametrize("value", ["a\tb", "é", "x" * 1025])
async def test_a_cache_key_that_is_no_plain_text_is_no_header(stand: Stand, value: str) -> None:
    body = ask_body("responses", "responses", prompt_cache_key=value)
    assert (await stand.gateway.ask("responses", body)).status == 200
    assert "session-id" not in stand.provider("responses").last.headers


@pytest.mark.parametrize("fmt", ["chat", "messages"])
async def test_other_providers_get_no_session_made_of_a_cache_key(stand: Stand, fmt: str) -> None:
    await stand.gateway.ask(fmt, ask_body(fmt, fmt, prompt_cache_key="key-1"))
    assert "session-id" not in stand.provider(fmt).last.headers


@pytest.mark.parametrize("fmt", FORMATS)
async def test_a_provider_without_a_key_gets_no_credential(
    stand_builder: StandBuilder, fmt: str
) -> None:
    stand_builder.provider_config(fmt)["api_key"] = ""
    async with stand_builder.started() as stand:
        reply = await stand.gateway.ask(fmt, ask_body(fmt, fmt))
        assert reply.status == 200
        sent = stand.provider(fmt).last.headers
        assert not {"authorization", "x-api-key", "x-goog-api-key"} & set(sent)


def _compressed(kind: str, data: bytes) -> bytes:
    if kind == "gzip":
        return gzip.compress(data)
    return zlib.compress(data)


@pytest.mark.parametrize(("fmt", "upstream"), SOME_PAIRS)
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.pitfall("P124")
async def test_a_compressed_answer_is_read_and_passed_on_plain(
    stand: Stand, fmt: str, upstream: str, encoding: str
) -> None:
    body = json.dumps(BODIES[upstream]).encode()
    stand.provider(upstream).enqueue(
        Whole(
            _compressed(encoding, body),
            200,
            {"content-type": "application/json", "content-encoding": encoding},
        )
    )
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream))
    assert reply.status == 200
    assert "content-encoding" not in reply.headers
    assert "Teal is a colour." in reply.text
    assert fmt != upstream or reply.body == body
    assert (await stand.gateway.row())["input_tokens"] == 17


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.pitfall("P124")
async def test_a_compressed_stream_is_passed_on_plain(stand: Stand, fmt: str) -> None:
    plain = b"".join(FRAMES[fmt])
    packed = gzip.compress(plain)
    stand.provider(fmt).enqueue(
        Head(200, {"content-type": "text/event-stream", "content-encoding": "gzip"}),
        Chunk(packed[:40]),
        Chunk(packed[40:]),
    )
    body = ask_body(fmt, fmt, stream=True)
    if fmt == "chat":
        body["stream_options"] = {"include_usage": True}
    assert (await stand.gateway.ask(fmt, body)).body == plain


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("encoding", ["gzip", "br", "made-up"])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_body_that_is_not_in_its_encoding_is_a_bad_gateway_or_passes(
    stand: Stand, fmt: str, encoding: str, stream: bool
) -> None:
    """A label without the encoding: some proxies do that. Never a 200 with nonsense in it."""
    headers = {"content-encoding": encoding}
    if stream:
        headers["content-type"] = "text/event-stream"
        stand.provider(fmt).enqueue(Head(200, headers), *map(Chunk, FRAMES[fmt]))
    else:
        headers["content-type"] = "application/json"
        stand.provider(fmt).enqueue(Whole(BODIES[fmt], 200, headers))
    reply = await stand.gateway.ask(fmt, ask_body(fmt, fmt, stream=stream))
    if reply.status == 200:
        assert "Teal" in reply.text
        assert "content-encoding" not in reply.headers
    else:
        assert reply.status == BAD_GATEWAY[fmt]
        assert reply.json()["error"]["message"]


@pytest.mark.parametrize(("fmt", "upstream"), SOME_PAIRS)
@pytest.mark.parametrize(
    ("content_type", "charset"),
    [
        ("application/json; charset=iso-8859-1", "latin-1"),
        ("application/json", "latin-1"),
        ("application/json; charset=utf-16", "utf-16"),
        ('application/json; charset="windows-1252"', "windows-1252"),
    ],
)
async def test_a_body_that_is_not_utf8_is_read_by_its_label(
    stand: Stand, fmt: str, upstream: str, content_type: str, charset: str
) -> None:
    body = json.dumps(VOICES[upstream].body("Grün"), ensure_ascii=False).encode(charset)
    stand.provider(upstream).enqueue(Whole(body, 200, {"content-type": content_type}))
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream))
    assert reply.status == 200
    if fmt == upstream:
        assert reply.body == body
        assert reply.headers["content-type"] == content_type
    else:
        assert "Grün" in reply.text
    assert (await stand.gateway.row())["input_tokens"] == 17


@pytest.mark.parametrize(("fmt", "upstream"), SOME_PAIRS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed_nor_passed_on(
    stand: Stand, fmt: str, upstream: str, stream: bool, status: int
) -> None:
    elsewhere = stand.messages if upstream != "messages" else stand.chat
    stand.provider(upstream).enqueue(Whole(b"", status, {"location": elsewhere.url}))
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=stream))
    assert reply.status == BAD_GATEWAY[fmt]
    assert "location" not in reply.headers
    assert not elsewhere.requests


@pytest.mark.parametrize("fmt", FORMATS)
async def test_a_success_status_other_than_200_is_kept(stand: Stand, fmt: str) -> None:
    stand.provider(fmt).enqueue(Whole(BODIES[fmt], 201))
    assert (await stand.gateway.ask(fmt, ask_body(fmt, fmt))).status == 201


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
async def test_a_stream_labelled_json_is_still_a_stream(
    stand: Stand, fmt: str, upstream: str
) -> None:
    stand.provider(upstream).enqueue(
        Head(200, {"content-type": "application/json"}), *map(Chunk, FRAMES[upstream])
    )
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=True))
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("text/event-stream")
    _assert_whole_stream(fmt, reply.body, upstream)


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream", "text/plain"])
async def test_json_in_place_of_a_stream_becomes_one(
    stand: Stand, fmt: str, upstream: str, content_type: str
) -> None:
    stand.provider(upstream).enqueue(Whole(BODIES[upstream], 200, {"content-type": content_type}))
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=True))
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("text/event-stream")
    _assert_whole_stream(fmt, reply.body, upstream)
    row = await stand.gateway.row()
    assert (row["status"], row["input_tokens"]) == ("success", 17)


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream"])
@pytest.mark.pitfall("B28")
async def test_a_stream_in_place_of_json_becomes_one_answer(
    stand: Stand, fmt: str, upstream: str, content_type: str
) -> None:
    stand.provider(upstream).enqueue(
        Head(200, {"content-type": content_type}), *map(Chunk, FRAMES[upstream])
    )
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream))
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("application/json")
    assert whole_text(fmt, reply.json()) == "Teal is a colour."
    row = await stand.gateway.row()
    assert (row["status"], row["input_tokens"]) == ("success", 17)


def _assert_whole_stream(fmt: str, stream: bytes, upstream: str) -> None:
    answer = read_stream(fmt, stream)
    assert answer.text == "Teal is a colour."
    assert answer.error is None
