"""The Messages API's own view of a request: everything it would answer with a 400.

Written from the vendor's rules (messages.md §2-5 of the design notes) and sharing no code with the
package. `problems(body)` lists what is wrong; an empty list is a request the API would take.
"""

import re
from collections.abc import Iterator
from typing import Any

FIELDS = {
    "model", "max_tokens", "messages", "system", "stream", "stop_sequences", "temperature",
    "top_p", "top_k", "tools", "tool_choice", "thinking", "output_config", "metadata",
    "service_tier", "speed", "cache_control",
}  # fmt: skip
IMAGE_TYPES = {"image/jpeg", "image/png", "image/gif", "image/webp"}
MAGIC = {"image/png": "iVBOR", "image/jpeg": "/9j/", "image/gif": "R0lGOD", "image/webp": "UklGR"}
BLOCK_FIELDS = {
    "text": {"text", "cache_control", "citations"},
    "image": {"source", "cache_control"},
    "document": {"source", "title", "context", "citations", "cache_control"},
    "tool_use": {"id", "name", "input", "cache_control"},
    "tool_result": {"tool_use_id", "content", "is_error", "cache_control"},
    "thinking": {"thinking", "signature"},
    "redacted_thinking": {"data"},
    "server_tool_use": {"id", "name", "input", "cache_control"},
    "web_search_tool_result": {"tool_use_id", "content", "cache_control"},
}
SEARCH_TOOL = {
    "type", "name", "max_uses", "allowed_domains", "blocked_domains", "user_location",
    "cache_control",
}  # fmt: skip
SEARCH_TYPES = {"web_search_20250305", "web_search_20260209", "web_search_20260318"}
LOCATION = {"type", "city", "region", "country", "timezone"}
ROLE_BLOCKS = {
    "user": {"text", "image", "document", "tool_result"},
    "assistant": {
        "text",
        "tool_use",
        "thinking",
        "redacted_thinking",
        "document",
        "server_tool_use",
        "web_search_tool_result",
    },
}
RESULT_BLOCKS = {"text", "image", "document"}
NO_SAMPLING = "2026-10-21"


def problems(
    body: dict[str, Any],
    *,
    version: str = "2023-06-01",
    newest: bool = True,
    signatures: frozenset[str] = frozenset(),
) -> list[str]:
    """`newest`: the model takes adaptive thinking only, no sampling and no prefill.

    `signatures`: those the API has issued, and what it has encrypted; any other is forged.
    """
    return list(_problems(body, version, newest, signatures))


def _problems(
    body: dict[str, Any], version: str, newest: bool, signatures: frozenset[str]
) -> Iterator[str]:
    for name in body.keys() - FIELDS:
        yield f"{name}: Extra inputs are not permitted"
    for name in ("model", "max_tokens", "messages"):
        if name not in body:
            yield f"{name}: Field required"
            return
    if not (isinstance(body["max_tokens"], int) and body["max_tokens"] >= 1):
        yield "max_tokens: must be an integer of at least 1"
    for name in ("temperature", "top_p", "top_k"):
        if name in body and (newest or version >= NO_SAMPLING):
            yield f"{name}: not supported"
    if not 0 <= body.get("temperature", 0) <= 1:
        yield "temperature: must be between 0 and 1"
    for stop in body.get("stop_sequences", []):
        if not stop.strip():
            yield "stop_sequences: each must contain non-whitespace"
    if body.get("service_tier", "auto") not in ("auto", "standard_only"):
        yield "service_tier: unknown"
    if body.get("metadata", {}).keys() - {"user_id"}:
        yield "metadata: Extra inputs are not permitted"
    yield from _system(body)
    yield from _tools(body)
    yield from _thinking(body, newest)
    yield from _messages(body, version, newest, signatures)
    yield from _markers(body)


def _system(body: dict[str, Any]) -> Iterator[str]:
    system = body.get("system", [])
    texts = [system] if isinstance(system, str) else [block["text"] for block in system]
    if "system" in body and not texts:
        yield "system: empty"
    for text in texts:
        if not text.strip():
            yield "system: text content blocks must be non-empty"


def _tools(body: dict[str, Any]) -> Iterator[str]:
    tools = body.get("tools", [])
    if "tools" in body and not tools:
        yield "tools: empty"
    names = [tool["name"] for tool in tools]
    if len(set(names)) < len(names):
        yield "tools: Tool names must be unique"
    for tool in tools:
        if tool.get("type") in SEARCH_TYPES:
            yield from _search_tool(tool)
            continue
        allowed = {"name", "description", "input_schema", "strict", "cache_control", "type"}
        if tool.keys() - allowed:
            yield "tools: Extra inputs are not permitted"
        if not re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", tool["name"]):
            yield f"tools.name: bad pattern {tool['name']!r}"
        schema = tool.get("input_schema")
        if not isinstance(schema, dict) or schema.get("type") != "object":
            yield "tools.input_schema.type: must be object"
        elif schema.keys() & {"anyOf", "oneOf", "allOf"}:
            yield "tools.input_schema: no unions at the top level"
        elif tool.get("strict"):
            yield from _enforceable(schema)
    choice = body.get("tool_choice")
    if choice is None:
        return
    if not tools:
        yield "tool_choice: only with tools"
    if choice["type"] not in ("auto", "any", "tool", "none"):
        yield "tool_choice.type: unknown"
    if choice["type"] == "tool" and choice.get("name") not in names:
        yield "tool_choice.name: no such tool"
    allowed = {"type", "name"} if choice["type"] == "tool" else {"type"}
    if choice["type"] != "none":
        allowed.add("disable_parallel_tool_use")
    if choice.keys() - allowed:
        yield "tool_choice: Extra inputs are not permitted"


def _search_tool(tool: dict[str, Any]) -> Iterator[str]:
    if tool.keys() - SEARCH_TOOL:
        yield "tools.web_search: Extra inputs are not permitted"
    if tool["name"] != "web_search":
        yield "tools.web_search.name: must be web_search"
    if tool.get("allowed_domains") and tool.get("blocked_domains"):
        yield "tools.web_search: allowed_domains and blocked_domains exclude each other"
    for name in ("allowed_domains", "blocked_domains"):
        if name in tool and not (tool[name] and all("://" not in each for each in tool[name])):
            yield f"tools.web_search.{name}: domains without scheme"
    if not (type(tool.get("max_uses", 1)) is int and tool.get("max_uses", 1) > 0):
        yield "tools.web_search.max_uses: must be greater than 0"
    location = tool.get("user_location", {"type": "approximate"})
    if location.get("type") != "approximate" or location.keys() - LOCATION:
        yield "tools.web_search.user_location"


def _enforceable(schema: dict[str, Any]) -> Iterator[str]:
    limits = {"minimum", "maximum", "minLength", "maxLength", "multipleOf", "maxItems"}
    if schema.keys() & limits:
        yield "schema: unsupported constraint"
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        yield "schema: objects need additionalProperties false"
    children = list(schema.get("properties", {}).values())
    children += [schema["items"]] if "items" in schema else []
    children += schema.get("anyOf", []) + list(schema.get("$defs", {}).values())
    for child in children:
        if isinstance(child, dict):
            yield from _enforceable(child)


def _thinking(body: dict[str, Any], newest: bool) -> Iterator[str]:
    thinking = body.get("thinking", {"type": "disabled"})
    config = body.get("output_config", {})
    if "output_config" in body and not config:
        yield "output_config: empty"
    if not newest and config:
        yield "output_config: not supported by this model"
    if config.get("effort", "low") not in ("low", "medium", "high", "xhigh", "max"):
        yield "output_config.effort: unknown"
    if output := config.get("format"):
        if output["type"] != "json_schema":
            yield "output_config.format.type: unknown"
        yield from _enforceable(output["schema"])
    if thinking["type"] == "enabled":
        budget = thinking.get("budget_tokens", 0)
        if newest:
            yield "thinking.type: enabled is not supported by this model"
        if not 1024 <= budget < body["max_tokens"]:
            yield "thinking.budget_tokens: must be at least 1024 and less than max_tokens"
        if body.get("temperature", 1) != 1 or "top_k" in body:
            yield "temperature, top_k: not with thinking"
        if not 0.95 <= body.get("top_p", 1) <= 1:
            yield "top_p: not with thinking"
    elif thinking["type"] == "adaptive":
        if not newest:
            yield "thinking.type: adaptive is not supported by this model"
    elif thinking["type"] != "disabled":
        yield "thinking.type: unknown"
    if (
        thinking["type"] in ("enabled", "adaptive")
        and body.get("tool_choice", {}).get("type") in ("any", "tool")
    ):  # fmt: skip
        yield "Thinking may not be enabled when tool_choice forces tool use"


def _messages(
    body: dict[str, Any], version: str, newest: bool, signatures: frozenset[str]
) -> Iterator[str]:
    messages = body["messages"]
    if not messages:
        yield "messages: at least one message is required"
        return
    if messages[0]["role"] != "user":
        yield "messages: first message must use the user role"
    merged: list[tuple[str, list[dict[str, Any]]]] = []
    for index, message in enumerate(messages):
        if message.keys() != {"role", "content"}:
            yield f"messages.{index}: Extra inputs are not permitted"
        if message["role"] not in ROLE_BLOCKS:
            yield f"messages.{index}.role: unknown"
            return
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if not blocks:
            yield f"messages.{index}: content must not be empty"
        for block in blocks:
            for problem in _block(block, ROLE_BLOCKS[message["role"]], version, signatures):
                yield f"messages.{index}: {problem}"
        if merged and merged[-1][0] == message["role"]:
            merged[-1][1].extend(blocks)
        else:
            merged.append((message["role"], list(blocks)))
    yield from _pairs(merged)
    yield from _loop(merged, body)
    role, blocks = merged[-1]
    if role == "assistant":
        if newest or body.get("thinking", {}).get("type") in ("enabled", "adaptive"):
            yield "messages: prefill is not supported"
        if blocks and blocks[-1].get("text", "x") != blocks[-1].get("text", "x").rstrip():
            yield "messages: final assistant content cannot end with trailing whitespace"


def _block(
    block: dict[str, Any], allowed: set[str], version: str, signatures: frozenset[str]
) -> Iterator[str]:
    kind = block.get("type")
    if kind not in allowed:
        yield f"block type {kind} is not allowed here"
        return
    for name in block.keys() - BLOCK_FIELDS[kind] - {"type"}:
        yield f"{kind}.{name}: Extra inputs are not permitted"
    if kind == "text":
        if not block["text"].strip():
            yield "text content blocks must contain non-whitespace text"
        if block.get("citations") and version >= NO_SAMPLING:
            yield "text.citations: not permitted"
        for each in block.get("citations") or []:
            is_search = each["type"] == "web_search_result_location"
            if is_search and each["encrypted_index"] not in signatures:
                yield "text.citations.encrypted_index: invalid"
    elif kind == "server_tool_use":
        if not re.fullmatch(r"srvtoolu_[a-zA-Z0-9_]+", block["id"]):
            yield f"server_tool_use.id: bad pattern {block['id']!r}"
        if not isinstance(block["input"], dict):
            yield "server_tool_use.input: must be an object"
    elif kind == "web_search_tool_result":
        content = block["content"]
        for each in content if isinstance(content, list) else []:
            if each["encrypted_content"] not in signatures:
                yield "web_search_result.encrypted_content: invalid"
    elif kind in ("image", "document"):
        yield from _source(kind, block["source"])
    elif kind == "tool_use":
        if not re.fullmatch(r"[a-zA-Z0-9_-]+", block["id"]):
            yield f"tool_use.id: bad pattern {block['id']!r}"
        if not re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", block["name"]):
            yield f"tool_use.name: bad pattern {block['name']!r}"
        if not isinstance(block["input"], dict):
            yield "tool_use.input: must be an object"
    elif kind == "tool_result":
        content = block.get("content", [])
        for inner in [] if isinstance(content, str) else content:
            yield from _block(inner, RESULT_BLOCKS, version, signatures)
    elif kind == "thinking":
        if not block["signature"] or block["signature"] not in signatures:
            yield "Invalid signature in thinking block"
    elif kind == "redacted_thinking" and block["data"] not in signatures:
        yield "Invalid data in redacted_thinking block"


def _source(kind: str, source: dict[str, Any]) -> Iterator[str]:
    match source["type"]:
        case "base64" if kind == "image":
            if source["media_type"] not in IMAGE_TYPES:
                yield f"source.media_type: {source['media_type']!r} is unknown"
            elif not source["data"].startswith(MAGIC[source["media_type"]]):
                yield "source.data: is not of the media type given"
        case "base64":
            if source["media_type"] != "application/pdf":
                yield "source.media_type: must be application/pdf"
        case "url":
            if not source["url"].startswith(("http://", "https://")):
                yield "source.url: must be an http URL"
        case "text" if kind == "document":
            if source["media_type"] != "text/plain" or not source["data"]:
                yield "source: must be non-empty plain text"
        case other:
            yield f"source.type: {other!r} is unknown"


def _pairs(turns: list[tuple[str, list[dict[str, Any]]]]) -> Iterator[str]:
    seen: set[str] = set()
    for index, (role, blocks) in enumerate(turns):
        results = [each["tool_use_id"] for each in blocks if each["type"] == "tool_result"]
        kinds = [each["type"] for each in blocks]
        if results and kinds[: len(results)] != ["tool_result"] * len(results):
            yield f"messages.{index}: tool_result blocks must come first"
        calls = (
            [each["id"] for each in turns[index - 1][1] if each["type"] == "tool_use"]
            if index
            else []
        )
        if role == "user" and sorted(results) != sorted(calls):
            yield f"messages.{index}: tool_use ids {calls} and tool_results {results} must match"
        own = [each["id"] for each in blocks if each["type"] in ("tool_use", "server_tool_use")]
        searches = [each["id"] for each in blocks if each["type"] == "server_tool_use"]
        found = [e["tool_use_id"] for e in blocks if e["type"] == "web_search_tool_result"]
        if sorted(searches) != sorted(found):
            yield f"messages.{index}: web_search tool use {searches} and results {found} must match"
        if seen & set(own) or len(set(own)) < len(own):
            yield f"messages.{index}: tool_use ids must be unique"
        seen |= set(own)
        if set(own) - set(searches) and index == len(turns) - 1:
            yield f"messages.{index}: tool_use ids were found without tool_result blocks"


def _loop(turns: list[tuple[str, list[dict[str, Any]]]], body: dict[str, Any]) -> Iterator[str]:
    """A model that thinks by budget wants the thinking of the running tool loop."""
    if body.get("thinking", {}).get("type") != "enabled":
        return
    first = None
    for index in range(len(turns) - 1, 0, -2):
        role, blocks = turns[index]
        if role != "user" or all(each["type"] != "tool_result" for each in blocks):
            break
        first = turns[index - 1][1]
    if first and first[0]["type"] not in ("thinking", "redacted_thinking"):
        yield "messages: expected thinking, but found another block first"


def _markers(body: dict[str, Any]) -> Iterator[str]:
    system = body.get("system", [])
    pieces = list(body.get("tools", [])) + ([] if isinstance(system, str) else list(system))
    for message in body["messages"]:
        if not isinstance(message["content"], str):
            for block in message["content"]:
                pieces.append(block)
                if isinstance(block.get("content"), list):
                    pieces += block["content"]
    markers = [each["cache_control"] for each in pieces if "cache_control" in each]
    if len(markers) > 4:
        yield "cache_control: a maximum of 4 blocks"
    lifetimes = [marker.get("ttl", "5m") for marker in markers]
    for marker in markers:
        if marker["type"] != "ephemeral" or marker.get("ttl", "5m") not in ("5m", "1h"):
            yield "cache_control: unknown"
    if lifetimes != sorted(lifetimes, key=lambda ttl: ttl != "1h"):
        yield "cache_control: a 1h marker must not come after a 5m marker"
