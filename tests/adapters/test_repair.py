"""Refusals that a payload can be mended after, in the providers' own words."""

import json
from typing import Any

import pytest

from plexus_proxy.adapters.repair import repaired
from plexus_proxy.formats.refusals import read_refusal

OPENAI_UNSUPPORTED = {
    "error": {
        "message": "Unsupported parameter: 'temperature' is not supported with this model.",
        "type": "invalid_request_error",
        "param": "temperature",
        "code": "unsupported_parameter",
    }
}
OPENAI_VALUE = {
    "error": {
        "message": "Unsupported value: 'temperature' does not support 0.2 with this model."
        " Only the default (1) value is supported.",
        "type": "invalid_request_error",
        "param": "temperature",
        "code": "unsupported_value",
    }
}
OPENAI_NESTED = {
    "error": {
        "message": "Unsupported parameter: 'text.verbosity' is not supported with this model.",
        "type": "invalid_request_error",
        "param": "text.verbosity",
        "code": "unsupported_parameter",
    }
}
OLD_OPENAI = {"error": {"message": "Unrecognized request argument supplied: safety_identifier"}}
CODEX = {"detail": "Unsupported parameter: truncation"}
ANTHROPIC_EXTRA = {
    "type": "error",
    "error": {
        "type": "invalid_request_error",
        "message": "context_management: Extra inputs are not permitted",
    },
}
ANTHROPIC_BOTH = {
    "type": "error",
    "error": {
        "type": "invalid_request_error",
        "message": "`temperature` and `top_p` cannot both be specified for this model."
        " Please use only one.",
    },
}
ANTHROPIC_DEPRECATED = {
    "type": "error",
    "error": {
        "type": "invalid_request_error",
        "message": "`temperature` is deprecated for this model.",
    },
}
VLLM = {
    "detail": [
        {"type": "extra_forbidden", "loc": ["body", "safety_identifier"], "msg": "Extra inputs"},
        {"type": "extra_forbidden", "loc": ["body", "store"], "msg": "Extra inputs"},
    ]
}
GEMINI = {
    "error": {
        "code": 400,
        "message": "Invalid JSON payload received. Unknown name \"seed\" at 'generation_config':"
        ' Cannot find field.\nInvalid JSON payload received. Unknown name "labels": Cannot find'
        " field.",
        "status": "INVALID_ARGUMENT",
    }
}


def mended(refusal: Any, payload: dict[str, Any], status: int = 400) -> tuple[Any, tuple[str, ...]]:
    fault = read_refusal(status, {}, json.dumps(refusal).encode())
    repair = repaired(fault, json.dumps(payload).encode())
    return (json.loads(repair.body), repair.dropped) if repair else (None, ())


@pytest.mark.parametrize(
    ("refusal", "given", "left", "dropped"),
    [
        (OPENAI_UNSUPPORTED, {"temperature": 0.2, "top_p": 1}, {"top_p": 1}, ("temperature",)),
        (OPENAI_VALUE, {"temperature": 0.2}, {}, ("temperature",)),
        (
            OPENAI_NESTED,
            {"text": {"verbosity": "low", "format": {"type": "text"}}},
            {"text": {"format": {"type": "text"}}},
            ("text.verbosity",),
        ),
        (OLD_OPENAI, {"safety_identifier": "u"}, {}, ("safety_identifier",)),
        (CODEX, {"truncation": "auto"}, {}, ("truncation",)),
        (ANTHROPIC_EXTRA, {"context_management": {}}, {}, ("context_management",)),
        (ANTHROPIC_BOTH, {"temperature": 1, "top_p": 1}, {"temperature": 1}, ("top_p",)),
        (ANTHROPIC_DEPRECATED, {"temperature": 1}, {}, ("temperature",)),
        (VLLM, {"safety_identifier": "u", "store": True}, {}, ("safety_identifier", "store")),
        (
            GEMINI,
            {"generationConfig": {"seed": 1, "topK": 2}, "labels": {}},
            {"generationConfig": {"topK": 2}},
            ("generationConfig.seed", "labels"),
        ),
    ],
)
@pytest.mark.pitfall("P105", "B54")
def test_b54_p105_a_parameter_that_is_named_is_left_out(
    refusal: Any, given: dict[str, Any], left: dict[str, Any], dropped: tuple[str, ...]
) -> None:
    rest = {"model": "m", "messages": [{"role": "user", "content": "temperature: 5"}]}
    assert mended(refusal, rest | given) == (rest | left, dropped)
    assert mended(refusal, rest | given, status=422) == (rest | left, dropped)


def test_a_length_goes_by_the_name_that_is_asked_for() -> None:
    refusal = {
        "error": {
            "message": "Unsupported parameter: 'max_tokens' is not supported with this model."
            " Use 'max_completion_tokens' instead.",
            "param": "max_tokens",
            "code": "unsupported_parameter",
        }
    }
    assert mended(refusal, {"max_tokens": 5}) == ({"max_completion_tokens": 5}, ())


@pytest.mark.parametrize(
    "name",
    [
        *("model", "messages", "tools", "tool_choice", "response_format", "stream", "stop", "n"),
        *("previous_response_id", "conversation", "cachedContent", "system_instruction"),
        *("safetySettings", "mcp_servers", "suffix", "max_completion_tokens"),
    ],
)
def test_what_the_question_needs_is_never_left_out(name: str) -> None:
    message = f"Unsupported parameter: '{name}' is not supported with this model."
    refusal = {"error": {"message": message, "param": name, "code": "unsupported_parameter"}}
    assert mended(refusal, {name: 1, "x": 2}) == (None, ())


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        (OPENAI_UNSUPPORTED, 401),
        (OPENAI_UNSUPPORTED, 500),
        ({"error": {"message": "messages: at least one message is required"}}, 400),
        ({"error": {"message": "The model `temperature` does not exist"}}, 400),
        ({"error": {"message": "'temperature' must be at most 2", "param": "temperature"}}, 400),
        ("not found", 400),
        ({}, 400),
    ],
)
def test_other_refusals_are_not_repaired(refusal: Any, status: int) -> None:
    assert mended(refusal, {"temperature": 5, "messages": []}, status) == (None, ())


def test_a_parameter_that_was_not_sent_repairs_nothing() -> None:
    assert mended(OPENAI_UNSUPPORTED, {"model": "m"}) == (None, ())


BAD_SIGNATURE = {
    "type": "error",
    "error": {
        "type": "invalid_request_error",
        "message": "messages.1.content.0: Invalid `signature` in `thinking` block",
    },
}
NO_THINKING = {
    "type": "error",
    "error": {
        "type": "invalid_request_error",
        "message": "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but"
        " found `tool_use`. When `thinking` is enabled, a final `assistant` message must start"
        " with a thinking block.",
    },
}
BAD_ENCRYPTION = {
    "error": {
        "message": "The encrypted content for item rs_1 could not be verified.",
        "type": "invalid_request_error",
        "param": None,
        "code": "invalid_encrypted_content",
    }
}
LONELY_REASONING = {
    "error": {
        "message": "Item 'rs_1' of type 'reasoning' was provided without its required following"
        " item.",
        "type": "invalid_request_error",
    }
}
NOT_STORED = {
    "error": {
        "message": "Item with id 'rs_1' not found. Items are not persisted when `store` is false.",
        "type": "invalid_request_error",
    }
}
NO_SIGNATURE = {
    "error": {
        "code": 400,
        "message": "Function call is missing a thought_signature in functionCall parts.",
        "status": "INVALID_ARGUMENT",
    }
}

USER = {"role": "user", "content": "?"}
THINKING = {"type": "thinking", "thinking": "t", "signature": "s"}
USE = {"type": "tool_use", "id": "a", "name": "f", "input": {"signature": "kept"}}
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "x"}]}


@pytest.mark.parametrize("refusal", [BAD_SIGNATURE, NO_THINKING], ids=["invalid", "missing"])
@pytest.mark.pitfall("B55")
def test_b55_thinking_is_left_out_and_a_running_loop_does_not_think_on(refusal: Any) -> None:
    said = {"role": "assistant", "content": [THINKING, USE]}
    redacted = {"role": "assistant", "content": [{"type": "redacted_thinking", "data": "d"}]}
    payload = {
        "messages": [USER, redacted, USER, said, RESULT],
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    }
    expected = {"messages": [USER, USER, {"role": "assistant", "content": [USE]}, RESULT]}
    assert mended(refusal, payload) == (expected, ("reasoning",))


@pytest.mark.parametrize(
    ("thinking", "last"),
    [({"type": "adaptive"}, RESULT), ({"type": "enabled", "budget_tokens": 1024}, USER)],
    ids=["adaptive", "no loop"],
)
def test_otherwise_thinking_goes_on(thinking: Any, last: Any) -> None:
    said = {"role": "assistant", "content": [THINKING, USE]}
    found, _ = mended(BAD_SIGNATURE, {"messages": [USER, said, last], "thinking": thinking})
    assert found["thinking"] == thinking


@pytest.mark.parametrize(
    "refusal",
    [BAD_ENCRYPTION, LONELY_REASONING, NOT_STORED],
    ids=["invalid", "lonely", "not stored"],
)
def test_reasoning_items_are_left_out_with_the_ids_that_came_of_them(refusal: Any) -> None:
    items: list[dict[str, Any]] = [
        {"role": "user", "content": "?"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "e"},
        {"type": "function_call", "id": "fc_1", "call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": "x"},
    ]
    call = {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"}
    assert mended(refusal, {"input": items}) == (
        {"input": [items[0], call, items[3]]},
        ("reasoning",),
    )


def test_signatures_of_calls_are_left_out_and_the_first_of_a_step_says_so() -> None:
    one, two = {"functionCall": {"name": "f"}}, {"functionCall": {"name": "g"}}
    text = {"text": "t", "thoughtSignature": "c2ln"}
    content = {"role": "model", "parts": [text, {**one, "thoughtSignature": "c2ln"}, two]}
    asked = {"role": "user", "parts": [{"text": "?"}]}
    sentinel = "skip_thought_signature_validator"
    parts = [{"text": "t"}, {**one, "thoughtSignature": sentinel}, two]
    assert mended(NO_SIGNATURE, {"contents": [asked, content]}) == (
        {"contents": [asked, {"role": "model", "parts": parts}]},
        ("reasoning",),
    )


def test_chat_messages_lose_their_details() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    signed = call | {"extra_content": {"google": {"thought_signature": "s"}}}
    said: dict[str, Any] = {"role": "assistant", "content": None, "reasoning_content": "kept"}
    full = said | {"reasoning_details": [{"type": "reasoning.text"}], "tool_calls": [signed]}
    assert mended(BAD_SIGNATURE, {"messages": [USER, full]}) == (
        {"messages": [USER, said | {"tool_calls": [call]}]},
        ("reasoning",),
    )


def test_a_payload_without_state_is_not_sent_again() -> None:
    payloads: list[dict[str, Any]] = [{"messages": [USER]}, {"input": "x"}, {"contents": []}, {}]
    for payload in payloads:
        assert mended(BAD_SIGNATURE, payload) == (None, ())


@pytest.mark.pitfall("B62")
def test_b62_tool_search_is_left_out_where_it_is_unknown() -> None:
    """The tools it would have searched are all declared anyway."""
    refusal = {"error": {"message": "Unknown server-tool shorthand: tool_search_tool_regex"}}
    search = {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"}
    tool: dict[str, Any] = {"name": "f", "input_schema": {"type": "object"}}
    assert mended(refusal, {"tools": [search, tool]}) == ({"tools": [tool]}, ("tools",))
    assert mended(refusal, {"tools": [search]}) == (None, ())
    assert mended(refusal, {"tools": [tool]}) == (None, ())
