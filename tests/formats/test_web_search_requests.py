"""The web search a client asks for, as providers of every other format are asked for it."""

import json
from typing import Any

import pytest
from support.requests import MODELS, asked, crossing, read

from plexus_proxy.errors import BadRequest
from plexus_proxy.formats.conversation import Location, WebSearch
from plexus_proxy.formats.registry import FORMATS

PLACE = {"city": "Bern", "region": "BE", "country": "CH", "timezone": "Europe/Zurich"}
SEARCHES: dict[str, dict[str, Any]] = {
    "chat": {
        "web_search_options": {
            "search_context_size": "high",
            "user_location": {"type": "approximate", "approximate": PLACE},
        }
    },
    "messages": {
        "tools": [
            {
                "type": "web_search_20250305",
                "name": "web_search",
                "max_uses": 3,
                "blocked_domains": ["spam.com"],
                "user_location": {"type": "approximate", **PLACE},
            }
        ]
    },
    "responses": {
        "max_tool_calls": 3,
        "tools": [
            {
                "type": "web_search",
                "filters": {"allowed_domains": ["a.org", "b.org"]},
                "search_context_size": "low",
                "user_location": {"type": "approximate", **PLACE},
            }
        ],
    },
    "gemini": {"tools": [{"google_search": {"exclude_domains": ["spam.com"]}}]},
}
FUNCTIONS: dict[str, dict[str, Any]] = {
    "chat": {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}},
    "messages": {"name": "f", "input_schema": {"type": "object"}},
    "responses": {"type": "function", "name": "f", "parameters": {"type": "object"}},
    "gemini": {"functionDeclarations": [{"name": "f"}]},
}
PAIRS = [(client, provider) for client in MODELS for provider in MODELS if client != provider]


def with_function(client: str) -> dict[str, Any]:
    fields = SEARCHES[client]
    return fields | {"tools": [*fields.get("tools", ()), FUNCTIONS[client]]}


def searches_of(provider: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    """What of the body asks for a search."""
    if provider == "chat":
        return [body["web_search_options"]] if "web_search_options" in body else []
    tools = body.get("tools", [])
    if provider == "gemini":
        return [each["googleSearch"] for each in tools if "googleSearch" in each]
    return [each for each in tools if each.get("type", "").startswith("web_search")]


LOCATED = {"type": "approximate", **PLACE}
BASIC = {"type": "web_search_20250305", "name": "web_search"}
HOSTED = {"type": "web_search"}
EXPECTED: dict[tuple[str, str], tuple[dict[str, Any], list[str]]] = {
    ("chat", "messages"): (
        BASIC | {"user_location": LOCATED},
        ["web_search_options.search_context_size"],
    ),
    ("chat", "responses"): (HOSTED | {"search_context_size": "high", "user_location": LOCATED}, []),
    ("chat", "gemini"): (
        {},
        ["web_search_options.user_location", "web_search_options.search_context_size"],
    ),
    ("messages", "chat"): (
        {"user_location": {"type": "approximate", "approximate": PLACE}},
        ["tools.blocked_domains", "tools.max_uses"],
    ),
    ("messages", "responses"): (HOSTED | {"user_location": LOCATED}, ["tools.blocked_domains"]),
    ("messages", "gemini"): (
        {},
        ["tools.blocked_domains", "tools.user_location", "tools.max_uses"],
    ),
    ("responses", "chat"): (
        {
            "search_context_size": "low",
            "user_location": {"type": "approximate", "approximate": PLACE},
        },
        ["tools.filters.allowed_domains", "max_tool_calls"],
    ),
    ("responses", "messages"): (
        BASIC | {"max_uses": 3, "allowed_domains": ["a.org", "b.org"], "user_location": LOCATED},
        ["tools.search_context_size"],
    ),
    ("responses", "gemini"): (
        {},
        [
            "tools.filters.allowed_domains",
            "tools.user_location",
            "max_tool_calls",
            "tools.search_context_size",
        ],
    ),
    ("gemini", "chat"): ({}, ["tools.googleSearch.excludeDomains"]),
    ("gemini", "messages"): (BASIC | {"blocked_domains": ["spam.com"]}, []),
    ("gemini", "responses"): (HOSTED, ["tools.googleSearch.excludeDomains"]),
}


@pytest.mark.parametrize(("client", "provider"), PAIRS)
def test_a_search_reaches_the_provider_with_what_its_format_can_say(
    client: str, provider: str
) -> None:
    over = crossing(provider)
    body = asked(client, provider, over, **SEARCHES[client])
    expected, lost = EXPECTED[client, provider]
    assert searches_of(provider, body) == [expected]
    assert over.dropped == lost
    assert over.searches


@pytest.mark.parametrize(("client", "provider"), PAIRS)
def test_a_search_stands_beside_functions(client: str, provider: str) -> None:
    body = asked(client, provider, **with_function(client))
    assert len(searches_of(provider, body)) == 1
    assert '"f"' in json.dumps(body["tools"])
    if provider == "gemini":
        assert body["toolConfig"] == {"includeServerSideToolInvocations": True}
    if provider == "responses":
        assert "web_search_call.action.sources" in body["include"]


def test_the_options_mean_the_same_in_every_format() -> None:
    place = Location("Bern", "BE", "CH", "Europe/Zurich")
    searches = {client: read(client, **fields).tools[0] for client, fields in SEARCHES.items()}
    found = {
        client: (each.allowed_domains, each.blocked_domains, each.location, each.max_uses)
        for client, each in searches.items()
        if isinstance(each, WebSearch)
    }
    assert found == {
        "chat": ((), (), place, None),
        "messages": ((), ("spam.com",), place, 3),
        "responses": (("a.org", "b.org"), (), place, 3),
        "gemini": ((), ("spam.com",), None, None),
    }


@pytest.mark.parametrize(
    "kind", ["web_search", "web_search_2025_08_26", "web_search_preview_2025_03_11"]
)
def test_every_date_of_a_hosted_search_is_a_search(kind: str) -> None:
    body = asked("responses", "messages", tools=[{"type": kind, "search_context_size": "medium"}])
    assert body["tools"] == [BASIC]


@pytest.mark.parametrize("kind", ["web_search_20250305", "web_search_20260318"])
def test_every_date_of_a_typed_search_is_a_search(kind: str) -> None:
    over = crossing("responses")
    tool = {"type": kind, "name": "web_search", "allowed_callers": ["direct"]}
    assert asked("messages", "responses", over, tools=[tool])["tools"] == [HOSTED]
    assert over.dropped == ["tools.allowed_callers"]


def test_the_older_google_search_is_a_search() -> None:
    over = crossing("messages")
    told = {"dynamicRetrievalConfig": {"mode": "MODE_DYNAMIC"}}
    body = asked("gemini", "messages", over, tools=[{"googleSearchRetrieval": told}])
    assert body["tools"] == [BASIC]
    assert over.dropped == ["tools.googleSearchRetrieval.dynamicRetrievalConfig"]


FORCED: dict[str, dict[str, Any]] = {
    "messages": {"tool_choice": {"type": "tool", "name": "web_search"}},
    "responses": {"tool_choice": {"type": "web_search_preview"}},
}


def test_a_search_is_forced_where_it_can_be() -> None:
    body = asked("messages", "responses", **SEARCHES["messages"] | FORCED["messages"])
    assert body["tool_choice"] == {"type": "web_search"}
    assert body["max_tool_calls"] == 3
    body = asked("responses", "messages", **SEARCHES["responses"] | FORCED["responses"])
    assert body["tool_choice"] == {"type": "tool", "name": "web_search"}


@pytest.mark.parametrize("provider", ["chat", "gemini"])
@pytest.mark.parametrize("client", FORCED)
@pytest.mark.parametrize("beside", [False, True], ids=["alone", "with-function"])
def test_a_search_that_cannot_be_forced_is_offered(
    client: str, provider: str, beside: bool
) -> None:
    over = crossing(provider)
    fields = with_function(client) if beside else SEARCHES[client]
    body = asked(client, provider, over, **fields | FORCED[client])
    assert len(searches_of(provider, body)) == 1
    assert body.get("tool_choice") == ("auto" if beside and provider == "chat" else None)
    assert "functionCallingConfig" not in body.get("toolConfig", {})
    assert "tool_choice" in over.dropped


WITHOUT: list[tuple[str, str]] = [
    ("chat", "llama-3.3-70b"),
    ("chat", "gpt-5.1"),
    ("chat", "o3-deep-research"),
    ("messages", "claude-3-opus-20240229"),
    ("messages", "glm-4.7"),
    ("gemini", "gemma-3-27b-it"),
    ("gemini", "gemini-1.5-pro"),
]


@pytest.mark.parametrize(("provider", "model"), WITHOUT)
def test_p111_where_nothing_searches_the_search_is_dropped_or_refused(
    provider: str, model: str
) -> None:
    client = "responses"
    over = crossing(provider, model)
    body = json.loads(FORMATS[provider].write_request(read(client, **with_function(client)), over))
    assert searches_of(provider, body) == []
    assert "web_search" not in json.dumps(body)
    assert over.dropped == ["tools"]
    assert not over.searches
    for fields in (SEARCHES[client], with_function(client) | FORCED[client]):
        with pytest.raises(BadRequest, match=r"'web_search' \(web_search\)") as refused:
            FORMATS[provider].write_request(read(client, **fields), crossing(provider, model))
        assert refused.value.param == "tools"


@pytest.mark.parametrize("model", ["gpt-4o-search-preview", "sonar-pro", "x-ai/grok-4:online"])
def test_models_that_search_are_told_by_their_names(model: str) -> None:
    over = crossing("chat", model)
    body = json.loads(FORMATS["chat"].write_request(read("gemini", **SEARCHES["gemini"]), over))
    assert body["web_search_options"] == {}


def test_older_gemini_models_take_a_search_without_functions_only() -> None:
    over = crossing("gemini", "gemini-2.5-flash")
    body = asked("messages", "gemini", over, **SEARCHES["messages"])
    assert body["tools"] == [{"googleSearch": {}}]
    over = crossing("gemini", "gemini-2.5-flash")
    body = asked("messages", "gemini", over, **with_function("messages"))
    assert [tool.keys() for tool in body["tools"]] == [{"functionDeclarations"}]
    assert over.dropped == ["tools"]


def test_a_function_of_the_same_name_comes_before_the_search() -> None:
    """Names are unique at Messages providers."""
    function = {"type": "function", "name": "web_search", "parameters": {"type": "object"}}
    over = crossing("messages")
    body = asked("responses", "messages", over, tools=[HOSTED, function])
    assert [tool["name"] for tool in body["tools"]] == ["web_search"]
    assert "input_schema" in body["tools"][0]
    assert over.dropped == ["tools"]


@pytest.mark.parametrize("provider", ["messages", "gemini", "chat"])
def test_a_search_that_is_not_allowed_is_not_offered(provider: str) -> None:
    choice = {
        "type": "allowed_tools",
        "mode": "auto",
        "tools": [{"type": "function", "name": "f"}],
    }
    body = asked("responses", provider, **with_function("responses") | {"tool_choice": choice})
    assert searches_of(provider, body) == []


def test_only_the_search_is_allowed() -> None:
    choice = {"type": "allowed_tools", "mode": "required", "tools": [HOSTED]}
    fields = with_function("responses") | {"tool_choice": choice}
    body = asked("responses", "messages", **fields)
    assert body["tool_choice"] == {"type": "tool", "name": "web_search"}


@pytest.mark.parametrize("provider", ["chat", "gemini"])
def test_a_search_without_a_switch_is_left_out_when_no_tool_may_be_used(provider: str) -> None:
    fields = SEARCHES["messages"] | {"tool_choice": {"type": "none"}}
    assert searches_of(provider, asked("messages", provider, **fields)) == []
    assert asked("messages", "responses", **fields)["tool_choice"] == "none"


def test_contradicting_domains_are_refused() -> None:
    tool = BASIC | {"allowed_domains": ["a.org"], "blocked_domains": ["b.org"]}
    with pytest.raises(BadRequest, match="exclude each other"):
        read("messages", tools=[tool])


def test_a_limit_of_hosted_calls_without_a_search_is_lost() -> None:
    fields = {"max_tool_calls": 2, "tools": [FUNCTIONS["responses"]]}
    assert list(read("responses", **fields).extra) == ["max_tool_calls"]


def test_a_search_beside_calls_of_the_history_needs_no_other_tools() -> None:
    """Messages refuses calls in the history if there are no tools at all."""
    call = {"id": "t", "type": "function", "function": {"name": "g", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "t", "content": "ok"},
    ]
    body = asked("chat", "messages", messages=messages, web_search_options={})
    assert body["tools"] == [BASIC]
    assert "tool_choice" not in body
