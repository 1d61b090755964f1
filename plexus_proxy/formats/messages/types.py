"""Wire types of Messages requests. Source: Anthropic API reference, "Create a Message".

Used in both directions. Lists of blocks and tools stay Raw, since clients may send kinds that we do
not know; absent and default fields are not written.
"""

from collections.abc import Sequence
from typing import Literal

from msgspec import UNSET, Raw, Struct, UnsetType

from plexus_proxy.formats.websearch import UserLocation

MAX_CACHE_MARKERS = 4
TOOL_NAME_CHARS = 128
MIN_BUDGET_TOKENS = 1024
IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")


class CacheControl(Struct, frozen=True, omit_defaults=True, tag="ephemeral"):
    ttl: str | None = None


class Base64Source(Struct, frozen=True, tag="base64"):
    media_type: str
    data: str


class UrlSource(Struct, frozen=True, tag="url"):
    url: str


class TextSource(Struct, frozen=True, tag="text"):
    media_type: str
    data: str


class ContentSource(Struct, frozen=True, tag="content"):
    content: str | list[Raw]


class FileSource(Struct, frozen=True, tag="file"):
    file_id: str


class _Block(Struct, frozen=True, omit_defaults=True, kw_only=True):
    cache_control: CacheControl | None = None


class TextBlock(_Block, frozen=True, tag="text"):
    text: str
    citations: list[Raw] | None = None


class ImageBlock(_Block, frozen=True, tag="image"):
    source: Base64Source | UrlSource | FileSource


class DocumentCitations(Struct, frozen=True):
    enabled: bool | None = None


class DocumentBlock(_Block, frozen=True, tag="document"):
    source: Base64Source | UrlSource | TextSource | ContentSource | FileSource
    title: str | None = None
    context: str | None = None
    citations: DocumentCitations | None = None


class SearchResultBlock(_Block, frozen=True, tag="search_result"):
    source: str
    title: str
    content: list[TextBlock]


class ToolUseBlock(_Block, frozen=True, tag="tool_use"):
    id: str
    name: str
    input: Raw


class ToolResultBlock(_Block, frozen=True, tag="tool_result"):
    tool_use_id: str
    content: str | list[Raw] | None = None
    is_error: bool | None = None


class ThinkingBlock(Struct, frozen=True, tag="thinking"):
    """Without omit_defaults: an empty signature is part of the schema."""

    thinking: str
    signature: str = ""


class RedactedThinkingBlock(Struct, frozen=True, tag="redacted_thinking"):
    data: str


Block = (
    TextBlock
    | ImageBlock
    | DocumentBlock
    | SearchResultBlock
    | ToolUseBlock
    | ToolResultBlock
    | ThinkingBlock
    | RedactedThinkingBlock
)


class Message(Struct, frozen=True):
    role: Literal["user", "assistant", "system"]
    content: str | list[Raw]


class Tool(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A tool the client executes."""

    name: str
    description: str | None = None
    input_schema: Raw | UnsetType = UNSET
    strict: bool | None = None
    cache_control: CacheControl | None = None


class WebSearchTool(Struct, frozen=True, omit_defaults=True, tag="web_search_20250305"):
    """A tool the provider executes. Of the domains at most one list may be there."""

    name: str
    max_uses: int | None = None
    allowed_domains: Sequence[str] | None = None
    blocked_domains: Sequence[str] | None = None
    user_location: UserLocation | None = None


class ToolChoice(Struct, frozen=True, omit_defaults=True):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(Struct, frozen=True, omit_defaults=True):
    type: Literal["enabled", "adaptive", "disabled", "between_tools"]
    budget_tokens: int | None = None
    display: str | None = None


class OutputFormat(Struct, frozen=True):
    type: str
    schema: Raw | UnsetType = UNSET


class OutputConfig(Struct, frozen=True, omit_defaults=True):
    effort: str | None = None
    format: OutputFormat | None = None


class Metadata(Struct, frozen=True, omit_defaults=True):
    user_id: str | None = None


class Request(Struct, frozen=True, kw_only=True, omit_defaults=True):
    model: str
    max_tokens: int | None = None
    system: str | list[TextBlock] | None = None
    messages: list[Message]
    tools: list[Raw] | None = None
    tool_choice: ToolChoice | None = None
    stop_sequences: list[str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    metadata: Metadata | None = None
    service_tier: str | None = None
    stream: bool | None = None


class SentRequest(Request, frozen=True, kw_only=True):
    """What clients send beyond that: fields of earlier betas, and those that only concern us."""

    output_format: OutputFormat | None = None
    speed: str | None = None
