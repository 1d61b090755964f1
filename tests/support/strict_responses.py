"""The stream grammar of the Responses API, as strict as its official accumulator and stricter.

Written from the vendor's rules (responses.md §6-8 of the design notes) and sharing no code with the
package. `read_responses` returns the answer a client would put together; a broken rule is an
AssertionError that names it.
"""

import json
from collections.abc import Set
from typing import Any

from support.strict_streams import Answer, Tool, check_token, records

RESPONSE = {
    "id", "object", "created_at", "status", "error", "incomplete_details", "instructions", "model",
    "output", "parallel_tool_calls", "tool_choice", "tools", "temperature", "top_p", "metadata",
    "usage", "text", "reasoning", "truncation", "max_output_tokens", "previous_response_id",
    "store", "service_tier", "background",
}  # fmt: skip
RESPONSE_MAY = {
    "max_tool_calls", "prompt_cache_key", "safety_identifier", "top_logprobs", "user",
    "completed_at",
}  # fmt: skip
ITEMS: dict[str, tuple[Set[str], Set[str]]] = {
    "message": ({"id", "type", "status", "role", "content"}, set()),
    "reasoning": ({"id", "type", "summary"}, {"encrypted_content", "content", "status"}),
    "function_call": ({"id", "type", "status", "call_id", "name", "arguments"}, set()),
    "custom_tool_call": ({"id", "type", "status", "call_id", "name", "input"}, set()),
    "web_search_call": ({"id", "type", "status", "action"}, set()),
}
PREFIXES = {
    "message": "msg_",
    "reasoning": "rs_",
    "function_call": "fc_",
    "custom_tool_call": "ctc_",
    "web_search_call": "ws_",
}
SEARCH_STEPS = ["in_progress", "searching", "completed"]


def read_responses(stream: bytes, *, sound: bool = True) -> Answer:
    """`sound`: the calls' arguments are to be JSON."""
    return _Stream(sound).read(stream)


def check_response(response: dict[str, Any], *, status: str | None = None) -> None:
    """A whole response object."""
    _keys("response", response, RESPONSE, RESPONSE_MAY)
    assert response["object"] == "response"
    assert response["id"].startswith("resp_")
    assert type(response["created_at"]) is int
    if status is not None:
        assert response["status"] == status, response["status"]
    assert (response["error"] is not None) == (response["status"] == "failed")
    incomplete = response["incomplete_details"]
    assert (incomplete is not None) == (response["status"] == "incomplete")
    if incomplete is not None:
        assert incomplete["reason"] in ("max_output_tokens", "content_filter")
    if response["error"] is not None:
        _keys("error", response["error"], {"code", "message"})
    if response["status"] in ("completed", "incomplete"):
        check_usage(response["usage"])
        for item in response["output"]:
            check_item(item)
        ids = [item["id"] for item in response["output"]]
        assert len(set(ids)) == len(ids), "item ids repeat"
    elif response["status"] == "in_progress":
        assert response["output"] == []
        assert response["usage"] is None


def check_usage(usage: Any) -> None:
    _keys(
        "usage",
        usage,
        {
            "input_tokens",
            "input_tokens_details",
            "output_tokens",
            "output_tokens_details",
            "total_tokens",
        },
    )
    counts = [usage[name] for name in ("input_tokens", "output_tokens", "total_tokens")]
    assert all(type(each) is int and each >= 0 for each in counts), counts
    assert counts[0] + counts[1] == counts[2]
    details = usage["input_tokens_details"]
    assert details["cached_tokens"] + details.get("cache_write_tokens", 0) <= counts[0]
    assert usage["output_tokens_details"]["reasoning_tokens"] <= counts[1]


def check_item(item: dict[str, Any]) -> None:
    kind = item["type"]
    must, may = ITEMS[kind]
    _keys(kind, item, must, may)
    assert item["id"].startswith(PREFIXES[kind]), item["id"]
    failed = {"failed"} if kind == "web_search_call" else set[str]()
    assert item.get("status", "completed") in {"in_progress", "completed", "incomplete"} | failed
    if kind == "web_search_call":
        check_action(item["action"])
    elif kind == "message":
        assert item["role"] == "assistant"
        for part in item["content"]:
            if part["type"] == "output_text":
                _keys("output_text", part, {"type", "text", "annotations", "logprobs"})
                for each in part["logprobs"]:
                    check_token(each)
                for each in part["annotations"]:
                    fields = {"type", "start_index", "end_index", "url", "title"}
                    _keys("annotation", each, fields)
                    assert 0 <= each["start_index"] <= each["end_index"] <= len(part["text"])
            else:
                _keys("refusal", part, {"type", "refusal"})
                assert part["type"] == "refusal"
    elif kind == "reasoning":
        for piece in item["summary"]:
            _keys("summary", piece, {"type", "text"})
            assert piece["type"] == "summary_text"
    else:
        assert len(item["call_id"]) >= 1, "call_id"
        assert item["name"], "name"


def check_action(action: dict[str, Any]) -> None:
    assert action["type"] == "search", action["type"]
    _keys("action", action, {"type", "query"}, {"queries", "sources"})
    assert isinstance(action["query"], str)
    assert all(action.get("queries", ["q"])), "empty queries"
    for each in action.get("sources", ()):
        _keys("source", each, {"type", "url"})
        assert each["type"] == "url"
        assert each["url"]


def _keys(what: str, value: Any, required: Set[str], optional: Set[str] = frozenset()) -> None:
    assert isinstance(value, dict), f"{what} is no object: {value!r}"
    assert required <= value.keys(), f"{what} lacks {required - value.keys()}"
    assert value.keys() <= required | optional, f"{what}: {value.keys() - required - optional}?"


class _Item:
    """An item while it is built."""

    def __init__(self, item: dict[str, Any]) -> None:
        self.item = item
        self.parts: list[dict[str, Any]] = []
        self.open_part: int | None = None
        self.text = ""
        self.steps: list[str] = []
        """Of a search."""
        self.likely: list[dict[str, Any]] = []
        """Tokens that deltas of the current part have told."""
        self.told = False
        """The `…done` of the current part or of the arguments has come."""
        self.done: dict[str, Any] | None = None


class _Stream:
    def __init__(self, sound: bool) -> None:
        self.sound = sound
        self.answer = Answer()
        self.items: list[_Item] = []
        self.created: dict[str, Any] | None = None
        self.over = False

    def read(self, stream: bytes) -> Answer:
        for number, (name, text) in enumerate(records(stream)):
            assert not self.over, f"{name} after the terminal event"
            event = json.loads(text)
            assert event["type"] == name, "event name and type differ"
            assert event["sequence_number"] == number, "sequence_number must count up by one"
            if not number:
                assert name in ("response.created", "error", "response.failed"), "created is first"
            handle = getattr(self, "on_" + name.replace(".", "_"), None)
            assert handle is not None, f"unknown event {name}"
            handle(event)
        assert self.over, "no terminal event"
        return self.answer

    def on_response_created(self, event: dict[str, Any]) -> None:
        _keys("event", event, {"type", "sequence_number", "response"})
        check_response(event["response"], status="in_progress")
        self.created = event["response"]
        self.answer.model = event["response"]["model"]

    def on_response_in_progress(self, event: dict[str, Any]) -> None:
        assert event["response"] == self.created

    def on_response_output_item_added(self, event: dict[str, Any]) -> None:
        _keys("event", event, {"type", "sequence_number", "output_index", "item"})
        assert event["output_index"] == len(self.items), "output_index must be unique (P48)"
        item = event["item"]
        check_item(item)
        for name in ("content", "summary", "arguments", "input"):
            assert not item.get(name), f"{name} of an added item must be empty"
        assert item.get("status", "in_progress") == "in_progress"
        self.items.append(_Item(item))

    def _item(self, event: dict[str, Any], kind: str) -> _Item:
        found = self.items[event["output_index"]]
        assert found.done is None, "event for an item that is done"
        assert found.item["type"] == kind, f"{event['type']} for a {found.item['type']}"
        if "item_id" in event:
            assert event["item_id"] == found.item["id"], "item_id (P48)"
        return found

    def on_response_content_part_added(self, event: dict[str, Any]) -> None:
        item = self._item(event, "message")
        assert event["content_index"] == len(item.parts), "content_index"
        assert item.open_part is None, "the part before is still open"
        assert event["part"].get("text", event["part"].get("refusal")) == ""
        item.parts.append(event["part"])
        item.open_part, item.text, item.told = event["content_index"], "", False

    def _part(self, event: dict[str, Any], kind: str) -> _Item:
        item = self._item(event, "message")
        assert event["content_index"] == item.open_part, "delta for a part that is not open"
        assert item.parts[-1]["type"] == kind, kind
        return item

    def _delta(self, item: _Item, event: dict[str, Any]) -> None:
        assert isinstance(event["delta"], str), "delta is text"
        assert event["delta"], "an empty delta"
        assert not item.told, "a delta after its done"
        item.text += event["delta"]

    def on_response_output_text_delta(self, event: dict[str, Any]) -> None:
        fields = {"type", "sequence_number", "item_id", "output_index", "content_index", "delta"}
        _keys("event", event, fields | {"logprobs"})
        for each in event["logprobs"]:
            check_token(each)
        self._part(event, "output_text").likely += event["logprobs"]
        self._delta(self._part(event, "output_text"), event)
        self.answer.text += event["delta"]

    def on_response_output_text_done(self, event: dict[str, Any]) -> None:
        item = self._part(event, "output_text")
        assert event["text"] == item.text, "done repeats the deltas"
        for each in event["logprobs"]:
            check_token(each)
        assert event["logprobs"][: len(item.likely)] == item.likely, "done repeats the tokens"
        item.likely = []
        self.answer.logprobs += event["logprobs"]
        item.told = True

    def on_response_output_text_annotation_added(self, event: dict[str, Any]) -> None:
        item = self._part(event, "output_text")
        found = item.parts[-1].setdefault("_annotations", [])
        assert event["annotation_index"] == len(found)
        found.append(event["annotation"])
        self.answer.citations.append(event["annotation"])

    def on_response_refusal_delta(self, event: dict[str, Any]) -> None:
        self._delta(self._part(event, "refusal"), event)
        self.answer.refusal += event["delta"]

    def on_response_refusal_done(self, event: dict[str, Any]) -> None:
        item = self._part(event, "refusal")
        assert event["refusal"] == item.text
        item.told = True

    def on_response_content_part_done(self, event: dict[str, Any]) -> None:
        item = self._item(event, "message")
        assert item.told, "content_part.done before its text's done"
        assert event["content_index"] == item.open_part
        part = event["part"]
        assert part.get("text", part.get("refusal")) == item.text
        if part["type"] == "output_text":
            assert len(part["annotations"]) == len(item.parts[-1].pop("_annotations", []))
        item.parts[-1] = part
        item.open_part = None

    def on_response_reasoning_summary_part_added(self, event: dict[str, Any]) -> None:
        item = self._item(event, "reasoning")
        assert event["summary_index"] == len(item.parts)
        assert item.open_part is None
        assert event["part"] == {"type": "summary_text", "text": ""}
        item.parts.append(event["part"])
        item.open_part, item.text, item.told = event["summary_index"], "", False

    def on_response_reasoning_summary_text_delta(self, event: dict[str, Any]) -> None:
        item = self._item(event, "reasoning")
        assert event["summary_index"] == item.open_part
        self._delta(item, event)
        self.answer.reasoning += event["delta"]

    def on_response_reasoning_summary_text_done(self, event: dict[str, Any]) -> None:
        item = self._item(event, "reasoning")
        assert event["text"] == item.text
        item.told = True

    def on_response_reasoning_summary_part_done(self, event: dict[str, Any]) -> None:
        item = self._item(event, "reasoning")
        assert item.told
        assert event["part"] == {"type": "summary_text", "text": item.text}
        item.parts[-1] = event["part"]
        item.open_part = None

    def _arguments(self, event: dict[str, Any], kind: str) -> None:
        self._delta(self._item(event, kind), event)

    def on_response_function_call_arguments_delta(self, event: dict[str, Any]) -> None:
        self._arguments(event, "function_call")

    def on_response_function_call_arguments_done(self, event: dict[str, Any]) -> None:
        item = self._item(event, "function_call")
        assert event["arguments"] == item.text
        item.told = True

    def on_response_custom_tool_call_input_delta(self, event: dict[str, Any]) -> None:
        self._arguments(event, "custom_tool_call")

    def on_response_custom_tool_call_input_done(self, event: dict[str, Any]) -> None:
        item = self._item(event, "custom_tool_call")
        assert event["input"] == item.text
        item.told = True

    def _search(self, event: dict[str, Any]) -> None:
        _keys("event", event, {"type", "sequence_number", "item_id", "output_index"})
        item = self._item(event, "web_search_call")
        item.steps.append(event["type"].rpartition(".")[2])
        assert item.steps == SEARCH_STEPS[: len(item.steps)], "steps of a search in their order"

    on_response_web_search_call_in_progress = _search
    on_response_web_search_call_searching = _search
    on_response_web_search_call_completed = _search

    def on_response_output_item_done(self, event: dict[str, Any]) -> None:
        item, done = self.items[event["output_index"]], event["item"]
        check_item(done)
        assert item.done is None, "an item is done once"
        assert item.open_part is None, "item done before its part"
        for name in ("id", "type", "call_id", "name"):
            assert done.get(name) == item.item.get(name), f"{name} changed"
        match done["type"]:
            case "message":
                assert done["content"] == item.parts
                assert item.parts, "a message without parts"
            case "web_search_call":
                is_over = len(item.steps) == len(SEARCH_STEPS)
                assert is_over == (done["status"] == "completed"), "a search that has no end"
                self.answer.searches += done["action"].get("queries", [done["action"]["query"]])
                self.answer.sources += [e["url"] for e in done["action"].get("sources", ())]
            case "reasoning":
                assert done["summary"] == item.parts
                assert item.parts or done.get("encrypted_content"), "an empty reasoning item"
                if state := done.get("encrypted_content"):
                    self.answer.states.append(state)
            case "function_call":
                assert item.told, "arguments.done is missing"
                assert done["arguments"] == item.text
                if self.sound and done["status"] == "completed":
                    json.loads(item.text)
                self.answer.tools.append(Tool(done["call_id"], done["name"], item.text))
            case _:
                assert item.told, "input.done is missing"
                assert done["input"] == item.text
                self.answer.tools.append(
                    Tool(done["call_id"], done["name"], item.text, kind="custom")
                )
        self.answer.blocks.append(done["type"])
        item.done = done

    def _final(self, event: dict[str, Any], status: str) -> None:
        response = event["response"]
        check_response(response, status=status)
        assert self.created is not None
        for name in RESPONSE - {"status", "output", "usage", "incomplete_details", "error"}:
            assert response[name] == self.created[name], f"{name} changed"
        assert all(item.done for item in self.items), "an item is still open"
        assert response["output"] == [item.done for item in self.items], "output repeats the items"
        self.answer.reason = status
        if status == "incomplete":
            self.answer.reason = response["incomplete_details"]["reason"]
        self.answer.usage = response["usage"]
        self.over = True

    def on_response_completed(self, event: dict[str, Any]) -> None:
        self._final(event, "completed")
        done = [item.done or {} for item in self.items if item.item["type"] != "web_search_call"]
        states = [item.get("status", "completed") for item in done]
        assert set(states) <= {"completed"}, states

    def on_response_incomplete(self, event: dict[str, Any]) -> None:
        self._final(event, "incomplete")

    def on_response_failed(self, event: dict[str, Any]) -> None:
        check_response(event["response"], status="failed")
        self.answer.error = event["response"]["error"]
        self.over = True

    def on_error(self, event: dict[str, Any]) -> None:
        _keys("error", event, {"type", "sequence_number", "code", "message", "param"})
        self.answer.error = {"code": event["code"], "message": event["message"]}
        self.over = True
