"""A whole answer as its client reads it, in the terms of the stream grammars, so that both can be
compared."""

import json
from typing import Any

from support.strict_gemini_stream import read_whole_gemini
from support.strict_responses import check_response
from support.strict_streams import Answer, Tool
from support.whole_answers import chat_problems, messages_problems


def answer_in(fmt: str, body: bytes, *, written: bool) -> Answer:
    """`written`: by the gateway, so that it is held to all it promises."""
    if fmt == "gemini":
        return read_whole_gemini(body)
    found = json.loads(body)
    read = {"chat": _chat, "messages": _messages, "responses": _responses}[fmt]
    return read(found, written)


def _chat(found: dict[str, Any], written: bool) -> Answer:
    if written:
        assert chat_problems(found) == []
    [choice] = found["choices"]
    message = choice["message"]
    details = message.get("reasoning_details", ())
    return Answer(
        model=found["model"],
        text=message["content"] or "",
        refusal=message["refusal"] or "",
        reasoning=message.get("reasoning_content", ""),
        states=[each.get("signature") or each["data"] for each in details],
        tools=[_chat_tool(each) for each in message.get("tool_calls", ())],
        reason=choice["finish_reason"],
        usage=found["usage"],
    )


def _chat_tool(call: dict[str, Any]) -> Tool:
    kind = call["type"]
    text = call[kind]["arguments" if kind == "function" else "input"]
    return Tool(call["id"], call[kind]["name"], text, kind=kind)


def _messages(found: dict[str, Any], written: bool) -> Answer:
    if written:
        assert messages_problems(found) == []
    answer = Answer(
        model=found["model"],
        reason=found["stop_reason"],
        stop_sequence=found["stop_sequence"],
        usage=found["usage"],
        blocks=[each["type"] for each in found["content"]],
    )
    for each in found["content"]:
        match each["type"]:
            case "text":
                answer.text += each["text"]
            case "thinking":
                answer.reasoning += each["thinking"]
                answer.states += [each["signature"]] if each["signature"] else []
            case "redacted_thinking":
                answer.states.append(each["data"])
            case _:
                answer.tools.append(Tool(each["id"], each["name"], json.dumps(each["input"])))
    return answer


def _responses(found: dict[str, Any], written: bool) -> Answer:
    if written:
        check_response(found)
    incomplete = found["incomplete_details"]
    answer = Answer(
        model=found["model"],
        reason=incomplete["reason"] if incomplete else found["status"],
        usage=found["usage"],
        blocks=[each["type"] for each in found["output"]],
    )
    for item in found["output"]:
        match item["type"]:
            case "message":
                for part in item["content"]:
                    answer.text += part.get("text", "")
                    answer.refusal += part.get("refusal", "")
            case "reasoning":
                answer.reasoning += "".join(each["text"] for each in item["summary"])
                state = item.get("encrypted_content")
                answer.states += [state] if state else []
            case "custom_tool_call":
                tool = Tool(item["call_id"], item["name"], item["input"], kind="custom")
                answer.tools.append(tool)
            case _:
                answer.tools.append(Tool(item["call_id"], item["name"], item["arguments"]))
    return answer
