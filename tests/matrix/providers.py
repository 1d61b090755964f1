"""The cases as each format's own servers would answer them, written from the protocol sheets."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from support.fake_provider import Chunk, Head, Step, Whole
from support.strict_provider import ENCRYPTED, GEMINI_SIGNATURE, SIGNATURE

from matrix.cases import SEQUENCE, Call, Case, Refusal, Say, Text, Thought

PIECES = 3


def body(fmt: str, case: Case) -> dict[str, Any]:
    bodies = {"chat": _chat, "messages": _messages, "responses": _responses, "gemini": _gemini}
    return bodies[fmt](case)


def frames(fmt: str, case: Case) -> list[bytes]:
    """A stream, one frame each."""
    streams = {
        "chat": _chat_stream,
        "messages": _messages_stream,
        "responses": _responses_stream,
        "gemini": _gemini_stream,
    }
    return list(streams[fmt](case))


def failure(fmt: str, message: str, *, after: int | None = None) -> bytes:
    """That the provider is overloaded: in place of an answer, or in a stream, after so many
    frames."""
    match fmt:
        case "chat":
            error: dict[str, Any] = {"type": "server_error", "param": None, "code": "overloaded"}
            said: dict[str, Any] = {"error": {"message": message, **error}}
        case "messages":
            said = {"type": "error", "error": {"type": "overloaded_error", "message": message}}
        case "responses":
            said = _response(Case("failed", ()), "failed", [], None)
            said["error"] = {"code": "server_is_overloaded", "message": message}
        case _:
            said = {"error": {"code": 503, "message": message, "status": "UNAVAILABLE"}}
    if after is None:
        return json.dumps(said).encode()
    match fmt:
        case "messages":
            return _data(said, "error")
        case "responses":
            event = {"type": "response.failed", "sequence_number": after, "response": said}
            return _data(event, "response.failed")
        case _:
            return _data(said)


def answering(fmt: str, case: Case, *, stream: bool) -> list[Step]:
    """The case as the script of a provider."""
    if not stream:
        return [Whole(body(fmt, case))]
    return [Head(), *map(Chunk, frames(fmt, case))]


def says(fmt: str, case: Case) -> bool:
    """Whether servers of the format can say the case at all."""
    return not (case.of(Refusal) and fmt in ("messages", "gemini"))


def _data(value: Any, event: str | None = None) -> bytes:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return (f"event: {event}\n" if event else "").encode() + f"data: {text}\n\n".encode()


def _pieces(text: str) -> Iterator[str]:
    size = max(1, -(-len(text) // PIECES))
    return (text[at : at + size] for at in range(0, len(text), size))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# Chat Completions

_CHAT_END = {
    "stop": "stop",
    "tools": "tool_calls",
    "length": "length",
    "filter": "content_filter",
    "sequence": "stop",
}


def _chat_usage(case: Case) -> dict[str, Any]:
    usage = case.usage
    prompt, completion = usage.fresh + usage.read + usage.written, usage.out + usage.thought
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {
            "cached_tokens": usage.read,
            "cache_write_tokens": usage.written,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.thought},
    }


def _chat_calls(case: Case) -> list[dict[str, Any]]:
    return [
        {
            "id": each.id,
            "type": "function",
            "function": {"name": each.name, "arguments": _json(each.arguments)},
        }
        for each in case.of(Call)
    ]


def _chat(case: Case) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": case.text or None, "refusal": None}
    if thoughts := case.of(Thought):
        message["reasoning_content"] = "".join(each.text for each in thoughts)
    if refusals := case.of(Refusal):
        message["refusal"] = refusals[0].text
    if calls := _chat_calls(case):
        message["tool_calls"] = calls
    return {
        "id": "chatcmpl-M",
        "object": "chat.completion",
        "created": 1790000000,
        "model": "up-model",
        "choices": [{"index": 0, "message": message, "finish_reason": _CHAT_END[case.end]}],
        "usage": _chat_usage(case),
    }


def _chat_chunk(choices: list[Any], **fields: Any) -> bytes:
    head = {"id": "chatcmpl-M", "object": "chat.completion.chunk", "created": 1790000000}
    return _data({**head, "model": "up-model", "choices": choices, **fields})


def _delta(end: str | None = None, **delta: Any) -> bytes:
    return _chat_chunk([{"index": 0, "delta": delta, "finish_reason": end}])


def _chat_stream(case: Case) -> Iterator[bytes]:
    yield _delta(role="assistant", content="")
    index = -1
    for each in case.says:
        match each:
            case Thought():
                yield from (_delta(reasoning_content=piece) for piece in _pieces(each.text))
            case Text():
                yield from (_delta(content=piece) for piece in _pieces(each.text))
            case Refusal():
                yield from (_delta(refusal=piece) for piece in _pieces(each.text))
            case Call():
                index += 1
                function = {"name": each.name, "arguments": ""}
                opening = {"index": index, "id": each.id, "type": "function", "function": function}
                yield _delta(tool_calls=[opening])
                for piece in _pieces(_json(each.arguments)):
                    yield _delta(tool_calls=[{"index": index, "function": {"arguments": piece}}])
    yield _delta(_CHAT_END[case.end])
    yield _chat_chunk([], usage=_chat_usage(case))
    yield _data("[DONE]")


# Messages

_MESSAGES_END = {
    "stop": "end_turn",
    "tools": "tool_use",
    "length": "max_tokens",
    "filter": "refusal",
    "sequence": "stop_sequence",
}


def _messages_usage(case: Case) -> dict[str, Any]:
    usage = case.usage
    return {
        "input_tokens": usage.fresh,
        "cache_read_input_tokens": usage.read,
        "cache_creation_input_tokens": usage.written,
        "output_tokens": usage.out + usage.thought,
        "output_tokens_details": {"thinking_tokens": usage.thought},
    }


def _block(each: Any) -> dict[str, Any]:
    match each:
        case Thought():
            return {"type": "thinking", "thinking": each.text, "signature": SIGNATURE}
        case Text():
            return {"type": "text", "text": each.text}
        case _:
            return {"type": "tool_use", "id": each.id, "name": each.name, "input": each.arguments}


def _blocks(case: Case) -> tuple[Say, ...]:
    """An answer that says nothing still has a block."""
    return case.says or (Text(""),)


def _messages_end(case: Case) -> dict[str, Any]:
    sequence = SEQUENCE if case.end == "sequence" else None
    return {"stop_reason": _MESSAGES_END[case.end], "stop_sequence": sequence}


def _message(case: Case) -> dict[str, Any]:
    return {"id": "msg_M", "type": "message", "role": "assistant", "model": "up-model"}


def _messages(case: Case) -> dict[str, Any]:
    return {
        **_message(case),
        "content": [_block(each) for each in _blocks(case)],
        **_messages_end(case),
        "usage": _messages_usage(case),
    }


def _event(kind: str, **fields: Any) -> bytes:
    return _data({"type": kind, **fields}, kind)


def _messages_stream(case: Case) -> Iterator[bytes]:
    start = {**_message(case), "content": [], "stop_reason": None, "stop_sequence": None}
    start["usage"] = {**_messages_usage(case), "output_tokens": 1}
    del start["usage"]["output_tokens_details"]
    yield _event("message_start", message=start)
    for index, each in enumerate(_blocks(case)):
        block = _block(each)
        match each:
            case Thought():
                empty: dict[str, Any] = {"thinking": "", "signature": ""}
                deltas: Iterable[dict[str, Any]] = [
                    *(
                        {"type": "thinking_delta", "thinking": piece}
                        for piece in _pieces(each.text)
                    ),
                    {"type": "signature_delta", "signature": SIGNATURE},
                ]
            case Text():
                empty = {"text": ""}
                deltas = [{"type": "text_delta", "text": piece} for piece in _pieces(each.text)]
            case _:
                empty = {"input": {}}
                deltas = [
                    {"type": "input_json_delta", "partial_json": piece}
                    for piece in ("", *_pieces(_json(block["input"])))
                ]
        yield _event("content_block_start", index=index, content_block={**block, **empty})
        for delta in deltas:
            yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    yield _event("message_delta", delta=_messages_end(case), usage=_messages_usage(case))
    yield _event("message_stop")


# Responses


def _responses_usage(case: Case) -> dict[str, Any]:
    usage = case.usage
    prompt, completion = usage.fresh + usage.read + usage.written, usage.out + usage.thought
    return {
        "input_tokens": prompt,
        "input_tokens_details": {
            "cached_tokens": usage.read,
            "cache_write_tokens": usage.written,
        },
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": usage.thought},
        "total_tokens": prompt + completion,
    }


def _response(case: Case, status: str, output: list[Any], usage: Any) -> dict[str, Any]:
    reasons = {"length": "max_output_tokens", "filter": "content_filter"}
    incomplete = {"reason": reasons[case.end]} if status == "incomplete" else None
    return {
        "id": "resp_M", "object": "response", "created_at": 1790000000, "status": status,
        "background": False, "error": None, "incomplete_details": incomplete,
        "instructions": None, "max_output_tokens": None, "metadata": {}, "model": "up-model",
        "output": output, "parallel_tool_calls": True, "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None}, "service_tier": "default", "store": False,
        "temperature": 1.0, "text": {"format": {"type": "text"}}, "tool_choice": "auto",
        "tools": [], "top_p": 1.0, "truncation": "disabled", "usage": usage,
    }  # fmt: skip


def _item(index: int, each: Any) -> dict[str, Any]:
    match each:
        case Thought():
            return {
                "type": "reasoning",
                "id": f"rs_{index}",
                "summary": [{"type": "summary_text", "text": each.text}],
                "encrypted_content": ENCRYPTED,
            }
        case Text() | Refusal():
            part: dict[str, Any] = {"type": "refusal", "refusal": each.text}
            if isinstance(each, Text):
                part = {"type": "output_text", "text": each.text, "annotations": [], "logprobs": []}
            return {
                "type": "message",
                "id": f"msg_{index}",
                "status": "completed",
                "role": "assistant",
                "content": [part],
            }
        case _:
            return {
                "type": "function_call",
                "id": f"fc_{index}",
                "status": "completed",
                "call_id": each.id,
                "name": each.name,
                "arguments": _json(each.arguments),
            }


def _final(case: Case) -> dict[str, Any]:
    status = "incomplete" if case.end in ("length", "filter") else "completed"
    output = [_item(index, each) for index, each in enumerate(case.says)]
    return _response(case, status, output, _responses_usage(case))


def _responses(case: Case) -> dict[str, Any]:
    return _final(case)


def _responses_stream(case: Case) -> Iterator[bytes]:
    for number, (kind, fields) in enumerate(_responses_events(case)):
        yield _event(kind, **fields, sequence_number=number)


def _responses_events(case: Case) -> Iterator[tuple[str, dict[str, Any]]]:
    started = {"response": _response(case, "in_progress", [], None)}
    yield "response.created", started
    yield "response.in_progress", started
    for index, each in enumerate(case.says):
        item = _item(index, each)
        at = {"output_index": index, "item_id": item["id"]}
        empty = {
            name: [] if name in ("summary", "content") else ""
            for name in ("summary", "content", "arguments")
            if name in item
        }
        opening = {name: item[name] for name in item if name != "encrypted_content"}
        added = {**opening, **empty, "status": "in_progress"}
        yield "response.output_item.added", {"output_index": index, "item": added}
        match each:
            case Thought():
                at["summary_index"] = 0
                part = item["summary"][0]
                yield "response.reasoning_summary_part.added", {**at, "part": {**part, "text": ""}}
                for piece in _pieces(each.text):
                    yield "response.reasoning_summary_text.delta", {**at, "delta": piece}
                yield "response.reasoning_summary_text.done", {**at, "text": each.text}
                yield "response.reasoning_summary_part.done", {**at, "part": part}
            case Call():
                for piece in _pieces(item["arguments"]):
                    yield "response.function_call_arguments.delta", {**at, "delta": piece}
                yield (
                    "response.function_call_arguments.done",
                    {**at, "arguments": item["arguments"]},
                )
            case _:
                at["content_index"] = 0
                part = item["content"][0]
                name = "text" if isinstance(each, Text) else "refusal"
                kind = "output_text" if isinstance(each, Text) else "refusal"
                yield "response.content_part.added", {**at, "part": {**part, name: ""}}
                for piece in _pieces(each.text):
                    yield f"response.{kind}.delta", {**at, "delta": piece, "logprobs": []}
                yield f"response.{kind}.done", {**at, name: each.text, "logprobs": []}
                yield "response.content_part.done", {**at, "part": part}
        yield "response.output_item.done", {"output_index": index, "item": item}
    final = _final(case)
    yield f"response.{final['status']}", {"response": final}


# Gemini

_GEMINI_END = {
    "stop": "STOP",
    "tools": "STOP",
    "length": "MAX_TOKENS",
    "filter": "SAFETY",
    "sequence": "STOP",
}


def _gemini_usage(case: Case) -> dict[str, Any]:
    usage = case.usage
    prompt = usage.fresh + usage.read + usage.written
    return {
        "promptTokenCount": prompt,
        "cachedContentTokenCount": usage.read,
        "candidatesTokenCount": usage.out,
        "thoughtsTokenCount": usage.thought,
        "totalTokenCount": prompt + usage.out + usage.thought,
    }


def _part(each: Any) -> dict[str, Any]:
    match each:
        case Thought():
            return {"text": each.text, "thought": True}
        case Text():
            return {"text": each.text}
        case _:
            return {"functionCall": {"id": each.id, "name": each.name, "args": each.arguments}}


def _gemini_answer(parts: list[Any], **candidate: Any) -> dict[str, Any]:
    return {
        "candidates": [{"content": {"role": "model", "parts": parts}, "index": 0, **candidate}],
        "modelVersion": "up-model",
        "responseId": "M",
    }


def _signed_parts(case: Case) -> list[dict[str, Any]]:
    """The first call that thinking has led to carries its state."""
    parts = [_part(each) for each in case.says]
    calls = [each for each in parts if "functionCall" in each]
    if calls and case.of(Thought):
        calls[0]["thoughtSignature"] = GEMINI_SIGNATURE
    return parts


def _gemini(case: Case) -> dict[str, Any]:
    answer = _gemini_answer(
        _signed_parts(case) or [{"text": ""}], finishReason=_GEMINI_END[case.end]
    )
    return {**answer, "usageMetadata": _gemini_usage(case)}


def _gemini_stream(case: Case) -> Iterator[bytes]:
    for part in _signed_parts(case):
        for piece in _pieces(part["text"]) if "text" in part else [None]:
            said = part if piece is None else {**part, "text": piece}
            yield _data(_gemini_answer([said]))
    last = _gemini_answer([{"text": ""}], finishReason=_GEMINI_END[case.end])
    yield _data({**last, "usageMetadata": _gemini_usage(case)})
