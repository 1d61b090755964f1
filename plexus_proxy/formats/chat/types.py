"""Wire types of Chat Completions requests. Source: OpenAI API reference, "Create chat completion".

Used in both directions; absent and default fields are not written. Fields that are extensions of
compatible servers are marked ext.
"""

from typing import Any, Literal

from msgspec import UNSET, Raw, Struct, UnsetType

from plexus_proxy.formats.conversation import Location

MAX_STOPS = 4
TOOL_NAME_CHARS = 64


class CacheBreakpoint(Struct, frozen=True, omit_defaults=True):
    """`prompt_cache_breakpoint`, or ext `cache_control` of aggregators."""

    mode: str | None = None
    ttl: str | None = None


class _Part(Struct, frozen=True, omit_defaults=True, kw_only=True):
    prompt_cache_breakpoint: CacheBreakpoint | None = None
    cache_control: CacheBreakpoint | None = None


class TextPart(_Part, frozen=True, tag="text"):
    text: str


class ImageUrl(Struct, frozen=True, omit_defaults=True):
    url: str
    detail: str | None = None


class ImagePart(_Part, frozen=True, tag="image_url"):
    image_url: ImageUrl | str


class InputAudio(Struct, frozen=True):
    data: str
    format: str


class AudioPart(_Part, frozen=True, tag="input_audio"):
    input_audio: InputAudio


class File(Struct, frozen=True, omit_defaults=True):
    filename: str | None = None
    file_data: str | None = None
    file_id: str | None = None


class FilePart(_Part, frozen=True, tag="file"):
    file: File


class RefusalPart(_Part, frozen=True, tag="refusal"):
    refusal: str


ContentPart = TextPart | ImagePart | AudioPart | FilePart | RefusalPart
Content = str | list[ContentPart]


class Function(Struct, frozen=True):
    """Of a tool call. `arguments` is a JSON string; some clients send the object itself."""

    name: str = ""
    arguments: Raw | UnsetType = UNSET


class Custom(Struct, frozen=True):
    name: str = ""
    input: str = ""


class ToolCall(Struct, frozen=True, omit_defaults=True):
    id: str | None = None
    type: str | None = None
    function: Function | None = None
    custom: Custom | None = None
    extra_content: Raw | UnsetType = UNSET
    """ext: see ExtraContent."""


class GoogleContent(Struct, frozen=True, omit_defaults=True):
    thought_signature: str | None = None


class ExtraContent(Struct, frozen=True, omit_defaults=True):
    """ext of Google's: the state of a tool call."""

    google: GoogleContent | None = None


class ReasoningDetail(Struct, frozen=True, omit_defaults=True):
    """ext: one piece of reasoning with the opaque state that belongs to it."""

    type: str
    index: int | None = None
    text: str | None = None
    summary: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    format: str | None = None
    text_offset: int = 0
    """Ours: characters of the message's content that came before this piece."""


Role = Literal["system", "developer", "user", "assistant", "tool", "function"]


class UrlCitation(Struct, frozen=True):
    url: str = ""
    title: str | None = None
    start_index: int | None = None
    end_index: int | None = None


class Annotation(Struct, frozen=True):
    url_citation: UrlCitation | None = None


class SentMessage(Struct, frozen=True):
    """A message as clients send it; `annotations` only as they echo an answer."""

    role: Role
    content: Content | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    refusal: str | None = None
    annotations: list[Annotation] | None = None
    function_call: Function | None = None
    audio: Raw | UnsetType = UNSET
    reasoning_content: Raw | UnsetType = UNSET
    reasoning: Raw | UnsetType = UNSET
    reasoning_details: Raw | UnsetType = UNSET


class Message(Struct, frozen=True, omit_defaults=True):
    """A message as we write it: without content only if it has tool calls."""

    role: Role
    content: Content | UnsetType | None = UNSET
    reasoning_content: str | None = None
    reasoning_details: list[ReasoningDetail] | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None


class FunctionTool(Struct, frozen=True, omit_defaults=True):
    name: str
    description: str | None = None
    parameters: Raw | UnsetType = UNSET
    strict: bool | None = None


class CustomTool(Struct, frozen=True, omit_defaults=True):
    name: str
    description: str | None = None
    format: Raw | UnsetType = UNSET


class Tool(Struct, frozen=True, omit_defaults=True):
    type: str
    function: FunctionTool | None = None
    custom: CustomTool | None = None
    cache_control: CacheBreakpoint | None = None


class Named(Struct, frozen=True):
    name: str


class NamedTool(Struct, frozen=True, omit_defaults=True):
    type: str
    function: Named | None = None
    custom: Named | None = None


class AllowedTools(Struct, frozen=True):
    mode: Literal["auto", "required"]
    tools: list[NamedTool]


class ToolChoice(Struct, frozen=True, omit_defaults=True):
    type: str
    function: Named | None = None
    custom: Named | None = None
    allowed_tools: AllowedTools | None = None


class JsonSchema(Struct, frozen=True, omit_defaults=True):
    name: str
    description: str | None = None
    schema: Raw | UnsetType = UNSET
    strict: bool | None = None


class ResponseFormat(Struct, frozen=True, omit_defaults=True):
    type: str
    json_schema: JsonSchema | None = None


class StreamOptions(Struct, frozen=True, omit_defaults=True):
    include_usage: bool | None = None


class Reasoning(Struct, frozen=True):
    """ext: the `reasoning` object of aggregators."""

    effort: str | None = None
    max_tokens: int | None = None
    exclude: bool | None = None
    enabled: bool | None = None


class Thinking(Struct, frozen=True):
    """ext: the `thinking` object of some vendors."""

    type: str | None = None
    budget_tokens: int | None = None


class UserLocation(Struct, frozen=True, omit_defaults=True):
    type: str | None = None
    approximate: Location | None = None


class WebSearchOptions(Struct, frozen=True, omit_defaults=True):
    search_context_size: str | None = None
    user_location: UserLocation | None = None


class Request(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A request as we write it."""

    model: str
    messages: list[Message]
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    stop: list[str] | None = None
    tools: list[Tool] | None = None
    tool_choice: str | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None
    service_tier: str | None = None
    user: str | None = None
    prompt_cache_key: str | None = None
    web_search_options: WebSearchOptions | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None


class SentRequest(Struct, frozen=True, kw_only=True):
    """A request as clients send it, as far as it can be said in another format."""

    model: str
    messages: list[SentMessage]
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    n: int | None = None
    stop: str | list[str] | None = None
    tools: list[Raw] | None = None
    tool_choice: str | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    functions: list[FunctionTool] | None = None
    function_call: str | Named | None = None
    response_format: ResponseFormat | None = None
    modalities: list[str] | None = None
    reasoning_effort: str | None = None
    reasoning: Reasoning | None = None
    thinking: Thinking | None = None
    verbosity: str | None = None
    service_tier: str | None = None
    metadata: dict[str, Any] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    web_search_options: WebSearchOptions | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
