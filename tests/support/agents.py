"""Providers with a little memory: they call tools, wait for the results, and think."""

import json
from collections.abc import Sequence
from typing import Any

from support.answers import (
    DONE,
    chat_body,
    chat_delta,
    chat_frames,
    chat_usage_chunk,
    messages_block_frames,
    messages_body,
    messages_error,
    messages_frames,
    tool_use,
)
from support.fake_provider import Chunk, Head, Received, Step, Whole

CITIES = ("Oslo", "Lima")
THOUGHT = {
    "type": "thinking",
    "thinking": "Ask the tool.",
    "signature": "c2lnbmF0dXJlLW9mLXRoaXMtdHVybg==",
}


def _chat_calls(prefix: str = "call") -> list[dict[str, Any]]:
    return [
        {
            "index": index,
            "id": f"{prefix}_{index}",
            "type": "function",
            "function": {"name": "get_weather", "arguments": json.dumps({"city": city})},
        }
        for index, city in enumerate(CITIES)
    ]


def chat_agent(received: Received) -> Sequence[Step]:
    """Asks for the weather of two cities at once; says what the tools said."""
    request = received.json()
    results = [turn["content"] for turn in request["messages"] if turn["role"] == "tool"]
    texts = [text if isinstance(text, str) else text[0]["text"] for text in results]
    stream = request.get("stream")
    if results:
        said = "Reports: " + "; ".join(texts)
        return [Head(), *map(Chunk, chat_frames([said]))] if stream else [Whole(chat_body(said))]
    calls = _chat_calls()
    if not stream:
        turn = {
            "role": "assistant",
            "content": "Let me look.",
            "tool_calls": [{k: v for k, v in call.items() if k != "index"} for call in calls],
        }
        choice = {"index": 0, "message": turn, "finish_reason": "tool_calls"}
        return [Whole(chat_body(choices=[choice]))]
    frames = [chat_delta({"role": "assistant", "content": "Let me look."})]
    for call in calls:
        arguments = call["function"]["arguments"]
        opened = call | {"function": {"name": "get_weather", "arguments": ""}}
        frames.append(chat_delta({"tool_calls": [opened]}))
        frames += [
            chat_delta({"tool_calls": [{"index": call["index"], "function": {"arguments": part}}]})
            for part in (arguments[:5], arguments[5:])
        ]
    frames += [chat_delta({}, "tool_calls"), chat_usage_chunk(), DONE]
    return [Head(), *map(Chunk, frames)]


def _blocks(turn: dict[str, Any]) -> list[dict[str, Any]]:
    content = turn["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _result_text(block: dict[str, Any]) -> str:
    content = block["content"]
    return content if isinstance(content, str) else content[0]["text"]


def messages_agent(received: Received) -> Sequence[Step]:
    """The same for Messages."""
    request = received.json()
    results = [
        _result_text(block)
        for turn in request["messages"]
        for block in _blocks(turn)
        if block["type"] == "tool_result"
    ]
    stream = request.get("stream")
    if results:
        said = "Reports: " + "; ".join(results)
        return (
            [Head(), *map(Chunk, messages_frames([said]))]
            if stream
            else [Whole(messages_body(said))]
        )
    blocks: list[dict[str, Any]] = [
        {"type": "text", "text": "Let me look."},
        *(
            tool_use("get_weather", {"city": city}, f"toolu_{index}")
            for index, city in enumerate(CITIES)
        ),
    ]
    if stream:
        return [Head(), *map(Chunk, messages_block_frames(blocks))]
    return [Whole(messages_body(blocks, "tool_use"))]


def thinking_agent(received: Received) -> Sequence[Step]:
    """Thinks before it calls a tool, and insists on getting the thought back, like Anthropic."""
    request = received.json()
    stream = request.get("stream")
    thinking = (request.get("thinking") or {}).get("type") in ("enabled", "adaptive")
    called = [
        turn
        for turn in request["messages"]
        if turn["role"] == "assistant"
        and any(block["type"] == "tool_use" for block in _blocks(turn))
    ]
    if called:
        first = _blocks(called[-1])[0]
        if thinking and first != THOUGHT:
            return [
                Whole(
                    messages_error(
                        "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`,"
                        f" but found `{first['type']}`.",
                        "invalid_request_error",
                    ),
                    400,
                )
            ]
        said = "It is cold."
        return (
            [Head(), *map(Chunk, messages_frames([said]))]
            if stream
            else [Whole(messages_body(said))]
        )
    blocks = [THOUGHT] if thinking else []
    blocks = [*blocks, tool_use("get_weather", {"city": "Oslo"}, "toolu_think")]
    if stream:
        return [Head(), *map(Chunk, messages_block_frames(blocks))]
    return [Whole(messages_body(blocks, "tool_use"))]
