"""Clients that send back an answer with searches and citations: to providers of other formats."""

import json
from typing import Any

import pytest
from support.requests import asked, crossing

from plexus_proxy.formats.registry import FORMATS

URL = {"url": "https://a.org", "title": "A"}
QUESTION: dict[str, Any] = {"role": "user", "content": "hi"}
CITED = {
    "type": "web_search_result_location",
    "encrypted_index": "sealed",
    "cited_text": "x",
    **URL,
}
FROM_MESSAGES: list[dict[str, Any]] = [
    {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}},
    {
        "type": "web_search_tool_result",
        "tool_use_id": "srvtoolu_1",
        "content": [{"type": "web_search_result", "encrypted_content": "sealed", **URL}],
    },
    {"type": "text", "text": "It "},
    {"type": "text", "text": "rains", "citations": [CITED]},
]
SEARCHED = {
    "type": "web_search_call",
    "id": "ws_1",
    "status": "completed",
    "action": {
        "type": "search",
        "query": "q",
        "sources": [{"type": "url", "url": "https://a.org"}],
    },
}
ANNOTATION = {"type": "url_citation", "start_index": 3, "end_index": 8, **URL}
FROM_RESPONSES: list[dict[str, Any]] = [
    SEARCHED,
    {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": "It rains", "annotations": [ANNOTATION]}],
    },
]
FROM_CHAT: dict[str, Any] = {
    "role": "assistant",
    "content": "It rains",
    "annotations": [
        {"type": "url_citation", "url_citation": {"start_index": 3, "end_index": 8, **URL}}
    ],
}
HISTORIES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "messages": (
        {"messages": [QUESTION, {"role": "assistant", "content": FROM_MESSAGES}, QUESTION]},
        ["messages.content.citations", "messages.content"],
    ),
    "responses": (
        {"input": [QUESTION, *FROM_RESPONSES, QUESTION]},
        ["input.content.annotations", "input"],
    ),
    "chat": ({"messages": [QUESTION, FROM_CHAT, QUESTION]}, ["messages.annotations"]),
}


def said(provider: str, body: dict[str, Any]) -> str:
    """The text of the assistant's turn, whatever else is in it."""
    match provider:
        case "chat":
            return body["messages"][1]["content"]
        case "messages":
            content = body["messages"][1]["content"]
            return content if isinstance(content, str) else "".join(e["text"] for e in content)
        case "gemini":
            return "".join(part["text"] for part in body["contents"][1]["parts"])
        case _:
            assert [item["type"] for item in body["input"]] == ["message"] * 3
            return "".join(part["text"] for part in body["input"][1]["content"])


PAIRS = [
    (client, provider)
    for client in HISTORIES
    for provider in ("chat", "messages", "responses", "gemini")
    if client != provider  # else the body is sent on as it is: see test_splice.py
]


@pytest.mark.parametrize(("client", "provider"), PAIRS)
def test_the_text_is_kept_and_what_belongs_to_the_searcher_is_not(
    client: str, provider: str
) -> None:
    history, lost = HISTORIES[client]
    over = crossing(provider)
    body = asked(client, provider, over, **history)
    assert said(provider, body) == "It rains"
    assert "sealed" not in json.dumps(body)
    if provider == "responses":  # citations can be said there
        lost = [each for each in lost if each.endswith("content") and each != "input.content"]
    assert sorted(over.dropped) == sorted(lost)


@pytest.mark.parametrize("client", ["messages", "chat"])
def test_citations_go_back_to_where_they_can_be_said(client: str) -> None:
    body = asked(client, "responses", **HISTORIES[client][0])
    *_, cited = body["input"][1]["content"]
    start, end = (0, 5) if client == "messages" else (3, 8)
    assert cited["annotations"] == [ANNOTATION | {"start_index": start, "end_index": end}]
    assert cited["text"][start:end] == "rains"


def test_a_turn_of_searches_alone_leaves_no_empty_turn() -> None:
    """As a paused turn is sent back."""
    paused = {"role": "assistant", "content": FROM_MESSAGES[:2]}
    body = asked("messages", "chat", messages=[QUESTION, paused, QUESTION])
    assert [each["role"] for each in body["messages"]] == ["user"]


def test_citations_beside_several_parts_of_a_message_are_lost() -> None:
    parts = [{"type": "text", "text": "It "}, {"type": "text", "text": "rains"}]
    over = crossing("responses")
    message = FROM_CHAT | {"content": parts}
    body = asked("chat", "responses", over, messages=[QUESTION, message, QUESTION])
    assert all("annotations" not in part for part in body["input"][1]["content"])
    assert over.dropped == ["messages.annotations"]


@pytest.mark.parametrize(
    "annotations", [None, [], [{"type": "file_citation"}]], ids=["null", "none", "other"]
)
def test_annotations_that_say_nothing_are_no_loss(annotations: Any) -> None:
    over = crossing("messages")
    message = FROM_CHAT | {"annotations": annotations}
    asked("chat", "messages", over, messages=[QUESTION, message, QUESTION])
    assert over.dropped == []


def test_files_cited_by_a_responses_provider_are_named() -> None:
    file = {"type": "file_citation", "file_id": "file_1", "index": 0, "filename": "a.pdf"}
    part = {"type": "output_text", "text": "It rains", "annotations": [file]}
    items = [QUESTION, {"type": "message", "role": "assistant", "content": [part]}, QUESTION]
    over = crossing("messages")
    asked("responses", "messages", over, input=items)
    assert over.dropped == ["input.content.annotations"]


def test_what_we_write_for_a_messages_client_comes_back_legal() -> None:
    """An answer with searches of a Responses provider, sent back to that one."""
    response = {
        "id": "resp_1",
        "model": "m",
        "status": "completed",
        "output": [
            SEARCHED,
            {
                "type": "message",
                "content": [
                    {"type": "output_text", "text": "It rains.", "annotations": [ANNOTATION]}
                ],
            },
        ],
    }
    over = crossing("responses")
    events = FORMATS["responses"].read_response(json.dumps(response).encode(), over)
    answer = json.loads(FORMATS["messages"].write_response(events, over))
    turn = {"role": "assistant", "content": answer["content"]}
    body = asked("messages", "responses", messages=[QUESTION, turn, QUESTION])
    assert said("responses", body) == "It rains."
