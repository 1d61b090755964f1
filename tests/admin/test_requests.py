"""The Requests page: rows, filters, pages, the part that refreshes, and one row's details."""

from typing import Any
from urllib.parse import urljoin

import pytest
from admin.visitor import Html, Visitor
from support.gateway import ask_body
from support.rows import STARTED_AT_MS, full_row, make_row

from plexus_proxy.usage.record import Cost

LIST = "/ui/requests"


def aliases(text: str) -> list[str]:
    """Of the rows shown, by the ids of their links."""
    return [each["id"][2:] for each in Html(text).all("a") if each.get("id", "").startswith("r-")]


def link(text: str, rel: str) -> str | None:
    found = [each["href"] for each in Html(text).all("a") if each.get("rel") == rel]
    return urljoin(LIST, found[0]) if found else None


# ---- The list


async def test_before_the_first_request_there_is_one_to_try(operator: Visitor) -> None:
    page = Html((await operator.get(LIST)).text)
    assert "No requests yet" in page.text
    assert f"{operator.gateway.url}/v1/chat/completions" in "".join(page.texts)
    assert '"model":"to-chat"' in page.text
    assert operator.gateway.secrets.app not in "".join(page.texts)


async def test_a_forged_host_does_not_get_into_the_command(operator: Visitor) -> None:
    """What is no host name at all, the server refuses already."""
    for host in ("evil$(id)", "x';id;'", "under_score", "a:b", "~"):
        reply = await operator.get(LIST, Host=host)
        assert reply.status == 400 or "http://localhost:4000/v1" in "".join(Html(reply.text).texts)


async def test_a_request_served_is_on_the_page(operator: Visitor) -> None:
    reply = await operator.gateway.ask("messages", ask_body("messages", "chat", stream=True))
    assert reply.status == 200
    await operator.gateway.rows()
    text = (await operator.get(LIST)).text
    assert aliases(text) == [reply.headers["x-request-id"]]
    shown = Html(text).text
    for part in ("to-chat", "chatty / up-chat", "messages → chat", "Success", "stream"):
        assert part in shown


async def test_every_number_is_written_out(operator: Visitor) -> None:
    await operator.insert(
        full_row(request_id="r1", input_tokens=1234567, cost=Cost(total_nano_usd=1_234_567_890))
    )
    shown = Html((await operator.get(LIST)).text).text
    for part in (
        "1,234,567",
        "14 cached",
        "15 written",
        "13 reasoning",
        "$1.23",
        "1.20 s",
        "31 ms",
        "55.5 tok/s",
        "team:blue",
        "Stalled",
        "upstream_idle_timeout",
        "31 tools, 32 calls",
        "2 attempts",
        "2 fields dropped",
        "≈",
    ):
        assert part in shown, part


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("status=error", ["error"]),
        ("alias=TO-", ["alias"]),
        ("provider=vend", ["provider"]),
        ("key=other", ["key"]),
        ("key=oth", []),
        ("alias=%25", []),
        ("alias=%20to-%20", ["alias"]),
        ("status=nonsense", []),
    ],
)
async def test_filters_find_their_rows(operator: Visitor, query: str, found: list[str]) -> None:
    await operator.insert(
        make_row(request_id="error", status="error"),
        make_row(request_id="alias", alias="to-chat"),
        make_row(request_id="provider", provider="vendor"),
        make_row(request_id="key", key_name="other"),
    )
    text = (await operator.get(f"{LIST}?{query}")).text
    assert aliases(text) == found
    if not found:
        assert "No request matches" in Html(text).text


async def test_filters_stay_in_the_form_and_the_addresses(operator: Visitor) -> None:
    await operator.insert(*(make_row(alias="a b&c", status="error") for _ in range(60)))
    text = (await operator.get(f"{LIST}?alias=a+b%26c&status=error&key=")).text
    page = Html(text)
    [field] = [each for each in page.all("input") if each["name"] == "alias"]
    assert field["value"] == "a b&c"
    assert [each["value"] for each in page.all("option") if "selected" in each] == ["error"]
    older = link(text, "next")
    assert older is not None
    assert len(aliases((await operator.get(older)).text)) == 10
    [part] = [each["hx-get"] for _, each in page.tags if "hx-get" in each]
    assert "status=error&alias=a+b%26c&seen=" in part


async def test_pages_join_and_do_not_shift_while_rows_come(operator: Visitor) -> None:
    ids = [f"{n:03}" for n in range(120)]
    await operator.insert(
        *(make_row(request_id=ids[n], started_at_ms=STARTED_AT_MS + n) for n in range(120))
    )
    first = (await operator.get(LIST)).text
    assert link(first, "prev") is None
    await operator.insert(make_row(request_id="late", started_at_ms=STARTED_AT_MS + 1000))
    second_path = link(first, "next")
    assert second_path is not None
    second = (await operator.get(second_path)).text
    third_path = link(second, "next")
    assert third_path is not None
    third = (await operator.get(third_path)).text
    assert aliases(first) + aliases(second) + aliases(third) == ids[::-1]
    assert link(third, "next") is None
    back = link(third, "prev")
    assert back is not None
    assert aliases((await operator.get(back)).text) == aliases(second)
    newest = link(second, "prev")
    assert newest == LIST
    assert aliases((await operator.get(newest)).text)[0] == "late"


# ---- The part that refreshes


def refresh_of(text: str) -> dict[str, str] | None:
    found = [each for _, each in Html(text).tags if "hx-get" in each]
    return found[0] if found else None


async def test_only_the_newest_page_refreshes_unless_paused(operator: Visitor) -> None:
    await operator.insert(*(make_row() for _ in range(60)))
    text = (await operator.get(LIST)).text
    assert refresh_of(text) is not None
    older = link(text, "next")
    assert older is not None
    assert refresh_of((await operator.get(older)).text) is None
    paused = (await operator.get(f"{LIST}?live=off")).text
    assert refresh_of(paused) is None
    assert "Resume" in Html(paused).text


async def test_the_part_is_sent_only_when_it_has_changed(operator: Visitor) -> None:
    await operator.insert(make_row(request_id="one"))
    part = refresh_of((await operator.get(LIST)).text)
    assert part is not None
    assert (part["id"], part["hx-swap"], part["hx-target"]) == ("rows", "outerHTML", "this")
    address = urljoin(LIST, part["hx-get"])
    reply = await operator.fragment(address)
    assert (reply.status, reply.body) == (204, b"")
    await operator.insert(make_row(request_id="two", started_at_ms=STARTED_AT_MS + 1))
    reply = await operator.fragment(address)
    assert reply.status == 200
    assert reply.text.startswith('<section id="rows"')
    assert reply.text.rstrip().endswith("</section>")
    assert "<html" not in reply.text
    assert aliases(reply.text) == ["two", "one"]
    part = refresh_of(reply.text)
    assert part is not None
    assert (await operator.fragment(urljoin(LIST, part["hx-get"]))).status == 204


async def test_the_part_is_what_the_page_holds(operator: Visitor) -> None:
    await operator.insert(full_row(), make_row())
    page, part = await operator.get(LIST), await operator.fragment(LIST)
    assert part.text.strip() in page.text


async def test_without_htmx_the_refreshing_address_is_the_page(operator: Visitor) -> None:
    reply = await operator.get(f"{LIST}?seen=whatever")
    assert reply.status == 200
    assert "<!doctype html>" in reply.text


# ---- Details


async def test_the_details_hold_everything(operator: Visitor) -> None:
    row = full_row(request_id="r1")
    await operator.insert(row)
    page = Html((await operator.get(f"{LIST}/r1")).text)
    assert row.error_message is not None
    for part in (
        row.request_id,
        "client-1",
        "session-1",
        "team:blue",
        "2001:db8::1",
        "vendor/quick:free",
        "logit_bias",
        "seed",
        row.error_message,
        "other / quick",
        "HTTP 500",
        "Failed upstream_broken 500 40 ms",
        "$0.000000021",
        "Tokens, estimated",
        "end_turn",
    ):
        assert part in page.text, part


@pytest.mark.parametrize("odd", ["a/b", "a b", "ä?#%2F", "..", "a\\b", "."])
async def test_an_odd_id_has_a_page_of_its_own(operator: Visitor, odd: str) -> None:
    await operator.insert(make_row(request_id=odd, alias="odd-one"))
    [href] = [
        each["href"]
        for each in Html((await operator.get(LIST)).text).all("a")
        if each.get("id") == f"r-{odd}"
    ]
    assert href.startswith("./requests/")
    if odd.strip("."):  # no address can name these two
        reply = await operator.get(urljoin(LIST, href))
        assert reply.status == 200
        assert "odd-one" in Html(reply.text).text


@pytest.mark.parametrize(
    "changes",
    [
        {"provider": None, "alias": None},
        {"status": "cancelled", "http_status": 499},
        {"cost": Cost(total_nano_usd=-5)},
        {"started_at_ms": 0},
        {"duration_ms": 2**40},
    ],
)
async def test_any_row_can_be_shown(operator: Visitor, changes: dict[str, Any]) -> None:
    await operator.insert(make_row(request_id="r1", **changes))
    assert (await operator.get(LIST)).status == 200
    assert (await operator.get(f"{LIST}/r1")).status == 200
