"""The canonical request: everything the wire formats can say, in one vocabulary.

A format's `read_request` makes a `Conversation` out of a client's body; another format's
`write_request` makes a provider's body out of it. What the target cannot say goes, by the name of
the client's field, into `Crossing.dropped`. Optional fields that the client left out stay None and
stay out of the provider's body.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct

from plexus_proxy.formats.events import Citation, Opaque

Role = Literal["user", "assistant", "system"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class Cache(Struct, frozen=True):
    """An explicit prompt-cache marker on a part, a tool or a system text."""

    ttl: str | None = None


class Part(Struct, frozen=True, kw_only=True):
    """One piece of a turn; order is kept."""

    cache: Cache | None = None


class Text(Part, frozen=True, kw_only=True):
    text: str
    citations: tuple[Citation, ...] = ()


class Image(Part, frozen=True, kw_only=True):
    """Exactly one of `url`, (`media_type`, `data`) and `file_id`. `data` is base64."""

    url: str | None = None
    media_type: str | None = None
    data: str | None = None
    file_id: str | None = None
    detail: str | None = None


class Document(Part, frozen=True, kw_only=True):
    """Exactly one of `url`, (`media_type`, `data`), `text` and `file_id`. `data` is base64."""

    url: str | None = None
    media_type: str | None = None
    data: str | None = None
    text: str | None = None
    file_id: str | None = None
    title: str | None = None
    context: str | None = None
    citations: bool | None = None


class Audio(Part, frozen=True, kw_only=True):
    data: str
    format: str


class ToolCall(Part, frozen=True, kw_only=True):
    """`arguments` is the original JSON text (big integers and key order survive)."""

    id: str
    name: str
    arguments: str
    custom: bool = False


class ToolResult(Part, frozen=True, kw_only=True):
    call_id: str
    parts: tuple[Part, ...]
    is_error: bool = False
    name: str | None = None
    custom: bool = False
    """Of a custom tool; known once it stands beside its call."""


class Reasoning(Part, frozen=True, kw_only=True):
    """Thinking that came before what follows it in the turn; `text` may be empty."""

    text: str
    opaque: Opaque | None = None
    text_offset: int = 0
    """How many characters of the turn's text came before it; of reasoning that a client or we kept
    apart from the text."""


class Refusal(Part, frozen=True, kw_only=True):
    text: str


class Foreign(Part, frozen=True, kw_only=True):
    """A part only its own format can say (server tools, containers); never translated."""

    format: str
    type: str
    json: Raw


class Turn(Struct, frozen=True):
    role: Role
    parts: tuple[Part, ...]
    name: str | None = None


class Tool(Struct, frozen=True, kw_only=True):
    """A tool the client executes. `schema` is its JSON Schema as the client wrote it, or None."""

    name: str
    description: str | None = None
    schema: Raw | None = None
    strict: bool | None = None
    custom: bool = False
    custom_format: Raw | None = None
    cache: Cache | None = None


class ServerTool(Struct, frozen=True, kw_only=True):
    """A tool the provider executes, e.g. web search; carried as its own format wrote it."""

    format: str
    type: str
    name: str
    json: Raw


class Location(Struct, frozen=True, omit_defaults=True):
    """About where the user is, for a search."""

    city: str | None = None
    region: str | None = None
    country: str | None = None
    timezone: str | None = None


class WebSearch(ServerTool, frozen=True, kw_only=True):
    """The one tool of providers that all formats know; at most one of the lists of domains."""

    allowed_domains: tuple[str, ...] = ()
    blocked_domains: tuple[str, ...] = ()
    location: Location | None = None
    max_uses: int | None = None
    context_size: str | None = None
    """How much of what is found the model gets to read: low, medium or high."""


class ToolChoice(Struct, frozen=True):
    """`names` narrows the choice: one name with mode "required" forces that tool."""

    mode: Literal["auto", "none", "required"]
    names: tuple[str, ...] = ()


class ResponseFormat(Struct, frozen=True, kw_only=True):
    kind: Literal["json_object", "json_schema"]
    name: str | None = None
    description: str | None = None
    schema: Raw | None = None
    strict: bool | None = None


class ReasoningControl(Struct, frozen=True, kw_only=True):
    """How much to think: an effort, a token budget, or `adaptive`; `enabled` False switches it off.

    `show` is whether the client wants to read the reasoning (None: it did not say).
    """

    effort: Effort | None = None
    budget_tokens: int | None = None
    adaptive: bool = False
    enabled: bool | None = None
    show: bool | None = None


class Conversation(Struct, kw_only=True):
    """One request in canonical form."""

    model: str
    system: tuple[Text, ...] = ()
    turns: tuple[Turn, ...] = ()
    tools: tuple[Tool | ServerTool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logprobs: bool | None = None
    """Whether to tell how likely the answer's tokens were."""
    top_logprobs: int | None = None
    """And of how many other tokens at each place."""
    stop: tuple[str, ...] = ()
    response_format: ResponseFormat | None = None
    reasoning: ReasoningControl | None = None
    user: str | None = None
    service_tier: str | None = None
    verbosity: str | None = None
    prompt_cache_key: str | None = None
    metadata: Mapping[str, Any] | None = None
    stream: bool = False
    include_usage: bool = False
    """Chat Completions: the client asked for a usage chunk."""
    legacy_functions: bool = False
    """Chat Completions: the client speaks of `functions`, not of tools, and expects the same."""
    echo: Mapping[str, Raw] = {}
    """What of the request the answer is written by: Responses repeat fields of it."""
    extra: Mapping[str, Raw] = {}
    """Fields only the client's own format knows, by name: recorded as dropped."""
    field_names: Mapping[str, str] = {}
    """Names here → the client's own names, where they differ, for `Crossing.dropped`."""

    def lose(self, field: str, crossing: "Crossing") -> None:
        """Record that `field` of this struct cannot be carried, by the client's name for it."""
        crossing.drop(self.field_names.get(field, field))


class Crossing(Struct, kw_only=True):
    """One translated exchange: what both directions need besides the conversation itself.

    Filled in while the request is written and used again while the answer is read, so that names
    and ids come back as the client declared them. `dropped` is what the usage row reports.
    """

    provider: str
    """Provider id of our config; issuer of opaque state."""
    model: str
    """The provider's own model slug."""
    response_id: str
    """Random base62 text; ids we must mint for the client are built from it."""
    created_s: int
    api_version: str = "2023-06-01"
    """anthropic-version that will be sent to a Messages provider."""
    default_max_tokens: int = 8192
    include_usage: bool = False
    """Chat clients: send the usage chunk."""
    show_reasoning: bool = True
    estimated_input_tokens: int = 0
    """For writers that must state input tokens before the upstream does."""
    remembered: Mapping[str, tuple[Reasoning, ...]] = {}
    """Reasoning of earlier turns by anchor (see `anchors.py`), for clients that do not echo it."""
    dropped: list[str] = msgspec.field(default_factory=list[str])
    tool_names: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    """Name on the provider's wire → name the client declared, where they differ."""
    legacy_functions: bool = False
    """Chat clients: answer with `function_call` in place of tool calls."""
    echo: Mapping[str, Raw] = {}
    """See Conversation.echo."""
    stops: tuple[str, ...] = ()
    """Stop sequences that the provider cannot be told, so that we watch for them."""
    answer_tool: bool = False
    """The answer is the input of a forced tool: see `answertool.py`."""
    searches: bool = False
    """The provider has been offered the client's web search."""
    custom_tools: set[str] = msgspec.field(default_factory=set[str])
    """Client names of custom tools that are emulated as functions with one `input` string."""

    def drop(self, field: str) -> None:
        """Record that `field` of the client's request could not be carried."""
        if field not in self.dropped:
            self.dropped.append(field)


class Remembered(Struct, frozen=True):
    """Reasoning of one finished assistant turn, to be kept for a client that may not echo it."""

    anchors: tuple[str, ...]
    """What the turn will be known by: see `anchors.py`."""
    parts: tuple[Reasoning, ...]
