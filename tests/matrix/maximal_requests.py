"""Everything a client of each format may ask for, one feature at a time and all at once.

Written from the protocol sheets. A feature is what is added to a plain request: fields at the top,
parts of the user's message, or turns before it. `given` (fields, turns) stands in the request with
and without the feature, so that what differs is the feature's alone.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from matrix.questions import PDF, PNG

Json = dict[str, Any]


@dataclass(frozen=True)
class Feature:
    name: str
    """The client's field, as its documentation spells the path."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    parts: Sequence[Json] = ()
    turns: Sequence[Json] = ()
    given: Mapping[str, Any] = field(default_factory=dict)
    given_turns: Sequence[Json] = ()


def merged(into: Mapping[str, Any], more: Mapping[str, Any]) -> Json:
    """Objects are merged, everything else is replaced."""
    out = dict(into)
    for name, value in more.items():
        known = out.get(name)
        is_object = isinstance(value, dict) and isinstance(known, dict)
        out[name] = merged(known, value) if is_object else value
    return out


HELLO, THERE = "Hello.", "Are you there?"


def request_of(client: str, fields: Mapping[str, Any], parts: Any = (), turns: Any = ()) -> Json:
    """A plain request with these additions."""
    texts = (HELLO, THERE)
    match client:
        case "chat":
            said = [*({"type": "text", "text": each} for each in texts), *parts]
            history: Json = {"messages": [*turns, {"role": "user", "content": said}]}
        case "messages":
            said = [*({"type": "text", "text": each} for each in texts), *parts]
            history = {"messages": [*turns, {"role": "user", "content": said}]}
            history["max_tokens"] = 4000
        case "responses":
            said = [*({"type": "input_text", "text": each} for each in texts), *parts]
            message = {"type": "message", "role": "user", "content": said}
            history = {"input": [*turns, message], "store": False}
        case _:
            said = [*({"text": each} for each in texts), *parts]
            history = {"contents": [*turns, {"role": "user", "parts": said}]}
    return merged(history, fields)


def without(client: str, feature: Feature) -> Json:
    return request_of(client, feature.given, (), feature.given_turns)


def with_feature(client: str, feature: Feature) -> Json:
    fields = merged(feature.given, feature.fields)
    return request_of(client, fields, feature.parts, feature.turns or feature.given_turns)


def with_all(client: str, features: Sequence[Feature]) -> Json:
    """Of two features that set the same field, the later one wins."""
    fields: Json = {}
    parts: list[Json] = []
    turns: list[Json] = []
    for each in features:
        fields = merged(fields, merged(each.given, each.fields))
        parts += each.parts
        turns += each.turns
    return request_of(client, fields, parts, turns)


_PNG = base64.b64encode(PNG).decode()
_PDF = base64.b64encode(PDF).decode()
_WAV = base64.b64encode(b"RIFF\x24\x00\x00\x00WAVEfmt ").decode()
_NOTE = base64.b64encode(b"A note.").decode()
_OBJECT: Json = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
_SCHEMA: Json = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "minLength": 2},
        "unit": {"const": "C"},
        "days": {"type": ["integer", "null"], "exclusiveMinimum": 0},
    },
    "required": ["city"],
}
_LONG_NAME = "weather.report/" + "x" * 60
_ARGUMENTS = '{"city":"Oslo"}'
_SIGNATURE = "Zm9yZWlnbg=="

# Chat Completions


def _function(**more: Any) -> Json:
    function = {"name": "get_weather", "description": "Look up.", "parameters": _SCHEMA}
    return {"type": "function", "function": {**function, **more}}


_CHAT_TOOLS: Json = {"tools": [_function()]}
_CHAT_ASKED: Json = {"role": "user", "content": "Weather?"}
_CHAT_CALL: Json = {
    "id": "call_F1",
    "type": "function",
    "function": {"name": "get_weather", "arguments": _ARGUMENTS},
}
_CHAT_CALLED: Json = {"role": "assistant", "content": None, "tool_calls": [_CHAT_CALL]}
_CHAT_RESULT: Json = {"role": "tool", "tool_call_id": "call_F1", "content": "4 degrees"}
_CHAT_SAID: Json = {"role": "assistant", "content": "Cold."}
_CUSTOM: Json = {
    "type": "custom",
    "custom": {
        "name": "patch",
        "format": {
            "type": "grammar",
            "grammar": {"syntax": "regex", "definition": "[a-z]+"},
        },
    },
}


def _user_then(*turns: Json) -> list[Json]:
    return [_CHAT_ASKED, *turns]


CHAT = (
    Feature("max_completion_tokens", {"max_completion_tokens": 900}),
    Feature("max_tokens", {"max_tokens": 800}),
    Feature("temperature", {"temperature": 0.7}),
    Feature("top_p", {"top_p": 0.9}),
    Feature("top_k", {"top_k": 20}),
    Feature("seed", {"seed": 7}),
    Feature("presence_penalty", {"presence_penalty": 0.5}),
    Feature("frequency_penalty", {"frequency_penalty": 0.25}),
    Feature("logit_bias", {"logit_bias": {"50256": -100}}),
    Feature("logprobs", {"logprobs": True}),
    Feature("top_logprobs", {"top_logprobs": 3}, given={"logprobs": True}),
    Feature("n", {"n": 2}),
    Feature("stop", {"stop": ["END", "Human:"]}),
    Feature("tools", _CHAT_TOOLS),
    Feature("tools (long name)", {"tools": [_function(name=_LONG_NAME.replace("/", "_"))]}),
    Feature("tools.function.strict", {"tools": [_function(strict=True, parameters=_OBJECT)]},
            given={"tools": [_function(parameters=_OBJECT)]}),
    Feature("tools (custom)", {"tools": [_CUSTOM]}),
    Feature("tool_choice (none)", {"tool_choice": "none"}, given=_CHAT_TOOLS),
    Feature("tool_choice (required)", {"tool_choice": "required"}, given=_CHAT_TOOLS),
    Feature("tool_choice (function)",
            {"tool_choice": {"type": "function", "function": {"name": "get_weather"}}},
            given=_CHAT_TOOLS),
    Feature("tool_choice (allowed_tools)",
            {"tool_choice": {"type": "allowed_tools", "allowed_tools": {
                "mode": "auto",
                "tools": [{"type": "function", "function": {"name": "get_weather"}}]}}},
            given={"tools": [_function(), _function(name="other")]}),
    Feature("parallel_tool_calls", {"parallel_tool_calls": False}, given=_CHAT_TOOLS),
    Feature("functions", {"functions": [{"name": "get_weather", "parameters": _OBJECT}]}),
    Feature("response_format (json_object)", {"response_format": {"type": "json_object"}}),
    Feature("response_format (json_schema)", {"response_format": {
        "type": "json_schema",
        "json_schema": {"name": "weather", "strict": True, "schema": _OBJECT}}}),
    Feature("reasoning_effort", {"reasoning_effort": "high"}),
    Feature("verbosity", {"verbosity": "low"}),
    Feature("modalities", {"modalities": ["text", "audio"],
                           "audio": {"voice": "alloy", "format": "wav"}}),
    Feature("prediction", {"prediction": {"type": "content", "content": "Hel"}}),
    Feature("web_search_options", {"web_search_options": {"search_context_size": "low"}}),
    Feature("service_tier", {"service_tier": "flex"}),
    Feature("metadata", {"metadata": {"team": "blue"}}),
    Feature("store", {"store": True}),
    Feature("user", {"user": "u-1"}),
    Feature("safety_identifier", {"safety_identifier": "s-1"}),
    Feature("prompt_cache_key", {"prompt_cache_key": "k-1"}),
    Feature("prompt_cache_options", {"prompt_cache_options": {"mode": "explicit"}}),
    Feature("min_p", {"min_p": 0.1}),
    Feature("messages (system)", turns=[{"role": "system", "content": "Be brief."}]),
    Feature("messages (system, later)",
            turns=_user_then(_CHAT_SAID, {"role": "system", "content": "Be brief."}),
            given_turns=_user_then(_CHAT_SAID)),
    Feature("messages.name",
            turns=[{**_CHAT_ASKED, "name": "ann"}, _CHAT_SAID],
            given_turns=_user_then(_CHAT_SAID)),
    Feature("messages.content (image_url, data)", parts=[
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_PNG}"}}]),
    Feature("messages.content (image_url, detail)", parts=[
        {"type": "image_url",
         "image_url": {"url": f"data:image/png;base64,{_PNG}", "detail": "low"}}]),
    Feature("messages.content (file)", parts=[
        {"type": "file", "file": {"filename": "a.pdf",
                                  "file_data": f"data:application/pdf;base64,{_PDF}"}}]),
    Feature("messages.content (file_id)", parts=[{"type": "file", "file": {"file_id": "file-1"}}]),
    Feature("messages.content (input_audio)", parts=[
        {"type": "input_audio", "input_audio": {"data": _WAV, "format": "wav"}}]),
    Feature("messages.content.prompt_cache_breakpoint", parts=[
        {"type": "text", "text": "Long.", "prompt_cache_breakpoint": {"mode": "explicit"}}]),
    Feature("messages.tool_calls",
            turns=_user_then(_CHAT_CALLED, _CHAT_RESULT), given=_CHAT_TOOLS),
    Feature("messages.refusal",
            turns=_user_then({"role": "assistant", "content": None, "refusal": "No."})),
    Feature("messages.reasoning_content",
            turns=_user_then({**_CHAT_SAID, "reasoning_content": "Hm."}),
            given_turns=_user_then(_CHAT_SAID)),
)  # fmt: skip


# Messages

_TOOL: Json = {"name": "get_weather", "description": "Look up.", "input_schema": _SCHEMA}
_M_TOOLS: Json = {"tools": [_TOOL]}
_M_ASKED: Json = {"role": "user", "content": "Weather?"}
_M_SAID: Json = {"role": "assistant", "content": "Cold."}
_M_CALL: Json = {"type": "tool_use", "id": "toolu_F1", "name": "get_weather",
                 "input": {"city": "Oslo"}}  # fmt: skip
_EPHEMERAL: Json = {"cache_control": {"type": "ephemeral"}}


def _m_loop(*content: Any, **more: Any) -> list[Json]:
    result = {"type": "tool_result", "tool_use_id": "toolu_F1", "content": list(content), **more}
    return [
        _M_ASKED,
        {"role": "assistant", "content": [_M_CALL]},
        {"role": "user", "content": [result]},
        _M_SAID,
    ]


_M_RESULT: Json = {"type": "text", "text": "4 degrees"}
_M_IMAGE: Json = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": _PNG},
}
_M_PAPER: Json = {
    "type": "document",
    "source": {"type": "base64", "media_type": "application/pdf", "data": _PDF},
}
_M_THOUGHT: Json = {"type": "thinking", "thinking": "Hm.", "signature": _SIGNATURE}

MESSAGES = (
    Feature("max_tokens", {"max_tokens": 900}),
    Feature("system", {"system": "Be brief."}),
    Feature("system.cache_control", {"system": [{"type": "text", "text": "Be brief.",
                                                 **_EPHEMERAL}]},
            given={"system": [{"type": "text", "text": "Be brief."}]}),
    Feature("temperature", {"temperature": 0.7}),
    Feature("top_p", {"top_p": 0.9}),
    Feature("top_k", {"top_k": 20}),
    Feature("stop_sequences", {"stop_sequences": ["END", "Human:"]}),
    Feature("tools", _M_TOOLS),
    Feature("tools.strict", {"tools": [{**_TOOL, "input_schema": _OBJECT, "strict": True}]},
            given={"tools": [{**_TOOL, "input_schema": _OBJECT}]}),
    Feature("tools.cache_control", {"tools": [{**_TOOL, **_EPHEMERAL}]}, given=_M_TOOLS),
    Feature("tools (web_search)", {"tools": [{"type": "web_search_20250305",
                                              "name": "web_search", "max_uses": 2}]}),
    Feature("tools (code_execution)", {"tools": [{"type": "code_execution_20250825",
                                                  "name": "code_execution"}]}),
    Feature("tool_choice (any)", {"tool_choice": {"type": "any"}}, given=_M_TOOLS),
    Feature("tool_choice (tool)", {"tool_choice": {"type": "tool", "name": "get_weather"}},
            given=_M_TOOLS),
    Feature("tool_choice (none)", {"tool_choice": {"type": "none"}}, given=_M_TOOLS),
    Feature("tool_choice.disable_parallel_tool_use",
            {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
            given={**_M_TOOLS, "tool_choice": {"type": "auto"}}),
    Feature("thinking (enabled)", {"thinking": {"type": "enabled", "budget_tokens": 2000}}),
    Feature("thinking (adaptive)", {"thinking": {"type": "adaptive"}}),
    Feature("thinking (disabled)", {"thinking": {"type": "disabled"}}),
    Feature("output_config.effort", {"output_config": {"effort": "high"}}),
    Feature("output_config.format",
            {"output_config": {"format": {"type": "json_schema", "schema": _OBJECT}}}),
    Feature("metadata.user_id", {"metadata": {"user_id": "u-1"}}),
    Feature("service_tier", {"service_tier": "standard_only"}),
    Feature("speed", {"speed": "fast"}),
    Feature("container", {"container": "cont_1"}),
    Feature("mcp_servers", {"mcp_servers": [{"type": "url", "url": "https://e.org",
                                             "name": "m"}]}),
    Feature("context_management", {"context_management": {"edits": [
        {"type": "clear_tool_uses_20250919"}]}}),
    Feature("cache_control", {"cache_control": {"type": "ephemeral"}}),
    Feature("messages.content (image)", parts=[_M_IMAGE]),
    Feature("messages.content (image, file)", parts=[
        {"type": "image", "source": {"type": "file", "file_id": "file_1"}}]),
    Feature("messages.content (document)", parts=[_M_PAPER]),
    Feature("messages.content (document, title and context)", parts=[
        {**_M_PAPER, "title": "Report", "context": "Of May."}]),
    Feature("messages.content (document, citations)", parts=[
        {**_M_PAPER, "citations": {"enabled": True}}]),
    Feature("messages.content (document, text)", parts=[
        {"type": "document", "source": {"type": "text", "media_type": "text/plain",
                                        "data": "A note."}}]),
    Feature("messages.content (search_result)", parts=[
        {"type": "search_result", "source": "https://e.org", "title": "E",
         "content": [{"type": "text", "text": "Found."}]}]),
    Feature("messages.content.cache_control", parts=[{"type": "text", "text": "Long.",
                                                      **_EPHEMERAL}]),
    Feature("messages (prefill)", turns=[_M_ASKED, _M_SAID]),
    Feature("messages.content (tool_use, tool_result)", turns=_m_loop(_M_RESULT), given=_M_TOOLS),
    Feature("messages.content.is_error", turns=_m_loop(_M_RESULT, is_error=True), given=_M_TOOLS,
            given_turns=_m_loop(_M_RESULT)),
    Feature("messages.content (tool_result, image)", turns=_m_loop(_M_RESULT, _M_IMAGE),
            given=_M_TOOLS, given_turns=_m_loop(_M_RESULT)),
    Feature("messages.content (thinking)",
            turns=[_M_ASKED, {"role": "assistant",
                              "content": [_M_THOUGHT, {"type": "text", "text": "Cold."}]}],
            given_turns=[_M_ASKED, {"role": "assistant",
                                    "content": [{"type": "text", "text": "Cold."}]}]),
)  # fmt: skip


# Responses

_R_TOOL: Json = {"type": "function", "name": "get_weather", "description": "Look up.",
                 "parameters": _SCHEMA, "strict": False}  # fmt: skip
_R_TOOLS: Json = {"tools": [_R_TOOL]}
_R_ASKED: Json = {"type": "message", "role": "user", "content": "Weather?"}
_R_SAID: Json = {"type": "message", "role": "assistant",
                 "content": [{"type": "output_text", "text": "Cold."}]}  # fmt: skip
_R_CALL: Json = {"type": "function_call", "call_id": "call_F1", "name": "get_weather",
                 "arguments": _ARGUMENTS}  # fmt: skip


def _r_loop(output: Any) -> list[Json]:
    result = {"type": "function_call_output", "call_id": "call_F1", "output": output}
    return [_R_ASKED, _R_CALL, result, _R_SAID]


_R_IMAGE: Json = {"type": "input_image", "image_url": f"data:image/png;base64,{_PNG}"}

RESPONSES = (
    Feature("instructions", {"instructions": "Be brief."}),
    Feature("max_output_tokens", {"max_output_tokens": 900}),
    Feature("temperature", {"temperature": 0.7}),
    Feature("top_p", {"top_p": 0.9}),
    Feature("top_logprobs", {"top_logprobs": 3}),
    Feature("include", {"include": ["message.output_text.logprobs"]}),
    Feature("tools", _R_TOOLS),
    Feature("tools.strict", {"tools": [{**_R_TOOL, "parameters": _OBJECT, "strict": True}]},
            given={"tools": [{**_R_TOOL, "parameters": _OBJECT}]}),
    Feature("tools (custom)", {"tools": [{"type": "custom", "name": "patch",
                                          "format": {"type": "text"}}]}),
    Feature("tools (web_search)", {"tools": [{"type": "web_search"}]}),
    Feature("tools (file_search)", {"tools": [{"type": "file_search",
                                               "vector_store_ids": ["vs_1"]}]}),
    Feature("tools (code_interpreter)", {"tools": [{"type": "code_interpreter",
                                                    "container": {"type": "auto"}}]}),
    Feature("tools (mcp)", {"tools": [{"type": "mcp", "server_label": "m",
                                       "server_url": "https://e.org"}]}),
    Feature("tool_choice (none)", {"tool_choice": "none"}, given=_R_TOOLS),
    Feature("tool_choice (required)", {"tool_choice": "required"}, given=_R_TOOLS),
    Feature("tool_choice (function)", {"tool_choice": {"type": "function",
                                                       "name": "get_weather"}}, given=_R_TOOLS),
    Feature("tool_choice (allowed_tools)",
            {"tool_choice": {"type": "allowed_tools", "mode": "auto",
                             "tools": [{"type": "function", "name": "get_weather"}]}},
            given={"tools": [_R_TOOL, {**_R_TOOL, "name": "other"}]}),
    Feature("parallel_tool_calls", {"parallel_tool_calls": False}, given=_R_TOOLS),
    Feature("max_tool_calls", {"max_tool_calls": 3}),
    Feature("text.format (json_object)", {"text": {"format": {"type": "json_object"}}}),
    Feature("text.format (json_schema)", {"text": {"format": {
        "type": "json_schema", "name": "weather", "strict": True, "schema": _OBJECT}}}),
    Feature("text.verbosity", {"text": {"verbosity": "low"}}),
    Feature("reasoning.effort", {"reasoning": {"effort": "high"}}),
    Feature("reasoning.summary", {"reasoning": {"summary": "detailed"}}),
    Feature("metadata", {"metadata": {"team": "blue"}}),
    Feature("service_tier", {"service_tier": "flex"}),
    Feature("truncation", {"truncation": "auto"}),
    Feature("store", {"store": True}),
    Feature("user", {"user": "u-1"}),
    Feature("safety_identifier", {"safety_identifier": "s-1"}),
    Feature("prompt_cache_key", {"prompt_cache_key": "k-1"}),
    Feature("previous_response_id", {"previous_response_id": "resp_1"}),
    Feature("conversation", {"conversation": "conv_1"}),
    Feature("background", {"background": True}),
    Feature("prompt", {"prompt": {"id": "pmpt_1"}}),
    Feature("input (developer)", turns=[
        {"type": "message", "role": "developer", "content": "Be brief."}]),
    Feature("input (developer, later)",
            turns=[_R_ASKED, _R_SAID,
                   {"type": "message", "role": "developer", "content": "Be brief."}],
            given_turns=[_R_ASKED, _R_SAID]),
    Feature("input (input_image)", parts=[_R_IMAGE]),
    Feature("input (input_image, detail)", parts=[{**_R_IMAGE, "detail": "low"}]),
    Feature("input (input_file)", parts=[
        {"type": "input_file", "filename": "a.pdf",
         "file_data": f"data:application/pdf;base64,{_PDF}"}]),
    Feature("input (input_file, file_id)", parts=[{"type": "input_file", "file_id": "file-1"}]),
    Feature("input (input_audio)", parts=[
        {"type": "input_audio", "input_audio": {"data": _WAV, "format": "wav"}}]),
    Feature("input (function_call, function_call_output)", turns=_r_loop("4 degrees"),
            given=_R_TOOLS),
    Feature("input (function_call_output, image)",
            turns=_r_loop([{"type": "input_text", "text": "4 degrees"}, _R_IMAGE]), given=_R_TOOLS,
            given_turns=_r_loop("4 degrees")),
    Feature("input (refusal)",
            turns=[_R_ASKED, {"type": "message", "role": "assistant",
                              "content": [{"type": "refusal", "refusal": "No."}]}]),
    Feature("input (reasoning)",
            turns=[_R_ASKED, {"type": "reasoning", "id": "rs_1", "encrypted_content": _SIGNATURE,
                              "summary": [{"type": "summary_text", "text": "Hm."}]}, _R_SAID],
            given_turns=[_R_ASKED, _R_SAID]),
    Feature("input (web_search_call)",
            turns=[_R_ASKED, {"type": "web_search_call", "id": "ws_1", "status": "completed",
                              "action": {"type": "search", "query": "Oslo"}}, _R_SAID],
            given_turns=[_R_ASKED, _R_SAID]),
    Feature("input (item_reference)", turns=[{"type": "item_reference", "id": "msg_1"}]),
)  # fmt: skip


# Gemini


def _config(**fields: Any) -> Json:
    return {"generationConfig": fields}


def _declared(**more: Any) -> Json:
    function = {"name": "get_weather", "description": "Look up.",
                "parametersJsonSchema": _SCHEMA}  # fmt: skip
    return {"tools": [{"functionDeclarations": [{**function, **more}]}]}


def _calling(**fields: Any) -> Json:
    return {"toolConfig": {"functionCallingConfig": fields}}


_G_TOOLS = _declared()
_G_ASKED: Json = {"role": "user", "parts": [{"text": "Weather?"}]}
_G_SAID: Json = {"role": "model", "parts": [{"text": "Cold."}]}
_G_CALL: Json = {"functionCall": {"id": "call_F1", "name": "get_weather",
                                  "args": {"city": "Oslo"}}}  # fmt: skip


def _g_loop(response: Any, **more: Any) -> list[Json]:
    answered = {"id": "call_F1", "name": "get_weather", "response": response, **more}
    return [
        _G_ASKED,
        {"role": "model", "parts": [_G_CALL]},
        {"role": "user", "parts": [{"functionResponse": answered}]},
        _G_SAID,
    ]


_G_IMAGE: Json = {"inlineData": {"mimeType": "image/png", "data": _PNG}}
_G_OUTPUT: Json = {"output": "4 degrees"}

GEMINI = (
    Feature("systemInstruction", {"systemInstruction": {"parts": [{"text": "Be brief."}]}}),
    Feature("generationConfig.maxOutputTokens", _config(maxOutputTokens=900)),
    Feature("generationConfig.temperature", _config(temperature=0.7)),
    Feature("generationConfig.topP", _config(topP=0.9)),
    Feature("generationConfig.topK", _config(topK=20)),
    Feature("generationConfig.seed", _config(seed=7)),
    Feature("generationConfig.presencePenalty", _config(presencePenalty=0.5)),
    Feature("generationConfig.frequencyPenalty", _config(frequencyPenalty=0.25)),
    Feature("generationConfig.candidateCount", _config(candidateCount=2)),
    Feature("generationConfig.stopSequences", _config(stopSequences=["END", "Human:"])),
    Feature("generationConfig.responseLogprobs", _config(responseLogprobs=True)),
    Feature("generationConfig.logprobs", _config(logprobs=3)),
    Feature("generationConfig.responseMimeType", _config(responseMimeType="application/json")),
    Feature("generationConfig.responseJsonSchema", _config(
        responseMimeType="application/json", responseJsonSchema=_OBJECT)),
    Feature("generationConfig.responseSchema", _config(
        responseMimeType="application/json",
        responseSchema={"type": "OBJECT", "properties": {"n": {"type": "INTEGER",
                                                               "nullable": True}}})),
    Feature("generationConfig.responseMimeType (text/x.enum)", _config(
        responseMimeType="text/x.enum",
        responseSchema={"type": "STRING", "enum": ["a", "b"]})),
    Feature("generationConfig.responseModalities", _config(responseModalities=["TEXT", "IMAGE"])),
    Feature("generationConfig.speechConfig", _config(speechConfig={"languageCode": "en-US"})),
    Feature("generationConfig.mediaResolution", _config(mediaResolution="MEDIA_RESOLUTION_LOW")),
    Feature("generationConfig.thinkingConfig.includeThoughts",
            _config(thinkingConfig={"includeThoughts": True})),
    Feature("generationConfig.thinkingConfig.thinkingBudget",
            _config(thinkingConfig={"thinkingBudget": 2000})),
    Feature("generationConfig.thinkingConfig.thinkingLevel",
            _config(thinkingConfig={"thinkingLevel": "HIGH"})),
    Feature("safetySettings", {"safetySettings": [
        {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]}),
    Feature("cachedContent", {"cachedContent": "cachedContents/1"}),
    Feature("serviceTier", {"serviceTier": "flex"}),
    Feature("labels", {"labels": {"team": "blue"}}),
    Feature("tools.functionDeclarations", _G_TOOLS),
    Feature("tools.functionDeclarations.parameters",
            {"tools": [{"functionDeclarations": [
                {"name": "get_weather",
                 "parameters": {"type": "OBJECT", "properties": {
                     "n": {"type": "INTEGER", "nullable": True}}}}]}]}),
    Feature("tools.functionDeclarations.response", _declared(response={"type": "STRING"}),
            given=_G_TOOLS),
    Feature("tools.functionDeclarations.behavior", _declared(behavior="NON_BLOCKING"),
            given=_G_TOOLS),
    Feature("tools.googleSearch", {"tools": [{"googleSearch": {}}]}),
    Feature("tools.codeExecution", {"tools": [{"codeExecution": {}}]}),
    Feature("tools.urlContext", {"tools": [{"urlContext": {}}]}),
    Feature("toolConfig (ANY)", _calling(mode="ANY"), given=_G_TOOLS),
    Feature("toolConfig (ANY, one name)",
            _calling(mode="ANY", allowedFunctionNames=["get_weather"]), given=_G_TOOLS),
    Feature("toolConfig (NONE)", _calling(mode="NONE"), given=_G_TOOLS),
    Feature("contents.parts (inlineData, image)", parts=[_G_IMAGE]),
    Feature("contents.parts (inlineData, PDF)", parts=[
        {"inlineData": {"mimeType": "application/pdf", "data": _PDF}}]),
    Feature("contents.parts (inlineData, displayName)", parts=[
        {"inlineData": {"mimeType": "application/pdf", "data": _PDF,
                        "displayName": "a.pdf"}}]),
    Feature("contents.parts (inlineData, text)", parts=[
        {"inlineData": {"mimeType": "text/plain", "data": _NOTE}}]),
    Feature("contents.parts (inlineData, audio)", parts=[
        {"inlineData": {"mimeType": "audio/wav", "data": _WAV}}]),
    Feature("contents.parts (inlineData, video)", parts=[
        {"inlineData": {"mimeType": "video/mp4", "data": _WAV}}]),
    Feature("contents.parts (fileData)", parts=[
        {"fileData": {"mimeType": "image/png",
                      "fileUri": "https://generativelanguage.googleapis.com/v1beta/files/1"}}]),
    Feature("contents.parts.videoMetadata", parts=[{**_G_IMAGE, "videoMetadata": {"fps": 1}}]),
    Feature("contents.parts.mediaResolution", parts=[
        {**_G_IMAGE, "mediaResolution": {"level": "MEDIA_RESOLUTION_LOW"}}]),
    Feature("contents.parts (functionCall, functionResponse)", turns=_g_loop(_G_OUTPUT),
            given=_G_TOOLS),
    Feature("contents.parts.functionResponse.response (error)",
            turns=_g_loop({"error": "no such city"}), given=_G_TOOLS,
            given_turns=_g_loop({"output": "no such city"})),
    Feature("contents.parts.functionResponse.parts", turns=_g_loop(_G_OUTPUT, parts=[_G_IMAGE]),
            given=_G_TOOLS, given_turns=_g_loop(_G_OUTPUT)),
    Feature("contents.parts.thoughtSignature",
            turns=[_G_ASKED, {"role": "model", "parts": [
                {"text": "Cold.", "thoughtSignature": _SIGNATURE}]}],
            given_turns=[_G_ASKED, _G_SAID]),
    Feature("contents.parts.thought",
            turns=[_G_ASKED, {"role": "model", "parts": [{"text": "Hm.", "thought": True},
                                                         {"text": "Cold."}]}],
            given_turns=[_G_ASKED, _G_SAID]),
    Feature("contents.parts (executableCode)",
            turns=[_G_ASKED, {"role": "model", "parts": [
                {"executableCode": {"language": "PYTHON", "code": "1"}},
                {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
                {"text": "Cold."}]}],
            given_turns=[_G_ASKED, _G_SAID]),
)  # fmt: skip

FEATURES: dict[str, tuple[Feature, ...]] = {
    "chat": CHAT,
    "messages": MESSAGES,
    "responses": RESPONSES,
    "gemini": GEMINI,
}
