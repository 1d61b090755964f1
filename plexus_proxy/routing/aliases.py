"""A model name → the ordered candidates of one request. Pure."""

from collections.abc import Collection, Mapping
from random import Random
from typing import Any

from msgspec import Struct

from plexus_proxy.config.model import (
    Adapter,
    Alias,
    Pricing,
    Provider,
    ProviderModel,
    Target,
    TargetKey,
)
from plexus_proxy.config.snapshot import Snapshot
from plexus_proxy.errors import BadRequest, NoCandidate, UnknownModel
from plexus_proxy.routing.access import base_url, choose_format, usable_types
from plexus_proxy.routing.selectors import order

DIRECT_PREFIX = "direct/"
_NO_ALIAS = Alias(targets=())


class Candidate(Struct, frozen=True, kw_only=True, gc=False):
    """A target that survived this request's filters, with all that an attempt at it needs."""

    provider_id: str
    provider: Provider
    model: str
    """The provider's own slug."""
    format: str
    """The wire format it will be spoken to in."""
    base_url: str
    pricing: Pricing | None
    extra_body: Mapping[str, Any]
    """Top-level fields to set in the payload: provider < model < alias."""
    adapters: tuple[Adapter, ...] = ()
    """The provider's, then the model's."""
    weight: float = 1
    cooldown_s: float | None = None
    """The target's own `cooldown_seconds`."""

    @property
    def key(self) -> TargetKey:
        return self.provider_id, self.model


class Route(Struct, frozen=True, kw_only=True, gc=False):
    """Where a request may go: candidates in the order they are to be tried, never empty."""

    canonical_model: str
    candidates: tuple[Candidate, ...]


def route(
    model: str, wanted: str, spoken: Collection[str], snapshot: Snapshot, random: Random
) -> Route:
    """Resolve `model` for a client that speaks `wanted`; `spoken` are the formats we have.

    Raises BadRequest (malformed direct name), UnknownModel, NoCandidate.
    """
    if model.startswith(DIRECT_PREFIX):
        return _direct(model, wanted, spoken, snapshot)
    name = snapshot.alias_names.get(model)
    alias = snapshot.config.models[name] if name is not None else None
    if name is None or alias is None or not alias.targets:
        raise UnknownModel(model)
    reasons: dict[str, str] = {}
    candidates: list[Candidate] = []
    for target in alias.targets:
        found = _candidate(target, alias, wanted, spoken, snapshot)
        if isinstance(found, Candidate):
            candidates.append(found)
        else:
            reasons[f"{target.provider}/{target.model}"] = found
    if not candidates:
        raise NoCandidate(
            f"No target of model '{model}' can be used: "
            + ", ".join(f"{target} ({reason})" for target, reason in reasons.items())
            + ".",
            reasons=reasons,
        )
    if alias.priority == "api_match":
        matching = [found for found in candidates if found.format == wanted]
        candidates = matching or candidates
    return Route(canonical_model=name, candidates=tuple(order(candidates, alias.selector, random)))


def _direct(model: str, wanted: str, spoken: Collection[str], snapshot: Snapshot) -> Route:
    """`direct/<provider>/<model>`; the model may contain slashes and colons."""
    provider_id, slash, slug = model.removeprefix(DIRECT_PREFIX).partition("/")
    if not provider_id or not slash or not slug:
        raise BadRequest(
            f"Model '{model}' must have the form direct/<provider>/<model>.", param="model"
        )
    target = Target(provider=provider_id, model=slug)
    found = _candidate(target, _NO_ALIAS, wanted, spoken, snapshot)
    if not isinstance(found, Candidate):
        raise UnknownModel(model, reason=f"provider '{provider_id}' {found}")
    return Route(canonical_model=model, candidates=(found,))


def _candidate(
    target: Target, alias: Alias, wanted: str, spoken: Collection[str], snapshot: Snapshot
) -> Candidate | str:
    """The candidate for a target, or why there is none."""
    provider = snapshot.config.providers.get(target.provider)
    if not target.enabled:
        return "target disabled"
    if provider is None:
        return "is not configured"
    if not provider.enabled:
        return "is disabled"
    model = provider_model(provider, target.model)
    chosen = choose_format(usable_types(provider, model), wanted, spoken)
    if chosen is None:
        return "speaks no supported API type"
    extra = provider.extra_body
    if (model is not None and model.extra_body) or alias.extra_body:
        extra = {**extra, **(model.extra_body if model else {}), **alias.extra_body}
    return Candidate(
        provider_id=target.provider,
        provider=provider,
        model=target.model,
        format=chosen,
        base_url=base_url(provider, chosen),
        pricing=model.pricing if model else None,
        extra_body=extra,
        adapters=(*provider.adapter, *model.adapter) if model else provider.adapter,
    )


def provider_model(provider: Provider, slug: str) -> ProviderModel | None:
    """The configured entry of a model; None if the provider lists names only or not this one."""
    models = provider.models
    return models.get(slug) if isinstance(models, Mapping) else None
