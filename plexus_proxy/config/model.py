"""plexus.yaml as data: one frozen Struct per YAML mapping. This file is the reference of every key.

YAML names of the base and later releases of the predecessor win (`name=` maps them to ours); new
keys are snake_case with the unit in the name. Values are checked by their types; references between
sections are checked in references.py.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from plexus_proxy.crypto import Secret

ModelType = Literal["chat", "responses", "text", "embeddings", "transcriptions", "speech", "image"]
Selector = Literal["random", "in_order", "cost", "latency", "usage", "performance"]
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
Share = Annotated[float, Meta(ge=0, le=1)]


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


class ProviderModel(Struct, frozen=True, kw_only=True):
    """One model of a provider."""

    pricing: Pricing | None = None
    access_via: tuple[str, ...] | None = None
    """API types usable for this model, first is preferred; empty or absent: the provider's."""
    type: ModelType | None = None
    extra_body: Mapping[str, Any] = field(name="extraBody", default_factory=dict[str, Any])


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
    estimate_tokens: bool = field(name="estimateTokens", default=False)
    timeouts: Timeouts = Timeouts()
    timeout_ms: Annotated[int, Meta(ge=1)] | None = field(name="timeoutMs", default=None)
    """The later release's spelling of `timeouts.total_s`, in milliseconds."""


class Target(Struct, frozen=True, kw_only=True):
    """One (provider, model) an alias may be served by."""

    provider: str
    model: str
    enabled: bool = True


class Alias(Struct, frozen=True, kw_only=True):
    """A model name clients ask for."""

    targets: tuple[Target, ...]
    selector: Selector | None = None
    """Default: random."""
    priority: Literal["selector", "api_match"] = "selector"
    additional_aliases: tuple[str, ...] = ()
    type: ModelType | None = None
    extra_body: Mapping[str, Any] = field(name="extraBody", default_factory=dict[str, Any])


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
    shutdown: Shutdown = Shutdown()
