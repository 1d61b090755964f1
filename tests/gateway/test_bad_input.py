"""Every wrong request gets the right status in its client's own words."""

import asyncio
import gzip
import json
from itertools import product
from typing import Any

import pytest
from support.gateway import (
    FORMATS,
    PATHS,
    Reply,
    Stand,
    StandBuilder,
    ask_body,
    asked,
    posted,
)

MESSAGES_TYPES = {
    400: "invalid_request_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "invalid_request_error",
    413: "request_too_large",
    415: "invalid_request_error",
}
GEMINI_STATUSES = {
    400: "INVALID_ARGUMENT",
    404: "NOT_FOUND",
    405: "INVALID_ARGUMENT",
    408: "DEADLINE_EXCEEDED",
    413: "INVALID_ARGUMENT",
    415: "INVALID_ARGUMENT",
}
IN_BODY = ("chat", "messages", "responses")
"""Formats whose model is said in the body."""


def _assert_error(fmt: str, reply: Reply, status: int) -> dict[str, Any]:
    """The reply is such an error as the format's API would say it; gives its error object."""
    assert reply.status == status, reply.body
    assert reply.headers["content-type"].startswith("application/json")
    assert reply.headers["x-request-id"].startswith("req_")
    body = reply.json()
    error = body["error"]
    assert error["message"]
    match fmt:
        case "messages":
            assert body["type"] == "error"
            assert error["type"] == MESSAGES_TYPES[status]
            assert body["request_id"] == reply.headers["x-request-id"]
        case "gemini":
            assert set(body) == {"error"}
            assert set(error) == {"code", "message", "status"}
            assert (error["code"], error["status"]) == (status, GEMINI_STATUSES[status])
        case _:
            assert set(error) == {"message", "type", "param", "code"}
            assert error["type"] == "invalid_request_error"
    return error


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"not json",
        b'{"model": "to-chat",}',
        b'{"model": "to-chat"} trailing',
        b"\xff\xfe{}",
        b'{"model": "\xc3\x28", "messages": []}',
        b'{"model": NaN}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
    ids=lambda body: repr(body[:24]),
)
async def test_what_is_no_json_is_a_bad_request(stand: Stand, fmt: str, body: bytes) -> None:
    _assert_error(fmt, await stand.gateway.ask(fmt, body), 400)


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("body", [b"[]", b'"text"', b"1", b"null", b"true"])
async def test_json_that_is_no_object_is_a_bad_request(stand: Stand, fmt: str, body: bytes) -> None:
    _assert_error(fmt, await stand.gateway.ask(fmt, body), 400)


@pytest.mark.parametrize("fmt", IN_BODY)
async def test_a_missing_model_is_named(stand: Stand, fmt: str) -> None:
    body = ask_body(fmt, fmt)
    del body["model"]
    error = _assert_error(fmt, await stand.gateway.ask(fmt, body), 400)
    assert "model" in error["message"]
    if fmt != "messages":
        assert error["param"] == "model"


WRONG_IN_BODY: list[tuple[str, Any]] = [
    ("model", 5),
    ("model", None),
    ("model", ["to-chat"]),
    ("model", ""),
    ("stream", "yes"),
    ("stream", 1),
]
WRONG: dict[str, list[tuple[str, Any]]] = {
    "chat": [*WRONG_IN_BODY, ("messages", "hello"), ("messages", {"role": "user"})],
    "messages": [*WRONG_IN_BODY, ("messages", "hello"), ("messages", {"role": "user"})],
    "responses": [*WRONG_IN_BODY, ("input", 7), ("input", {"role": "user"})],
    "gemini": [("contents", "hello"), ("contents", 7), ("contents", None)],
}


@pytest.mark.parametrize(
    ("fmt", "field", "value"),
    [
        (fmt, field, value)
        for fmt, fields in WRONG.items()
        for field, value in (*fields, ("tools", "none"))
    ],
    ids=str,
)
@pytest.mark.parametrize("upstream", FORMATS)
async def test_a_wrong_type_in_a_field_we_read_is_named(
    stand: Stand, fmt: str, upstream: str, field: str, value: Any
) -> None:
    body = ask_body(fmt, upstream) | {field: value}
    error = _assert_error(fmt, await stand.gateway.ask(fmt, body), 400)
    assert field in error["message"]
    assert not any(provider.requests for provider in stand.providers.values())


@pytest.mark.parametrize("fmt", FORMATS)
async def test_an_unknown_model_is_not_found_and_named(stand: Stand, fmt: str) -> None:
    reply = await stand.gateway.ask(fmt, ask_body(fmt, fmt) | {"model": "no-such"})
    error = _assert_error(fmt, reply, 404)
    assert "no-such" in error["message"]
    if fmt in ("chat", "responses"):
        assert error["code"] == "model_not_found"
        assert error["param"] == "model"


@pytest.mark.parametrize("model", ["direct/chatty", "direct/", "direct//x", "direct/chatty/"])
async def test_a_malformed_direct_name_is_a_bad_request(stand: Stand, model: str) -> None:
    _assert_error(
        "chat", await stand.gateway.ask("chat", ask_body("chat", "chat") | {"model": model}), 400
    )


async def test_a_direct_name_reaches_its_provider_with_slashes_and_colons(
    stand_builder: StandBuilder,
) -> None:
    stand_builder.provider_config("chat")["models"] = ["vendor/m-1:free"]
    body = ask_body("chat", "chat") | {"model": "direct/chatty/vendor/m-1:free"}
    async with stand_builder.started() as stand:
        assert (await stand.gateway.ask("chat", body)).status == 200
        assert stand.chat.last.json()["model"] == "vendor/m-1:free"


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"],
)
async def test_another_content_type_is_refused(stand: Stand, fmt: str, content_type: str) -> None:
    reply = await stand.gateway.ask(fmt, ask_body(fmt, fmt), {"content-type": content_type})
    _assert_error(fmt, reply, 415)


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize(
    "content_type",
    ["application/json; charset=utf-8", "Application/JSON", "application/vnd.api+json"],
)
async def test_json_is_recognised_however_it_is_labelled(
    stand: Stand, fmt: str, content_type: str
) -> None:
    reply = await stand.gateway.ask(fmt, ask_body(fmt, fmt), {"content-type": content_type})
    assert reply.status == 200


@pytest.mark.parametrize(
    ("fmt", "method"),
    [
        (fmt, method)
        for fmt, method in product(FORMATS, ("GET", "PUT", "DELETE", "PATCH"))
        if (fmt, method) != ("gemini", "GET")  # asks about the model of that name
    ],
)
async def test_another_method_is_refused_and_told_what_is_allowed(
    stand: Stand, fmt: str, method: str
) -> None:
    async with stand.gateway.session.request(
        method, stand.gateway.url + PATHS[fmt], headers=stand.gateway.auth(fmt)
    ) as response:
        body = json.loads(await response.read())
        assert response.status == 405
        assert response.headers["allow"] == "POST"
        assert response.headers["x-request-id"]
        if fmt == "gemini":
            assert (body["error"]["code"], body["error"]["status"]) == (405, "INVALID_ARGUMENT")
        else:
            assert body["error"]["type"] == "invalid_request_error"
        assert ("type" in body) == (fmt == "messages")


@pytest.mark.parametrize(
    ("path", "headers", "anthropic"),
    [
        ("/v1/no/such", {}, False),
        ("/v1/messages/no-such", {}, True),
        ("/v1/no/such", {"anthropic-version": "2023-06-01"}, True),
    ],
)
async def test_an_unknown_path_is_not_found_in_the_callers_format(
    stand: Stand, path: str, headers: dict[str, str], anthropic: bool
) -> None:
    async with stand.gateway.session.post(
        stand.gateway.url + path, json={}, headers=headers
    ) as response:
        body = json.loads(await response.read())
        assert response.status == 404
        assert response.headers["x-request-id"]
        assert ("type" in body) == anthropic
        assert body["error"]["message"]


async def test_an_unknown_path_elsewhere_is_not_found_as_in_the_base_release(stand: Stand) -> None:
    async with stand.gateway.session.get(stand.gateway.url + "/nothing/here") as response:
        assert response.status == 404
        assert json.loads(await response.read()) == {"error": "Not Found"}
        assert response.headers["x-request-id"]


async def _answer(stand: Stand, data: bytes) -> Reply:
    """What the server says to these bytes while it still waits for more."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stand.gateway.port)
    try:
        writer.write(data)
        async with asyncio.timeout(5):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            status, *lines = head.strip().split("\r\n")
            pairs = [(n.lower(), v.strip()) for n, _, v in (line.partition(":") for line in lines)]
            body = await reader.readexactly(int(dict(pairs)["content-length"]))
    finally:
        writer.close()
    return Reply(int(status.split()[1]), dict(pairs), pairs, body)


def _head(stand: Stand, fmt: str, *more: str) -> bytes:
    lines = [
        f"POST {PATHS[fmt]} HTTP/1.1",
        "host: gateway",
        f"x-api-key: {stand.secrets.app}",
        "content-type: application/json",
        *more,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


@pytest.mark.parametrize("fmt", FORMATS)
async def test_a_body_declared_too_large_is_refused_before_it_is_sent(
    stand_builder: StandBuilder, fmt: str
) -> None:
    stand_builder.config["limits"] = {"body_bytes": 1000}
    async with stand_builder.started() as stand:
        reply = await _answer(stand, _head(stand, fmt, "content-length: 1000000000") + b'{"model')
        _assert_error(fmt, reply, 413)


@pytest.mark.parametrize("fmt", FORMATS)
async def test_a_body_that_grows_too_large_is_refused_before_its_end(
    stand_builder: StandBuilder, fmt: str
) -> None:
    stand_builder.config["limits"] = {"body_bytes": 1000}
    async with stand_builder.started() as stand:
        chunk = b"400\r\n" + b" " * 0x400 + b"\r\n"
        reply = await _answer(stand, _head(stand, fmt, "transfer-encoding: chunked") + chunk)
        _assert_error(fmt, reply, 413)
        assert reply.headers["connection"] == "close"


async def test_a_body_at_the_limit_is_served(stand_builder: StandBuilder) -> None:
    body = json.dumps(ask_body("chat", "chat")).encode()
    stand_builder.config["limits"] = {"body_bytes": len(body)}
    async with stand_builder.started() as stand:
        assert (await stand.gateway.ask("chat", body)).status == 200
        assert (await stand.gateway.ask("chat", body + b" ")).status == 413


@pytest.mark.parametrize("fmt", FORMATS)
async def test_a_body_that_dribbles_in_is_cut_off(stand_builder: StandBuilder, fmt: str) -> None:
    stand_builder.config["limits"] = {"body_s": 0.2}
    async with stand_builder.started() as stand:
        reply = await _answer(stand, _head(stand, fmt, "content-length: 100") + b"{")
        _assert_error(fmt, reply, 408)


async def test_a_body_that_is_cut_reaches_no_provider(stand: Stand) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", stand.gateway.port)
    writer.write(_head(stand, "chat", "content-length: 100") + b"{")
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.close()
    assert (await stand.gateway.row())["status"] == "cancelled"
    assert not stand.chat.requests


@pytest.mark.parametrize("fmt", FORMATS)
async def test_a_compressed_request_body_is_understood(stand: Stand, fmt: str) -> None:
    body = gzip.compress(posted(fmt, ask_body(fmt, fmt))[1])
    reply = await stand.gateway.ask(fmt, body, {"content-encoding": "gzip"})
    assert reply.status == 200
    assert asked(fmt, stand.provider(fmt).last) == ask_body(fmt, fmt) | {"model": f"up-{fmt}"}
    assert "content-encoding" not in stand.provider(fmt).last.headers


@pytest.mark.parametrize("fmt", FORMATS)
async def test_a_compressed_bomb_is_too_large(stand_builder: StandBuilder, fmt: str) -> None:
    stand_builder.config["limits"] = {"body_bytes": 100_000}
    async with stand_builder.started() as stand:
        bomb = gzip.compress(b" " * 50_000_000)
        reply = await stand.gateway.ask(fmt, bomb, {"content-encoding": "gzip"})
        _assert_error(fmt, reply, 413)


async def test_a_bad_request_of_a_known_key_gets_a_row(stand: Stand) -> None:
    await stand.gateway.ask("chat", b"{")
    row = await stand.gateway.row()
    assert row["key_name"] == "app"
    assert row["status"] == "error"
    assert row["http_status"] == 400
    assert row["error_code"] == "invalid_request"
    assert row["attempts"] == []
    assert row["provider"] is None


async def test_every_response_carries_its_own_request_id(stand: Stand) -> None:
    ids: set[str] = set()
    for fmt in FORMATS:
        for body in (ask_body(fmt, fmt), ask_body(fmt, fmt, stream=True), {"model": "none"}, b"{"):
            ids.add((await stand.gateway.ask(fmt, body)).headers["x-request-id"])
    for path in ("/v1/models", "/health", "/no", "/v1/no"):
        async with stand.gateway.session.get(stand.gateway.url + path) as response:
            ids.add(response.headers["x-request-id"])
    assert len(ids) == 4 * len(FORMATS) + 4
    assert all(each.startswith("req_") for each in ids)


@pytest.mark.parametrize("name", ["x-client-request-id", "x-request-id"])
async def test_the_clients_own_request_id_is_stored_and_ours_returned(
    stand: Stand, name: str
) -> None:
    reply = await stand.gateway.ask("chat", ask_body("chat", "chat"), {name: " client-77 "})
    row = await stand.gateway.row()
    assert row["client_request_id"] == "client-77"
    assert row["request_id"] == reply.headers["x-request-id"] != "client-77"
    assert stand.chat.last.headers.get("x-request-id") is None


async def test_the_model_list_is_public_and_holds_every_alias(stand_builder: StandBuilder) -> None:
    stand_builder.config["models"]["to-chat"]["additional_aliases"] = ["also-chat"]
    async with stand_builder.started() as stand:
        async with stand.gateway.session.get(stand.gateway.url + "/v1/models") as response:
            body = json.loads(await response.read())
        assert response.status == 200
        assert body["object"] == "list"
        others = [f"to-{fmt}" for fmt in FORMATS[1:]]
        assert [each["id"] for each in body["data"]] == ["to-chat", "also-chat", *others]
        assert all(
            {"id", "object", "created", "owned_by"} <= set(each) and each["owned_by"] == "plexus"
            for each in body["data"]
        )


async def test_a_browser_may_ask_first(stand: Stand) -> None:
    async with stand.gateway.session.options(
        stand.gateway.url + PATHS["chat"],
        headers={"origin": "https://app.example", "access-control-request-method": "POST"},
    ) as response:
        assert response.status == 204
        assert response.headers["access-control-allow-origin"] == "*"
        assert "authorization" in response.headers["access-control-allow-headers"].lower()
