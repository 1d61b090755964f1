"""Signing in and out, and what a session is."""

import logging
import time

import pytest
from admin.visitor import COOKIE, Html, Visitor, cookie_of, target_of
from support.canary import canary, leaks_in
from support.gateway import Stand

from plexus_proxy.admin import session as sessions
from plexus_proxy.admin.failures import FailedSignIns
from plexus_proxy.admin.session import (
    LIFETIME_S,
    LONGEST_S,
    Session,
    begin,
    read_token,
    write_token,
)
from plexus_proxy.config.store import CONFIG
from plexus_proxy.crypto import digest


def token(visitor: Visitor, session: Session) -> str:
    return write_token(session, digest(visitor.gateway.secrets.admin))


# ---- The door


async def test_a_stranger_is_sent_to_sign_in_and_comes_back(visitor: Visitor) -> None:
    path = "/ui/requests?status=error&alias=a%26b"
    sign_in = target_of(path, await visitor.get(path))
    assert sign_in.startswith("/ui/sign-in?next=")
    page = await visitor.get(sign_in)
    assert page.status == 200
    [wanted] = [each["value"] for each in Html(page.text).all("input") if each["name"] == "next"]
    reply = await visitor.sign_in(then=wanted)
    assert target_of("/ui/sign-in", reply) == path
    assert (await visitor.get(path)).status == 200


async def test_a_page_deeper_down_is_come_back_to_as_well(visitor: Visitor) -> None:
    sign_in = target_of("/ui/requests/abc", await visitor.get("/ui/requests/abc"))
    assert sign_in == "/ui/sign-in?next=requests%2Fabc"
    reply = await visitor.sign_in(then="requests/abc")
    assert target_of("/ui/sign-in", reply) == "/ui/requests/abc"


async def test_who_is_signed_in_is_not_asked_again(operator: Visitor) -> None:
    assert target_of("/ui/sign-in", await operator.get("/ui/sign-in")) == "/ui/requests"


@pytest.mark.parametrize("path", ["/ui/requests", "/ui/requests/some-id"])
async def test_a_part_of_a_page_is_refused_so_that_the_browser_reloads(
    visitor: Visitor, path: str
) -> None:
    reply = await visitor.fragment(path)
    assert (reply.status, reply.body) == (401, b"")
    assert reply.headers["hx-refresh"] == "true"


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
        "data:text/html,x",
        "../../outside",
        "..",
        "requests/../../outside",
        "requests\r\nSet-Cookie: a=b",
        "requests?x=\r\nLocation: //evil",
        " //evil.example",
        "",
    ],
)
async def test_signing_in_never_leads_elsewhere(visitor: Visitor, elsewhere: str) -> None:
    reply = await visitor.sign_in(then=elsewhere)
    assert target_of("/ui/sign-in", reply) == "/ui/requests"
    assert [name for name, _ in reply.raw_headers].count("set-cookie") == 1


# ---- The key


async def test_a_wrong_key_is_told_so_and_changes_nothing(
    visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = canary("wrong")
    with caplog.at_level(logging.WARNING):
        reply = await visitor.sign_in(wrong, then="requests/abc")
    assert reply.status == 403
    assert "This is not the admin key." in Html(reply.text).text
    assert cookie_of(reply) is None
    assert leaks_in(reply.text) == []
    assert 'value="requests/abc"' in reply.text  # the way back is kept
    assert "wrong admin key from 127.0.0.1" in caplog.text
    assert wrong not in caplog.text
    assert (await visitor.get("/ui/requests")).status == 303


async def test_neither_nothing_nor_a_client_key_signs_in(visitor: Visitor) -> None:
    for key in ("", " ", visitor.gateway.secrets.app, visitor.gateway.secrets.admin.upper()):
        assert (await visitor.sign_in(key)).status == 403
    assert (await visitor.post("/ui/sign-in", {})).status == 403


async def test_spaces_around_a_pasted_key_are_forgiven(visitor: Visitor) -> None:
    assert (await visitor.sign_in(f" {visitor.gateway.secrets.admin}\n")).status == 303


async def test_after_too_many_wrong_keys_even_the_right_one_has_to_wait(visitor: Visitor) -> None:
    for _ in range(10):
        assert (await visitor.sign_in("wrong")).status == 403
    for key in ("wrong", None):
        reply = await visitor.sign_in(key)
        assert reply.status == 429
        assert 1 <= int(reply.headers["retry-after"]) <= 60
        assert "Too many wrong keys" in Html(reply.text).text
        assert cookie_of(reply) is None


async def test_a_session_outlives_other_peoples_failures(operator: Visitor) -> None:
    stranger = Visitor(operator.gateway)
    for _ in range(12):
        await stranger.sign_in("wrong")
    assert (await operator.get("/ui/requests")).status == 200


def test_allowed_failures_come_back_one_by_one() -> None:
    failures = FailedSignIns(burst=2, per_minute=6)
    assert failures.wait_s(0) == 0
    failures.add(0)
    failures.add(0)
    assert failures.wait_s(0) == pytest.approx(10)
    assert failures.wait_s(4) == pytest.approx(6)
    assert failures.wait_s(10.1) == 0
    failures.add(10.1)
    assert failures.wait_s(10.1) > 9
    assert failures.wait_s(1000) == 0


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"key=x", "text/plain", 415),
        (b'{"key": "x"}', "application/json", 415),
        (b"key=" + b"x" * 20_000, "application/x-www-form-urlencoded", 413),
        (b"&".join(b"a=1" for _ in range(100)), "application/x-www-form-urlencoded", 400),
        (b"key=\xff\xfe", "application/x-www-form-urlencoded", 400),
    ],
)
async def test_a_form_that_is_none_is_refused(
    visitor: Visitor, body: bytes, kind: str, status: int
) -> None:
    reply = await visitor.call("POST", "/ui/sign-in", form=body, headers={"content-type": kind})
    assert reply.status == status
    assert Html(reply.text).all("main")


# ---- The cookie


async def test_the_cookie_is_for_this_site_and_no_script(visitor: Visitor) -> None:
    reply = await visitor.sign_in()
    morsel = cookie_of(reply)
    assert morsel is not None
    assert morsel["httponly"] is True
    assert morsel["samesite"] == "Lax"
    assert morsel["max-age"] == str(LIFETIME_S)
    assert not morsel["secure"]
    assert visitor.gateway.secrets.admin not in reply.text + morsel.value


async def test_the_cookie_goes_to_the_folder_it_was_set_from_under_any_prefix(
    visitor: Visitor,
) -> None:
    """RFC 6265 §5.1.4: without Path the browser takes the folder of the address."""
    morsel = cookie_of(await visitor.sign_in())
    assert morsel is not None
    assert (morsel["path"], morsel["domain"]) == ("", "")


@pytest.mark.parametrize(
    ("forwarded", "secure"), [("https", True), ("HTTPS, http", True), ("http", False), ("", False)]
)
async def test_behind_https_the_cookie_stays_on_https(
    visitor: Visitor, forwarded: str, secure: bool
) -> None:
    morsel = cookie_of(await visitor.sign_in(X_Forwarded_Proto=forwarded))
    assert morsel is not None
    assert bool(morsel["secure"]) is secure
    morsel = cookie_of(await visitor.post("/ui/sign-out", {}, X_Forwarded_Proto=forwarded))
    assert morsel is not None
    assert bool(morsel["secure"]) is secure


# ---- How long it lasts


async def test_signing_out_ends_it(operator: Visitor) -> None:
    reply = await operator.post("/ui/sign-out", {})
    assert target_of("/ui/sign-out", reply) == "/ui/sign-in"
    morsel = cookie_of(reply)
    assert morsel is not None
    assert (morsel.value, morsel["max-age"]) == ("", "0")
    assert (await operator.get("/ui/requests")).status == 303


async def test_signing_out_is_a_write(operator: Visitor) -> None:
    assert (await operator.get("/ui/sign-out")).status == 404
    assert (await operator.get("/ui/requests")).status == 200


async def test_a_new_admin_key_ends_every_session(operator: Visitor) -> None:
    fresh = canary("fresh-admin")
    operator.gateway.config["adminKey"] = fresh
    operator.gateway.write_config()
    await operator.gateway.app[CONFIG].refresh()
    assert (await operator.get("/ui/requests")).status == 303
    assert (await operator.sign_in()).status == 403
    assert (await operator.sign_in(fresh)).status == 303
    assert (await operator.get("/ui/requests")).status == 200


async def test_an_old_session_is_over(visitor: Visitor) -> None:
    now_s = int(time.time())
    visitor.token = token(visitor, Session(now_s - LIFETIME_S, now_s - 1))
    assert (await visitor.get("/ui/requests")).status == 303
    visitor.token = token(visitor, Session(now_s - LIFETIME_S, now_s + 60))
    assert (await visitor.get("/ui/requests")).status == 200


async def test_opening_a_page_keeps_the_session_but_refreshing_it_does_not(
    visitor: Visitor,
) -> None:
    now_s = int(time.time())
    ageing = token(visitor, Session(now_s - 3600, now_s + LIFETIME_S - 3600))
    visitor.token = ageing
    assert cookie_of(await visitor.fragment("/ui/requests")) is None
    assert cookie_of(await visitor.get("/ui/requests/some-id")) is None  # would be of its folder
    morsel = cookie_of(await visitor.get("/ui/requests"))
    assert morsel is not None
    assert morsel["max-age"] == str(LIFETIME_S)
    assert visitor.token != ageing
    assert cookie_of(await visitor.get("/ui/requests")) is None  # fresh enough


async def test_no_session_lasts_longer_than_a_week(visitor: Visitor) -> None:
    now_s = int(time.time())
    visitor.token = token(visitor, Session(now_s - LONGEST_S + 3600, now_s + 60))
    morsel = cookie_of(await visitor.get("/ui/requests"))
    assert morsel is not None
    assert int(morsel["max-age"]) <= 3600


async def test_a_cookie_that_was_tampered_with_is_none(operator: Visitor, stand: Stand) -> None:
    good = operator.token
    assert good is not None
    started, expires, signature = good.split(".")
    now_s = int(time.time())
    forged = [
        f"{started}.{int(expires, 16) + 1:x}.{signature}",
        f"{started}.{expires}.{signature[:-1]}{'A' if signature[-1] != 'A' else 'B'}",
        f"{started}.{expires}.",
        f"{started}.{expires}.{'A' * 43}",
        f"0{started}.{expires}.{signature}",
        good + "x",
        good.upper(),
        "x",
        "..",
        write_token(begin(now_s), digest("")),
        write_token(begin(now_s), digest(stand.secrets.app)),
    ]
    for each in forged:
        operator.token = each
        assert (await operator.get("/ui/requests")).status == 303, each
    operator.token = good
    assert (await operator.get("/ui/requests")).status == 200


def test_a_token_reads_back_until_it_expires() -> None:
    key, session = digest("k"), begin(1000)
    text = write_token(session, key)
    assert read_token(text, key, 1000) == session
    assert read_token(text, key, 1000 + LIFETIME_S - 1) == session
    assert read_token(text, key, 1000 + LIFETIME_S) is None
    assert read_token(text, digest("other"), 1000) is None
    assert sessions.COOKIE == COOKIE


async def test_the_pages_session_does_not_open_the_management_api(operator: Visitor) -> None:
    """It is sent by itself, and would carry writes of other sites."""
    assert (await operator.get("/v0/management/usage")).status == 401
    assert (await operator.call("DELETE", "/v0/management/usage")).status == 401
