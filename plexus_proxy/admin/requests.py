"""The Requests page: what clients asked for and what became of it, newest first."""

import hashlib
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import get_args
from urllib.parse import urlencode

from aiohttp import web
from msgspec import Struct

from plexus_proxy.admin.example import example_request
from plexus_proxy.admin.headers import PAGE_HEADERS
from plexus_proxy.admin.layout import is_fragment, render
from plexus_proxy.admin.rows import row_details, row_view
from plexus_proxy.config.store import CONFIG
from plexus_proxy.db.database import DATABASE
from plexus_proxy.errors import NotFound
from plexus_proxy.manage.usage import read_usage_query
from plexus_proxy.usage.record import Status, UsageRow
from plexus_proxy.usage.store import UsageStore

PATH = "requests"
ROWS_PER_PAGE = 50
REFRESH_S = 3
_SUGGESTIONS = 100

# What an address of the page may say → the name the management API has for it.
_PARAMS = {
    "status": "responseStatus",
    "alias": "incomingModelAlias",
    "key": "apiKey",
    "provider": "provider",
    "until": "endDate",
    "offset": "offset",
}
_FILTERS = ("status", "alias", "provider", "key")


class Listing(Struct, frozen=True):
    """One page of rows and where to go from there."""

    rows: list[UsageRow]
    filters: dict[str, str]
    """The filters that are set, by the page's names."""
    offset: int
    until: str
    """Epoch ms of the newest row to count from, so that pages do not shift while new rows come."""
    has_older: bool
    wants_refresh: bool

    @property
    def is_newest(self) -> bool:
        return self.offset == 0 and not self.until

    @property
    def version(self) -> str:
        """Changes when the rows do: a row never changes, so their ids are enough."""
        ids = "\n".join([*(row.request_id for row in self.rows), str(self.has_older)])
        return hashlib.sha256(ids.encode()).hexdigest()[:16]

    def address(self, **changes: str | int) -> str:
        """Relative to the pages' folder; keeps the filters."""
        params = {**self.filters, **{name: str(value) for name, value in changes.items()}}
        return f"{PATH}?{urlencode(params)}" if params else PATH


async def show(request: web.Request) -> web.Response:
    """GET requests: the page; for htmx only its rows, and 204 while they would look the same."""
    listing = await _read(request)
    if not is_fragment(request):
        return render(request, "requests.html", _page_context(request, listing))
    if request.query.get("seen") == listing.version:
        return web.Response(status=204, headers=PAGE_HEADERS)
    return render(request, "_requests_rows.html", _rows_context(request, listing))


async def details(request: web.Request) -> web.Response:
    """GET requests/{request_id}: everything about one request."""
    row = await UsageStore(request.app[DATABASE]).fetch_row(request.match_info["request_id"])
    if row is None:
        raise NotFound("There is no such request, or it has not ended yet.")
    return render(request, "request.html", {"row": row_view(row), "details": row_details(row)})


async def _read(request: web.Request) -> Listing:
    """Raises BadRequest, Unavailable, Rejected."""
    given = {name: request.query[name].strip() for name in _PARAMS if name in request.query}
    query = read_usage_query(
        {_PARAMS[name]: value for name, value in given.items()} | {"limit": str(ROWS_PER_PAGE)}
    )
    found = await UsageStore(request.app[DATABASE]).fetch_page(
        query.filters, ROWS_PER_PAGE + 1, query.offset
    )
    until = given.get("until", "")
    return Listing(
        rows=found[:ROWS_PER_PAGE],
        filters={name: given[name] for name in _FILTERS if given.get(name)},
        offset=query.offset,
        until=until,
        has_older=len(found) > ROWS_PER_PAGE,
        wants_refresh=query.offset == 0 and not until and request.query.get("live") != "off",
    )


def _page_context(request: web.Request, listing: Listing) -> Mapping[str, object]:
    config = request.app[CONFIG].current.config
    return {
        "filters": [
            (name, listing.filters.get(name, ""), _suggestions(names))
            for name, names in (
                ("alias", config.models),
                ("provider", config.providers),
                ("key", config.keys),
            )
        ],
        "status": listing.filters.get("status", ""),
        "statuses": get_args(Status),
        "pause_address": listing.address(live="off") if listing.wants_refresh else None,
        "resume_address": listing.address() if listing.is_newest else None,
        **_rows_context(request, listing),
    }


def _rows_context(request: web.Request, listing: Listing) -> Mapping[str, object]:
    refresh = listing.address(seen=listing.version)
    is_empty = not listing.rows and not listing.filters and listing.is_newest
    return {
        "rows": [row_view(row) for row in listing.rows],
        "refresh_address": refresh if listing.wants_refresh else None,
        "refresh_s": REFRESH_S,
        "older_address": _older(listing),
        "newer_address": _newer(listing),
        "is_filtered": bool(listing.filters),
        "first_page": listing.address(),
        "example": example_request(request) if is_empty else None,
    }


def _older(listing: Listing) -> str | None:
    if not listing.has_older:
        return None
    until = listing.until or listing.rows[0].started_at_ms
    return listing.address(until=until, offset=listing.offset + ROWS_PER_PAGE)


def _newer(listing: Listing) -> str | None:
    if listing.is_newest:
        return None
    if listing.offset <= ROWS_PER_PAGE:
        return listing.address()
    return listing.address(until=listing.until, offset=listing.offset - ROWS_PER_PAGE)


def _suggestions(names: Iterable[str]) -> list[str]:
    return sorted(islice(names, _SUGGESTIONS))
