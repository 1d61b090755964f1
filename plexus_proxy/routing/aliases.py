"""A model name → the plan of its candidates: all that only the config decides. Pure.

Groups in their order, those of an alias that is a target after the targets of its group. Source:
behaviour reference §3.1–3.4 and appendix D.1.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct, structs

from plexus_proxy.config.model import (
    Adapter,
    Alias,
    ModelType,
    Pricing,
    Provider,
    ProviderModel,
    Selector,
    Target,
    TargetGroup,
    TargetKey,
)
from plexus_proxy.config.prices import Band, bands_of
from plexus_proxy.config.snapshot import Snapshot
from plexus_proxy.errors import BadRequest, NoCandidate, UnknownModel
from plexus_proxy.routing.access import base_url, choose_format, is_http, usable_types
from plexus_proxy.routing.kinds import (
    API_TYPES,
    RequestKind,
    admits,
    embeds,
    purpose,
    wrong_endpoint,
)

DIRECT_PREFIX = "direct/"
_NO_ALIAS = Alias()


def groups_of(model: str, snapshot: Snapshot) -> tuple[str, tuple[TargetGroup, ...]] | None:
    """The alias that a client asks for, by its primary name, and those of its groups that may
    serve: one alone for `direct/<alias>/<group>`. None for every other name."""
    if not model.startswith(DIRECT_PREFIX):
        name = snapshot.alias_names.get(model)
        return None if name is None else (name, snapshot.config.models[name].groups)
    place = snapshot.group_names.get(model.removeprefix(DIRECT_PREFIX))
    if place is None:
        return None
    name, index = place
    return name, (snapshot.config.models[name].groups[index],)


class Candidate(Struct, frozen=True, kw_only=True, gc=False):
    """A target that can serve a request, with all that an attempt at it needs."""

    provider_id: str
    provider: Provider
    model: str
    """The provider's own slug."""
    format: str
    """The wire format it will be spoken to in."""
    base_url: str
    pricing: Pricing | None
    bands: tuple[Band, ...]
    """Its prices for comparison with others; empty: unpriced."""
    extra_body: Mapping[str, Any]
    """Top-level fields to set in the payload: provider < model < alias."""
    adapters: tuple[Adapter, ...] = ()
    """The provider's, then the model's."""
    weight: float = 1
    """If a group has a target more than once, all of them together."""
    cooldown_s: float | None = None
    """The target's own `cooldown_seconds`."""
    max_concurrency: int | None = None
    """The model's; the provider has one of its own."""
    prefill: bool | None = None
    """Whether it goes on from the beginning of an answer; None: as its format does."""

    @property
    def key(self) -> TargetKey:
        return self.provider_id, self.model


class PlannedGroup(Struct, frozen=True, gc=False):
    """The candidates of a group, each once, in the order of the config. With `priority: api_match`
    a group becomes two: those that speak the client's format, then the others."""

    selector: Selector | None
    candidates: tuple[Candidate, ...]


class Plan(Struct, frozen=True, kw_only=True, gc=False):
    """Where requests for a model may go as long as a config is in force."""

    canonical_model: str
    alias: Alias | None
    groups: tuple[PlannedGroup, ...]
    """Those with candidates: at least one."""
    reasons: Mapping[str, str]
    """Targets that can never be used → why."""
    direct: bool
    """The client named provider and model itself."""
    overlapping: bool
    """Some target is in more than one group."""


class Planner:
    """Makes the plans of one snapshot, and keeps those of the names that are in the config."""

    def __init__(self, snapshot: Snapshot, spoken: Collection[str]) -> None:
        """`spoken` are the formats we have for providers."""
        self.snapshot = snapshot
        self._spoken = spoken
        self._made: dict[tuple[str, str, RequestKind], Plan] = {}

    def plan(self, model: str, wanted: str, kind: RequestKind) -> Plan:
        """Raises BadRequest, UnknownModel, NoCandidate."""
        made = self._made.get((model, wanted, kind))
        if made is None:
            made = self._new(model, wanted, kind)
            if not made.direct:  # of those names there is no end
                self._made[model, wanted, kind] = made
        return made

    def _new(self, model: str, wanted: str, kind: RequestKind) -> Plan:
        named = groups_of(model, self.snapshot)
        if named is None:
            if model.startswith(DIRECT_PREFIX):
                return self._direct(model, wanted, kind)
            raise UnknownModel(model)
        name, groups = named
        if not any(group.targets for group in groups):
            raise UnknownModel(model)
        alias = self.snapshot.config.models[name]
        if alias.type is not None and not admits(alias.type, kind):
            raise wrong_endpoint(model, alias.type)
        draft = _Draft(self.snapshot, self._spoken, wanted, kind, alias)
        draft.expand(name, alias, groups)
        return draft.plan(name, model)

    def _direct(self, model: str, wanted: str, kind: RequestKind) -> Plan:
        """`direct/<provider>/<model>`; the model may contain slashes and colons."""
        rest = model.removeprefix(DIRECT_PREFIX)
        provider_id, _, slug = rest.partition("/")
        if not provider_id or not slug:
            raise BadRequest(
                f"Model '{model}' must have the form direct/<provider>/<model>"
                " or direct/<alias>/<group>.",
                param="model",
            )
        provider = self.snapshot.config.providers.get(provider_id)
        if provider is None:
            for alias, group in ((provider_id, slug), rest.rpartition("/")[::2]):
                if alias in self.snapshot.alias_names:
                    raise UnknownModel(model, reason=f"'{alias}' has no target group '{group}'")
        elif provider.enabled and provider.models and slug not in provider.models:
            words = f"provider '{provider_id}' does not list model '{slug}'"
            raise UnknownModel(model, reason=words)
        draft = _Draft(self.snapshot, self._spoken, wanted, kind, _NO_ALIAS)
        found = draft.drafted(Target(provider=provider_id, model=slug))
        if not isinstance(found, _Drafted):
            raise UnknownModel(model, reason=f"provider '{provider_id}' {found}")
        if found.type is not None and not admits(found.type, kind):
            raise wrong_endpoint(model, found.type)
        only = (found.candidate,)
        return Plan(
            canonical_model=model,
            alias=None,
            groups=(PlannedGroup("in_order", only),),
            reasons={},
            direct=True,
            overlapping=False,
        )


class _Drafted(Struct, frozen=True, gc=False):
    """A candidate, and what decides whether it stays one."""

    candidate: Candidate
    type: ModelType | None
    matches: bool
    """It speaks the client's format."""
    embeds: bool


class _Draft:
    """One plan in the making. What belongs to the model asked for, not to how its targets are
    chosen, comes from its own alias (`alias`), also for targets of aliases within it."""

    def __init__(
        self,
        snapshot: Snapshot,
        spoken: Collection[str],
        wanted: str,
        kind: RequestKind,
        alias: Alias,
    ) -> None:
        self._snapshot = snapshot
        self._spoken = spoken
        self._wanted = wanted
        self._kind: RequestKind = kind
        self._alias = alias
        self._groups: list[tuple[Alias, TargetGroup, list[_Drafted]]] = []
        self._visited: set[str] = set()
        self._reasons: dict[str, str] = {}
        self._other_types: list[ModelType] = []

    def expand(self, name: str, owner: Alias, groups: Iterable[TargetGroup]) -> None:
        """Add the groups of alias `name`, and after each those of the aliases in it. Each alias
        counts once, so that a circle ends."""
        self._visited.add(name)
        for group in groups:
            found: dict[TargetKey, _Drafted] = {}
            for target in group.targets:
                if not target.alias:
                    self._add(target, found)
            if found:
                self._groups.append((owner, group, list(found.values())))
            for target in group.targets:
                if target.alias:
                    self._expand_alias(target)

    def _expand_alias(self, target: Target) -> None:
        name = self._snapshot.alias_names.get(target.alias)
        if not target.enabled:
            self._reasons[target.alias] = "target disabled"
        elif name is None:
            self._reasons[target.alias] = "is not configured"
        elif name not in self._visited:
            inner = self._snapshot.config.models[name]
            self.expand(name, inner, inner.groups)

    def _add(self, target: Target, group: dict[TargetKey, _Drafted]) -> None:
        named = f"{target.provider}/{target.model}"
        found = self.drafted(target)
        if not isinstance(found, _Drafted):
            self._reasons[named] = found
        elif found.type is not None and not self._may_serve(found.type):
            self._reasons[named] = purpose(found.type)
            self._other_types.append(found.type)
        elif (first := group.get(found.candidate.key)) is not None:
            both = first.candidate.weight + found.candidate.weight
            candidate = structs.replace(first.candidate, weight=both)
            group[candidate.key] = structs.replace(first, candidate=candidate)
        else:
            group[found.candidate.key] = found

    def _may_serve(self, model_type: ModelType) -> bool:
        """Text models are left to the choice of those that make embeddings."""
        last_resort = self._kind == "embeddings" and admits(model_type, "text")
        return last_resort or admits(model_type, self._kind)

    def drafted(self, target: Target) -> _Drafted | str:
        """The candidate for a target of a provider, or why there is none."""
        provider = self._snapshot.config.providers.get(target.provider)
        if not target.enabled:
            return "target disabled"
        if provider is None:
            return "is not configured"
        if not provider.enabled:
            return "is disabled"
        model = provider_model(provider, target.model)
        offered = usable_types(provider, model)
        if self._kind == "text":
            wanted, chosen = self._wanted, choose_format(offered, self._wanted, self._spoken)
        else:
            wanted = chosen = API_TYPES[self._kind]
        url = base_url(provider, chosen) if chosen is not None else ""
        if chosen is None or (self._kind != "text" and not is_http(url)):
            return "speaks no supported API type"
        extra = provider.extra_body
        if (model is not None and model.extra_body) or self._alias.extra_body:
            extra = {**extra, **(model.extra_body if model else {}), **self._alias.extra_body}
        pricing = model.pricing if model else None
        candidate = Candidate(
            provider_id=target.provider,
            provider=provider,
            model=target.model,
            format=chosen,
            base_url=url,
            pricing=pricing,
            bands=bands_of(pricing, provider.discount),
            extra_body=extra,
            adapters=(*provider.adapter, *model.adapter) if model else provider.adapter,
            weight=target.weight,
            cooldown_s=target.cooldown_seconds,
            max_concurrency=model.max_concurrency if model else None,
            prefill=model.prefill if model else None,
        )
        kind = model.type if model else None
        return _Drafted(
            candidate,
            kind,
            matches=chosen == wanted and wanted in offered,
            embeds=embeds(kind, self._alias.type, offered),
        )

    def plan(self, name: str, asked: str) -> Plan:
        """Raises NoCandidate, or BadRequest if all that could serve are for something else."""
        if not self._groups:
            if self._other_types:
                raise wrong_endpoint(asked, self._other_types[0])
            listed = ", ".join(f"{target} ({why})" for target, why in self._reasons.items())
            words = f"No target of model '{asked}' can be used{': ' if listed else ''}{listed}."
            raise NoCandidate(words, reasons=self._reasons)
        if self._kind == "embeddings":
            self._leave_those_that_embed()
        keys = [each.candidate.key for _, _, drafted in self._groups for each in drafted]
        used = {f"{provider}/{model}" for provider, model in keys}
        return Plan(
            canonical_model=name,
            alias=self._alias,
            groups=tuple(
                planned
                for owner, group, drafted in self._groups
                for planned in _planned(owner, group, drafted)
            ),
            reasons={named: why for named, why in self._reasons.items() if named not in used},
            direct=False,
            overlapping=len(set(keys)) < len(keys),
        )

    def _leave_those_that_embed(self) -> None:
        """If there are none, all stay."""
        kept = [
            (owner, group, [each for each in drafted if each.embeds])
            for owner, group, drafted in self._groups
        ]
        if not any(drafted for _, _, drafted in kept):
            return
        for _, _, drafted in self._groups:
            for each in drafted:
                if not each.embeds:
                    named = f"{each.candidate.provider_id}/{each.candidate.model}"
                    self._reasons[named] = "is not known to make embeddings"
        self._groups = [each for each in kept if each[2]]


def _planned(owner: Alias, group: TargetGroup, drafted: list[_Drafted]) -> Iterator[PlannedGroup]:
    selector = group.selector or owner.selector
    parts = [drafted]
    if owner.priority == "api_match":
        parts = [[e for e in drafted if e.matches], [e for e in drafted if not e.matches]]
    for part in parts:
        if part:
            yield PlannedGroup(selector, tuple(each.candidate for each in part))


def provider_model(provider: Provider, slug: str) -> ProviderModel | None:
    """The configured entry of a model; None if the provider lists names only or not this one."""
    models = provider.models
    return models.get(slug) if isinstance(models, Mapping) else None
