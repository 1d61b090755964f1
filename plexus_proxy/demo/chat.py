"""The demo provider as a Chat Completions server. Source: OpenAI API reference, "Create chat
completion" and "The chat completion chunk object"."""

import time
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from plexus_proxy.demo.script import Answer, Ask, Content, Tool, arguments_in_pieces, text_of

_encode = msgspec.json.encode


class _Message(Struct):
    role: str
    content: Content = None


class _Function(Struct):
    name: str
    parameters: Any = None


class _Tool(Struct):
    type: str = "function"
    function: _Function | None = None


class _StreamOptions(Struct):
    include_usage: bool | None = None


class _Request(Struct):
    model: str
    messages: list[_Message]
    tools: list[_Tool] | None = None
    tool_choice: str | dict[str, Any] | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    response_format: dict[str, Any] | None = None


class ChatDialogue:
    """One request and how its answer looks on the wire. Raises msgspec.ValidationError."""

    def __init__(self, body: bytes, answer_id: str) -> None:
        self._request = msgspec.json.decode(body, type=_Request)
        self._id = answer_id
        self._prompt_characters = len(body)

    @property
    def streamed(self) -> bool:
        return bool(self._request.stream)

    def ask(self) -> Ask:
        request = self._request
        users = [each.content for each in request.messages if each.role == "user"]
        results = [each.content for each in request.messages if each.role == "tool"]
        return Ask(
            user_text=text_of(users[-1]) if users else "",
            tool_result=text_of(results[-1]) if results else None,
            tool=self._tool(),
            answer_schema=_answer_schema(request.response_format),
            max_tokens=request.max_completion_tokens or request.max_tokens,
            prompt_characters=self._prompt_characters,
        )

    def _tool(self) -> Tool | None:
        request = self._request
        offered = [each.function for each in request.tools or () if each.function is not None]
        if not offered or request.tool_choice == "none":
            return None
        choice = request.tool_choice
        wanted = choice.get("function", {}).get("name") if isinstance(choice, dict) else None
        chosen = next((each for each in offered if each.name == wanted), offered[0])
        return Tool(chosen.name, chosen.parameters)

    def whole(self, answer: Answer) -> bytes:
        message: dict[str, Any] = {
            "role": "assistant",
            "content": answer.text,
            "refusal": None,
            "annotations": [],
        }
        if answer.call:
            name, arguments = answer.call
            message["tool_calls"] = [
                {
                    "id": self._call_id,
                    "type": "function",
                    "function": {"name": name, "arguments": arguments},
                }
            ]
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": _finish_reason(answer),
        }
        return _encode(self._body("chat.completion", choices=[choice], usage=_usage(answer)))

    def stream(self, answer: Answer) -> Iterator[bytes]:
        """The answer frame by frame; whoever sends them waits in between."""
        yield self._chunk({"role": "assistant", "content": "", "refusal": None})
        for piece in answer.pieces():
            yield self._chunk({"content": piece})
        if answer.call:
            name, arguments = answer.call
            function = {"name": name, "arguments": ""}
            yield self._tool_chunk(
                {"index": 0, "id": self._call_id, "type": "function", "function": function}
            )
            for piece in arguments_in_pieces(arguments):
                yield self._tool_chunk({"index": 0, "function": {"arguments": piece}})
        last = self._chunk({}, _finish_reason(answer))
        options = self._request.stream_options
        if options is not None and options.include_usage:
            last += _frame(self._body("chat.completion.chunk", choices=[], usage=_usage(answer)))
        yield last + b"data: [DONE]\n\n"

    @property
    def _call_id(self) -> str:
        return f"call_{self._id}"

    def _tool_chunk(self, call: dict[str, Any]) -> bytes:
        return self._chunk({"tool_calls": [call]})

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return _frame(self._body("chat.completion.chunk", choices=[choice]))

    def _body(self, kind: str, **rest: Any) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{self._id}",
            "object": kind,
            "created": int(time.time()),
            "model": self._request.model,
            **rest,
        }


def chat_error(message: str, code: str) -> bytes:
    return _encode(
        {
            "error": {
                "message": message,
                "type": "invalid_request_error",
                "param": None,
                "code": code,
            }
        }
    )


def _frame(value: dict[str, Any]) -> bytes:
    return b"data: " + _encode(value) + b"\n\n"


def _finish_reason(answer: Answer) -> str:
    return "tool_calls" if answer.call else "length" if answer.cut else "stop"


def _usage(answer: Answer) -> dict[str, Any]:
    return {
        "prompt_tokens": answer.input_tokens,
        "completion_tokens": answer.output_tokens,
        "total_tokens": answer.input_tokens + answer.output_tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def _answer_schema(response_format: dict[str, Any] | None) -> Any:
    if response_format is None:
        return None
    if response_format.get("type") == "json_object":
        return {"type": "object", "required": ["answer"]}
    return response_format.get("json_schema", {}).get("schema")
