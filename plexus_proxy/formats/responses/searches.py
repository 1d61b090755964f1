"""Web searches in answers: items of their own. Source: OpenAI API reference, "The response object",
web_search_call."""

import msgspec
from msgspec import UNSET, Struct, UnsetType

from plexus_proxy.formats import body as bodies
from plexus_proxy.formats import ids
from plexus_proxy.formats.conversation import Crossing
from plexus_proxy.formats.events import Search, Source
from plexus_proxy.formats.responses import events as wire

CALL = "web_search_call"

_SEARCH = "search"
_FAILED = "failed"
_UNKNOWN_ERROR = "unavailable"

_ACTION = msgspec.json.Decoder(wire.Action)


def read_search(item: wire.Item) -> Search | None:
    """None for other things done on the web: to open a page, to look for something in it."""
    action = bodies.known(_ACTION, item.action) or wire.Action()
    if action.type not in (None, _SEARCH):
        return None
    queries = action.queries or ([action.query] if action.query else [])
    if item.status == _FAILED:
        return Search(tuple(queries), error=_UNKNOWN_ERROR)
    return Search(tuple(queries), tuple(Source(e.url) for e in action.sources or () if e.url))


class _WrittenSource(Struct, frozen=True, tag="url"):
    url: str


class _WrittenAction(Struct, frozen=True, tag=_SEARCH):
    query: str
    queries: list[str] | UnsetType = UNSET
    sources: list[_WrittenSource] | UnsetType = UNSET


class WrittenSearch(Struct, frozen=True, tag=CALL):
    id: str
    status: str
    action: _WrittenAction


def write_search(search: Search, crossing: Crossing, number: int) -> WrittenSearch:
    action = _WrittenAction(
        "; ".join(search.queries),
        list(search.queries) or UNSET,
        [_WrittenSource(each.url) for each in search.sources] or UNSET,
    )
    status = _FAILED if search.error else "completed"
    return WrittenSearch(ids.item_id(crossing, "ws", number), status, action)


def begun(search: WrittenSearch) -> WrittenSearch:
    """The same before anything is found."""
    action = _WrittenAction(search.action.query, search.action.queries)
    return WrittenSearch(search.id, "in_progress", action)
