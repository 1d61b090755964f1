"""The Responses API's own view of a request: everything it would answer with a 400.

Written from the vendor's rules (responses.md §2-5 of the design notes) and sharing no code with the
package. `problems(body)` lists what is wrong.
"""

import re
from collections.abc import Iterator
from typing import Any

FIELDS = {
    "model", "input", "instructions", "stream", "store", "include", "max_output_tokens",
    "temperature", "top_p", "tools", "tool_choice", "parallel_tool_calls", "text", "reasoning",
    "top_logprobs", "metadata", "service_tier", "user", "prompt_cache_key", "max_tool_calls",
}  # fmt: skip
PARTS = {
    "user": {"input_text", "input_image", "input_file", "input_audio"},
    "developer": {"input_text"},
    "system": {"input_text"},
    "assistant": {"output_text", "refusal"},
}
PART_FIELDS = {
    "input_text": {"text"},
    "output_text": {"text", "annotations", "logprobs"},
    "refusal": {"refusal"},
    "input_image": {"image_url", "detail"},
    "input_file": {"filename", "file_data", "file_url"},
    "input_audio": {"input_audio"},
}
ITEM_FIELDS = {
    "message": {"role", "content"},
    "function_call": {"call_id", "name", "arguments"},
    "function_call_output": {"call_id", "output"},
    "custom_tool_call": {"call_id", "name", "input"},
    "custom_tool_call_output": {"call_id", "output"},
    "reasoning": {"id", "summary", "encrypted_content"},
    "web_search_call": {"id", "status", "action"},
}
INCLUDE = {"reasoning.encrypted_content", "web_search_call.action.sources"}
SEARCH_TOOL = {"type", "filters", "search_context_size", "user_location", "external_web_access"}
LOCATION = {"type", "city", "country", "region", "timezone"}
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def problems(body: dict[str, Any]) -> list[str]:
    return list(_problems(body))


def _problems(body: dict[str, Any]) -> Iterator[str]:
    for name in body.keys() - FIELDS:
        yield f"Unknown parameter: {name}"
    if body.get("store") is not False:
        yield "store: nothing may be stored"
    if body.get("max_output_tokens", 16) < 16:
        yield "max_output_tokens: at least 16"
    if body.get("instructions") == "":
        yield "instructions: empty"
    if not set(body.get("include", [])) <= INCLUDE:
        yield "include: unknown value"
    yield from _tools(body)
    text = body.get("text", {})
    if text.keys() - {"format", "verbosity"}:
        yield "text: unknown field"
    if "format" in text:
        yield from _format(text["format"])
    if body.get("reasoning", {"effort": "low"}).keys() - {"effort", "summary"}:
        yield "reasoning: unknown field"
    if body.get("reasoning") == {}:
        yield "reasoning: empty"
    yield from _items(body.get("input"))


def _tools(body: dict[str, Any]) -> Iterator[str]:
    tools = body.get("tools")
    if tools == []:
        yield "tools: empty array"
    if not tools and body.keys() & {"tool_choice", "parallel_tool_calls"}:
        yield "tool_choice, parallel_tool_calls: only with tools"
    for tool in tools or []:
        if tool["type"] == "web_search":
            yield from _search_tool(tool)
            continue
        if not NAME.fullmatch(tool.get("name", "")):
            yield f"tools.name: {tool.get('name')!r}"
        if tool["type"] == "function":
            if tool.keys() - {"type", "name", "description", "parameters", "strict"}:
                yield "tools: unknown field (P96)"
            if "strict" not in tool:
                yield "tools.strict: the server would guess (P98)"
        elif tool["type"] != "custom":
            yield f"tools.type: {tool['type']}"
    if "max_tool_calls" in body and all("name" in tool for tool in tools or []):
        yield "max_tool_calls: of built-in tools only"
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        hosted = choice["type"] == "web_search"
        if choice.keys() != ({"type"} if hosted else {"type", "name"}):
            yield "tool_choice: fields"
        if hosted and all(tool["type"] != "web_search" for tool in tools or []):
            yield "tool_choice: no such tool"


def _search_tool(tool: dict[str, Any]) -> Iterator[str]:
    if tool.keys() - SEARCH_TOOL:
        yield "tools.web_search: unknown field"
    filters = tool.get("filters", {"allowed_domains": ["a"]})
    if filters.keys() != {"allowed_domains"} or not filters["allowed_domains"]:
        yield "tools.web_search.filters: allowed_domains and nothing else"
    if tool.get("search_context_size", "low") not in ("low", "medium", "high"):
        yield "tools.web_search.search_context_size: unknown"
    location = tool.get("user_location", {"type": "approximate"})
    if location.get("type") != "approximate" or location.keys() - LOCATION:
        yield "tools.web_search.user_location"


def _format(form: dict[str, Any]) -> Iterator[str]:
    if form["type"] == "json_schema":
        if not NAME.fullmatch(form.get("name", "")):
            yield "text.format.name"
        if "schema" not in form or "json_schema" in form:
            yield "text.format.schema"


def _items(items: Any) -> Iterator[str]:
    if isinstance(items, str) and items:
        return
    if not isinstance(items, list) or not items:
        yield "input: empty"
        return
    waiting: dict[str, str] = {}
    for index, item in enumerate(items):
        kind = item.get("type", "message")
        at = f"input[{index}]"
        if kind not in ITEM_FIELDS:
            yield f"{at}: unknown type {kind}"
            continue
        if item.keys() - {"type"} - ITEM_FIELDS[kind]:
            yield f"{at}: {sorted(item)}"
        if kind == "message":
            yield from _message(item, at)
        elif kind == "reasoning":
            if index + 1 == len(items) or items[index + 1]["type"] not in (
                "message", "function_call", "custom_tool_call", "reasoning", "web_search_call",
            ):  # fmt: skip
                yield f"{at}: reasoning without its following item (P99)"
            if not item.get("encrypted_content"):
                yield f"{at}: id-only reasoning is not found (P99)"
        elif kind == "web_search_call":
            if not item["id"].startswith("ws_") or not item["action"].get("type"):
                yield f"{at}: id and action of a search"
        elif kind.endswith("_output"):
            if waiting.pop(item["call_id"], None) != kind.removesuffix("_output"):
                yield f"{at}: No tool call found for output"
            yield from _content(item["output"], "user", at)
        else:
            if not 1 <= len(item["call_id"]) <= 64:
                yield f"{at}: call_id (P103)"
            if not NAME.fullmatch(item["name"]):
                yield f"{at}: name"
            if item["call_id"] in waiting:
                yield f"{at}: call_id repeats"
            waiting[item["call_id"]] = kind
    for call_id in waiting:
        yield f"No tool output found for {call_id}"


def _message(item: dict[str, Any], at: str) -> Iterator[str]:
    if item["role"] not in PARTS:
        yield f"{at}: role {item['role']}"
    elif item["content"] in ("", []):
        yield f"{at}: empty content"
    else:
        yield from _content(item["content"], item["role"], at)


def _content(content: Any, role: str, at: str) -> Iterator[str]:
    for part in content if isinstance(content, list) else []:
        if part["type"] not in PARTS[role]:
            yield f"{at}: {part['type']} under {role} (P97)"
        elif part.keys() - {"type"} - PART_FIELDS[part["type"]]:
            yield f"{at}: {sorted(part)}"
        for each in part.get("annotations", []):
            if each.keys() != {"type", "start_index", "end_index", "url", "title"}:
                yield f"{at}: annotation {sorted(each)}"
            elif not 0 <= each["start_index"] <= each["end_index"] <= len(part["text"]):
                yield f"{at}: annotation outside of the text"
        if part["type"] == "input_image" and not isinstance(part["image_url"], str):
            yield f"{at}: image_url is a plain string"
