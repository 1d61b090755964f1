"""The demo provider as a Messages server. Source: Anthropic API reference, "Create a Message" and
"Streaming messages"."""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from plexus_proxy.demo.script import Answer, Ask, Content, Part, Tool, arguments_in_pieces, text_of

_encode = msgspec.json.encode


class _Message(Struct):
    role: str
    content: Content


class _Tool(Struct):
    name: str
    input_schema: Any = None


class _Choice(Struct):
    type: str
    name: str | None = None


class _Output(Struct):
    format: dict[str, Any] | None = None


class _Request(Struct):
    model: str
    max_tokens: int
    messages: list[_Message]
    tools: list[_Tool] | None = None
    tool_choice: _Choice | None = None
    stream: bool | None = None
    output_config: _Output | None = None


class MessagesDialogue:
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
        texts = [text_of(each.content) for each in request.messages if each.role == "user"]
        results = [
            text_of(part.content)
            for message in request.messages
            for part in _parts(message.content)
            if part.type == "tool_result"
        ]
        form = request.output_config.format if request.output_config else None
        return Ask(
            user_text=next((text for text in reversed(texts) if text), ""),
            tool_result=results[-1] if results else None,
            tool=self._tool(),
            answer_schema=form.get("schema") if form else None,
            max_tokens=request.max_tokens,
            prompt_characters=self._prompt_characters,
        )

    def _tool(self) -> Tool | None:
        offered, choice = self._request.tools, self._request.tool_choice
        if not offered or (choice is not None and choice.type == "none"):
            return None
        wanted = choice.name if choice is not None else None
        chosen = next((each for each in offered if each.name == wanted), offered[0])
        return Tool(chosen.name, chosen.input_schema)

    def whole(self, answer: Answer) -> bytes:
        content: list[dict[str, Any]] = [{"type": "text", "text": answer.text}]
        if answer.call:
            name, arguments = answer.call
            content.append({**self._tool_use(name), "input": msgspec.Raw(arguments.encode())})
        return _encode(
            self._message(
                content,
                _stop_reason(answer),
                {"input_tokens": answer.input_tokens, "output_tokens": answer.output_tokens},
            )
        )

    def stream(self, answer: Answer) -> Iterator[bytes]:
        """The answer frame by frame; whoever sends them waits in between."""
        start = self._message([], None, {"input_tokens": answer.input_tokens, "output_tokens": 1})
        opening = _frame({"type": "message_start", "message": start})
        yield opening + _block_start(0, {"type": "text", "text": ""}) + _frame({"type": "ping"})
        for piece in answer.pieces():
            yield _delta(0, {"type": "text_delta", "text": piece})
        closing = _frame({"type": "content_block_stop", "index": 0})
        if answer.call:
            name, arguments = answer.call
            yield closing + _block_start(1, {**self._tool_use(name), "input": {}})
            for piece in arguments_in_pieces(arguments):
                yield _delta(1, {"type": "input_json_delta", "partial_json": piece})
            closing = _frame({"type": "content_block_stop", "index": 1})
        end = {
            "type": "message_delta",
            "delta": {"stop_reason": _stop_reason(answer), "stop_sequence": None},
            "usage": {"output_tokens": answer.output_tokens},
        }
        yield closing + _frame(end) + _frame({"type": "message_stop"})

    def _tool_use(self, name: str) -> dict[str, Any]:
        return {"type": "tool_use", "id": f"toolu_{self._id}", "name": name}

    def _message(
        self, content: list[dict[str, Any]], stop_reason: str | None, usage: dict[str, int]
    ) -> dict[str, Any]:
        return {
            "id": f"msg_{self._id}",
            "type": "message",
            "role": "assistant",
            "model": self._request.model,
            "content": content,
            "stop_reason": stop_reason,
            "stop_sequence": None,
            "usage": {
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
                **usage,
            },
        }


def messages_error(message: str, code: str) -> bytes:
    return _encode({"type": "error", "error": {"type": code, "message": message}})


def _parts(content: Content) -> list[Part]:
    return content if isinstance(content, list) else []


def _frame(event: dict[str, Any]) -> bytes:
    return b"event: " + event["type"].encode() + b"\ndata: " + _encode(event) + b"\n\n"


def _block_start(index: int, block: dict[str, Any]) -> bytes:
    return _frame({"type": "content_block_start", "index": index, "content_block": block})


def _delta(index: int, delta: dict[str, Any]) -> bytes:
    return _frame({"type": "content_block_delta", "index": index, "delta": delta})


def _stop_reason(answer: Answer) -> str:
    return "tool_use" if answer.call else "max_tokens" if answer.cut else "end_turn"
