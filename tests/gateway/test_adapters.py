"""Adapters of the config at work on real exchanges."""

import json
from typing import Any

import pytest
from support.fake_provider import Chunk, Head, Whole
from support.gateway import StandBuilder, ask_body, events_in

THOUGHT = {"reasoning_content": "Hm."}
SAID = {"content": "Teal."}


def frame(delta: dict[str, Any], reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return b"data: " + json.dumps(chunk | {"choices": [choice]}).encode() + b"\r\n\r\n"


@pytest.mark.provider_breaks_grammar  # some servers do say `reasoning`, OpenAI does not
async def test_a_chat_stream_is_patched_where_the_adapter_says_and_nowhere_else(
    stand_builder: StandBuilder,
) -> None:
    stand_builder.config["providers"]["chatty"]["adapter"] = ["reasoning_content"]
    thought, said, end = frame({"role": "assistant", **THOUGHT}), frame(SAID), frame({}, "stop")
    done = b"data: [DONE]\n\n"
    async with stand_builder.started() as stand:
        stand.chat.enqueue(Head(), Chunk(thought + said[:20]), Chunk(said[20:] + end + done))
        messages = [
            {"role": "user", "content": "?"},
            {"role": "assistant", "content": "!", "reasoning": "earlier"},
            {"role": "user", "content": "And?"},
        ]
        body = ask_body("chat", "chat", stream=True, messages=messages)
        reply = await stand.gateway.ask("chat", body)
    (first,) = events_in(reply.body.partition(b"\n\n")[0] + b"\n\n")
    assert first["choices"][0]["delta"] == {
        "role": "assistant",
        "reasoning_content": "Hm.",
        "reasoning": "Hm.",
    }
    assert reply.body.endswith(said + end + done)
    sent = stand.chat.last.json()["messages"]
    assert sent[1] == {"role": "assistant", "content": "!", "reasoning_content": "earlier"}


async def test_a_whole_chat_answer_is_patched(stand_builder: StandBuilder) -> None:
    stand_builder.config["providers"]["chatty"]["adapter"] = ["reasoning_content"]
    message = {"role": "assistant", **SAID, **THOUGHT}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    async with stand_builder.started() as stand:
        stand.chat.enqueue(Whole({"id": "c", "model": "m", "choices": [choice]}))
        reply = await stand.gateway.ask("chat", ask_body("chat", "chat"))
    assert reply.json()["choices"][0]["message"] == message | {"reasoning": "Hm."}


@pytest.mark.provider_breaks_grammar
@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_of_the_other_shape_is_patched_too(
    stand_builder: StandBuilder, stream: bool
) -> None:
    """A whole one for a client that wanted a stream, and the reverse."""
    stand_builder.config["providers"]["chatty"]["adapter"] = ["reasoning_content"]
    message = {"role": "assistant", **SAID, **THOUGHT}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    thought, said, end = frame({"role": "assistant", **THOUGHT}), frame(SAID), frame({}, "stop")
    async with stand_builder.started() as stand:
        if stream:
            stand.chat.enqueue(Whole({"id": "c", "model": "m", "choices": [choice]}))
        else:
            stand.chat.enqueue(Head(), Chunk(thought + said + end + b"data: [DONE]\n\n"))
        reply = await stand.gateway.ask("chat", ask_body("chat", "chat", stream=stream))
    if stream:
        parts = [each["choices"][0]["delta"] for each in events_in(reply.body) if "choices" in each]
    else:
        parts = [reply.json()["choices"][0]["message"]]
    for name in ("reasoning", "reasoning_content"):
        assert "".join(part.get(name) or "" for part in parts) == "Hm."
    assert "".join(part.get("content") or "" for part in parts) == "Teal."


async def test_translated_payloads_are_patched_too_and_extra_fields_with_them(
    stand_builder: StandBuilder,
) -> None:
    provider = stand_builder.config["providers"]["chatty"]
    provider["extraBody"] = {"reasoning": {"effort": "high"}}
    rule = {
        "source": "reasoning.effort",
        "rewrites": [{"target": "thinking.level", "value": {"from": "source"}}],
        "strip": ["reasoning"],
    }
    provider["adapter"] = [{"name": "reasoning_rewrite", "options": {"rules": [rule]}}]
    override = {"model": "up-chat", "rewriteTo": "up-deep", "conditions": [{"field": "thinking"}]}
    provider["models"]["up-chat"]["adapter"] = [
        {"name": "model_override", "options": {"rules": [override]}}
    ]
    async with stand_builder.started() as stand:
        reply = await stand.gateway.ask("messages", ask_body("messages", "chat"))
        row = await stand.gateway.row()
    assert reply.json()["content"][0]["text"] == "Teal is a colour."
    sent = stand.chat.last.json()
    assert (sent["model"], sent["thinking"]) == ("up-deep", {"level": "high"})
    assert "reasoning" not in sent
    assert row["model"] == "up-chat"
