"""The Chat Completions API's own view of a request: everything it would answer with a 400.

Written from the vendor's rules (chat-completions.md §2-5 of the design notes) and sharing no code
with the package. `problems(body)` lists what is wrong.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

FIELDS = {
    "model", "messages", "stream", "stream_options", "max_completion_tokens", "max_tokens",
    "temperature", "top_p", "stop", "tools", "tool_choice", "parallel_tool_calls",
    "response_format", "reasoning_effort", "verbosity", "service_tier", "user",
    "prompt_cache_key", "seed", "n", "presence_penalty", "frequency_penalty",
    "web_search_options",
    "logprobs", "top_logprobs",
}  # fmt: skip
MESSAGE_FIELDS = {
    "system": {"role", "content"},
    "user": {"role", "content"},
    "assistant": {"role", "content", "tool_calls"},
    "tool": {"role", "content", "tool_call_id"},
}
PARTS = {
    "system": {"text"},
    "user": {"text", "image_url", "input_audio", "file"},
    "assistant": {"text", "refusal"},
    "tool": {"text"},
}
EFFORTS = {"none", "minimal", "low", "medium", "high", "xhigh", "max"}
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


REASONING = {"reasoning_content", "reasoning_details"}


def problems(body: dict[str, Any], *, reasons: bool = False) -> list[str]:
    """`reasons`: the server wants to read again what its model thought, as some vendors' do."""
    return list(_problems(body, reasons))


def _problems(body: dict[str, Any], reasons: bool) -> Iterator[str]:
    for name in body.keys() - FIELDS:
        yield f"Unrecognized request argument: {name}"
    if "max_tokens" in body and "max_completion_tokens" in body:
        yield "max_tokens and max_completion_tokens exclude each other"
    if "top_logprobs" in body and body.get("logprobs") is not True:
        yield "top_logprobs: needs logprobs"
    if not 0 <= body.get("top_logprobs", 0) <= 20:
        yield "top_logprobs: must be between 0 and 20"
    if len(body.get("stop", [])) > 4:
        yield "stop: at most 4"
    if not 0 <= body.get("temperature", 0) <= 2:
        yield "temperature: must be between 0 and 2"
    if "stream_options" in body and not body.get("stream"):
        yield "stream_options: only with stream"
    if body.get("reasoning_effort", "low") not in EFFORTS:
        yield "reasoning_effort: unknown"
    for name in ("user", "prompt_cache_key"):
        if len(body.get(name, "")) > 64:
            yield f"{name}: string too long"
    tools = body.get("tools")
    yield from _tools(tools)
    if not tools and body.keys() & {"tool_choice", "parallel_tool_calls"}:
        yield "tool_choice, parallel_tool_calls: only with tools"
    if "web_search_options" in body:
        yield from _search(body["web_search_options"], body["model"])
    yield from _format(body.get("response_format"))
    yield from _messages(body.get("messages", []), reasons)


def _tools(tools: list[dict[str, Any]] | None) -> Iterator[str]:
    if tools == []:
        yield "tools: empty array"
    for tool in tools or []:
        if tool["type"] != "function":
            yield f"tools.type: {tool['type']} is not known everywhere"
            continue
        function = tool["function"]
        if function.keys() - {"name", "description", "parameters", "strict"}:
            yield "tools.function: unknown field"
        if not NAME.fullmatch(function["name"]):
            yield f"tools.function.name: bad pattern {function['name']!r}"
        if function.get("strict"):
            yield from _strict(function["parameters"])


def _search(options: dict[str, Any], model: str) -> Iterator[str]:
    if not re.search(r"-search\b|sonar", model):
        yield "web_search_options: not supported with this model"
    if options.keys() - {"search_context_size", "user_location"}:
        yield "web_search_options: unknown field"
    if options.get("search_context_size", "low") not in ("low", "medium", "high"):
        yield "web_search_options.search_context_size: unknown"
    if location := options.get("user_location"):
        if location.keys() != {"type", "approximate"} or location["type"] != "approximate":
            yield "web_search_options.user_location: approximate, nested"
        elif location["approximate"].keys() - {"city", "country", "region", "timezone"}:
            yield "web_search_options.user_location.approximate: unknown field"


def _strict(schema: dict[str, Any]) -> Iterator[str]:
    properties = schema.get("properties", {})
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        yield "strict schema: additionalProperties must be false"
    if set(properties) - set(schema.get("required", [])):
        yield "strict schema: every property must be required"
    for child in properties.values():
        yield from _strict(child)


def _format(wanted: dict[str, Any] | None) -> Iterator[str]:
    if wanted and wanted["type"] == "json_schema":
        if not NAME.fullmatch(wanted["json_schema"]["name"]):
            yield "response_format.json_schema.name: bad pattern"
        if wanted["json_schema"].get("strict"):
            yield from _strict(wanted["json_schema"]["schema"])


def _messages(messages: list[dict[str, Any]], reasons: bool) -> Iterator[str]:
    if not messages:
        yield "messages: empty array"
    waiting: list[str] = []
    for index, message in enumerate(messages):
        role = message["role"]
        for problem in _message(message, reasons):
            yield f"messages[{index}]: {problem}"
        if role == "tool":
            if message.get("tool_call_id") not in waiting:
                yield f"messages[{index}]: tool message without a preceding call"
            else:
                waiting.remove(message["tool_call_id"])
        elif waiting:
            yield f"messages[{index}]: tool_call_ids without response: {waiting}"
            waiting = []
        if role == "assistant":
            waiting = [call["id"] for call in message.get("tool_calls", [])]
            if len(set(waiting)) < len(waiting):
                yield f"messages[{index}]: duplicate tool call ids"
    if waiting:
        yield f"tool_call_ids without response: {waiting}"


def _message(message: dict[str, Any], reasons: bool) -> Iterator[str]:
    role, content = message["role"], message.get("content")
    if role not in MESSAGE_FIELDS:
        yield f"unknown role {role}"
        return
    known = MESSAGE_FIELDS[role] | (REASONING if reasons and role == "assistant" else set())
    if message.keys() - known:
        yield f"unknown fields {sorted(message.keys() - known)}"
    calls = message.get("tool_calls")
    if content is None and not (role == "assistant" and calls):
        yield "content: required"
    if calls == []:
        yield "tool_calls: empty array"
    if isinstance(content, list):
        if not content:
            yield "content: empty array"
        for part in content:
            if part["type"] not in PARTS[role]:
                yield f"content: {part['type']} is not allowed for {role}"
            if part["type"] == "image_url":
                url = part["image_url"]["url"]
                if not url.startswith(("https://", "http://", "data:image/")):
                    yield "image_url.url: invalid"
    for call in calls or []:
        if not 1 <= len(call["id"]) <= 64:
            yield "tool_calls.id: length"
        if not NAME.fullmatch(call["function"]["name"]):
            yield f"tool_calls.function.name: bad pattern {call['function']['name']!r}"
        try:
            json.loads(call["function"]["arguments"])
        except ValueError:
            yield "tool_calls.function.arguments: not JSON"
