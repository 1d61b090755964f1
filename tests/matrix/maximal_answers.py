"""Everything a provider of each format may answer, one feature at a time.

Written from the protocol sheets. A feature is what is put into a plain whole answer, by dotted
paths; a number beyond a list's end appends to it.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from support.strict_provider import ENCRYPTED, GEMINI_SIGNATURE, SIGNATURE

from matrix.cases import Case, Text, Usage
from matrix.providers import body

PLAIN = Case("plain", (Text("Teal is a colour."),), usage=Usage(fresh=20, out=7))


@dataclass(frozen=True)
class AnswerFeature:
    name: str
    """The provider's field, as its documentation spells the path."""
    at: Mapping[str, Any]


def plain_answer(provider: str) -> dict[str, Any]:
    return body(provider, PLAIN)


def answer_with(provider: str, feature: AnswerFeature) -> dict[str, Any]:
    answer = deepcopy(plain_answer(provider))
    for path, value in feature.at.items():
        _put(answer, path.split("."), value)
    return answer


def _put(into: Any, path: list[str], value: Any) -> None:
    name, *rest = path
    if isinstance(into, list):
        if int(name) >= len(into):
            into.append({})
        key: Any = min(int(name), len(into) - 1)
    else:
        into.setdefault(name, {})
        key = name
    if rest:
        _put(into[key], rest, value)
    else:
        into[key] = value


_ARGUMENTS = '{"city":"Oslo"}'
_URL = "https://e.org"

CHAT = (
    AnswerFeature("id", {"id": "chatcmpl-other"}),
    AnswerFeature("created", {"created": 1790000001}),
    AnswerFeature("model", {"model": "other-model"}),
    AnswerFeature("system_fingerprint", {"system_fingerprint": "fp_1"}),
    AnswerFeature("service_tier", {"service_tier": "flex"}),
    AnswerFeature("choices (second)", {"choices.1": {
        "index": 1, "finish_reason": "stop",
        "message": {"role": "assistant", "content": "Or blue.", "refusal": None}}}),
    AnswerFeature("choices.logprobs", {"choices.0.logprobs": {
        "content": [{"token": "Teal", "logprob": -0.1, "bytes": None, "top_logprobs": []}],
        "refusal": None}}),
    AnswerFeature("message.refusal", {"choices.0.message.refusal": "I will not.",
                                      "choices.0.message.content": None}),
    AnswerFeature("message.reasoning_content", {"choices.0.message.reasoning_content": "Hm."}),
    AnswerFeature("message.reasoning_details", {"choices.0.message.reasoning_details": [
        {"type": "reasoning.text", "index": 0, "text": "Hm.", "signature": SIGNATURE}]}),
    AnswerFeature("message.tool_calls", {
        "choices.0.finish_reason": "tool_calls",
        "choices.0.message.tool_calls": [{
            "id": "call_A1", "type": "function",
            "function": {"name": "get_weather", "arguments": _ARGUMENTS}}]}),
    AnswerFeature("message.tool_calls (custom)", {
        "choices.0.finish_reason": "tool_calls",
        "choices.0.message.tool_calls": [{
            "id": "call_A1", "type": "custom", "custom": {"name": "patch", "input": "abc"}}]}),
    AnswerFeature("message.annotations", {"choices.0.message.annotations": [
        {"type": "url_citation", "url_citation": {
            "start_index": 0, "end_index": 4, "url": _URL, "title": "E"}}]}),
    AnswerFeature("message.audio", {"choices.0.message.audio": {
        "id": "a_1", "data": "UklGRg==", "expires_at": 1, "transcript": "Teal."}}),
    AnswerFeature("finish_reason (length)", {"choices.0.finish_reason": "length"}),
    AnswerFeature("finish_reason (content_filter)", {
        "choices.0.finish_reason": "content_filter"}),
    AnswerFeature("usage.prompt_tokens_details.cached_tokens", {
        "usage.prompt_tokens_details.cached_tokens": 12}),
    AnswerFeature("usage.prompt_tokens_details.cache_write_tokens", {
        "usage.prompt_tokens_details.cache_write_tokens": 5}),
    AnswerFeature("usage.prompt_tokens_details.audio_tokens", {
        "usage.prompt_tokens_details.audio_tokens": 3}),
    AnswerFeature("usage.completion_tokens_details.reasoning_tokens", {
        "usage.completion_tokens_details.reasoning_tokens": 4}),
    AnswerFeature("usage.completion_tokens_details.accepted_prediction_tokens", {
        "usage.completion_tokens_details.accepted_prediction_tokens": 2}),
)  # fmt: skip

MESSAGES = (
    AnswerFeature("id", {"id": "msg_other"}),
    AnswerFeature("model", {"model": "other-model"}),
    AnswerFeature("container", {"container": {"id": "cont_1", "expires_at": "2026-12-01"}}),
    AnswerFeature("content (thinking)", {
        "content.0": {"type": "thinking", "thinking": "Hm.", "signature": SIGNATURE},
        "content.1": {"type": "text", "text": "Teal is a colour."}}),
    AnswerFeature("content (redacted_thinking)", {
        "content.0": {"type": "redacted_thinking", "data": SIGNATURE},
        "content.1": {"type": "text", "text": "Teal is a colour."}}),
    AnswerFeature("content (tool_use)", {
        "stop_reason": "tool_use",
        "content.1": {"type": "tool_use", "id": "toolu_A1", "name": "get_weather",
                      "input": {"city": "Oslo"}}}),
    AnswerFeature("content.citations (web_search_result_location)", {"content.0.citations": [
        {"type": "web_search_result_location", "url": _URL, "title": "E",
         "encrypted_index": "eA==", "cited_text": "Teal"}]}),
    AnswerFeature("content.citations (char_location)", {"content.0.citations": [
        {"type": "char_location", "document_index": 0, "document_title": "D",
         "start_char_index": 0, "end_char_index": 4, "cited_text": "Teal"}]}),
    AnswerFeature("content (server_tool_use, web_search_tool_result)", {
        "content.0": {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search",
                      "input": {"query": "teal"}},
        "content.1": {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [
            {"type": "web_search_result", "url": _URL, "title": "E",
             "encrypted_content": "eA==", "page_age": None}]},
        "content.2": {"type": "text", "text": "Teal is a colour."}}),
    AnswerFeature("stop_reason (stop_sequence)", {"stop_reason": "stop_sequence",
                                                  "stop_sequence": "END"}),
    AnswerFeature("stop_reason (max_tokens)", {"stop_reason": "max_tokens"}),
    AnswerFeature("stop_reason (refusal)", {"stop_reason": "refusal"}),
    AnswerFeature("stop_reason (pause_turn)", {"stop_reason": "pause_turn"}),
    AnswerFeature("stop_reason (model_context_window_exceeded)", {
        "stop_reason": "model_context_window_exceeded"}),
    AnswerFeature("usage.cache_read_input_tokens", {"usage.cache_read_input_tokens": 12}),
    AnswerFeature("usage.cache_creation_input_tokens", {"usage.cache_creation_input_tokens": 5}),
    AnswerFeature("usage.cache_creation (5m, 1h)", {"usage.cache_creation": {
        "ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}}),
    AnswerFeature("usage.output_tokens_details.thinking_tokens", {
        "usage.output_tokens_details.thinking_tokens": 4}),
    AnswerFeature("usage.server_tool_use", {"usage.server_tool_use": {
        "web_search_requests": 2}}),
    AnswerFeature("usage.service_tier", {"usage.service_tier": "priority"}),
)  # fmt: skip


def _message(*parts: Any) -> dict[str, Any]:
    return {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
            "content": list(parts)}  # fmt: skip


RESPONSES = (
    AnswerFeature("id", {"id": "resp_other"}),
    AnswerFeature("created_at", {"created_at": 1790000001}),
    AnswerFeature("model", {"model": "other-model"}),
    AnswerFeature("service_tier", {"service_tier": "flex"}),
    AnswerFeature("output (reasoning.summary)", {"output.1": {
        "type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]},
        "output.2": _message({"type": "output_text", "text": "So.", "annotations": []})}),
    AnswerFeature("output (reasoning.content)", {"output.1": {
        "type": "reasoning", "id": "rs_1", "summary": [],
        "content": [{"type": "reasoning_text", "text": "Hm."}]},
        "output.2": _message({"type": "output_text", "text": "So.", "annotations": []})}),
    AnswerFeature("output (reasoning.encrypted_content)", {"output.1": {
        "type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": ENCRYPTED},
        "output.2": _message({"type": "output_text", "text": "So.", "annotations": []})}),
    AnswerFeature("output (refusal)", {"output.0": _message(
        {"type": "refusal", "refusal": "I will not."})}),
    AnswerFeature("output (two messages)", {"output.1": _message(
        {"type": "output_text", "text": "So.", "annotations": []})}),
    AnswerFeature("output (function_call)", {"output.1": {
        "type": "function_call", "id": "fc_1", "status": "completed", "call_id": "call_A1",
        "name": "get_weather", "arguments": _ARGUMENTS}}),
    AnswerFeature("output (custom_tool_call)", {"output.1": {
        "type": "custom_tool_call", "id": "ctc_1", "status": "completed", "call_id": "call_A1",
        "name": "patch", "input": "abc"}}),
    AnswerFeature("output (web_search_call)", {"output.1": {
        "type": "web_search_call", "id": "ws_1", "status": "completed",
        "action": {"type": "search", "query": "teal"}}}),
    AnswerFeature("output.annotations (url_citation)", {"output.0.content.0.annotations": [
        {"type": "url_citation", "start_index": 0, "end_index": 4, "url": _URL, "title": "E"}]}),
    AnswerFeature("output.annotations (file_citation)", {"output.0.content.0.annotations": [
        {"type": "file_citation", "index": 0, "file_id": "file-1", "filename": "a.txt"}]}),
    AnswerFeature("output.logprobs", {"output.0.content.0.logprobs": [
        {"token": "Teal", "logprob": -0.1, "bytes": [], "top_logprobs": []}]}),
    AnswerFeature("incomplete_details (max_output_tokens)", {
        "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}),
    AnswerFeature("incomplete_details (content_filter)", {
        "status": "incomplete", "incomplete_details": {"reason": "content_filter"}}),
    AnswerFeature("usage.input_tokens_details.cached_tokens", {
        "usage.input_tokens_details.cached_tokens": 12}),
    AnswerFeature("usage.input_tokens_details.cache_write_tokens", {
        "usage.input_tokens_details.cache_write_tokens": 5}),
    AnswerFeature("usage.output_tokens_details.reasoning_tokens", {
        "usage.output_tokens_details.reasoning_tokens": 4}),
)  # fmt: skip


def _ends(reason: str) -> AnswerFeature:
    return AnswerFeature(f"finishReason ({reason})", {"candidates.0.finishReason": reason})


GEMINI = (
    AnswerFeature("responseId", {"responseId": "other"}),
    AnswerFeature("modelVersion", {"modelVersion": "other-model"}),
    AnswerFeature("candidates (second)", {"candidates.1": {
        "content": {"role": "model", "parts": [{"text": "Or blue."}]}, "index": 1,
        "finishReason": "STOP"}}),
    AnswerFeature("parts (thought)", {
        "candidates.0.content.parts": [{"text": "Hm.", "thought": True},
                                       {"text": "Teal is a colour."}]}),
    AnswerFeature("parts.thoughtSignature", {
        "candidates.0.content.parts.0.thoughtSignature": GEMINI_SIGNATURE}),
    AnswerFeature("parts (functionCall)", {"candidates.0.content.parts.1": {
        "functionCall": {"id": "call_A1", "name": "get_weather", "args": {"city": "Oslo"}}}}),
    AnswerFeature("parts (functionCall with thoughtSignature)", {"candidates.0.content.parts.1": {
        "functionCall": {"id": "call_A1", "name": "get_weather", "args": {"city": "Oslo"}},
        "thoughtSignature": GEMINI_SIGNATURE}}),
    AnswerFeature("parts (inlineData)", {"candidates.0.content.parts.1": {
        "inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}}),
    AnswerFeature("parts (executableCode, codeExecutionResult)", {"candidates.0.content.parts": [
        {"executableCode": {"language": "PYTHON", "code": "1"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
        {"text": "Teal is a colour."}]}),
    AnswerFeature("candidates.groundingMetadata", {"candidates.0.groundingMetadata": {
        "webSearchQueries": ["teal"],
        "groundingChunks": [{"web": {"uri": _URL, "title": "E"}}],
        "groundingSupports": [{
            "segment": {"partIndex": 0, "startIndex": 0, "endIndex": 4, "text": "Teal"},
            "groundingChunkIndices": [0]}]}}),
    AnswerFeature("candidates.citationMetadata", {"candidates.0.citationMetadata": {
        "citationSources": [{"startIndex": 0, "endIndex": 4, "uri": _URL}]}}),
    AnswerFeature("candidates.safetyRatings", {"candidates.0.safetyRatings": [
        {"category": "HARM_CATEGORY_HARASSMENT", "probability": "LOW"}]}),
    AnswerFeature("candidates.logprobsResult", {"candidates.0.logprobsResult": {
        "chosenCandidates": [{"token": "Teal", "logProbability": -0.1}]},
        "candidates.0.avgLogprobs": -0.1}),
    AnswerFeature("candidates.urlContextMetadata", {"candidates.0.urlContextMetadata": {
        "urlMetadata": [{"retrievedUrl": _URL}]}}),
    *map(_ends, ("MAX_TOKENS", "SAFETY", "RECITATION", "MALFORMED_FUNCTION_CALL", "OTHER")),
    AnswerFeature("promptFeedback.blockReason", {
        "promptFeedback": {"blockReason": "SAFETY"}, "candidates": []}),
    AnswerFeature("usageMetadata.cachedContentTokenCount", {
        "usageMetadata.cachedContentTokenCount": 12}),
    AnswerFeature("usageMetadata.thoughtsTokenCount", {"usageMetadata.thoughtsTokenCount": 4,
                                                       "usageMetadata.totalTokenCount": 31}),
    AnswerFeature("usageMetadata.toolUsePromptTokenCount", {
        "usageMetadata.toolUsePromptTokenCount": 3, "usageMetadata.totalTokenCount": 30}),
    AnswerFeature("usageMetadata.promptTokensDetails", {"usageMetadata.promptTokensDetails": [
        {"modality": "TEXT", "tokenCount": 20}]}),
)  # fmt: skip

FEATURES: dict[str, tuple[AnswerFeature, ...]] = {
    "chat": CHAT,
    "messages": MESSAGES,
    "responses": RESPONSES,
    "gemini": GEMINI,
}
