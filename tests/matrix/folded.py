"""A stream as its client keeps it in the history: the whole answer it stands for.

Only what a client sends back is kept; that the stream is a legal one, its strict grammar sees to.
"""

import json
from typing import Any

from support.strict_streams import records

Json = dict[str, Any]


def whole_of(fmt: str, stream: bytes) -> Json:
    events = [json.loads(data) for _, data in records(stream) if data != "[DONE]"]
    fold = {"chat": _chat, "messages": _messages, "responses": _responses, "gemini": _gemini}
    return fold[fmt](events)


def _chat(chunks: list[Json]) -> Json:
    message: Json = {"role": "assistant", "content": "", "tool_calls": []}
    for delta in (chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]):
        for name, value in delta.items():
            if name in ("content", "reasoning_content"):
                message[name] = (message.get(name) or "") + (value or "")
            elif name == "reasoning_details":
                message[name] = [*message.get(name, ()), *value]
        for call in delta.get("tool_calls", ()):
            if call["index"] == len(message["tool_calls"]):
                message["tool_calls"].append(
                    {"id": call["id"], "type": "function", "function": dict(call["function"])}
                )
            else:
                function = message["tool_calls"][call["index"]]["function"]
                function["arguments"] += call["function"]["arguments"]
    return {"choices": [{"message": {**message, "content": message["content"] or None}}]}


def _messages(events: list[Json]) -> Json:
    blocks: list[Json] = []
    inputs: dict[int, str] = {}
    for event in events:
        match event["type"]:
            case "content_block_start":
                blocks.append(dict(event["content_block"]))
            case "content_block_delta":
                delta, index = event["delta"], event["index"]
                [name] = delta.keys() - {"type"}
                if name == "partial_json":
                    inputs[index] = inputs.get(index, "") + delta[name]
                else:
                    blocks[index][name] += delta[name]
    for index, text in inputs.items():
        blocks[index]["input"] = json.loads(text or "{}")
    return {"content": blocks}


def _responses(events: list[Json]) -> Json:
    return events[-1]["response"]


def _gemini(chunks: list[Json]) -> Json:
    parts: list[Json] = []
    for part in (part for each in chunks for part in each["candidates"][0]["content"]["parts"]):
        last = parts[-1] if parts else {}
        joins = part.keys() - {"thoughtSignature"} == last.keys() and "text" in part
        if joins:
            last |= {**part, "text": last["text"] + part["text"]}
        elif part != {"text": ""}:
            parts.append(dict(part))
    return {"candidates": [{"content": {"role": "model", "parts": parts}}]}
