"""Wire types of Responses requests. Source: OpenAI API reference, "Create a model response".

Items and content parts are told apart by `type`; what is not known here is carried as it is or
dropped. Absent and default fields are not written.
"""

from collections.abc import Sequence
from typing import Any, Literal

from msgspec import UNSET, Raw, Struct, UnsetType

from plexus_proxy.formats.websearch import UserLocation

TOOL_NAME_CHARS = 64
MIN_OUTPUT_TOKENS = 16
LOGPROBS = "message.output_text.logprobs"
"""Of `include`."""


class CacheBreakpoint(Struct, frozen=True, omit_defaults=True):
    mode: str | None = None
    ttl: str | None = None


class _SentPart(Struct, frozen=True, kw_only=True):
    prompt_cache_breakpoint: CacheBreakpoint | None = None


class SentAnnotation(Struct, frozen=True):
    type: str = ""
    url: str | None = None
    title: str | None = None
    start_index: int | None = None
    end_index: int | None = None


class SentText(_SentPart, frozen=True):
    text: str
    annotations: list[SentAnnotation] | None = None


class SentRefusal(_SentPart, frozen=True):
    refusal: str


class SentImage(_SentPart, frozen=True):
    image_url: str | None = None
    file_id: str | None = None
    detail: str | None = None


class SentFile(_SentPart, frozen=True):
    filename: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    file_id: str | None = None


class SentAudioData(Struct, frozen=True):
    data: str
    format: str


class SentAudio(_SentPart, frozen=True):
    input_audio: SentAudioData


class SentMessage(Struct, frozen=True):
    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[Raw]


class SentCall(Struct, frozen=True):
    """A function_call (`arguments`) or custom_tool_call (`input`)."""

    call_id: str
    name: str
    arguments: str = ""
    input: str = ""


class SentOutput(Struct, frozen=True):
    call_id: str
    output: str | list[Raw] = ""


class SentPiece(Struct, frozen=True):
    text: str = ""


class SentReasoning(Struct, frozen=True):
    id: str | None = None
    summary: list[SentPiece] | None = None
    content: list[SentPiece] | None = None
    encrypted_content: str | None = None


class SentTool(Struct, frozen=True):
    """A function or a custom tool; flat, unlike in Chat Completions."""

    name: str
    description: str | None = None
    parameters: Raw | UnsetType = UNSET
    strict: bool | None = None
    format: Raw | UnsetType = UNSET


class SearchFilters(Struct, frozen=True):
    allowed_domains: Sequence[str] | None = None


class SentSearch(Struct, frozen=True):
    """A web_search tool of any date, previews too."""

    type: str
    filters: SearchFilters | None = None
    search_context_size: str | None = None
    user_location: UserLocation | None = None


class SentFormat(Struct, frozen=True):
    type: str
    name: str | None = None
    description: str | None = None
    schema: Raw | UnsetType = UNSET
    strict: bool | None = None


class SentTextOptions(Struct, frozen=True):
    format: SentFormat | None = None
    verbosity: str | None = None


class SentReasoningOptions(Struct, frozen=True):
    effort: str | None = None
    summary: str | None = None
    generate_summary: str | None = None


class SentRequest(Struct, frozen=True, kw_only=True):
    """A request as clients send it, as far as it can be said in another format."""

    model: str
    input: str | list[Raw] | None = None
    instructions: str | None = None
    previous_response_id: str | None = None
    conversation: Raw | UnsetType = UNSET
    prompt: Raw | UnsetType = UNSET
    background: bool | None = None
    store: bool | None = None
    include: list[str] | None = None
    stream: bool | None = None
    max_output_tokens: int | None = None
    top_logprobs: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    tools: list[Raw] | None = None
    tool_choice: Raw | UnsetType = UNSET
    max_tool_calls: int | None = None
    parallel_tool_calls: bool | None = None
    text: SentTextOptions | None = None
    reasoning: SentReasoningOptions | None = None
    truncation: str | None = None
    metadata: dict[str, Any] | None = None
    service_tier: str | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None


# As we write them.


class InputText(Struct, frozen=True, tag="input_text"):
    text: str


class Annotation(Struct, frozen=True, tag="url_citation"):
    start_index: int
    end_index: int
    url: str
    title: str


class OutputText(Struct, frozen=True, tag="output_text", omit_defaults=True):
    text: str
    annotations: list[Annotation] = []


class RefusalPart(Struct, frozen=True, tag="refusal"):
    refusal: str


class InputImage(Struct, frozen=True, tag="input_image"):
    image_url: str
    detail: str = "auto"


class InputFile(Struct, frozen=True, tag="input_file", omit_defaults=True):
    filename: str | None = None
    file_data: str | None = None
    file_url: str | None = None


class InputAudioData(Struct, frozen=True):
    data: str
    format: str


class InputAudio(Struct, frozen=True, tag="input_audio"):
    input_audio: InputAudioData


InputPart = InputText | InputImage | InputFile | InputAudio
OutputPart = OutputText | RefusalPart


class Message(Struct, frozen=True, tag="message"):
    role: str
    content: str | list[InputPart] | list[OutputPart]


class FunctionCall(Struct, frozen=True, tag="function_call"):
    call_id: str
    name: str
    arguments: str


class FunctionCallOutput(Struct, frozen=True, tag="function_call_output"):
    call_id: str
    output: str | list[InputPart]


class CustomToolCall(Struct, frozen=True, tag="custom_tool_call"):
    call_id: str
    name: str
    input: str


class CustomToolCallOutput(Struct, frozen=True, tag="custom_tool_call_output"):
    call_id: str
    output: str | list[InputPart]


class SummaryText(Struct, frozen=True, tag="summary_text"):
    text: str


class Reasoning(Struct, frozen=True, tag="reasoning", omit_defaults=True):
    summary: list[SummaryText] | UnsetType = UNSET
    id: str | None = None
    encrypted_content: str | None = None


Item = (
    Message | FunctionCall | FunctionCallOutput | CustomToolCall | CustomToolCallOutput | Reasoning
)


class FunctionTool(Struct, frozen=True, tag="function", omit_defaults=True):
    name: str
    parameters: Raw
    strict: bool | UnsetType = UNSET
    description: str | None = None


class CustomTool(Struct, frozen=True, tag="custom", omit_defaults=True):
    name: str
    description: str | None = None
    format: Raw | UnsetType = UNSET


class WebSearchTool(Struct, frozen=True, tag="web_search", omit_defaults=True):
    filters: SearchFilters | None = None
    search_context_size: str | None = None
    user_location: UserLocation | None = None


class NamedChoice(Struct, frozen=True, omit_defaults=True):
    """`name` of a function or custom tool; others are chosen by their type."""

    type: str
    name: str | None = None


class Format(Struct, frozen=True, omit_defaults=True):
    type: str
    name: str | None = None
    description: str | None = None
    schema: Raw | UnsetType = UNSET
    strict: bool | None = None


class TextOptions(Struct, frozen=True, omit_defaults=True):
    format: Format | None = None
    verbosity: str | None = None


class ReasoningOptions(Struct, frozen=True, omit_defaults=True):
    effort: str | None = None
    summary: str | None = None


class Request(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A request as we write it. `store` is always said: the server's default would keep it."""

    model: str
    input: list[Item]
    store: bool | UnsetType = UNSET
    instructions: str | None = None
    include: list[str] | None = None
    top_logprobs: int | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    tools: list[FunctionTool | CustomTool | WebSearchTool] | None = None
    tool_choice: str | NamedChoice | None = None
    max_tool_calls: int | None = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    reasoning: ReasoningOptions | None = None
    service_tier: str | None = None
    metadata: Any = None
    user: str | None = None
    prompt_cache_key: str | None = None
    stream: bool | None = None
