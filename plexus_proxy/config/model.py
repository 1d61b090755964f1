"""plexus.yaml as data: one frozen Struct per YAML mapping. This file is the reference of every key.

YAML names of the base and later releases of the predecessor win (`name=` maps them to ours); new
keys are snake_case with the unit in the name. Values are checked by their types; references between
sections are checked in references.py.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from plexus_proxy.crypto import Secret

ModelType = Literal["chat", "responses", "text", "embeddings", "transcriptions", "speech", "image"]
Selector = Literal[
    "random",
    "in_order",
    "cost",
    "latency",
    "performance",
    "e2e_performance",
    "usage",
    "quota",
]
ApiType = Literal[
    "chat",
    "messages",
    "gemini",
    "responses",
    "embeddings",
    "images",
    "speech",
    "transcriptions",
    "oauth",
]
"""Ways to speak to a provider: keys of an `api_base_url` map and entries of `access_via`."""
OAuthProvider = Literal[
    "anthropic", "openai-codex", "github-copilot", "google-gemini-cli", "google-antigravity"
]
NonNegative = Annotated[float, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(ge=0, le=1)]

TargetKey = tuple[str, str]
"""Provider id and model slug; the slug "" stands for all models of the provider."""

DEFAULT_GROUP = "default"
"""The group of an alias that lists plain targets."""


class Timeouts(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Limits per phase of an attempt, in seconds. A provider's value wins over the global one."""

    connect_s: Positive | None = None
    """TCP and TLS. Default 5."""
    write_s: Positive | None = None
    """Sending the request body. Default 60."""
    headers_s: Positive | None = None
    """From the last request byte to the response headers. Default 300."""
    first_content_s: Positive | None = None
    """From the response headers to the first frame with content. Default 120."""
    idle_s: Positive | None = None
    """Between two chunks. Default 120."""
    total_s: Positive | None = None
    """The whole attempt, streams included. Default 3600."""


class LaterTimeout(Struct, frozen=True, kw_only=True):
    """The later release's global `timeout`; sets `timeouts.total_s` where that is not given."""

    default_seconds: Annotated[float, Meta(ge=1, le=3600)] = field(
        name="defaultSeconds", default=300
    )


class SimplePricing(Struct, frozen=True, kw_only=True, tag_field="source", tag="simple"):
    """Flat rates in US dollars per million tokens."""

    input: NonNegative = 0
    output: NonNegative = 0
    cached: NonNegative | None = None
    """Cache reads; None: priced as input."""
    cache_write: NonNegative | None = None
    """Cache writes; None: priced as input."""


class PriceRange(Struct, frozen=True, kw_only=True):
    """Rates for prompts of `lower_bound` to `upper_bound` tokens (both inclusive)."""

    lower_bound: NonNegative = 0
    upper_bound: NonNegative | None = None
    """None: no upper end (`.inf` in YAML is the same)."""
    input_per_m: NonNegative
    output_per_m: NonNegative
    cached_per_m: NonNegative | None = None
    cache_write_per_m: NonNegative | None = None


class DefinedPricing(Struct, frozen=True, kw_only=True, tag_field="source", tag="defined"):
    """Rates that depend on the length of the prompt."""

    range: Annotated[tuple[PriceRange, ...], Meta(min_length=1)]


class PerRequestPricing(Struct, frozen=True, kw_only=True, tag_field="source", tag="per_request"):
    """A flat amount in US dollars for each successful request."""

    amount: NonNegative


class OpenRouterPricing(Struct, frozen=True, kw_only=True, tag_field="source", tag="openrouter"):
    """Rates from a price catalogue by slug."""

    slug: str
    discount: Share | None = None


Pricing = SimplePricing | DefinedPricing | PerRequestPricing | OpenRouterPricing


class AdapterUse(Struct, frozen=True, kw_only=True, tag_field="name"):
    """A named patch of what a provider is sent; without options unless a subclass has some."""

    enabled: bool = True
    """False takes away what was listed before: a model's list takes from its provider's."""


class ReasoningContent(AdapterUse, frozen=True, kw_only=True, tag="reasoning_content"):
    """Reasoning travels as `reasoning_content`; answers get it as `reasoning` too."""


class SuppressDeveloperRole(AdapterUse, frozen=True, kw_only=True, tag="suppress_developer_role"):
    """`developer` messages become `system` messages."""


class SuppressGpt5Options(
    AdapterUse, frozen=True, kw_only=True, tag="suppress_unsupported_gpt5_options"
):
    """Leaves out sampling and length options that servers of GPT-5 models refuse."""


class NormalizeToolIds(AdapterUse, frozen=True, kw_only=True, tag="normalize_anthropic_tool_ids"):
    """Tool ids get Anthropic's alphabet, calls and results alike."""


class FieldCondition(Struct, frozen=True, kw_only=True):
    """Holds if a field of the payload has a value, or, without one, if it is there."""

    field: str
    """Dotted path, such as `reasoning.effort`."""
    value: Any | UnsetType = UNSET


class ModelRule(Struct, frozen=True, kw_only=True):
    """Another model if any of the conditions holds."""

    model: str
    rewrite_to: str = field(name="rewriteTo")
    conditions: tuple[FieldCondition, ...]


class ModelRules(Struct, frozen=True, kw_only=True):
    """The first rule that fits counts."""

    rules: tuple[ModelRule, ...]


class ModelOverride(AdapterUse, frozen=True, kw_only=True, tag="model_override"):
    """Another model's name, depending on the payload."""

    options: ModelRules


class ReasoningCondition(Struct, frozen=True, kw_only=True):
    """How the source field has to be. `present` and `absent` need no value, `in` a list."""

    op: Literal["eq", "neq", "gt", "gte", "lt", "lte", "in", "present", "absent"]
    value: Any = None
    values: tuple[Any, ...] = ()


class Rewrite(Struct, frozen=True, kw_only=True):
    """A field to be set."""

    target: str
    """Dotted path; mappings on the way are made."""
    value: Any
    """The value itself, or `{from: source}` (the source's own), `{from: boolean, truthy, falsy}`
    or `{from: map, values}`."""


class ReasoningRule(Struct, frozen=True, kw_only=True):
    """Sets fields when the source is there, or as `when` says, then removes others."""

    source: str
    """Dotted path."""
    when: ReasoningCondition | None = None
    rewrites: tuple[Rewrite, ...]
    strip: tuple[str, ...] = ()
    """Dotted paths to remove afterwards."""


class ReasoningRules(Struct, frozen=True, kw_only=True):
    """All rules, one after the other, each on what the one before has made."""

    rules: tuple[ReasoningRule, ...]


class ReasoningRewrite(AdapterUse, frozen=True, kw_only=True, tag="reasoning_rewrite"):
    """Reasoning controls in the provider's own words."""

    options: ReasoningRules


class WebSearchForm(Struct, frozen=True, kw_only=True):
    """How the provider wants its web search declared."""

    target: Literal["anthropic", "openai", "openrouter", "google"]
    max_uses: Annotated[int, Meta(ge=1)] | None = None
    """Anthropic only."""


class WebSearchCoercion(AdapterUse, frozen=True, kw_only=True, tag="web_search_coercion"):
    """Whatever web search a client declares, in the provider's form."""

    options: WebSearchForm


Adapter = (
    ReasoningContent
    | SuppressDeveloperRole
    | SuppressGpt5Options
    | NormalizeToolIds
    | ModelOverride
    | ReasoningRewrite
    | WebSearchCoercion
)


class ProviderModel(Struct, frozen=True, kw_only=True):
    """One model of a provider."""

    pricing: Pricing | None = None
    access_via: tuple[str, ...] | None = None
    """API types usable for this model, first is preferred; empty or absent: the provider's."""
    type: ModelType | None = None
    extra_body: Mapping[str, Any] = field(name="extraBody", default_factory=dict[str, Any])
    adapter: tuple[Adapter, ...] = ()
    """After the provider's own."""
    max_concurrency: Count | None = field(name="maxConcurrency", default=None)
    """Requests at the same time, over all workers."""
    prefill: bool | None = None
    """Whether it goes on from the beginning of an answer; absent: what its API type usually does.
    Only asked where an alias has `resume: continue`."""


class Provider(Struct, frozen=True, kw_only=True):
    """A configured account at a vendor."""

    display_name: str | None = None
    api_base_url: str | Mapping[str, str]
    """One URL (its API type is inferred) or a map API type → URL; `demo://` is the built-in one."""
    api_key: Secret | None = None
    """Required, except with `oauth://` and `demo://` URLs."""
    oauth_provider: OAuthProvider | None = None
    """Whose sign-in an `oauth://` URL uses; absent: what the URL or the provider's id names."""
    enabled: bool = True
    discount: Share | None = None
    """Taken off every price of this provider."""
    models: tuple[str, ...] | Mapping[str, ProviderModel] | None = None
    headers: Mapping[str, Secret] = field(default_factory=dict[str, Secret])
    """Sent with every request; win over built-in headers."""
    extra_body: Mapping[str, Any] = field(name="extraBody", default_factory=dict[str, Any])
    """Merged last into the payload (top level)."""
    adapter: tuple[Adapter, ...] = ()
    """Named patches, applied in order to every payload."""
    estimate_tokens: bool = field(name="estimateTokens", default=False)
    timeouts: Timeouts = Timeouts()
    timeout_ms: Annotated[int, Meta(ge=1)] | None = field(name="timeoutMs", default=None)
    """The later release's spelling of `timeouts.total_s`, in milliseconds."""
    max_concurrency: Count | None = field(name="maxConcurrency", default=None)
    """Requests at the same time, over all models and workers."""
    disable_cooldown: bool = False
    """Its targets are tried however they failed before."""
    stall_cooldown: bool | None = None
    """Whether a stall in mid-stream cools a target down; absent: `stall.stallCooldown`."""
    stall_ttfb_ms: Annotated[float, Meta(gt=0)] | UnsetType | None = field(
        name="stallTtfbMs", default=UNSET
    )
    """`stall.ttfbSeconds` for this provider, in milliseconds; null: off."""
    stall_ttfb_bytes: Count | None = field(name="stallTtfbBytes", default=None)
    stall_min_bytes_per_s: Annotated[float, Meta(gt=0)] | UnsetType | None = field(
        name="stallMinBps", default=UNSET
    )
    """`stall.minBytesPerSecond` for this provider; null: off."""
    stall_window_ms: Annotated[float, Meta(gt=0)] | None = field(name="stallWindowMs", default=None)
    stall_grace_ms: NonNegative | None = field(name="stallGracePeriodMs", default=None)


class Target(Struct, frozen=True, kw_only=True):
    """One (provider, model) an alias may be served by, or another alias, whose targets then follow
    those of its group."""

    provider: str = ""
    model: str = ""
    alias: str = ""
    """In place of provider and model."""
    enabled: bool = True
    weight: Positive = 1
    """Share of the traffic under selector random, relative to the others of the group."""
    cooldown_seconds: NonNegative | None = None
    """First cooldown where the provider states none, in place of `cooldown.initialMinutes`; 0: it
    is never cooled down for such faults."""


class TargetGroup(Struct, frozen=True, kw_only=True):
    """All usable targets of a group are tried before the next group's."""

    name: str
    """Clients may ask for `direct/<alias>/<name>`: this group alone."""
    selector: Selector | None = None
    """Default: the alias's."""
    targets: tuple[Target, ...]


class Architecture(Struct, frozen=True, kw_only=True):
    """What a model takes and gives: text, image, audio, file, …"""

    input_modalities: tuple[str, ...] = ()
    output_modalities: tuple[str, ...] = ()
    tokenizer: str | None = None


class PriceTier(Struct, frozen=True, kw_only=True):
    """Rates for prompts of more than `input_tokens_above` tokens; what is not given stays."""

    input_tokens_above: Annotated[int, Meta(ge=0)]
    prompt: NonNegative | None = None
    completion: NonNegative | None = None
    input_cache_read: NonNegative | None = None
    input_cache_write: NonNegative | None = None


class TokenPrices(Struct, frozen=True, kw_only=True):
    """What clients are told of prices: US dollars for one token. Rows are priced by `pricing`."""

    prompt: NonNegative | None = None
    completion: NonNegative | None = None
    input_cache_read: NonNegative | None = None
    input_cache_write: NonNegative | None = None
    tiers: tuple[PriceTier, ...] = ()


class TopProvider(Struct, frozen=True, kw_only=True):
    """Limits of the provider that serves a model."""

    context_length: Count | None = None
    """Wins over the model's own."""
    max_completion_tokens: Count | None = None


class Overrides(Struct, frozen=True, kw_only=True):
    """What the lists of models say of a model, instead of what is known otherwise."""

    name: str | None = None
    description: str | None = None
    context_length: Count | None = None
    architecture: Architecture = Architecture()
    pricing: TokenPrices = TokenPrices()
    supported_parameters: tuple[str, ...] = ()
    top_provider: TopProvider = TopProvider()


class Metadata(Struct, frozen=True, kw_only=True):
    """What the lists of models say of a model, from the catalogue that comes with Plexus: the names
    of all catalogues mean that one."""

    source: Literal["auto", "openrouter", "models.dev", "catwalk", "custom", "disabled"] = "auto"
    """custom and disabled: the catalogue is not asked."""
    source_path: str | None = None
    """The model's name in the catalogue: an OpenRouter name, or vendor/model. Default: the first
    usable target's."""
    overrides: Overrides = Overrides()


class Alias(Struct, frozen=True, kw_only=True):
    """A model name clients ask for."""

    targets: tuple[Target, ...] = ()
    """One group, named default."""
    target_groups: tuple[TargetGroup, ...] = ()
    """In place of `targets`."""
    selector: Selector | None = None
    """Default: random."""
    priority: Literal["selector", "api_match"] = "selector"
    additional_aliases: tuple[str, ...] = ()
    type: ModelType | None = None
    metadata: Metadata = Metadata()
    extra_body: Mapping[str, Any] = field(name="extraBody", default_factory=dict[str, Any])
    sticky_session: bool = True
    """A conversation prefers the target that served it last."""
    resume: Literal["off", "continue"] = "off"
    """continue: a text answer that is cut off goes on at the next target that takes a beginning."""

    @property
    def groups(self) -> tuple[TargetGroup, ...]:
        """Its targets as groups, in the order they are tried."""
        return self.target_groups or (TargetGroup(name=DEFAULT_GROUP, targets=self.targets),)


class Key(Struct, frozen=True, kw_only=True, gc=False):
    """A client's API key; its name in the map is what rows and logs show."""

    secret: Secret
    comment: str | None = None


class QuotaChecker(Struct, frozen=True, kw_only=True):
    """A provider account meter to be read regularly."""

    id: str
    type: str
    provider: str
    enabled: bool = True
    interval_minutes: Annotated[float, Meta(ge=1)] = field(name="intervalMinutes", default=30)
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __repr__(self) -> str:
        return f"QuotaChecker({self.id!r})"  # options hold credentials


class Limits(Struct, frozen=True, kw_only=True):
    """Bounds on what clients may send."""

    body_bytes: Annotated[int, Meta(ge=1)] = 30 * 1024 * 1024
    """Largest JSON request body; more is answered 413 before it is read."""
    head_s: Positive = 10
    """Time for a client to send a request's head."""
    body_s: Positive = 60
    """Time for a client to send a request's body, extended while at least 1 KB/s arrives."""


class Egress(Struct, frozen=True, kw_only=True):
    """What may be fetched from addresses that clients name: images and documents by URL, for
    providers that take only the content itself."""

    media_bytes: Annotated[int, Meta(ge=1)] = 20 * 1024 * 1024
    """Of all that one request names, together."""
    allow_private_addresses: bool = False
    """Also from addresses that only this network can reach. Clients can then look into it."""


NETWORK_ERRORS = (
    "ECONNREFUSED",
    "EHOSTUNREACH",
    "ENETUNREACH",
    "ECONNRESET",
    "EPIPE",
    "ENOTFOUND",
    "EAI_AGAIN",
    "ETIMEDOUT",
)
"""What `failover.retryableErrors` may name, besides our own codes (`upstream_…`)."""


class Failover(Struct, frozen=True, kw_only=True):
    """What happens when a target fails before the client has got anything."""

    enabled: bool = True
    """False: only the first candidate is tried."""
    retryable_status_codes: tuple[Annotated[int, Meta(ge=400, le=599)], ...] | None = field(
        name="retryableStatusCodes", default=None
    )
    """Statuses on which the next target is tried; absent: all but 400, 413 and 422."""
    retryable_errors: tuple[str, ...] | None = field(name="retryableErrors", default=None)
    """Network errors on which the next target is tried, such as ECONNREFUSED; absent: all."""
    max_attempts: Count = 6
    """Targets tried for one request."""
    deadline_s: Positive = 600
    """No further target is tried after this time, and none may then take longer."""
    retry_budget: Share = 0.2
    """Further attempts as a share of the requests of the last ten seconds…"""
    min_retries_per_s: NonNegative = 10
    """…beyond this many a second, in each worker."""


class CooldownPolicy(Struct, frozen=True, kw_only=True):
    """How long a failing target is left alone where its provider does not say."""

    initial_minutes: Annotated[float, Meta(ge=0.1)] = field(name="initialMinutes", default=2)
    """After the first failure; each further one in a row doubles it."""
    max_minutes: Annotated[float, Meta(ge=0.1)] = field(name="maxMinutes", default=300)


class Stall(Struct, frozen=True, kw_only=True):
    """When a slow stream counts as stalled, in the later release's spelling. Off by default."""

    ttfb_s: Annotated[float, Meta(ge=5, le=120)] | None = field(name="ttfbSeconds", default=None)
    """Time for the first bytes of a stream, from the start of an attempt; absent: no limit."""
    ttfb_bytes: Annotated[int, Meta(ge=50, le=10000)] = field(name="ttfbBytes", default=100)
    """How many bytes those are."""
    min_bytes_per_s: Annotated[float, Meta(ge=50, le=5000)] | None = field(
        name="minBytesPerSecond", default=None
    )
    """A stream that is slower over a whole window is ended; absent: no limit."""
    window_s: Annotated[float, Meta(ge=3, le=30)] = field(name="windowSeconds", default=10)
    grace_s: Annotated[float, Meta(ge=0, le=120)] = field(name="gracePeriodSeconds", default=30)
    """From the first bytes on, before a stream is measured."""
    cooldown: bool = field(name="stallCooldown", default=False)
    """Whether a stall in mid-stream cools the target down."""


class Concurrency(Struct, frozen=True, kw_only=True):
    """What happens when every target of a request is at its `maxConcurrency`."""

    queue_size: Annotated[int, Meta(ge=0)] = 100
    """Requests that may wait for one provider, in each worker; more are answered 429."""
    queue_s: NonNegative = 10
    """How long one waits."""


class Shutdown(Struct, frozen=True, kw_only=True):
    """What SIGTERM does: drain, then close the listener, then wait for open streams."""

    drain_s: NonNegative = 2
    """Readiness says 503 and connections are told to close, but new ones are still served."""
    grace_s: NonNegative = 600
    """Open streams may run to their end for this long after the listener has closed."""


class Config(Struct, frozen=True, kw_only=True):
    """The whole file."""

    admin_key: Secret = field(name="adminKey")
    providers: Mapping[str, Provider]
    models: Mapping[str, Alias]
    keys: Mapping[str, Key]
    quotas: tuple[QuotaChecker, ...] = ()
    timeouts: Timeouts = Timeouts()
    timeout: LaterTimeout | None = None
    limits: Limits = Limits()
    egress: Egress = Egress()
    failover: Failover = Failover()
    cooldown: CooldownPolicy = CooldownPolicy()
    stall: Stall = Stall()
    concurrency: Concurrency = Concurrency()
    latency_exploration_rate: Share = field(name="latencyExplorationRate", default=0.05)
    """Share of requests with selector latency that measure another target; 0: none."""
    performance_exploration_rate: Share = field(name="performanceExplorationRate", default=0.05)
    e2e_exploration_rate: Share = field(name="e2ePerformanceExplorationRate", default=0.05)
    shutdown: Shutdown = Shutdown()
