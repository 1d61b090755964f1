"""The stream grammars of both APIs, as strict as their official clients and stricter.

Written from the vendors' rules (chat-completions.md §8 and messages.md §7 of the design notes, P01
to P40 of the known bugs) and sharing no code with the package. `read_chat` and `read_messages`
return the answer a client would put together; a broken rule is an AssertionError that names it.
"""

import json
from collections.abc import Set
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Tool:
    id: str
    name: str
    input: str = ""
    kind: str = "function"
    state: str = ""
    """Chat: the signature in its extra_content."""

    @property
    def value(self) -> Any:
        return _json("input", self.input or "{}")


@dataclass
class Answer:
    """`error` is set if and only if the stream ended with one; then there is no `reason`."""

    model: str = ""
    text: str = ""
    refusal: str = ""
    reasoning: str = ""
    states: list[str] = field(default_factory=list)
    """Signatures and encrypted reasoning, in order."""
    tools: list[Tool] = field(default_factory=list)
    logprobs: list[dict[str, Any]] = field(default_factory=list)
    citations: list[dict[str, Any]] = field(default_factory=list)
    cited: list[tuple[str, str]] = field(default_factory=list)
    """Messages: the text of the block and the address of every citation."""
    searches: list[str] = field(default_factory=list)
    """Queries of the searches that the provider made."""
    sources: list[str] = field(default_factory=list)
    """Addresses that searches found."""
    reason: str | None = None
    stop_sequence: str | None = None
    usage: dict[str, Any] | None = None
    first_usage: dict[str, Any] | None = None
    """Messages: what message_start stated."""
    error: dict[str, Any] | None = None
    blocks: list[str] = field(default_factory=list)
    """Messages: the types of the blocks, in order."""


def records(stream: bytes) -> list[tuple[str, str]]:
    """(event, data) of every record that dispatches; comments are left out."""
    text = stream.decode().removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    assert not text or text.endswith("\n\n"), f"the last record has no blank line: {text[-80:]!r}"
    found: list[tuple[str, str]] = []
    for record in text.split("\n\n"):
        event, data = "", []
        for line in record.split("\n"):
            if not line or line.startswith(":"):
                continue
            name, colon, value = line.partition(":")
            assert colon, f"a line without a field: {line!r}"
            assert name in ("event", "data", "id", "retry"), f"unknown field {name!r}"
            if name == "event":
                event = value.removeprefix(" ")
            elif name == "data":
                data.append(value.removeprefix(" "))
        if data:
            found.append((event, "\n".join(data)))
        assert data or not event, f"event {event} without data"
    return found


def _keys(what: str, value: Any, required: Set[str], optional: Set[str] = frozenset()) -> None:
    assert isinstance(value, dict), f"{what} is no object: {value!r}"
    assert required <= value.keys(), f"{what} lacks {required - value.keys()}"
    assert value.keys() <= required | optional, f"{what}: {value.keys() - required - optional}?"


def check_token(token: dict[str, Any]) -> None:
    """Of the logprobs of Chat Completions and of Responses."""
    _keys("a token", token, {"token", "logprob", "bytes", "top_logprobs"})
    for top in token["top_logprobs"]:
        _keys("a likely token", top, {"token", "logprob", "bytes"})
    for each in (token, *token["top_logprobs"]):
        assert isinstance(each["token"], str), "token"
        assert isinstance(each["logprob"], float | int), "logprob"
        assert all(0 <= octet <= 255 for octet in each["bytes"] or ()), "bytes"


def _json(what: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise AssertionError(f"{what} is no JSON: {text!r}") from error


def _count(what: str, value: Any) -> int:
    assert type(value) is int, f"{what} is no integer: {value!r}"
    assert value >= 0, f"{what} is negative"
    return value


def _words(what: str, value: Any, *, may_be_empty: bool = False) -> str:
    assert isinstance(value, str), f"{what} is no string: {value!r}"
    assert value or may_be_empty, f"{what} is empty"
    return value


# Chat Completions

_CHUNK = {"id", "object", "created", "model", "choices"}
_CHUNK_MAY = {"usage", "service_tier", "system_fingerprint", "obfuscation"}
_DELTAS = {
    "role",
    "content",
    "refusal",
    "reasoning_content",
    "reasoning_details",
    "tool_calls",
    "function_call",
    "annotations",
}
_CHAT_REASONS = {"stop", "length", "tool_calls", "content_filter", "function_call"}


def read_chat(stream: bytes, *, include_usage: bool | None = None, sound: bool = True) -> Answer:
    """`include_usage`: whether the client asked for the usage chunk; None if it may be either.

    `sound`: the provider has sent unique ids and whole arguments, so the client must get such."""
    return _Chat(include_usage, sound).read(stream)


class _Chat:
    def __init__(self, include_usage: bool | None, sound: bool) -> None:
        self.include_usage = include_usage
        self.sound = sound
        self.answer = Answer()
        self.identity: tuple[Any, ...] | None = None
        self.has_role = self.has_usage = self.is_done = False
        self.function: Tool | None = None

    def read(self, stream: bytes) -> Answer:
        answer = self.answer
        for event, data in records(stream):
            assert not event, f"Chat events have no name, got {event!r}"
            assert not self.is_done, "a record after [DONE]"
            assert answer.error is None, "a record after the error (P38)"
            if data == "[DONE]":
                self.is_done = True
                continue
            chunk = _json("a chunk", data)
            if chunk.get("error"):
                self.error(chunk)
            else:
                self.chunk(chunk)
        self.end()
        return answer

    def error(self, chunk: dict[str, Any]) -> None:
        _keys("the error chunk", chunk, {"error"})
        _keys("error", chunk["error"], {"message", "type", "param", "code"})
        _words("error.message", chunk["error"]["message"])
        _words("error.type", chunk["error"]["type"])
        self.answer.error = chunk["error"]

    def chunk(self, chunk: dict[str, Any]) -> None:
        _keys("a chunk", chunk, _CHUNK, _CHUNK_MAY)
        assert chunk["object"] == "chat.completion.chunk", "object (P37)"
        _words("id", chunk["id"])
        _count("created", chunk["created"])
        self.answer.model = _words("model", chunk["model"])
        identity = (chunk["id"], chunk["created"], chunk["model"])
        assert self.identity in (None, identity), "id, created or model changed (P37)"
        self.identity = identity
        assert not self.has_usage, "a chunk after the usage chunk (P29)"
        choices = chunk["choices"]
        if not choices:
            self.usage(chunk)
            return
        assert len(choices) == 1
        if self.include_usage is True:
            assert "usage" in chunk, "usage must be null in every earlier chunk"
        if self.include_usage is False:
            assert "usage" not in chunk, "usage was not asked for (P30)"
        assert chunk.get("usage") is None, "usage outside the usage chunk (P29)"
        choice = choices[0]
        _keys("a choice", choice, {"index", "delta", "finish_reason"}, {"logprobs"})
        self.logprobs(choice.get("logprobs"))
        assert choice["index"] == 0
        assert self.answer.reason is None, "a choice after the finish chunk"
        _keys("delta (P26)", choice["delta"], set(), _DELTAS)
        self.delta(choice["delta"])
        if choice["finish_reason"] is not None:
            assert choice["finish_reason"] in _CHAT_REASONS, choice["finish_reason"]
            assert choice["delta"] == {}, "the finish chunk has an empty delta"
            self.answer.reason = choice["finish_reason"]

    def logprobs(self, found: dict[str, Any] | None) -> None:
        if found is None:
            return
        _keys("logprobs", found, {"content", "refusal"})
        assert found["refusal"] is None
        assert found["content"], "logprobs without tokens"
        for each in found["content"]:
            check_token(each)
        self.answer.logprobs += found["content"]

    def usage(self, chunk: dict[str, Any]) -> None:
        assert self.include_usage is not False, "usage was not asked for (P30)"
        assert self.answer.reason is not None, "usage before the finish chunk (P29)"
        usage = chunk.get("usage")
        _keys(
            "usage",
            usage,
            {"prompt_tokens", "completion_tokens", "total_tokens"},
            {"prompt_tokens_details", "completion_tokens_details"},
        )
        assert usage is not None
        prompt, completion = usage["prompt_tokens"], usage["completion_tokens"]
        assert _count("prompt", prompt) + _count("completion", completion) == usage["total_tokens"]
        details = usage.get("prompt_tokens_details") or {}
        cached = [details.get(name) or 0 for name in ("cached_tokens", "cache_write_tokens")]
        assert sum(_count("cached", each) for each in cached) <= prompt, "cached is a part (P107)"
        details = usage.get("completion_tokens_details") or {}
        assert _count("reasoning", details.get("reasoning_tokens") or 0) <= completion, "P109"
        self.answer.usage = usage
        self.has_usage = True

    def delta(self, delta: dict[str, Any]) -> None:
        answer = self.answer
        if not self.has_role:
            assert delta.get("role") == "assistant", "the first chunk carries the role"
            assert "content" in delta, "the role chunk has content"
            self.has_role = True
        else:
            assert "role" not in delta, "the role comes once"
            for name in ("content", "refusal", "reasoning_content"):
                if name in delta:
                    _words(name, delta[name])
        answer.text += delta.get("content") or ""
        answer.refusal += delta.get("refusal") or ""
        answer.reasoning += delta.get("reasoning_content") or ""
        for detail in delta.get("reasoning_details") or ():
            assert detail["type"] in ("reasoning.text", "reasoning.encrypted", "reasoning.summary")
            _count("index of a detail", detail["index"])
            answer.states.append(_words("state", detail.get("signature") or detail.get("data")))
        assert not (answer.citations and "annotations" in delta), "annotations come in one chunk"
        for annotation in delta.get("annotations") or ():
            _keys("annotation", annotation, {"type", "url_citation"})
            cited = annotation["url_citation"]
            _keys("url_citation", cited, {"start_index", "end_index", "title", "url"})
            start, end = _count("start", cited["start_index"]), _count("end", cited["end_index"])
            assert start <= end <= len(answer.text), "a citation outside of the text"
            answer.citations.append(cited)
        calls = delta.get("tool_calls")
        assert calls is None or calls, "an empty list of calls"
        for call in calls or ():
            self.call(call)
        if delta.get("function_call") is not None:
            self.function_call(delta["function_call"])

    def call(self, call: dict[str, Any]) -> None:
        tools = self.answer.tools
        index = _count("index", call.get("index"))
        if index == len(tools):  # the opening chunk
            kind = call.get("type")
            assert kind in ("function", "custom"), f"type of call: {kind!r}"
            _keys("an opening call", call, {"index", "id", "type", kind}, {"extra_content"})
            tool = Tool(_words("id", call["id"]), _words("name", call[kind].get("name")), kind=kind)
            if "extra_content" in call:
                state = call["extra_content"]["google"]["thought_signature"]
                tool.state = _words("state of a call", state)
            assert not self.sound or tool.id not in [each.id for each in tools], "ids are unique"
            tools.append(tool)
        else:
            assert index < len(tools), f"calls count from 0 (P23, P24), got {index}"
            tool = tools[index]
            _keys("a continued call (P25)", call, {"index", tool.kind})
            assert "name" not in call[tool.kind], "the name comes once (P25)"
        piece = call[tool.kind].get("arguments" if tool.kind == "function" else "input")
        tool.input += _words("arguments", piece, may_be_empty=True)

    def function_call(self, call: dict[str, Any]) -> None:
        if self.function is None:
            self.function = Tool("", _words("name", call.get("name")))
            self.answer.tools.append(self.function)
        else:
            assert "name" not in call, "the name comes once (P25)"
        self.function.input += _words("arguments", call.get("arguments"), may_be_empty=True)

    def end(self) -> None:
        answer = self.answer
        if answer.error is not None:
            assert answer.reason is None, "a finish before the error (P38)"
            return
        assert self.is_done, "neither [DONE] nor an error"
        assert answer.reason is not None, "[DONE] without a finish chunk"
        assert self.has_usage or not self.include_usage, "the client asked for usage"
        if self.function is None:
            assert answer.reason != "function_call"
            assert (answer.reason == "tool_calls") <= bool(answer.tools), "no call (P18)"
            assert not (answer.reason == "stop" and answer.tools), "stop with calls (P17, P27)"
        if self.sound and answer.reason in ("tool_calls", "function_call"):
            for tool in answer.tools:
                if tool.kind == "function":
                    told = _json("arguments (P34)", tool.input)
                    assert isinstance(told, dict), f"arguments {tool.input!r}"


# Messages

_USAGE_MAY = {
    "input_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "cache_creation",
    "output_tokens_details",
    "server_tool_use",
    "service_tier",
}
_MESSAGE = {
    "id",
    "type",
    "role",
    "model",
    "content",
    "stop_reason",
    "stop_sequence",
    "usage",
}
_BLOCKS = {
    "text": {"type", "text"},
    "thinking": {"type", "thinking", "signature"},
    "redacted_thinking": {"type", "data"},
    "tool_use": {"type", "id", "name", "input"},
    "server_tool_use": {"type", "id", "name", "input"},
    "web_search_tool_result": {"type", "tool_use_id", "content"},
}
_CITATION = {"type", "url", "title", "encrypted_index", "cited_text"}
_RESULT = {"type", "url", "title", "page_age", "encrypted_content"}
_DELTAS_OF = {
    "text": {"text_delta": "text", "citations_delta": "citation"},
    "thinking": {"thinking_delta": "thinking", "signature_delta": "signature"},
    "redacted_thinking": {},
    "tool_use": {"input_json_delta": "partial_json"},
    "server_tool_use": {"input_json_delta": "partial_json"},
    "web_search_tool_result": {},
}
_STOP_REASONS = {
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "pause_turn",
    "refusal",
    "model_context_window_exceeded",
}


def read_messages(stream: bytes, *, sound: bool = True) -> Answer:
    """`sound`: as of read_chat."""
    return _Messages(sound).read(stream)


class _Messages:
    def __init__(self, sound: bool) -> None:
        self.sound = sound
        self.answer = Answer()
        self.has_started = self.is_stopped = False
        self.open: str | None = None
        self.is_signed = False
        self.block_text = ""
        self.block_cites: list[str] = []
        self.search_ids: list[str] = []
        self.search_input = ""
        self.search_results: list[str] = []

    def read(self, stream: bytes) -> Answer:
        for event, data in records(stream):
            value = _json("an event", data)
            assert event == value.get("type"), f"event {event!r} of {value.get('type')!r} (P10)"
            assert not self.is_stopped, "an event after message_stop"
            assert self.answer.error is None, "an event after the error"
            if event != "error":
                assert self.has_started == (event != "message_start"), f"{event} out of place"
            getattr(self, event)(value)
        answer = self.answer
        if answer.error is None:
            assert self.is_stopped, "neither message_stop nor an error (P14)"
        return answer

    def ping(self, value: dict[str, Any]) -> None:
        _keys("ping", value, {"type"})

    def error(self, value: dict[str, Any]) -> None:
        _keys("error event", value, {"type", "error"}, {"request_id"})
        _keys("error", value["error"], {"type", "message"}, {"details"})
        assert _words("error.type", value["error"]["type"]).endswith(("_error", "_too_large"))
        _words("error.message", value["error"]["message"])
        self.answer.error = value["error"]
        assert self.answer.reason is None, "an error after message_delta"

    def message_start(self, value: dict[str, Any]) -> None:
        self.has_started = True
        _keys("message_start", value, {"type", "message"})
        message = value["message"]
        _keys("message", message, _MESSAGE)
        assert message["type"] == "message"
        assert message["role"] == "assistant"
        assert message["content"] == []
        assert message["stop_reason"] is None
        assert message["stop_sequence"] is None
        _words("id", message["id"])
        self.answer.model = _words("model", message["model"])
        self.usage("message_start.usage (P09)", message["usage"])
        assert "input_tokens" in message["usage"]
        self.answer.first_usage = message["usage"]

    def usage(self, what: str, usage: Any) -> None:
        _keys(what, usage, {"output_tokens"}, _USAGE_MAY)
        for name, value in usage.items():
            if name.endswith("_tokens"):
                _count(f"{what}.{name}", value)
        if "output_tokens_details" in usage:
            thinking = _count(what, usage["output_tokens_details"]["thinking_tokens"])
            assert thinking <= usage["output_tokens"], "thinking is a part"
        if "server_tool_use" in usage:
            counts = usage["server_tool_use"]
            _keys("server_tool_use", counts, {"web_search_requests", "web_fetch_requests"})
            assert counts["web_search_requests"] <= len(self.search_ids)

    def content_block_start(self, value: dict[str, Any]) -> None:
        answer = self.answer
        _keys("content_block_start", value, {"type", "index", "content_block"})
        assert answer.reason is None, "a block after message_delta"
        assert self.open is None, "a block starts while another is open (P05)"
        assert value["index"] == len(answer.blocks), "indices are dense (P01)"
        block = value["content_block"]
        kind = block["type"]
        _keys(f"a {kind} block", block, _BLOCKS[kind])
        if kind == "tool_use":
            assert block["input"] == {}, "input streams in deltas"
            tool = Tool(_words("id", block["id"]), _words("name (P03)", block["name"]))
            is_new = tool.id not in [each.id for each in answer.tools]
            assert is_new or not self.sound, "ids are unique"
            answer.tools.append(tool)
        elif kind == "server_tool_use":
            assert block["input"] == {}, "input streams in deltas"
            assert block["name"] == "web_search", "a server tool nobody asked for"
            assert block["id"].startswith("srvtoolu_"), block["id"]
            assert block["id"] not in self.search_ids, "ids are unique"
            self.search_ids.append(block["id"])
            self.search_input = ""
        elif kind == "web_search_tool_result":
            self.search_result(block)
        elif kind == "redacted_thinking":
            answer.states.append(_words("data", block["data"]))
        else:
            assert set(block.values()) == {kind, ""}, "a block starts empty"
        self.open = kind
        self.is_signed = False
        self.block_text, self.block_cites = "", []
        answer.blocks.append(kind)

    def search_result(self, block: dict[str, Any]) -> None:
        assert block["tool_use_id"] in self.search_ids, "the result of no search (P111)"
        assert block["tool_use_id"] not in self.search_results, "one result for each search"
        self.search_results.append(block["tool_use_id"])
        content = block["content"]
        if isinstance(content, dict):
            _keys("an error", content, {"type", "error_code"})
            assert content["type"] == "web_search_tool_result_error"
            _words("error_code", content["error_code"])
            return
        for each in content:
            _keys("a result", each, _RESULT - {"page_age"}, {"page_age"})
            assert each["type"] == "web_search_result"
            _words("title", each["title"])
            self.answer.sources.append(_words("url", each["url"]))

    def content_block_delta(self, value: dict[str, Any]) -> None:
        answer = self.answer
        _keys("content_block_delta", value, {"type", "index", "delta"})
        assert self.open is not None, "a delta without an open block (P01)"
        assert value["index"] == len(answer.blocks) - 1, "a delta of another block (P01)"
        delta = value["delta"]
        named = _DELTAS_OF[self.open].get(delta.get("type"))
        assert named, f"{delta.get('type')} in a {self.open} block (P04)"
        _keys("delta", delta, {"type", named})
        told = delta[named]
        assert not self.is_signed, "a delta after the signature (P19)"
        if named == "citation":
            _words("citation.type", told["type"])
            if told["type"] == "web_search_result_location":
                _keys("citation", told, _CITATION)
                self.block_cites.append(_words("url", told["url"]))
            answer.citations.append(told)
            return
        _words(named, told, may_be_empty=named == "partial_json")
        if named == "text":
            answer.text += told
            self.block_text += told
        elif named == "thinking":
            answer.reasoning += told
        elif named == "signature":
            self.is_signed = True
            answer.states.append(told)
        elif self.open == "server_tool_use":
            self.search_input += told
        else:
            answer.tools[-1].input += told

    def content_block_stop(self, value: dict[str, Any]) -> None:
        _keys("content_block_stop", value, {"type", "index"})
        assert self.open is not None, "a stop without an open block (P01)"
        assert value["index"] == len(self.answer.blocks) - 1, "the stop of another block (P01)"
        self.answer.cited += [(self.block_text, url) for url in self.block_cites]
        if self.open == "server_tool_use":
            asked = _json("input of a search", self.search_input)
            _keys("input of a search", asked, {"query"})
            self.answer.searches.append(asked["query"])
        self.open = None

    def message_delta(self, value: dict[str, Any]) -> None:
        answer = self.answer
        _keys("message_delta", value, {"type", "delta", "usage"})
        assert self.open is None, "message_delta while a block is open"
        assert answer.reason is None, "a second message_delta"
        delta = value["delta"]
        _keys("message_delta.delta", delta, {"stop_reason", "stop_sequence"}, {"stop_details"})
        assert delta["stop_reason"] in _STOP_REASONS, delta["stop_reason"]
        stopped = delta["stop_sequence"] is not None
        assert stopped == (delta["stop_reason"] == "stop_sequence"), "stop_sequence"
        self.usage("message_delta.usage (P08)", value["usage"])
        answer.reason, answer.stop_sequence = delta["stop_reason"], delta["stop_sequence"]
        answer.usage = value["usage"]
        if answer.reason != "pause_turn":
            assert self.search_results == self.search_ids, "a search without its result"
        assert ("server_tool_use" in value["usage"]) >= bool(self.search_ids), "searches uncounted"
        assert (answer.reason == "tool_use") <= bool(answer.tools), "no call (P18)"
        assert not (answer.reason == "end_turn" and answer.tools), "end_turn with calls (P17)"
        if self.sound and answer.reason == "tool_use":
            for tool in answer.tools:
                assert isinstance(tool.value, dict), f"input {tool.input!r}"

    def message_stop(self, value: dict[str, Any]) -> None:
        _keys("message_stop", value, {"type"})
        assert self.answer.reason is not None, "message_stop without message_delta"
        assert self.answer.blocks, "an answer without any block"
        self.is_stopped = True
