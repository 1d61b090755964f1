"""What generateContent tells of searches and citations: the queries, the sources, and segments of a
part's text, in bytes of its UTF-8, which sources support. Source: Gemini API reference,
"GroundingMetadata"."""

from collections.abc import Iterator, Sequence

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from plexus_proxy.formats import body as bodies
from plexus_proxy.formats.events import Citation, Search, Source


class Segment(Struct, frozen=True, rename="camel"):
    start_index: int | None = None
    end_index: int | None = None
    text: str | None = None
    part_index: int | None = None


class Web(Struct, frozen=True):
    uri: str | None = None
    title: str | None = None


class GroundingChunk(Struct, frozen=True):
    web: Web | None = None


class Support(Struct, frozen=True, rename="camel"):
    segment: Segment | None = None
    grounding_chunk_indices: list[int] | None = None


class Grounding(Struct, frozen=True, rename="camel"):
    grounding_chunks: list[GroundingChunk] | None = None
    grounding_supports: list[Support] | None = None
    web_search_queries: list[str] | None = None


_GROUNDING = msgspec.json.Decoder(Grounding | None)


class Citations:
    """What an answer's grounding metadata say: given out text by text, the search at the end."""

    def __init__(self) -> None:
        self._queries: list[str] = []
        self._sources: list[GroundingChunk] = []
        self._supports: list[Support] = []

    def learn(self, metadata: Raw | UnsetType) -> None:
        """Of each list the last one of a stream that has any counts."""
        told = bodies.known(_GROUNDING, metadata) or Grounding()
        self._queries = told.web_search_queries or self._queries
        self._sources = told.grounding_chunks or self._sources
        self._supports = told.grounding_supports or self._supports

    def search(self) -> Search | None:
        """All searches of the answer as one: which query has found what is not told."""
        if not self._queries:
            return None
        webs = (each.web for each in self._sources)
        found = (Source(web.uri, web.title or "") for web in webs if web is not None and web.uri)
        return Search(tuple(self._queries), tuple(dict.fromkeys(found)))

    def of(self, pieces: Sequence[str], first: int, *, is_last: bool = False) -> Iterator[Citation]:
        """Those of a text that came in `pieces`, the parts of the answer from number `first` on.

        Streams count parts as if neighbours were one, so a number below is taken for this text,
        which, if it `is_last`, gets whatever is left."""
        ours = [each for each in self._supports if is_last or _part_of(each) < first + len(pieces)]
        if not ours:
            return
        self._supports = [each for each in self._supports if each not in ours]
        text = "".join(pieces).encode()
        for support in ours:
            before = "".join(pieces[: max(0, _part_of(support) - first)])
            start, end = _place(text, support.segment or Segment(), len(before.encode()))
            for web in self._webs(support):
                yield Citation(web.uri or "", web.title or "", start=start, end=end)

    def _webs(self, support: Support) -> Iterator[Web]:
        for index in support.grounding_chunk_indices or ():
            if 0 <= index < len(self._sources):
                web = self._sources[index].web
                if web is not None and web.uri:
                    yield web


def _part_of(support: Support) -> int:
    return (support.segment.part_index if support.segment else None) or 0


def _place(text: bytes, segment: Segment, before: int) -> tuple[int | None, int | None]:
    """The characters of a segment. Its own words, if it has any, count for more than numbers."""
    start = before + (segment.start_index or 0)
    end = before + (segment.end_index or 0)
    words = (segment.text or "").encode()
    if words and text[start:end] != words:
        start = text.find(words)
        end = start + len(words)
    if not 0 <= start < end <= len(text):
        return None, None
    return _chars(text[:start]), _chars(text[:end])


def _chars(text: bytes) -> int:
    return len(text.decode(errors="ignore"))


class _WrittenSegment(Struct, frozen=True, rename="camel"):
    part_index: int
    start_index: int
    end_index: int
    text: str


class _WrittenWeb(Struct, frozen=True):
    uri: str
    title: str


class _WrittenChunk(Struct, frozen=True):
    web: _WrittenWeb


class _WrittenSupport(Struct, frozen=True, rename="camel"):
    segment: _WrittenSegment
    grounding_chunk_indices: tuple[int]


class WrittenGrounding(Struct, rename="camel"):
    web_search_queries: list[str] | UnsetType = UNSET
    grounding_chunks: list[_WrittenChunk] = msgspec.field(default_factory=list[_WrittenChunk])
    grounding_supports: list[_WrittenSupport] = msgspec.field(default_factory=list[_WrittenSupport])

    @property
    def is_empty(self) -> bool:
        return self.web_search_queries is UNSET and not self.grounding_chunks

    def searched(self, search: Search) -> None:
        self.web_search_queries = [*(self.web_search_queries or ()), *search.queries]
        for each in search.sources:
            self._number_of(each.url, each.title)

    def _number_of(self, url: str, title: str) -> int:
        """The place of a source, told once however often it is found and cited."""
        for number, each in enumerate(self.grounding_chunks):
            known = each.web.title
            if each.web.uri == url and (not title or known in ("", title)):
                self.grounding_chunks[number] = _WrittenChunk(_WrittenWeb(url, title or known))
                return number
        self.grounding_chunks.append(_WrittenChunk(_WrittenWeb(url, title)))
        return len(self.grounding_chunks) - 1

    def cite(self, citation: Citation, text: str, offset: int, part: int) -> None:
        """Add a citation of what stands from `offset` on in the text of part `part`."""
        start, end = (offset + each for each in citation.span(len(text) - offset))
        cited = text[start:end]
        at = len(text[:start].encode())
        segment = _WrittenSegment(part, at, at + len(cited.encode()), cited)
        support = _WrittenSupport(segment, (self._number_of(citation.url, citation.title),))
        self.grounding_supports.append(support)
