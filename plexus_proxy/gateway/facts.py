"""What the lists of models say of a model. Pure.

What the config overrides comes first, then what it knows, then the catalogue. An alias stands for
its first usable target. Source: behaviour reference, appendix D.7; the names of
OpenRouter's list of models, which clients of other gateways read too.
"""

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from plexus_proxy.config.model import (
    Alias,
    Architecture,
    Config,
    DefinedPricing,
    Metadata,
    ModelType,
    OpenRouterPricing,
    PerRequestPricing,
    PriceRange,
    PriceTier,
    Pricing,
    ProviderModel,
    SimplePricing,
    Target,
    TokenPrices,
)
from plexus_proxy.routing.access import provider_url
from plexus_proxy.routing.aliases import provider_model
from plexus_proxy.usage.catalogue import Catalogue, Listed, Rate
from plexus_proxy.usage.money import usd_text

_MILLION = 1_000_000
_MODALITIES: Mapping[ModelType, Architecture] = {
    "embeddings": Architecture(input_modalities=("text",), output_modalities=("embeddings",)),
    "transcriptions": Architecture(input_modalities=("audio",), output_modalities=("text",)),
    "speech": Architecture(input_modalities=("text",), output_modalities=("audio",)),
    "image": Architecture(input_modalities=("text",), output_modalities=("image",)),
}
"""Of models that speak nothing is assumed: to deny that one sees images would be worse."""


class WrittenTier(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """See Prices; what is not there is as without the tier."""

    input_tokens_above: int
    prompt: str | None = None
    completion: str | None = None
    input_cache_read: str | None = None
    input_cache_write: str | None = None


class Prices(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """US dollars as decimal text: for one token, `request` for one request."""

    prompt: str | None = None
    completion: str | None = None
    input_cache_read: str | None = None
    input_cache_write: str | None = None
    request: str | None = None
    tiers: tuple[WrittenTier, ...] = ()


class WrittenArchitecture(Struct, frozen=True, omit_defaults=True, kw_only=True):
    input_modalities: tuple[str, ...] = ()
    output_modalities: tuple[str, ...] = ()
    tokenizer: str | None = None


class Facts(Struct, frozen=True, kw_only=True):
    """None or empty is what nobody knows."""

    name: str | None = None
    description: str | None = None
    context_length: int | None = None
    max_output_tokens: int | None = None
    architecture: WrittenArchitecture | None = None
    prices: Prices | None = None
    supported_parameters: tuple[str, ...] = ()
    type: ModelType | None = None


class _Served(Struct, frozen=True):
    """The target an alias stands for."""

    url: str
    model: str
    pricing: Pricing | None
    type: ModelType | None


def facts_of(alias: Alias, config: Config, catalogue: Catalogue) -> Facts:
    said = alias.metadata.overrides
    served = _served(alias, config)
    listed = _listed(alias.metadata, served, catalogue)
    kind = alias.type or (served.type if served else None)
    limits = said.top_provider
    return Facts(
        name=said.name,
        description=said.description,
        context_length=limits.context_length or said.context_length or listed.context,
        max_output_tokens=limits.max_completion_tokens,
        architecture=_architecture(said.architecture, kind),
        prices=_told(said.pricing, _prices(served.pricing if served else None, listed)),
        supported_parameters=said.supported_parameters,
        type=kind,
    )


def _targets(alias: Alias, models: Mapping[str, Alias], seen: frozenset[str]) -> Iterator[Target]:
    """Of its groups in order, those of aliases that are targets included."""
    for group in alias.groups:
        for target in group.targets:
            if not target.alias:
                yield target
            elif target.enabled and target.alias in models and target.alias not in seen:
                yield from _targets(models[target.alias], models, seen | {target.alias})


def _served(alias: Alias, config: Config) -> _Served | None:
    for target in _targets(alias, config.models, frozenset()):
        provider = config.providers.get(target.provider)
        if provider is not None and provider.enabled and target.enabled:
            known = provider_model(provider, target.model) or ProviderModel()
            return _Served(provider_url(provider), target.model, known.pricing, known.type)
    return None


_UNLISTED = Listed()


def _listed(metadata: Metadata, served: _Served | None, catalogue: Catalogue) -> Listed:
    if metadata.source in ("custom", "disabled"):
        return _UNLISTED
    if metadata.source_path:
        return catalogue.named(metadata.source_path) or _UNLISTED
    if served is None:
        return _UNLISTED
    if isinstance(served.pricing, OpenRouterPricing):
        return catalogue.named(served.pricing.slug) or _UNLISTED
    return catalogue.at(served.url, served.model) or _UNLISTED


def _architecture(said: Architecture, kind: ModelType | None) -> WrittenArchitecture | None:
    inferred = _MODALITIES.get(kind, Architecture()) if kind else Architecture()
    found = WrittenArchitecture(
        input_modalities=said.input_modalities or inferred.input_modalities,
        output_modalities=said.output_modalities or inferred.output_modalities,
        tokenizer=said.tokenizer,
    )
    return found if found != WrittenArchitecture() else None


def _told(said: TokenPrices, known: Prices) -> Prices | None:
    """What the operator wants to be said, each price on its own, before what is charged."""
    tiers = tuple(_tier(each) for each in said.tiers)
    found = Prices(
        prompt=_text(said.prompt) or known.prompt,
        completion=_text(said.completion) or known.completion,
        input_cache_read=_text(said.input_cache_read) or known.input_cache_read,
        input_cache_write=_text(said.input_cache_write) or known.input_cache_write,
        request=known.request,
        tiers=tiers or known.tiers,
    )
    return found if found != Prices() else None


def _tier(said: PriceTier) -> WrittenTier:
    return WrittenTier(
        input_tokens_above=said.input_tokens_above,
        prompt=_text(said.prompt),
        completion=_text(said.completion),
        input_cache_read=_text(said.input_cache_read),
        input_cache_write=_text(said.input_cache_write),
    )


def _text(usd: float | None) -> str | None:
    return usd_text(usd) if usd is not None else None


def _list_prices(rates: Sequence[Rate]) -> Prices:
    if not rates:
        return Prices()
    tiers = tuple(WrittenTier(input_tokens_above=each.above, **_rate(each)) for each in rates[1:])
    return Prices(**_rate(rates[0]), tiers=tiers)


def _rate(rate: Rate) -> dict[str, str | None]:
    return {
        "prompt": _per_token(rate.input),
        "completion": _per_token(rate.output),
        "input_cache_read": _per_token(rate.cache_read),
        "input_cache_write": _per_token(rate.cache_write),
    }


def _per_token(usd_per_mtok: float | None) -> str | None:
    return usd_text(usd_per_mtok, _MILLION) if usd_per_mtok is not None else None


def _prices(pricing: Pricing | None, listed: Listed) -> Prices:
    """Before any discount: the lists are public, and what an account gets is between the operator
    and the vendor."""
    match pricing:
        case SimplePricing():
            return Prices(
                prompt=_per_token(pricing.input),
                completion=_per_token(pricing.output),
                input_cache_read=_per_token(pricing.cached),
                input_cache_write=_per_token(pricing.cache_write),
            )
        case DefinedPricing():
            return _by_length(pricing)
        case PerRequestPricing():
            return Prices(request=usd_text(pricing.amount))
        case OpenRouterPricing() | None:
            return _list_prices(listed.rates)


def _by_length(pricing: DefinedPricing) -> Prices:
    """The rates of the shortest prompts, and a tier for each range above them."""
    first, *others = sorted(pricing.range, key=lambda each: each.lower_bound)
    base = _range(first)
    tiers = tuple(_above(each) for each in others)
    return Prices(**base, tiers=tiers)


def _above(found: PriceRange) -> WrittenTier:
    """A range includes its lower bound, a tier begins above it."""
    above = max(0, int(found.lower_bound) - 1)
    return WrittenTier(input_tokens_above=above, **_range(found))


def _range(found: PriceRange) -> dict[str, str | None]:
    return {
        "prompt": _per_token(found.input_per_m),
        "completion": _per_token(found.output_per_m),
        "input_cache_read": _per_token(found.cached_per_m),
        "input_cache_write": _per_token(found.cache_write_per_m),
    }
