"""Whole answers as strict clients judge them, written from the vendors' references; no code of the
package is used."""

from collections.abc import Iterator
from typing import Any

CHAT_REASONS = {"stop", "length", "tool_calls", "content_filter", "function_call"}
CHAT_MESSAGE = {"role", "content", "refusal"}
CHAT_MESSAGE_MAY = {
    "tool_calls",
    "function_call",
    "annotations",
    "reasoning_content",
    "reasoning_details",
}
STOP_REASONS = {
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "pause_turn",
    "refusal",
    "model_context_window_exceeded",
}
BLOCKS = {
    "text": ({"text"}, {"citations"}),
    "thinking": ({"thinking", "signature"}, set[str]()),
    "redacted_thinking": ({"data"}, set[str]()),
    "tool_use": ({"id", "name", "input"}, set[str]()),
    "server_tool_use": ({"id", "name", "input"}, set[str]()),
    "web_search_tool_result": ({"tool_use_id", "content"}, set[str]()),
}
MESSAGES_USAGE = {
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
}


def chat_problems(answer: dict[str, Any]) -> list[str]:
    return list(_chat(answer))


def messages_problems(answer: dict[str, Any]) -> list[str]:
    return list(_messages(answer))


def _chat(answer: dict[str, Any]) -> Iterator[str]:
    if answer.keys() != {"id", "object", "created", "model", "choices", "usage"}:
        yield f"fields: {sorted(answer)}"
    if answer["object"] != "chat.completion" or type(answer["created"]) is not int:
        yield "object or created"
    for index, choice in enumerate(answer["choices"]):
        if choice.keys() != {"index", "message", "finish_reason", "logprobs"}:
            yield f"choice: {sorted(choice)}"
        for each in (choice["logprobs"] or {}).get("content", []):
            if each.keys() != {"token", "logprob", "bytes", "top_logprobs"}:
                yield f"logprobs: {sorted(each)}"
        if choice["index"] != index or choice["finish_reason"] not in CHAT_REASONS:
            yield f"index or finish_reason {choice['finish_reason']!r}"
        yield from _chat_message(choice["message"], choice["finish_reason"])
    usage = answer["usage"]
    counts = [usage[name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")]
    if any(type(each) is not int or each < 0 for each in counts):
        yield "usage: counts"
    elif counts[0] + counts[1] != counts[2]:
        yield "usage: total"
    elif usage["prompt_tokens_details"]["cached_tokens"] > counts[0]:
        yield "usage: cached"
    elif usage["completion_tokens_details"]["reasoning_tokens"] > counts[1]:
        yield "usage: reasoning"


def _chat_message(message: dict[str, Any], reason: str) -> Iterator[str]:
    if not CHAT_MESSAGE <= message.keys() <= CHAT_MESSAGE | CHAT_MESSAGE_MAY:
        yield f"message: {sorted(message)}"
    if message["role"] != "assistant":
        yield "role"
    calls = message.get("tool_calls")
    if calls == []:
        yield "tool_calls: empty"
    if reason == "tool_calls" and not calls:
        yield "tool_calls: finish without calls"
    for call in calls or []:
        if call["type"] == "function":
            if call.keys() - {"extra_content"} != {"id", "type", "function"} or not call["id"]:
                yield "tool_calls: fields"
            if not isinstance(call["function"]["arguments"], str):
                yield "tool_calls: arguments"
    for each in message.get("annotations", []):
        found = each["url_citation"]
        if not 0 <= found["start_index"] <= found["end_index"] <= len(message["content"]):
            yield "annotations: out of range"


def _messages(answer: dict[str, Any]) -> Iterator[str]:
    fields = {"id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"}
    if answer.keys() != fields:
        yield f"fields: {sorted(answer)}"
    if (answer["type"], answer["role"]) != ("message", "assistant"):
        yield "type or role"
    if answer["stop_reason"] not in STOP_REASONS:
        yield f"stop_reason {answer['stop_reason']!r}"
    if (answer["stop_reason"] == "stop_sequence") != (answer["stop_sequence"] is not None):
        yield "stop_sequence"
    if not answer["content"]:
        yield "content: empty"
    for block in answer["content"]:
        must, may = BLOCKS[block["type"]]
        if not must <= block.keys() - {"type"} <= must | may:
            yield f"{block['type']}: {sorted(block)}"
        if block["type"] == "tool_use" and not (
            isinstance(block["input"], dict) and block["id"] and block["name"]
        ):
            yield "tool_use"
    yield from _searches(answer["content"])
    usage = answer["usage"]
    for name in MESSAGES_USAGE:
        if type(usage.get(name)) is not int or usage[name] < 0:
            yield f"usage.{name}"


def _searches(content: list[dict[str, Any]]) -> Iterator[str]:
    calls = [block["id"] for block in content if block["type"] == "server_tool_use"]
    results = [block for block in content if block["type"] == "web_search_tool_result"]
    if calls != [block["tool_use_id"] for block in results] or len(set(calls)) < len(calls):
        yield "searches: a call without its result"
    if not all(each.startswith("srvtoolu_") for each in calls):
        yield "searches: id"
    fields = {"type", "url", "title", "page_age", "encrypted_content"}
    for block in results:
        found = block["content"]
        if isinstance(found, dict):
            if found.keys() != {"type", "error_code"} or not found["error_code"]:
                yield "searches: error"
        elif any(each.keys() != fields or not each["title"] for each in found):
            yield "searches: result"
    for block in content:
        for each in block.get("citations") or []:
            if each.keys() != {"type", "url", "title", "encrypted_index", "cited_text"}:
                yield f"citations: {sorted(each)}"
