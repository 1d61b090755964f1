"""A provider's request, read back into the question it asks; written from the protocol sheets."""

import base64
import json
from collections.abc import Iterator
from typing import Any

from support.strict_gemini import camel

from matrix.cases import Call, Text
from matrix.questions import Paper, Picture, Piece, Question, Result, Role, turns_of

Said = Iterator[tuple[Role, Piece]]


def question_in(fmt: str, body: dict[str, Any]) -> Question:
    read = {"chat": _chat, "messages": _messages, "responses": _responses, "gemini": _gemini}
    return read[fmt](body)


def _schema(schema: Any) -> str:
    return json.dumps(schema) if schema else ""


def _from_data_url(url: str) -> tuple[str, bytes]:
    kind, _, data = url.removeprefix("data:").partition(";base64,")
    return kind, base64.b64decode(data)


def _called(id: str, name: str, arguments: str) -> Call:
    return Call(id, name, json.loads(arguments))


class _Calls:
    """By id, so that a result can name its call."""

    def __init__(self) -> None:
        self._known: dict[str, Call] = {}

    def note(self, call: Call) -> Call:
        self._known[call.id] = call
        return call

    def result(self, call_id: str, text: str) -> Result:
        return Result(self._known[call_id], text)


# Chat Completions


def _chat(body: dict[str, Any]) -> Question:
    wanted = (body.get("response_format") or {}).get("json_schema") or {}
    choice = body.get("tool_choice")
    first, *rest = body["messages"]
    is_system = first["role"] == "system"
    return Question(
        turns=turns_of(_chat_said(rest if is_system else body["messages"])),
        system=first["content"] if is_system else "",
        tools=tuple(each["function"]["name"] for each in body.get("tools", ())),
        forced=choice["function"]["name"] if isinstance(choice, dict) else "",
        schema=_schema(wanted.get("schema")),
        stop=tuple(body.get("stop", ())),
        limit=body.get("max_tokens") or body["max_completion_tokens"],
    )


def _chat_said(messages: list[dict[str, Any]]) -> Said:
    calls = _Calls()
    for message in messages:
        content = message["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
        if message["role"] == "tool":
            yield "user", calls.result(message["tool_call_id"], "".join(p["text"] for p in parts))
            continue
        role: Role = "model" if message["role"] == "assistant" else "user"
        for part in parts:
            match part["type"]:
                case "text":
                    yield role, Text(part["text"])
                case "image_url":
                    yield role, Picture(*_from_data_url(part["image_url"]["url"]))
                case "file":
                    kind, data = _from_data_url(part["file"]["file_data"])
                    assert kind == "application/pdf"
                    yield role, Paper(part["file"].get("filename", ""), data)
                case kind:
                    raise AssertionError(kind)
        for call in message.get("tool_calls", ()):
            function = call["function"]
            yield role, calls.note(_called(call["id"], function["name"], function["arguments"]))


# Messages


def _messages(body: dict[str, Any]) -> Question:
    wanted = body.get("output_config", {}).get("format", {})
    system = body.get("system", "")
    return Question(
        turns=turns_of(_messages_said(body["messages"])),
        system=system if isinstance(system, str) else "\n\n".join(each["text"] for each in system),
        tools=tuple(each["name"] for each in body.get("tools", ())),
        forced=body.get("tool_choice", {}).get("name", ""),
        schema=_schema(wanted.get("schema")),
        stop=tuple(body.get("stop_sequences", ())),
        limit=body["max_tokens"],
    )


def _text_of(content: Any) -> str:
    return content if isinstance(content, str) else "".join(each["text"] for each in content)


def _messages_said(messages: list[dict[str, Any]]) -> Said:
    calls = _Calls()
    for message in messages:
        role: Role = "model" if message["role"] == "assistant" else "user"
        content = message["content"]
        for block in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            source = block.get("source", {})
            match block["type"]:
                case "text":
                    yield role, Text(block["text"])
                case "image":
                    yield role, Picture(source["media_type"], base64.b64decode(source["data"]))
                case "document":
                    assert source["media_type"] == "application/pdf"
                    yield role, Paper(block.get("title", ""), base64.b64decode(source["data"]))
                case "tool_use":
                    yield role, calls.note(Call(block["id"], block["name"], block["input"]))
                case "tool_result":
                    yield role, calls.result(block["tool_use_id"], _text_of(block["content"]))
                case kind:
                    raise AssertionError(kind)


# Responses


def _responses(body: dict[str, Any]) -> Question:
    choice = body.get("tool_choice")
    return Question(
        turns=turns_of(_responses_said(body["input"])),
        system=body.get("instructions", ""),
        tools=tuple(each["name"] for each in body.get("tools", ())),
        forced=choice["name"] if isinstance(choice, dict) else "",
        schema=_schema(body.get("text", {}).get("format", {}).get("schema")),
        limit=body["max_output_tokens"],
    )


def _responses_said(items: list[dict[str, Any]]) -> Said:
    calls = _Calls()
    for item in items:
        match item.get("type", "message"):
            case "function_call":
                call = _called(item["call_id"], item["name"], item["arguments"])
                yield "model", calls.note(call)
            case "function_call_output":
                yield "user", calls.result(item["call_id"], _text_of(item["output"]))
            case "message":
                yield from _message_said(item)
            case kind:
                raise AssertionError(kind)


def _message_said(item: dict[str, Any]) -> Said:
    role: Role = "model" if item["role"] == "assistant" else "user"
    content = item["content"]
    for part in [{"type": "input_text", "text": content}] if isinstance(content, str) else content:
        match part["type"]:
            case "input_text" | "output_text":
                yield role, Text(part["text"])
            case "input_image":
                yield role, Picture(*_from_data_url(part["image_url"]))
            case "input_file":
                kind, data = _from_data_url(part["file_data"])
                assert kind == "application/pdf"
                yield role, Paper(part.get("filename", ""), data)
            case kind:
                raise AssertionError(kind)


# Gemini


def _gemini(sent: dict[str, Any]) -> Question:
    body = camel(sent)
    config = body["generationConfig"]
    tools = body.get("tools") or [{"functionDeclarations": []}]
    calling = body.get("toolConfig", {}).get("functionCallingConfig", {})
    allowed = calling.get("allowedFunctionNames", [""])
    if allowed != [""]:
        assert calling["mode"] == "ANY"
        assert len(allowed) == 1
    return Question(
        turns=turns_of(_gemini_said(body["contents"])),
        system="".join(each["text"] for each in body.get("systemInstruction", {}).get("parts", ())),
        tools=tuple(each["name"] for each in tools[0]["functionDeclarations"]),
        forced=allowed[0],
        schema=_schema(config.get("responseJsonSchema")),
        stop=tuple(config.get("stopSequences", ())),
        limit=config["maxOutputTokens"],
    )


def _gemini_said(contents: list[dict[str, Any]]) -> Said:
    calls = _Calls()
    for content in contents:
        for part in content["parts"]:
            match part:
                case {"text": text}:
                    yield content["role"], Text(text)
                case {"inlineData": {"mimeType": kind, "data": data}}:
                    found = base64.b64decode(data.translate(str.maketrans("-_", "+/")))
                    is_paper = kind == "application/pdf"
                    yield content["role"], Paper("", found) if is_paper else Picture(kind, found)
                case {"functionCall": call}:
                    said = Call(call["id"], call["name"], call["args"])
                    yield content["role"], calls.note(said)
                case {"functionResponse": response}:
                    assert response["response"].keys() == {"output"}
                    text = response["response"]["output"]
                    yield content["role"], calls.result(response["id"], text)
                case _:
                    raise AssertionError(part)
