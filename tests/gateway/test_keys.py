"""Who may use the gateway: credential sources, attribution, one answer for every wrong key."""

import time
from typing import Any

import pytest
from support.gateway import FORMATS, PATHS, Stand, StandBuilder, ask_body, posted

from plexus_proxy.config.model import Config, Key
from plexus_proxy.config.snapshot import Snapshot, snapshot_of
from plexus_proxy.crypto import Secret
from plexus_proxy.errors import Unauthenticated
from plexus_proxy.gateway.auth import Caller, authenticate


def _credential(place: str, secret: str) -> tuple[dict[str, str], str]:
    """Headers and query string that carry the secret in one of its places."""
    match place:
        case "bearer":
            return {"authorization": f"Bearer {secret}"}, ""
        case "bearer in lower case":
            return {"authorization": f"bearer {secret}"}, ""
        case "bare":
            return {"authorization": secret}, ""
        case "query":
            return {}, f"?key={secret}"
        case header:
            return {header: secret}, ""


PLACES = ("bearer", "bearer in lower case", "bare", "x-api-key", "x-goog-api-key", "query")


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.pitfall("P125")
async def test_a_key_is_taken_from_every_place_clients_put_it(
    stand: Stand, fmt: str, place: str
) -> None:
    headers, query = _credential(place, stand.secrets.app)
    path, body = posted(fmt, ask_body(fmt, fmt))
    async with stand.gateway.session.post(
        stand.gateway.url + path + query,
        data=body,
        headers=headers | {"content-type": "application/json"},
    ) as response:
        assert response.status == 200
    assert (await stand.gateway.row())["key_name"] == "app"


@pytest.mark.parametrize(
    ("suffix", "attribution"),
    [
        ("", None),
        (":", None),
        (":Team-Blue", "team-blue"),
        (":a:B:c", "a:b:c"),
    ],
)
@pytest.mark.parametrize("place", ["bearer", "x-api-key", "query"])
async def test_what_follows_the_first_colon_is_the_attribution(
    stand: Stand, place: str, suffix: str, attribution: str | None
) -> None:
    headers, query = _credential(place, stand.secrets.app + suffix)
    async with stand.gateway.session.post(
        stand.gateway.url + PATHS["chat"] + query, json=ask_body("chat", "chat"), headers=headers
    ) as response:
        assert response.status == 200
    row = await stand.gateway.row()
    assert (row["key_name"], row["attribution"]) == ("app", attribution)


ORDER = ("bearer", "x-api-key", "x-goog-api-key", "query")


@pytest.mark.parametrize("first", range(len(ORDER) - 1))
async def test_the_first_credential_found_wins(stand: Stand, first: int) -> None:
    headers: dict[str, str] = {}
    query = ""
    for place in ORDER[first + 1 :]:
        more, text = _credential(place, "no-such-key")
        headers |= more
        query = text or query
    more, _ = _credential(ORDER[first], stand.secrets.other)
    async with stand.gateway.session.post(
        stand.gateway.url + PATHS["chat"] + query,
        json=ask_body("chat", "chat"),
        headers=headers | more,
    ) as response:
        assert response.status == 200
    assert (await stand.gateway.row())["key_name"] == "other"


async def test_a_wrong_first_credential_is_not_saved_by_a_right_second(stand: Stand) -> None:
    reply = await stand.gateway.ask(
        "chat",
        ask_body("chat", "chat"),
        {"authorization": "Bearer wrong", "x-api-key": stand.secrets.app},
        anonymous=True,
    )
    assert reply.status == 401


@pytest.mark.parametrize("fmt", FORMATS)
async def test_missing_unknown_and_malformed_keys_get_the_very_same_answer(
    stand: Stand, fmt: str
) -> None:
    attempts: list[dict[str, str]] = [
        {},
        {"authorization": "Bearer sk-unknown-0123456789"},
        {"authorization": "Bearer"},
        {"authorization": "Bearer :attribution"},
        {"authorization": "Basic dXNlcjpwYXNz"},
        {"x-api-key": "ключ".encode().decode("latin-1")},
        {"x-api-key": stand.secrets.app + "x"},
        {"x-api-key": stand.secrets.app[:-1]},
        {"x-api-key": stand.secrets.admin},
        {"x-api-key": "app"},
        {"x-goog-api-key": " "},
    ]
    answers: set[tuple[int, bytes, str]] = set()
    for headers in attempts:
        reply = await stand.gateway.ask(fmt, ask_body(fmt, fmt), headers, anonymous=True)
        body = reply.body.replace(reply.headers["x-request-id"].encode(), b"ID")
        answers.add((reply.status, body, reply.headers["content-type"]))
    assert len(answers) == 1
    assert answers.pop()[0] == 401


@pytest.mark.parametrize("fmt", ["chat", "responses"])
async def test_a_refused_openai_client_reads_an_openai_error(stand: Stand, fmt: str) -> None:
    reply = await stand.gateway.ask(fmt, ask_body(fmt, fmt), anonymous=True)
    assert reply.json()["error"]["type"] == "authentication_error"
    assert reply.json()["error"]["code"] == "invalid_api_key"
    assert set(reply.json()["error"]) == {"message", "type", "param", "code"}


async def test_a_refused_messages_client_reads_an_anthropic_error(stand: Stand) -> None:
    reply = await stand.gateway.ask("messages", ask_body("messages", "messages"), anonymous=True)
    assert reply.json()["type"] == "error"
    assert reply.json()["error"]["type"] == "authentication_error"
    assert reply.json()["request_id"] == reply.headers["x-request-id"]


async def test_a_refused_gemini_client_reads_a_google_error(stand: Stand) -> None:
    reply = await stand.gateway.ask("gemini", ask_body("gemini", "gemini"), anonymous=True)
    error = reply.json()["error"]
    assert set(error) == {"code", "message", "status"}
    assert (error["code"], error["status"]) == (401, "UNAUTHENTICATED")


async def test_nothing_is_written_and_nobody_asked_for_an_unknown_key(stand: Stand) -> None:
    for _ in range(3):
        await stand.gateway.ask(
            "chat", ask_body("chat", "chat"), {"x-api-key": "nobody"}, anonymous=True
        )
    await stand.gateway.ask("chat", ask_body("chat", "chat"))
    assert len(await stand.gateway.rows()) == 1
    assert len(stand.chat.requests) == 1


async def test_an_unknown_key_learns_nothing_about_models_or_bodies(stand: Stand) -> None:
    bodies: list[bytes | dict[str, Any]] = [
        b"{",
        b"[]",
        {"model": "no-such-model"},
        ask_body("chat", "chat"),
    ]
    for body in bodies:
        assert (await stand.gateway.ask("chat", body, anonymous=True)).status == 401


def _with_keys(*secrets: str) -> Snapshot:
    keys = {f"key{number}": Key(secret=Secret(each)) for number, each in enumerate(secrets)}
    return snapshot_of(Config(admin_key=Secret("admin"), providers={}, models={}, keys=keys))


def test_twenty_thousand_keys_cost_no_more_than_one() -> None:
    def cost_s(keys: Snapshot, secret: str) -> float:
        headers = {"Authorization": f"Bearer {secret}"}
        best = float("inf")
        for _ in range(7):
            began = time.perf_counter()
            for _ in range(500):
                authenticate(headers, {}, keys)
            best = min(best, time.perf_counter() - began)
        return best

    many = _with_keys(*(f"sk-{number:08}" for number in range(20_000)))
    one = _with_keys("sk-00019999")
    assert cost_s(many, "sk-00019999") < 3 * cost_s(one, "sk-00019999")


def test_a_secret_that_is_no_text_is_refused_like_any_other() -> None:
    with pytest.raises(Unauthenticated):
        authenticate({"Authorization": "Bearer \udcff\udcfe"}, {}, _with_keys("sk-1"))


async def test_twenty_thousand_configured_keys_serve_the_last_one(
    stand_builder: StandBuilder,
) -> None:
    stand_builder.config["keys"] = {
        f"key{number}": {"secret": f"sk-{number:020}"} for number in range(20_000)
    }
    async with stand_builder.started() as stand:
        reply = await stand.gateway.ask(
            "chat", ask_body("chat", "chat"), {"x-api-key": f"sk-{19_999:020}"}, anonymous=True
        )
        assert reply.status == 200
        assert (await stand.gateway.row())["key_name"] == "key19999"


def test_people_who_share_a_key_are_told_apart() -> None:
    """By what is kept of their conversations."""
    owners = {Caller("app", None).owner, Caller("app", "ann").owner, Caller("app", "bob").owner}
    assert len(owners) == 3
