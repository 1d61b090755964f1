"""The legacy Completions API as a strict client judges it: requests' answers, whole and streamed.

Written from OpenAI's API reference ("The completion object") and sharing no code with the package.
Both readers return the answer a client would put together; a broken rule is an AssertionError.
"""

import json
from typing import Any

from support.strict_streams import Answer, records

_COMPLETION = {"id", "object", "created", "model", "choices"}
_CHOICE = {"text", "index", "logprobs", "finish_reason"}
_REASONS = ("stop", "length", "content_filter")
_USAGE = {"prompt_tokens", "completion_tokens", "total_tokens"}
_USAGE_MAY = {"prompt_tokens_details", "completion_tokens_details"}


def read_completion(body: bytes) -> Answer:
    """A whole answer."""
    completion = json.loads(body)
    assert completion.keys() == _COMPLETION | {"usage"}, sorted(completion)
    _check_identity(completion)
    choice = _choice_of(completion)
    assert choice["finish_reason"] in _REASONS, choice["finish_reason"]
    return Answer(
        model=completion["model"],
        text=choice["text"],
        reason=choice["finish_reason"],
        usage=_checked_usage(completion["usage"]),
    )


def read_completions(stream: bytes, *, include_usage: bool) -> Answer:
    """A stream. Ends with [DONE], or with an error and nothing behind it."""
    answer = Answer()
    identity: tuple[Any, ...] | None = None
    done = False
    for event, data in records(stream):
        assert not event, f"events have no name, got {event!r}"
        assert not done, "a record after [DONE]"
        assert answer.error is None, "a record after the error"
        if data == "[DONE]":
            done = True
            continue
        chunk = json.loads(data)
        if "error" in chunk:
            assert chunk.keys() == {"error"}
            assert chunk["error"].keys() == {"message", "type", "param", "code"}
            assert chunk["error"]["message"]
            answer.error = chunk["error"]
            continue
        assert answer.usage is None, "a chunk after the usage chunk"
        assert chunk.keys() - {"usage"} == _COMPLETION, sorted(chunk)
        assert ("usage" in chunk) == include_usage, "usage is there if it was asked for"
        _check_identity(chunk)
        told = (chunk["id"], chunk["created"], chunk["model"])
        assert identity in (None, told), "id, created or model changed"
        identity, answer.model = told, chunk["model"]
        if not chunk["choices"]:
            assert answer.reason is not None, "usage before the finish chunk"
            answer.usage = _checked_usage(chunk["usage"])
            continue
        assert chunk.get("usage") is None, "usage outside the usage chunk"
        assert answer.reason is None, "text after the finish chunk"
        choice = _choice_of(chunk)
        answer.text += choice["text"]
        if choice["finish_reason"] is not None:
            assert choice["finish_reason"] in _REASONS, choice["finish_reason"]
            answer.reason = choice["finish_reason"]
    if answer.error is not None:
        assert answer.reason is None, "a finish before the error"
        return answer
    assert done, "neither [DONE] nor an error"
    assert answer.reason is not None, "[DONE] without a finish chunk"
    assert (answer.usage is not None) == include_usage
    return answer


def _check_identity(completion: dict[str, Any]) -> None:
    assert completion["object"] == "text_completion"
    assert completion["id"].startswith("cmpl-")
    assert len(completion["id"]) > len("cmpl-")
    assert type(completion["created"]) is int
    assert completion["model"]


def _choice_of(completion: dict[str, Any]) -> dict[str, Any]:
    (choice,) = completion["choices"]
    assert choice.keys() == _CHOICE, sorted(choice)
    assert type(choice["text"]) is str
    assert (choice["index"], choice["logprobs"]) == (0, None)
    return choice


def _checked_usage(usage: dict[str, Any]) -> dict[str, Any]:
    assert usage.keys() - _USAGE_MAY == _USAGE, sorted(usage)
    counts = [usage[name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")]
    assert all(type(each) is int and each >= 0 for each in counts), counts
    assert counts[0] + counts[1] == counts[2]
    return usage
