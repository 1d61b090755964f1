"""Searches and citations of answers, from every provider format to every client format."""

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.golden import ROOT, crossing, translated
from support.strict_gemini_stream import read_gemini, read_whole_gemini
from support.strict_responses import check_response, read_responses
from support.strict_streams import Answer, read_chat, read_messages
from support.whole_answers import chat_problems, messages_problems

from plexus_proxy.formats.events import (
    BlockEnd,
    BlockStart,
    Citation,
    CitationDelta,
    Event,
    Finish,
    Search,
    Searched,
    Source,
    Start,
    TextDelta,
)
from plexus_proxy.formats.messages.searches import split
from plexus_proxy.formats.registry import FORMATS

METEO, NEWS = "https://meteo.example/zurich", "https://news.example/rain"
TEXT = "In Zürich it rains. Tomorrow 🌧 stays!"
JUDGES: dict[str, Any] = {
    "chat": read_chat,
    "messages": read_messages,
    "responses": read_responses,
    "gemini": read_gemini,
}
PAIRS = [(provider, client) for provider in FORMATS for client in FORMATS if provider != client]
QUERIES = {
    "chat": [],
    "messages": ["weather Zürich", "forecast Zürich tomorrow"],
    "responses": ["weather Zürich", "weather Zürich today"],
    "gemini": ["weather Zürich", "forecast Zürich tomorrow"],
}
CITED = {
    "chat": {("it rains", METEO), ("🌧 stays", NEWS)},
    "messages": {("it rains", METEO), ("🌧 stays", NEWS), ("🌧 stays", METEO)},
    "responses": {("it rains", METEO), ("🌧 stays", NEWS)},
    "gemini": {("it rains", METEO), ("🌧 stays", NEWS), ("🌧 stays", METEO)},
}


def streamed(provider: str, client: str, **changed: Any) -> Answer:
    stream = (ROOT / provider / "web-search" / "upstream.sse").read_bytes()
    out, relay = translated(FORMATS[provider], FORMATS[client], [stream], **changed)
    assert relay.fault is None
    return JUDGES[client](out)


def cited_texts(client: str, answer: Answer) -> set[tuple[str, str]]:
    """(what a client would underline, address); of Messages see `Answer.cited`."""
    match client:
        case "chat" | "responses":
            text = answer.text
            if client == "responses":  # offsets are of the part
                return {("", each["url"]) for each in answer.citations}
            return {(text[e["start_index"] : e["end_index"]], e["url"]) for e in answer.citations}
        case "gemini":
            return {(each["text"], each["uri"]) for each in answer.citations}
        case _:
            return set(answer.cited)


@pytest.mark.parametrize(("provider", "client"), PAIRS)
def test_a_stream_with_searches_reaches_every_client(provider: str, client: str) -> None:
    answer = streamed(provider, client)
    before = "I will look it up." if provider == "messages" else ""
    assert answer.text == before + TEXT
    assert {url for _, url in cited_texts(client, answer)} == {METEO, NEWS}
    if client == "chat" or provider == "chat":
        assert answer.searches == []
    else:
        joined = "; ".join(answer.searches)
        assert joined.split("; ") == QUERIES[provider]
        assert set(answer.sources) == {METEO, NEWS}
    if client in ("chat", "gemini"):
        assert cited_texts(client, answer) == CITED[provider]


@pytest.mark.parametrize("provider", ["chat", "responses", "gemini"])
def test_a_messages_client_that_asked_is_told_of_one_search(provider: str) -> None:
    """Chat tells of what was cited only, so there the search is told after the text."""
    answer = streamed(provider, "messages", searches=True)
    assert answer.usage is not None
    assert answer.usage["server_tool_use"]["web_search_requests"] == 1
    assert answer.sources == [METEO, NEWS]
    assert answer.searches == ["; ".join(QUERIES[provider])]
    last = answer.blocks[-2:]
    assert (last == ["server_tool_use", "web_search_tool_result"]) == (provider != "responses")


def test_a_messages_client_that_did_not_ask_is_told_of_no_search_by_citations() -> None:
    answer = streamed("chat", "messages")
    assert answer.blocks == ["text"]
    assert answer.usage is not None
    assert "server_tool_use" not in answer.usage


def test_text_goes_on_in_a_new_block_after_a_citation() -> None:
    answer = streamed("responses", "messages")
    assert answer.cited == [("In Zürich it rains", METEO), (". Tomorrow 🌧 stays", NEWS)]
    assert answer.blocks[2:] == ["text"] * 3


# Whole answers


def whole(provider: str, client: str, answer: dict[str, Any], **changed: Any) -> Any:
    over = crossing(**changed)
    events = FORMATS[provider].read_response(json.dumps(answer).encode(), over)
    out = FORMATS[client].write_response(events, over)
    body = json.loads(out)
    match client:
        case "chat":
            assert chat_problems(body) == []
        case "messages":
            assert messages_problems(body) == []
        case "responses":
            check_response(body)
        case _:
            read_whole_gemini(out)
    return body


RESULT = {"type": "web_search_result", "url": METEO, "title": "M", "encrypted_content": "sealed"}


def message(*content: dict[str, Any], **changed: Any) -> dict[str, Any]:
    usage = {"input_tokens": 1, "output_tokens": 2}
    told = {"id": "m", "model": "c", "content": content, "stop_reason": "end_turn", "usage": usage}
    return told | changed


def call(query: Any, tool_id: str = "srvtoolu_1") -> dict[str, Any]:
    return {"type": "server_tool_use", "id": tool_id, "name": "web_search", "input": query}


def result(content: Any, tool_id: str = "srvtoolu_1") -> dict[str, Any]:
    return {"type": "web_search_tool_result", "tool_use_id": tool_id, "content": content}


def test_a_whole_search_of_messages_becomes_an_item() -> None:
    answer = message(
        call({"query": "q"}),
        result([{"url": NEWS, "type": "web_search_result"}, RESULT]),
        {"type": "text", "text": "It rains."},
    )
    search, said = whole("messages", "responses", answer)["output"]
    assert search["action"] == {
        "type": "search",
        "query": "q",
        "queries": ["q"],
        "sources": [{"type": "url", "url": NEWS}, {"type": "url", "url": METEO}],
    }
    assert search["status"] == "completed"
    assert said["content"][0]["text"] == "It rains."
    found = whole("messages", "gemini", answer)["candidates"][0]["groundingMetadata"]
    assert found["webSearchQueries"] == ["q"]
    assert [each["web"]["uri"] for each in found["groundingChunks"]] == [NEWS, METEO]
    assert whole("messages", "chat", answer)["choices"][0]["message"]["content"] == "It rains."


@pytest.mark.parametrize(
    ("content", "status"),
    [
        ({"type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"}, "failed"),
        ([], "completed"),
        ("?", "completed"),
    ],
    ids=["error", "nothing-found", "of-another-shape"],
)
def test_a_search_that_found_nothing(content: Any, status: str) -> None:
    answer = message(call({"query": "q"}), result(content), {"type": "text", "text": "Sorry."})
    search = whole("messages", "responses", answer)["output"][0]
    assert search["status"] == status
    assert "sources" not in search["action"]


def test_searches_are_told_apart_by_their_ids() -> None:
    answer = message(
        call({"query": "one"}, "srvtoolu_1"),
        call({"query": "two"}, "srvtoolu_2"),
        result([], "srvtoolu_2"),
        result([], "srvtoolu_1"),
        result([], "srvtoolu_9"),
        {"type": "text", "text": "x"},
    )
    items = whole("messages", "responses", answer)["output"][:-1]
    assert [each["action"].get("queries") for each in items] == [["two"], ["one"], None]


@pytest.mark.parametrize("client", ["chat", "responses", "gemini"])
def test_a_paused_turn_ends_for_clients_that_cannot_go_on_with_it(client: str) -> None:
    """pause_turn: the search that has not ended yet is not told."""
    paused = message(
        {"type": "text", "text": "Let me look."}, call({"query": "q"}), stop_reason="pause_turn"
    )
    body = whole("messages", client, paused)
    match client:
        case "chat":
            assert body["choices"][0]["finish_reason"] == "stop"
        case "responses":
            assert body["status"] == "completed"
            assert [each["type"] for each in body["output"]] == ["message"]
        case _:
            assert body["candidates"][0]["finishReason"] == "STOP"
            assert "groundingMetadata" not in body["candidates"][0]


def response(*output: dict[str, Any]) -> dict[str, Any]:
    return {"id": "r", "model": "g", "status": "completed", "output": output}


def said(text: str, *annotations: dict[str, Any]) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": annotations}
    return {"type": "message", "id": "msg_1", "content": [part]}


@pytest.mark.parametrize(
    ("item", "queries", "sources"),
    [
        ({"action": {"type": "search", "query": "q"}}, "q", []),
        (
            {"action": {"type": "search", "queries": ["a", "b"], "sources": [{"url": NEWS}, {}]}},
            "a; b",
            [NEWS],
        ),
        ({}, "", []),
        ({"status": "failed", "action": {"type": "search", "query": "q"}}, "q", None),
    ],
    ids=["query", "queries", "before-actions", "failed"],
)
def test_a_whole_search_of_responses_becomes_two_blocks(
    item: dict[str, Any], queries: str, sources: list[str] | None
) -> None:
    answer = response({"type": "web_search_call", "id": "ws_1", **item}, said("x"))
    body = whole("responses", "messages", answer)
    use, found, text = body["content"]
    assert (use["name"], use["input"]) == ("web_search", {"query": queries})
    assert text == {"type": "text", "text": "x"}
    if sources is None:
        assert found["content"] == {
            "type": "web_search_tool_result_error",
            "error_code": "unavailable",
        }
    else:
        assert [(each["url"], each["encrypted_content"]) for each in found["content"]] == [
            (each, "") for each in sources
        ]
    assert body["usage"]["server_tool_use"] == {"web_search_requests": 1, "web_fetch_requests": 0}


@pytest.mark.parametrize("kind", ["open_page", "find_in_page"])
def test_pages_that_are_opened_are_no_searches(kind: str) -> None:
    item = {"type": "web_search_call", "id": "ws_1", "action": {"type": kind, "url": NEWS}}
    body = whole("responses", "messages", response(item, said("x")))
    assert [each["type"] for each in body["content"]] == ["text"]


def annotated(start: Any, end: Any, url: str = METEO) -> dict[str, Any]:
    return {"type": "url_citation", "start_index": start, "end_index": end, "url": url}


def test_a_whole_text_is_cut_where_something_is_cited() -> None:
    answer = response(said(TEXT, annotated(10, 18), annotated(29, 36, NEWS), annotated(29, 36)))
    content = whole("responses", "messages", answer)["content"]
    assert [each["text"] for each in content] == [
        "In Zürich ",
        "it rains",
        ". Tomorrow ",
        "🌧 stays",
        "!",
    ]
    assert [[e["url"] for e in block.get("citations", ())] for block in content] == [
        [],
        [METEO],
        [],
        [NEWS, METEO],
        [],
    ]


@pytest.mark.parametrize("client", ["chat", "responses", "gemini", "messages"])
@pytest.mark.parametrize(
    ("start", "end"), [(0, 99), (50, 60), (7, 3), (-4, 2), (None, None), (3, None)]
)
def test_a_citation_that_is_counted_wrongly_stays_within_its_text(
    client: str, start: int | None, end: int | None
) -> None:
    provider = "responses" if client != "responses" else "chat"
    if provider == "responses":
        answer = response(said("It rains.", annotated(start, end)))
    else:
        cited = {"type": "url_citation", "url_citation": annotated(start, end)}
        told = {"role": "assistant", "content": "It rains.", "annotations": [cited]}
        answer = {"id": "c", "choices": [{"message": told, "finish_reason": "stop"}]}
    assert METEO in json.dumps(whole(provider, client, answer))  # the judge looks at the numbers


def test_what_is_cited_without_a_search_becomes_one_for_who_asked() -> None:
    answer = response(said("It rains.", annotated(0, 8), annotated(0, 8, NEWS), annotated(3, 8)))
    quiet = whole("responses", "messages", answer)
    assert {each["type"] for each in quiet["content"]} == {"text"}
    body = whole("responses", "messages", answer, searches=True)
    use, found = body["content"][-2:]
    assert use["input"] == {"query": ""}
    assert [each["url"] for each in found["content"]] == [METEO, NEWS]
    assert body["usage"]["server_tool_use"]["web_search_requests"] == 1


def test_gemini_searches_are_one_with_all_queries_and_sources() -> None:
    metadata = {
        "webSearchQueries": ["a", "b"],
        "groundingChunks": [
            {"web": {"uri": METEO, "title": "M"}},
            {"retrievedContext": {}},
            {"web": {"uri": METEO, "title": "M"}},
        ],
    }
    candidate = {
        "content": {"role": "model", "parts": [{"text": "x"}]},
        "finishReason": "STOP",
        "groundingMetadata": metadata,
    }
    body = whole("gemini", "responses", {"candidates": [candidate]})
    assert body["output"][1]["action"] == {
        "type": "search",
        "query": "a; b",
        "queries": ["a", "b"],
        "sources": [{"type": "url", "url": METEO}],
    }


def test_sources_without_a_search_are_no_search() -> None:
    metadata = {"groundingChunks": [{"web": {"uri": METEO, "title": "M"}}]}
    candidate = {
        "content": {"role": "model", "parts": [{"text": "x"}]},
        "finishReason": "STOP",
        "groundingMetadata": metadata,
    }
    body = whole("gemini", "responses", {"candidates": [candidate]})
    assert [each["type"] for each in body["output"]] == ["message"]


def events(*blocks: Sequence[Event]) -> list[Event]:
    told = [event for block in blocks for event in block]
    return [Start("id", "model"), *told, Finish("stop")]


def test_a_citation_before_its_text_is_not_lost() -> None:
    """Anthropic sends them first."""
    cited = CitationDelta(0, Citation(METEO, "M"))
    block = [BlockStart(0, "text"), cited, TextDelta(0, "It "), TextDelta(0, "rains")]
    writer = FORMATS["responses"].writer(crossing())
    out = b"".join(map(writer.feed, events([*block, BlockEnd(0)])))
    (found,) = read_responses(out).citations
    assert (found["start_index"], found["end_index"], found["url"]) == (0, 8, METEO)


def test_a_source_is_told_once_to_gemini_clients() -> None:
    search = Search(("q",), (Source(METEO), Source(NEWS, "N")))
    told = events(
        [BlockStart(0, "search"), Searched(0, search), BlockEnd(0)],
        [
            BlockStart(1, "text"),
            TextDelta(1, "rain"),
            CitationDelta(1, Citation(METEO, "M", start=0, end=4)),
            BlockEnd(1),
        ],
    )
    body = json.loads(FORMATS["gemini"].write_response(told, crossing()))
    found = body["candidates"][0]["groundingMetadata"]
    assert [each["web"] for each in found["groundingChunks"]] == [
        {"uri": METEO, "title": "M"},
        {"uri": NEWS, "title": "N"},
    ]
    assert found["groundingSupports"][0]["groundingChunkIndices"] == [0]


PLACES = st.none() | st.integers(-2, 14)


@given(st.text("ab \n", min_size=1, max_size=12), st.lists(st.tuples(PLACES, PLACES), max_size=4))
def test_pieces_are_the_text_with_every_citation_and_none_is_blank(
    text: str, places: list[tuple[int | None, int | None]]
) -> None:
    citations = [
        Citation(f"https://{number}", start=start, end=end)
        for number, (start, end) in enumerate(places)
    ]
    pieces = split(text, citations)
    assert "".join(piece for piece, _ in pieces) == text
    assert sorted(e.url for _, each in pieces for e in each) == sorted(e.url for e in citations)
    assert all(piece.strip() for piece, _ in pieces) or len(pieces) == 1
    assert len(pieces) <= 1 + 2 * len(citations)
    ends = {0}
    for piece, _ in pieces:
        ends.add(max(ends) + len(piece))
    assert all(a < b for a, b in pairwise(sorted(ends)))
