"""GET and DELETE /v0/management/usage, on both databases."""

import time
from typing import Any

import pytest
from api.management import USAGE, Api
from support.gateway import Stand, ask_body
from support.rows import STARTED_AT_MS, full_row, make_row

from plexus_proxy.usage.record import Cost

DAY_MS = 86_400_000
START = "2025-10-09T08:53:20.000Z"
"""STARTED_AT_MS as the API writes it."""


# ---- One row


async def test_a_row_has_all_its_fields(api: Api) -> None:
    await api.insert(full_row(request_id="r1"))
    page = await api.page()
    assert page == {
        "data": [
            {
                "requestId": "r1",
                "clientRequestId": "client-1",
                "clientSession": "session-1",
                "date": START,
                "sourceIp": "2001:db8::1",
                "apiKey": "app",
                "attribution": "team:blue",
                "incomingApiType": "chat",
                "provider": "vendor",
                "incomingModelAlias": "fast",
                "canonicalModelName": "quick",
                "selectedModelName": "vendor/quick:free",
                "outgoingApiType": "messages",
                "tokensInput": 11,
                "tokensOutput": 12,
                "tokensReasoning": 13,
                "tokensCached": 14,
                "tokensCacheWrite": 15,
                "tokensEstimated": 1,
                "costInput": 2.1e-08,
                "costOutput": 2.2e-08,
                "costCached": 2.3e-08,
                "costCacheWrite": 2.4e-08,
                "costTotal": 9e-08,
                "costSource": "simple",
                "costMetadata": '{"source":"simple"}',
                "startTime": STARTED_AT_MS,
                "durationMs": 1200,
                "ttftMs": 31.25,
                "tokensPerSec": 55.5,
                "isStreamed": True,
                "isPassthrough": True,
                "responseStatus": "stall",
                "httpStatus": 504,
                "errorCode": "upstream_idle_timeout",
                "errorMessage": "The provider exceeded the idle time-out of 5 s. ✂",
                "toolsDefined": 31,
                "toolCallsCount": 32,
                "messageCount": 33,
                "parallelToolCallsEnabled": False,
                "finishReason": "end_turn",
                "attempts": [
                    {
                        "provider": "other",
                        "model": "quick",
                        "apiType": "chat",
                        "status": "failed",
                        "statusCode": 500,
                        "errorCode": "upstream_broken",
                        "reason": "HTTP 500",
                        "durationMs": 40,
                        "ttftMs": None,
                        "resumed": False,
                    },
                    {
                        "provider": "vendor",
                        "model": "q",
                        "apiType": "messages",
                        "status": "success",
                        "statusCode": None,
                        "errorCode": None,
                        "reason": None,
                        "durationMs": None,
                        "ttftMs": 25.5,
                        "resumed": False,
                    },
                ],
                "droppedFields": ["logit_bias", "seed"],
                "hasDebug": False,
                "hasError": True,
                "createdAt": STARTED_AT_MS + 5000,
            }
        ],
        "total": 1,
    }


async def test_what_is_not_known_is_null(api: Api) -> None:
    await api.insert(make_row(cost=Cost()))
    [row] = (await api.page())["data"]
    for name in ("provider", "costTotal", "ttftMs", "errorCode", "attribution", "finishReason"):
        assert row[name] is None
    assert (row["tokensInput"], row["attempts"], row["hasError"]) == (0, [], False)


async def test_a_request_served_is_listed(stand: Stand) -> None:
    reply = await stand.gateway.ask("messages", ask_body("messages", "chat"))
    await stand.gateway.rows()
    [row] = (await Api(stand.gateway).page())["data"]
    assert row["requestId"] == reply.headers["x-request-id"]
    assert (row["incomingApiType"], row["outgoingApiType"]) == ("messages", "chat")
    assert (row["apiKey"], row["provider"], row["responseStatus"]) == ("app", "chatty", "success")
    assert row["costTotal"] == pytest.approx(0.0001422)


# ---- Order and pages


async def test_rows_come_newest_first_and_pages_join(api: Api) -> None:
    await api.insert(
        *(make_row(request_id=f"r{n:02}", started_at_ms=STARTED_AT_MS + n) for n in range(7))
    )
    newest_first = [f"r{n:02}" for n in reversed(range(7))]
    assert await api.ids() == newest_first
    pages = [await api.page(limit=3, offset=offset) for offset in (0, 3, 6, 9)]
    assert [page["total"] for page in pages] == [7] * 4
    joined = [row["requestId"] for page in pages for row in page["data"]]
    assert joined == newest_first


async def test_fifty_rows_are_a_page_and_a_thousand_the_largest(api: Api) -> None:
    await api.insert(*(make_row() for _ in range(60)))
    page = await api.page()
    assert (len(page["data"]), page["total"]) == (50, 60)
    assert len((await api.page(limit=1000))["data"]) == 60
    assert await api.page(limit=0) == {"data": [], "total": 60}
    assert (await api.call("GET", USAGE, limit=1001)).status == 400


# ---- Fields


async def test_named_fields_are_shown_in_their_order_and_unknown_ones_left_out(api: Api) -> None:
    await api.insert(make_row(request_id="r1", input_tokens=5))
    page = await api.page(fields="tokensInput, requestId,nonsense,,tokensInput")
    assert page["data"] == [{"tokensInput": 5, "requestId": "r1"}]
    assert list(page["data"][0]) == ["tokensInput", "requestId"]
    assert len((await api.page(fields=""))["data"][0]) > 40


# ---- Filters

FILTERS: list[tuple[dict[str, str], dict[str, Any], dict[str, Any]]] = [
    ({"apiKey": "app"}, {}, {"key_name": "app2"}),
    ({"attribution": "BLUE"}, {"attribution": "blue"}, {"attribution": "blues"}),
    ({"clientRequestId": "c-1"}, {"client_request_id": "c-1"}, {"client_request_id": "c-10"}),
    ({"incomingApiType": "Chat"}, {}, {"client_format": "messages"}),
    ({"outgoingApiType": "chat"}, {"provider_format": "chat"}, {"provider_format": "messages"}),
    ({"responseStatus": "Error"}, {"status": "error"}, {"status": "timeout"}),
    ({"provider": "PEN"}, {"provider": "OpenRouter"}, {"provider": "vendor"}),
    ({"incomingModelAlias": "gpt"}, {"alias": "my-GPT-5"}, {"alias": "claude"}),
    ({"selectedModelName": "/q:"}, {"model": "vendor/q:free"}, {"model": "vendor/q"}),
    ({"minDurationMs": "1200"}, {}, {"duration_ms": 1199}),
    ({"maxDurationMs": "1200"}, {}, {"duration_ms": 1201}),
    ({"startDate": START}, {}, {"started_at_ms": STARTED_AT_MS - 1}),
    ({"endDate": START}, {}, {"started_at_ms": STARTED_AT_MS + 1}),
]


@pytest.mark.parametrize(("params", "hit", "miss"), FILTERS, ids=lambda value: "".join(value))
async def test_a_filter_finds_its_rows_only(
    api: Api, params: dict[str, str], hit: dict[str, Any], miss: dict[str, Any]
) -> None:
    await api.insert(make_row(request_id="hit", **hit), make_row(request_id="miss", **miss))
    assert await api.ids(**params) == ["hit"]


async def test_filters_narrow_each_other_down_and_empty_ones_do_not(api: Api) -> None:
    await api.insert(
        make_row(request_id="both", status="error", provider="vendor"),
        make_row(request_id="one", status="error", provider="other"),
    )
    assert await api.ids(responseStatus="error", provider="vend") == ["both"]
    assert len(await api.ids(responseStatus="error", provider="", startDate="", limit="")) == 2
    assert await api.ids(responseStatus="nonsense") == []


@pytest.mark.parametrize("part", ["%", "_", "!", "50%", "a_b", "!%", "\\", "'", "\\%"])
async def test_wildcards_are_plain_text(api: Api, part: str) -> None:
    await api.insert(
        make_row(request_id="hit", alias=f"x{part}y", provider=f"x{part}y", model=f"x{part}y"),
        make_row(request_id="miss", alias="50axb", provider="50axb", model="50axb"),
    )
    for name in ("incomingModelAlias", "provider", "selectedModelName"):
        assert await api.ids(**{name: part}) == ["hit"]


async def test_a_value_the_database_cannot_hold_is_no_failure(api: Api) -> None:
    await api.insert(make_row())
    for name in ("apiKey", "provider"):
        reply = await api.call("GET", f"{USAGE}?{name}=%00")
        if reply.status == 200:  # SQLite compares it
            assert reply.json() == {"data": [], "total": 0}
        else:
            assert (reply.status, reply.json()["error"]["code"]) == (400, 400)
    assert (await api.call("GET", f"{USAGE}?provider=%ff%fe")).status == 200


# ---- Dates


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({"startDate": "2025-10-09"}, "noon next"),
        ({"startDate": "20251009"}, "noon next"),
        ({"endDate": "2025-10-09"}, "before noon"),
        ({"endDate": "20251009"}, "before noon"),
        ({"startDate": "2025-10-09", "endDate": "2025-10-09"}, "noon"),
        ({"startDate": "2025-10-09T12:00:00Z"}, "noon next"),
        ({"startDate": "2025-10-09T12:00:00"}, "noon next"),
        ({"startDate": "2025-10-09T14:00:00.001+02:00"}, "next"),
        ({"endDate": "2025-10-09T12:00"}, "before noon"),
        ({"endDate": "1760011199999"}, "before"),
        ({"endDate": "1760011200000"}, "before noon"),
        ({"startDate": "0001-01-01", "endDate": "9999-12-31"}, "before noon next"),
    ],
)
async def test_dates_are_utc_days_instants_or_epoch_milliseconds(
    api: Api, params: dict[str, str], found: str
) -> None:
    noon = 1_760_011_200_000  # 2025-10-09T12:00:00Z
    await api.insert(
        make_row(request_id="before", started_at_ms=noon - DAY_MS // 2 - 1),
        make_row(request_id="noon", started_at_ms=noon),
        make_row(request_id="next", started_at_ms=noon + DAY_MS // 2),
    )
    assert (await api.ids(**params))[::-1] == found.split()


async def test_a_plus_that_arrived_as_a_space_is_still_an_offset(api: Api) -> None:
    await api.insert(make_row(request_id="r1"))
    reply = await api.call("GET", f"{USAGE}?startDate=2025-10-09T10:53:20+02:00")
    assert [row["requestId"] for row in reply.json()["data"]] == ["r1"]


# ---- Bad values


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", "-1"),
        ("limit", "ten"),
        ("limit", "1.5"),
        ("limit", "1e3"),
        ("limit", "٣"),
        ("limit", "9" * 40),
        ("offset", "-1"),
        ("offset", "9" * 16),
        ("minDurationMs", "fast"),
        ("maxDurationMs", " 1"),
        ("startDate", "yesterday"),
        ("startDate", "2025-02-30"),
        ("startDate", "12345678901234567"),
        ("endDate", "2025-10-09T25:00:00Z"),
        ("endDate", "1' OR 1=1"),
        ("fields", "nonsense"),
    ],
)
async def test_a_bad_value_is_named(api: Api, name: str, value: str) -> None:
    reply = await api.call("GET", USAGE, **{name: value})
    problem = reply.json()["error"]
    assert (reply.status, problem["code"], problem["type"]) == (400, 400, "invalid_request_error")
    assert name in problem["message"]
    assert reply.json().keys() == {"error"}


# ---- Deleting


async def _three(api: Api) -> None:
    now_ms = int(time.time() * 1000)
    await api.insert(
        make_row(request_id="old", started_at_ms=now_ms - 31 * DAY_MS),
        make_row(request_id="week", started_at_ms=now_ms - 7 * DAY_MS),
        make_row(request_id="new", started_at_ms=now_ms - 1000),
    )


async def test_rows_older_than_some_days_are_deleted(api: Api) -> None:
    await _three(api)
    reply = await api.call("DELETE", USAGE, olderThanDays=30)
    assert (reply.status, reply.json()) == (200, {"success": True, "deleted": 1})
    assert await api.ids() == ["new", "week"]
    assert (await api.call("DELETE", USAGE, olderThanDays=0)).json()["deleted"] == 2


async def test_all_rows_are_deleted(api: Api) -> None:
    await _three(api)
    assert (await api.call("DELETE", USAGE)).json() == {"success": True, "deleted": 3}
    assert await api.page() == {"data": [], "total": 0}
    assert (await api.call("DELETE", USAGE)).json() == {"success": True, "deleted": 0}


@pytest.mark.parametrize(
    "query", ["olderThanDays=", "olderThanDays=x", "olderThanDays=-1", "olderThan=7", "limit=5"]
)
async def test_a_typing_error_deletes_nothing(api: Api, query: str) -> None:
    await _three(api)
    reply = await api.call("DELETE", f"{USAGE}?{query}")
    assert reply.status == 400
    assert query.partition("=")[0] in reply.json()["error"]["message"]
    assert len(await api.ids()) == 3


async def test_one_row_is_deleted_and_one_that_is_not_there_is_no_error(api: Api) -> None:
    await api.insert(make_row(request_id="a/b c"), make_row(request_id="other"))
    for path, deleted in (("/a%2Fb%20c", 1), ("/a%2Fb%20c", 0), ("/nope", 0)):
        reply = await api.call("DELETE", USAGE + path)
        assert (reply.status, reply.json()) == (200, {"success": True, "deleted": deleted})
    assert await api.ids() == ["other"]


@pytest.mark.parametrize("path", [USAGE + "/", USAGE + "//", "/v0/management/usage%2F"])
async def test_an_address_without_an_id_deletes_nothing(api: Api, path: str) -> None:
    await _three(api)
    await api.call("DELETE", path)
    assert len(await api.ids()) == 3
