"""Wire types of generateContent requests. Source: Gemini API reference, "generateContent".

Used in both directions; absent and default fields are not written. Names are lowerCamelCase on the
wire; what clients spell in snake_case is brought to that before it is read (`spelling.py`). User
data (arguments, responses, schemas) stays Raw.
"""

from msgspec import UNSET, Raw, Struct, UnsetType

MAX_STOPS = 5
TOOL_NAME_CHARS = 128


class _Wire(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Base of all: what it says of spelling and defaults holds for every type here."""


class Blob(_Wire, frozen=True, kw_only=True):
    mime_type: str
    data: str
    display_name: str | None = None


class FileData(_Wire, frozen=True, kw_only=True):
    mime_type: str | None = None
    file_uri: str
    display_name: str | None = None


class FunctionCall(_Wire, frozen=True, kw_only=True):
    id: str | None = None
    name: str
    args: Raw | UnsetType = UNSET


class ResponsePart(_Wire, frozen=True, kw_only=True):
    """Media that a function answered with."""

    inline_data: Blob | None = None
    file_data: FileData | None = None


class FunctionResponse(_Wire, frozen=True, kw_only=True):
    id: str | None = None
    name: str = ""
    response: Raw | UnsetType = UNSET
    parts: list[ResponsePart] | None = None
    will_continue: Raw | UnsetType = UNSET
    scheduling: Raw | UnsetType = UNSET


class Part(_Wire, frozen=True, kw_only=True):
    """One kind of content, by the field that is there, and what may be said of any."""

    text: str | None = None
    inline_data: Blob | None = None
    file_data: FileData | None = None
    function_call: FunctionCall | None = None
    function_response: FunctionResponse | None = None
    executable_code: Raw | UnsetType = UNSET
    code_execution_result: Raw | UnsetType = UNSET
    tool_call: Raw | UnsetType = UNSET
    tool_response: Raw | UnsetType = UNSET
    thought: bool | None = None
    thought_signature: str | None = None
    video_metadata: Raw | UnsetType = UNSET
    media_resolution: Raw | UnsetType = UNSET
    part_metadata: Raw | UnsetType = UNSET


class Content(_Wire, frozen=True, kw_only=True):
    role: str | None = None
    parts: list[Part] = []


class FunctionDeclaration(_Wire, frozen=True, kw_only=True):
    """`parameters` is of the Schema subset, `parameters_json_schema` is JSON Schema."""

    name: str
    description: str | None = None
    parameters: Raw | UnsetType = UNSET
    parameters_json_schema: Raw | UnsetType = UNSET


class GoogleSearch(_Wire, frozen=True, kw_only=True):
    exclude_domains: list[str] | None = None


class Tool(_Wire, frozen=True, kw_only=True):
    """Functions of the client's; every other field is a tool the provider executes."""

    function_declarations: list[FunctionDeclaration] | None = None
    google_search: GoogleSearch | None = None


class FunctionCallingConfig(_Wire, frozen=True, kw_only=True):
    mode: str | None = None
    allowed_function_names: list[str] | None = None


class ToolConfig(_Wire, frozen=True, kw_only=True):
    function_calling_config: FunctionCallingConfig | None = None
    include_server_side_tool_invocations: bool | None = None


class ThinkingConfig(_Wire, frozen=True, kw_only=True):
    include_thoughts: bool | None = None
    thinking_budget: int | None = None
    thinking_level: str | None = None


class GenerationConfig(_Wire, frozen=True, kw_only=True):
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | float | None = None
    candidate_count: int | None = None
    max_output_tokens: int | None = None
    stop_sequences: list[str] | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    response_logprobs: bool | None = None
    logprobs: int | None = None
    response_mime_type: str | None = None
    response_schema: Raw | UnsetType = UNSET
    response_json_schema: Raw | UnsetType = UNSET
    response_modalities: list[str] | None = None
    thinking_config: ThinkingConfig | None = None


class Request(_Wire, frozen=True, kw_only=True):
    """Model and stream are said by the path."""

    contents: list[Content]
    system_instruction: Content | None = None
    tools: list[Tool] | None = None
    tool_config: ToolConfig | None = None
    generation_config: GenerationConfig | None = None
    service_tier: str | None = None
    cached_content: str | None = None
