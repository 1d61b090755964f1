"""The order in which the targets of one request are tried."""

from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.routing import SPOKEN, Resting, candidates, routed, snapshot_from

from plexus_proxy.config.model import (
    Alias,
    Config,
    Provider,
    ProviderModel,
    Selector,
    Target,
    TargetGroup,
    TargetKey,
)
from plexus_proxy.config.snapshot import Snapshot, snapshot_of
from plexus_proxy.crypto import Secret
from plexus_proxy.errors import BadRequest, NoCandidate, UnknownModel
from plexus_proxy.routing.aliases import Planner
from plexus_proxy.routing.router import Route, Router

YAML = """
providers:
  one: {api_base_url: http://one/v1, api_key: k}
  two: {api_base_url: {messages: http://two/v1, chat: http://two/v1}, api_key: k}
  three: {api_base_url: http://three/v1, api_key: k}
models:
  flat:
    selector: in_order
    targets: [{provider: one, model: a}, {provider: two, model: a}, {provider: one, model: b}]
  spread: {targets: [{provider: one, model: a}, {provider: two, model: a}]}
  matched:
    selector: in_order
    priority: api_match
    targets: [{provider: one, model: a}, {provider: two, model: a}, {provider: three, model: a}]
  shouted:
    selector: in_order
    priority: api_match
    targets: [{provider: one, model: a}, {provider: upper, model: a}]
  grouped:
    selector: in_order
    priority: api_match
    target_groups:
      - {name: first, targets: [{provider: one, model: a}, {provider: two, model: a}]}
      - {name: second, targets: [{provider: one, model: b}, {provider: one, model: a}]}
  around:
    selector: in_order
    target_groups:
      - {name: first, targets: [{alias: inner}, {provider: one, model: a}]}
      - {name: second, selector: random,
         targets: [{provider: three, model: a}, {provider: three, model: b}]}
  inner:
    selector: in_order
    target_groups:
      - {name: x, targets: [{provider: two, model: x}]}
      - {name: y, targets: [{provider: two, model: y}, {provider: one, model: a}]}
"""


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    text = YAML.replace(
        "models:", "  upper: {api_base_url: {MESSAGES: http://u}, api_key: k}\nmodels:"
    )
    return snapshot_from(text)


def cooling(route: Route) -> list[str]:
    return [f"{each.provider_id}/{each.model}" for each in route.cooling]


@pytest.mark.parametrize(
    ("model", "wanted", "resting", "tried", "left"),
    [
        ("flat", "chat", (), ["one/a", "two/a", "one/b"], []),
        ("flat", "chat", ("one/a",), ["two/a", "one/b"], ["one/a"]),
        ("flat", "chat", ("one/b", "two/a", "one/a"), [], ["one/a", "two/a", "one/b"]),
        ("flat", "chat", ("three/a",), ["one/a", "two/a", "one/b"], []),
        ("direct/one/a", "chat", ("one/a",), ["one/a"], []),
        ("direct/flat/default", "chat", ("one/a",), ["two/a", "one/b"], ["one/a"]),
        ("matched", "chat", (), ["one/a", "two/a", "three/a"], []),
        ("matched", "messages", (), ["two/a", "one/a", "three/a"], []),
        ("matched", "responses", (), ["one/a", "two/a", "three/a"], []),
        ("matched", "messages", ("two/a",), ["one/a", "three/a"], ["two/a"]),
        ("matched", "messages", ("one/a",), ["two/a", "three/a"], ["one/a"]),
        ("shouted", "messages", (), ["upper/a", "one/a"], []),
        ("grouped", "messages", (), ["two/a", "one/a", "one/b"], []),
        ("grouped", "chat", (), ["one/a", "two/a", "one/b"], []),
        ("grouped", "messages", ("two/a",), ["one/a", "one/b"], ["two/a"]),
        ("around", "chat", ("three/b",), ["one/a", "two/x", "two/y", "three/a"], ["three/b"]),
        (
            "around",
            "chat",
            ("one/a", "three/b"),
            ["two/x", "two/y", "three/a"],
            ["one/a", "three/b"],
        ),
    ],
)
def test_targets_are_tried_in_order_but_for_those_that_cool_down(
    snapshot: Snapshot,
    model: str,
    wanted: str,
    resting: tuple[str, ...],
    tried: list[str],
    left: list[str],
) -> None:
    found = routed(snapshot, model, wanted, cooling=resting)
    assert candidates(found) == tried
    assert cooling(found) == left


@pytest.mark.parametrize(
    ("model", "wanted", "prefer", "resting", "tried"),
    [
        ("flat", "chat", [("one", "b")], (), ["one/b", "one/a", "two/a"]),
        ("flat", "chat", ["one"], (), ["one/a", "one/b", "two/a"]),
        ("flat", "chat", ["two", ("one", "b")], (), ["two/a", "one/b", "one/a"]),
        ("flat", "chat", [("one", "b"), "one"], (), ["one/b", "one/a", "two/a"]),
        ("flat", "chat", [("one", "")], (), ["one/a", "one/b", "two/a"]),
        ("flat", "chat", [("one", "b")], ("one/b",), ["one/a", "two/a"]),
        ("flat", "chat", ["ghost", ("one", "ghost")], (), ["one/a", "two/a", "one/b"]),
        ("grouped", "chat", [("one", "b")], (), ["one/b", "one/a", "two/a"]),
        ("matched", "messages", [("three", "a")], (), ["three/a", "two/a", "one/a"]),
        ("matched", "messages", ["one"], (), ["one/a", "two/a", "three/a"]),
        ("matched", "messages", ["one"], ("one/a",), ["two/a", "three/a"]),
        ("around", "chat", [("three", "a")], ("three/b",), ["three/a", "one/a", "two/x", "two/y"]),
    ],
)
def test_preferred_targets_come_first_whatever_group_and_format_they_have(
    snapshot: Snapshot,
    model: str,
    wanted: str,
    prefer: list[TargetKey | str],
    resting: tuple[str, ...],
    tried: list[str],
) -> None:
    assert candidates(routed(snapshot, model, wanted, cooling=resting, prefer=prefer)) == tried


def test_random_orders_every_target_first_about_equally_often(snapshot: Snapshot) -> None:
    router, random = Router(SPOKEN), Random(3)
    first = Counter(
        router.route("spread", "chat", "text", snapshot, Resting(), random).candidates[0].key
        for _ in range(400)
    )
    assert 140 < first["one", "a"] < 260


def test_a_group_may_have_a_selector_of_its_own(snapshot: Snapshot) -> None:
    router, random = Router(SPOKEN), Random(3)
    orders = {
        tuple(candidates(router.route("around", "chat", "text", snapshot, Resting(), random)))
        for _ in range(60)
    }
    fixed = ("one/a", "two/x", "two/y")
    assert orders == {(*fixed, "three/a", "three/b"), (*fixed, "three/b", "three/a")}


def test_another_config_counts_at_once(snapshot: Snapshot) -> None:
    router = Router(SPOKEN)
    later = snapshot_from(YAML.replace("{provider: one, model: a}, ", ""))
    for given_, expected in (
        (snapshot, ["one/a", "two/a", "one/b"]),
        (later, ["two/a", "one/b"]),
        (snapshot, ["one/a", "two/a", "one/b"]),
    ):
        found = router.route("flat", "chat", "text", given_, Resting(), Random(1))
        assert candidates(found) == expected


def test_plans_are_made_once_for_names_of_the_config_and_never_kept_for_others(
    snapshot: Snapshot,
) -> None:
    planner = Planner(snapshot, SPOKEN)
    for name in ("flat", "direct/grouped/first"):
        assert planner.plan(name, "chat", "text") is planner.plan(name, "chat", "text")
        assert planner.plan(name, "chat", "text") is not planner.plan(name, "messages", "text")
    kept = len(planner._made)
    for number in range(50):
        planner.plan(f"direct/one/model-{number}", "chat", "text")
        with pytest.raises(UnknownModel):
            planner.plan(f"model-{number}", "chat", "text")
    assert len(planner._made) == kept


PROVIDERS = {
    "a": Provider(api_base_url="http://a", api_key=Secret("k")),
    "b": Provider(
        api_base_url={"messages": "http://b"},
        api_key=Secret("k"),
        models={"draw": ProviderModel(type="image")},
    ),
    "off": Provider(api_base_url="http://off", api_key=Secret("k"), enabled=False),
}
NAMES = ("first", "second", "third")
SELECTORS: list[Selector | None] = [None, "random", "in_order"]

_targets = st.builds(
    Target,
    provider=st.sampled_from([*PROVIDERS, "ghost"]),
    model=st.sampled_from(["x", "y", "draw"]),
    enabled=st.booleans(),
    weight=st.floats(0.5, 5),
) | st.builds(Target, alias=st.sampled_from([*NAMES, "nick", "ghost"]), enabled=st.booleans())
_groups = st.lists(
    st.builds(
        TargetGroup,
        name=st.sampled_from(["g", "h"]),
        selector=st.sampled_from(SELECTORS),
        targets=st.lists(_targets, max_size=4).map(tuple),
    ),
    max_size=3,
).map(tuple)
_aliases = st.builds(
    Alias,
    target_groups=_groups,
    selector=st.sampled_from(SELECTORS),
    priority=st.sampled_from(["selector", "api_match"]),
    additional_aliases=st.sampled_from([(), ("nick",)]),
)
_asked: Any = {
    "models": st.fixed_dictionaries(dict.fromkeys(NAMES, _aliases)),
    "model": st.sampled_from([*NAMES, "nick", "direct/first/g", "direct/nick/h"]),
    "wanted": st.sampled_from(["chat", "messages", "responses"]),
    "resting": st.sets(st.sampled_from(["a/x", "a/y", "b/x", "b/y"])),
    "prefer": st.lists(
        st.sampled_from(["a", "b", "off", ("a", "y"), ("b", ""), ("off", "x")]), max_size=2
    ),
    "seed": st.integers(0, 1000),
}


def _may_serve(target: Target) -> bool:
    known = target.provider in ("a", "b") and (target.provider, target.model) != ("b", "draw")
    return target.enabled and known


def _ranks(name: str, groups: tuple[TargetGroup, ...], snapshot: Snapshot) -> dict[TargetKey, int]:
    """Every usable target → the number of the first group it is in, aliases unfolded."""
    ranks: dict[TargetKey, int] = {}
    seen = {name}
    count = 0

    def unfold(groups: tuple[TargetGroup, ...]) -> None:
        nonlocal count
        for group in groups:
            count += 1
            for each in group.targets:
                if not each.alias and _may_serve(each):
                    ranks.setdefault((each.provider, each.model), count)
            for each in group.targets:
                inner = snapshot.alias_names.get(each.alias)
                if each.alias and each.enabled and inner is not None and inner not in seen:
                    seen.add(inner)
                    unfold(snapshot.config.models[inner].groups)

    unfold(groups)
    return ranks


@given(**_asked)
def test_any_config_gives_each_usable_target_once_group_by_group(
    models: dict[str, Alias],
    model: str,
    wanted: str,
    resting: set[str],
    prefer: list[TargetKey | str],
    seed: int,
) -> None:
    snapshot = snapshot_of(
        Config(admin_key=Secret("admin"), providers=PROVIDERS, models=models, keys={})
    )
    asked = model.removeprefix("direct/").partition("/")
    name = snapshot.alias_names.get(asked[0])
    groups = models[name].groups if name else ()
    if asked[2]:
        groups = tuple(each for each in groups if each.name == asked[2])[:1]
    ranks = _ranks(name or "", groups, snapshot)
    router = Router(SPOKEN)

    def found(prefer: list[TargetKey | str]) -> Route:
        view, random = Resting(*resting), Random(seed)
        return router.route(model, wanted, "text", snapshot, view, random, prefer=prefer)

    if not ranks:
        with pytest.raises((NoCandidate, UnknownModel, BadRequest)):
            found([])
        return
    route = found([])
    keys = [each.key for each in route.candidates]
    rest = [each.key for each in route.cooling]
    assert len({*keys, *rest}) == len(keys) + len(rest)
    assert all(f"{provider}/{slug}" in resting for provider, slug in rest)
    assert not any(f"{provider}/{slug}" in resting for provider, slug in keys)
    assert keys or rest
    assert {*keys, *rest} == ranks.keys()
    assert [ranks[key] for key in keys] == sorted(ranks[key] for key in keys)
    assert [ranks[key] for key in rest] == sorted(ranks[key] for key in rest)
    preferring = [each.key for each in found(prefer).candidates]
    assert len(set(preferring)) == len(preferring)
    wished = [
        key for key in preferring if key in prefer or key[0] in prefer or (key[0], "") in prefer
    ]
    assert preferring[: len(wished)] == wished
    assert [key for key in preferring if key not in wished] == [
        key for key in keys if key not in wished
    ]
