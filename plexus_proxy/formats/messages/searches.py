"""Web searches in answers: a block with the call, and later one with what was found.

The provider's own come with encrypted content, which only it can read; so those we write for the
searches of other providers have none, and ids by which they are known when a client sends them
back. Source: Anthropic documentation, "Web search tool".
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import msgspec
from msgspec import Raw, Struct

from plexus_proxy.formats import body as bodies
from plexus_proxy.formats.conversation import Crossing
from plexus_proxy.formats.events import Citation, Search, Source
from plexus_proxy.formats.websearch import NAME

OUR_PREFIX = "srvtoolu_gw1_"
"""What our ids begin with."""
CALL = "server_tool_use"
RESULT = "web_search_tool_result"

_FAILED = "unavailable"
_AFTERWARDS = "cited"


class _Input(Struct, frozen=True):
    query: str = ""


class _Result(Struct, frozen=True):
    url: str = ""
    title: str | None = None
    page_age: str | None = None


class _Error(Struct, frozen=True):
    error_code: str = ""


_INPUT = msgspec.json.Decoder(_Input)
_FOUND = msgspec.json.Decoder(list[_Result] | _Error)


class Searches:
    """The searches of an answer, from their calls to their results."""

    __slots__ = ("_calls", "_inputs")

    def __init__(self) -> None:
        self._inputs: dict[int, list[str]] = {}
        """Pieces of the input by the call's index on the wire."""
        self._calls: dict[str, list[str]] = {}
        """The same by the call's id."""

    def called(self, index: int, tool_id: str | None, given: Raw) -> None:
        """`given` is the input at the call's start; it counts if no piece follows."""
        pieces = self._inputs[index] = [bytes(given).decode()]
        self._calls[tool_id or ""] = pieces

    def told(self, index: int, piece: str) -> bool:
        """A piece of input, if it is of a search."""
        pieces = self._inputs.get(index)
        if pieces is not None:
            pieces.append(piece)
        return pieces is not None

    def found(self, tool_id: str | None, content: Raw) -> Search:
        given, *pieces = self._calls.get(tool_id or "") or ["{}"]
        asked = bodies.known(_INPUT, Raw(("".join(pieces) or given).encode()))
        queries = (asked.query,) if asked is not None and asked.query else ()
        result = bodies.known(_FOUND, content)
        if isinstance(result, _Error):
            return Search(queries, error=result.error_code or _FAILED)
        sources = (Source(e.url, e.title or "", e.page_age or "") for e in result or () if e.url)
        return Search(queries, tuple(sources))


class ToolUse(Struct, frozen=True, tag=CALL):
    id: str
    name: str
    input: dict[str, str]


class SearchResult(Struct, frozen=True, tag="web_search_result"):
    url: str
    title: str
    page_age: str | None
    encrypted_content: str


class SearchError(Struct, frozen=True, tag="web_search_tool_result_error"):
    error_code: str


class ToolResult(Struct, frozen=True, tag=RESULT):
    tool_use_id: str
    content: list[SearchResult] | SearchError


class ServerToolUsage(Struct, frozen=True, gc=False):
    web_search_requests: int
    web_fetch_requests: int = 0


def write_search(search: Search, crossing: Crossing, name: int | str) -> tuple[ToolUse, ToolResult]:
    """`name` tells this search from the answer's others."""
    tool_id = f"{OUR_PREFIX}{crossing.response_id}_{name}"
    call = ToolUse(tool_id, NAME, {"query": "; ".join(search.queries)})
    if search.error:
        return call, ToolResult(tool_id, SearchError(search.error))
    return call, ToolResult(
        tool_id,
        [
            SearchResult(each.url, each.title or each.url, each.page_age or None, "")
            for each in search.sources
        ],
    )


class Trace:
    """What an answer has told of searches, and what it still owes to a client that asked for one:
    a provider that only cites has searched all the same."""

    __slots__ = ("_cited", "_count", "_crossing", "_has_sources")

    def __init__(self, crossing: Crossing) -> None:
        self._crossing = crossing
        self._count = 0
        self._has_sources = False
        self._cited: dict[str, Source] = {}

    def searched(self, search: Search) -> None:
        self._count += 1
        self._has_sources = self._has_sources or bool(search.sources)

    def cited(self, citations: Iterable[Citation]) -> None:
        for each in citations:
            self._cited.setdefault(each.url, Source(each.url, each.title))

    def owed(self) -> Iterator[ToolUse | ToolResult]:
        """The blocks of a search that found what is cited, if no other tells of that."""
        if self._crossing.searches and self._cited and not self._has_sources:
            found = Search((), tuple(self._cited.values()))
            self._count = max(self._count, 1)
            yield from write_search(found, self._crossing, _AFTERWARDS)

    @property
    def usage(self) -> ServerToolUsage | None:
        return ServerToolUsage(self._count) if self._count else None


def split(text: str, citations: Sequence[Citation]) -> list[tuple[str, list[Citation]]]:
    """A text in pieces, each with the citations that end with it: clients take a citation to be of
    its whole block. No piece is blank, as none may be when the client sends it back."""
    cuts = {0, len(text)}
    for each in citations:
        cuts |= {at for at in (each.start, each.end) if at is not None and 0 < at < len(text)}
    places = sorted(cuts)
    pieces: list[tuple[str, list[Citation]]] = []
    for start, end in pairwise(places):
        piece = text[start:end]
        ours = [each for each in citations if _end(each, len(text)) == end]
        if pieces and not (piece.strip() and pieces[-1][0].strip()):
            before, theirs = pieces.pop()
            piece, ours = before + piece, theirs + ours
        pieces.append((piece, ours))
    return pieces


def _end(citation: Citation, length: int) -> int:
    """Where it ends; what has no place within the text belongs to its end."""
    end = citation.end
    return end if end is not None and 0 < end < length else length
