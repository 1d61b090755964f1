"""The grammar of Gemini streams, as strict as its official clients and stricter.

Written from gemini.md §5-8 of the design notes (and P50 to P54 of the known bugs) and sharing no
code with the package. `read_gemini` returns the answer a client would put together; a broken rule
is an AssertionError that names it.
"""

import base64
import binascii
import json
from collections.abc import Set
from typing import Any

from support.strict_streams import Answer, Tool

REASONS = {"STOP", "MAX_TOKENS", "SAFETY", "MALFORMED_FUNCTION_CALL"}
STATUSES = {
    400: {"INVALID_ARGUMENT", "FAILED_PRECONDITION", "OUT_OF_RANGE"},
    401: {"UNAUTHENTICATED"},
    403: {"PERMISSION_DENIED"},
    404: {"NOT_FOUND"},
    405: {"INVALID_ARGUMENT"},
    408: {"DEADLINE_EXCEEDED"},
    413: {"INVALID_ARGUMENT"},
    415: {"INVALID_ARGUMENT"},
    429: {"RESOURCE_EXHAUSTED"},
    500: {"INTERNAL", "UNKNOWN"},
    503: {"UNAVAILABLE"},
    504: {"DEADLINE_EXCEEDED"},
}
KEEPALIVE = {"candidates": [{"content": {"role": "model", "parts": [{"text": ""}]}, "index": 0}]}
SAME = {"modelVersion", "responseId"}
CANDIDATE_MAY = {"index", "finishReason", "groundingMetadata", "logprobsResult"}
COUNTS = {"promptTokenCount", "candidatesTokenCount", "totalTokenCount"}
MORE_COUNTS = {
    "cachedContentTokenCount",
    "thoughtsTokenCount",
    "toolUsePromptTokenCount",
    "promptTokensDetails",
}


def read_gemini(stream: bytes, *, sound: bool = True) -> Answer:
    """`sound`: the provider has sent unique ids, so the client must get such."""
    return _Gemini(sound).read(stream)


def read_whole_gemini(body: bytes) -> Answer:
    """A whole answer is a stream of one chunk."""
    return read_gemini(b"data: " + body + b"\n\n")


def _keys(what: str, value: Any, required: Set[str], optional: Set[str] = frozenset()) -> None:
    assert isinstance(value, dict), f"{what} is no object: {value!r}"
    assert required <= value.keys(), f"{what} lacks {required - value.keys()}"
    assert value.keys() <= required | optional, f"{what}: {value.keys() - required - optional}?"


def _words(what: str, value: Any) -> str:
    assert isinstance(value, str), f"{what} is no string: {value!r}"
    assert value, f"{what} is empty"
    return value


def _count(what: str, value: Any) -> int:
    assert type(value) is int, f"{what} is no integer: {value!r}"
    assert value >= 0, f"{what} is negative"
    return value


class _Gemini:
    def __init__(self, sound: bool) -> None:
        self.sound = sound
        self.answer = Answer()
        self.identity: tuple[str, ...] | None = None
        self.parts: list[tuple[str, str]] = []
        """(kind, text), neighbours of the same kind as one."""

    def read(self, stream: bytes) -> Answer:
        answer = self.answer
        text = stream.decode()
        assert not text or text.endswith("\n\n"), "the last record has no blank line"
        for record in text.split("\n\n")[:-1]:
            assert answer.error is None, "a record after the error"
            assert answer.reason is None, "a record after the finish reason"
            assert record.startswith("data: "), f"not a data line (P50): {record[:40]!r}"
            assert "\n" not in record, "more than one line"
            assert "\r" not in record, "more than one line"
            try:
                chunk = json.loads(record.removeprefix("data: "))
            except ValueError as error:
                raise AssertionError(f"no JSON (P50): {record!r}") from error
            if "error" in chunk:
                self.error(chunk)
            elif chunk != KEEPALIVE:
                self.chunk(chunk)
        if answer.error is None:
            assert answer.reason is not None, "neither a finish reason nor an error"
        answer.blocks = [kind for kind, _ in self.parts]
        return answer

    def error(self, chunk: dict[str, Any]) -> None:
        _keys("the error chunk", chunk, {"error"})
        error = chunk["error"]
        _keys("error", error, {"code", "message", "status"}, {"details"})
        _words("error.message", error["message"])
        assert error["status"] in STATUSES[error["code"]], error
        for each in error.get("details", ()):
            assert each["@type"].startswith("type.googleapis.com/google.rpc."), each
        self.answer.error = error

    def chunk(self, chunk: dict[str, Any]) -> None:
        answer = self.answer
        _keys("a chunk", chunk, {"candidates"} | SAME, {"usageMetadata"})
        identity = tuple(_words(name, chunk[name]) for name in sorted(SAME))
        assert self.identity in (None, identity), "modelVersion or responseId changed"
        self.identity = identity
        answer.model = chunk["modelVersion"]
        assert len(chunk["candidates"]) == 1, "one candidate (P89)"
        candidate = chunk["candidates"][0]
        _keys("a candidate", candidate, {"content"}, CANDIDATE_MAY)
        assert candidate.get("index", 0) == 0
        content = candidate["content"]
        _keys("content (P53)", content, {"role", "parts"})
        assert content["role"] == "model"
        assert isinstance(content["parts"], list)
        assert content["parts"], "no parts (P53)"
        is_last = "finishReason" in candidate
        may_be_empty = is_last and len(content["parts"]) == 1
        for part in content["parts"]:
            self.part(part, may_be_empty)
        if "usageMetadata" in chunk:
            self.usage(chunk["usageMetadata"])
        if is_last:
            assert candidate["finishReason"] in REASONS, candidate["finishReason"]
            assert answer.usage is not None, "the last chunk has usage"
            answer.reason = candidate["finishReason"]
        if "logprobsResult" in candidate:
            self.logprobs(candidate["logprobsResult"])
        if "groundingMetadata" in candidate:
            self.grounding(candidate["groundingMetadata"])

    def logprobs(self, result: dict[str, Any]) -> None:
        _keys("logprobsResult", result, {"chosenCandidates", "topCandidates"})
        chosen, tops = result["chosenCandidates"], result["topCandidates"]
        assert len(chosen) == len(tops), "as many of one as of the other"
        assert chosen, "logprobs without tokens"
        for each in (*chosen, *(top for at in tops for top in at["candidates"])):
            _keys("a token", each, {"token", "logProbability"}, {"tokenId"})
            assert isinstance(each["token"], str), "token"
            assert isinstance(each["logProbability"], float | int), "logProbability"
        self.answer.logprobs += chosen

    def part(self, part: dict[str, Any], may_be_empty: bool) -> None:
        answer = self.answer
        signature = part.get("thoughtSignature")
        if signature is not None:
            answer.states.append(_words("thoughtSignature", signature))
            try:
                base64.b64decode(signature, validate=True)
            except binascii.Error as error:
                raise AssertionError(f"no base64 (P51): {signature!r}") from error
        if "functionCall" in part:
            _keys("a part", part, {"functionCall"}, {"thoughtSignature"})
            self.call(part["functionCall"])
            self.parts.append(("call", ""))
            return
        _keys("a part", part, {"text"}, {"thought", "thoughtSignature"})
        assert part.get("thought") in (None, True)
        text = part["text"]
        assert isinstance(text, str), f"text: {text!r}"
        kind = "thought" if "thought" in part else "text"
        if not text:
            assert signature or may_be_empty, "an empty part"
            if signature:
                self.parts.append(("state", ""))
            return
        if kind == "thought":
            answer.reasoning += text
        else:
            answer.text += text
        if self.parts and self.parts[-1][0] == kind and not signature:
            text = self.parts.pop()[1] + text
        self.parts.append((kind, text))

    def call(self, call: dict[str, Any]) -> None:
        _keys("functionCall", call, {"name", "args"}, {"id"})
        assert isinstance(call["args"], dict), f"args (P52): {call['args']!r}"
        tool = Tool(call.get("id", ""), _words("name", call["name"]), json.dumps(call["args"]))
        ids = [each.id for each in self.answer.tools if each.id]
        assert not self.sound or tool.id not in ids, "ids are unique (P91)"
        self.answer.tools.append(tool)

    def usage(self, usage: dict[str, Any]) -> None:
        _keys("usage", usage, COUNTS, MORE_COUNTS)
        counts = {
            name: _count(name, value) for name, value in usage.items() if name.endswith("Count")
        }
        total = counts.pop("totalTokenCount")
        cached = counts.pop("cachedContentTokenCount", 0)
        assert total == sum(counts.values()), "totalTokenCount is the sum (P94, P95)"
        assert cached <= counts["promptTokenCount"], "cached is a part (P107)"
        self.answer.usage = usage

    def grounding(self, grounding: dict[str, Any]) -> None:
        lists = {"groundingChunks", "groundingSupports"}
        _keys("groundingMetadata", grounding, lists, {"webSearchQueries"})
        for query in grounding.get("webSearchQueries", ()):
            self.answer.searches.append(_words("a query", query))
        sources = grounding["groundingChunks"]
        for each in sources:
            _keys("a source", each, {"web"})
            self.answer.sources.append(_words("uri", each["web"]["uri"]))
        for each in grounding["groundingSupports"]:
            segment = each["segment"]
            kind, text = self.parts[segment["partIndex"]]
            assert kind == "text", "a segment of something else than text"
            start, end = segment["startIndex"], segment["endIndex"]
            assert 0 <= start <= end <= len(text.encode()), "a segment outside of its part"
            assert text.encode()[start:end].decode() == segment["text"], "bytes of UTF-8"
            for index in each["groundingChunkIndices"]:
                self.answer.citations.append(
                    {"text": segment["text"], "start": start} | sources[index]["web"]
                )
