"""Keys of later releases of the predecessor: known by name, so that such a file loads here too.

Each key gets one warning that names its feature, however often it is there. A key that gains a
meaning here moves to model.py and leaves this table. Source: behaviour reference, appendix B.
"""

from collections.abc import Mapping
from typing import Any, get_args

from msgspec import Struct

from plexus_proxy.config.model import (
    Adapter,
    Alias,
    Config,
    Key,
    PriceRange,
    PriceTier,
    Provider,
    ProviderModel,
    TokenPrices,
)
from plexus_proxy.config.problems import Problems, child
from plexus_proxy.config.tree import Map, Seq, resolve

_EXPLORATION = "exploration in the background"
_QUOTAS = "quotas per key"
_POLICIES = "key policies"
_ADAPTERS = "more adapters"
_ADAPTER_NAMES = frozenset(each.__struct_config__.tag for each in get_args(Adapter))
_COMPACTION = "context compaction"
_MCP = "the MCP gateway"
_ENERGY = "energy estimates"
_CATALOGUE = "model metadata"
_METERS = "provider account meters"
_RAW = "raw passthrough"
_VISION = "vision fallthrough"
_OAUTH = "OAuth accounts"

FEATURES: Mapping[type[Struct], Mapping[str, str]] = {
    Config: {
        "backgroundExploration": _EXPLORATION,
        "vision_fallthrough": _VISION,
        "user_quotas": _QUOTAS,
        "default_quotas": _QUOTAS,
        "trustedProxies": "trusted proxies",
        "mcp": _MCP,
        "mcp_servers": _MCP,
        "mcpOAuth": _MCP,
        "compaction": _COMPACTION,
    },
    Provider: {
        "oauth_account": _OAUTH,
        "allow_100_percent_utilization": _METERS,
        "quota_checker": _METERS,
        "model_autosync": "model autosync",
        "auto_compat": "automatic compatibility retries",
        "pi_ai_provider": _CATALOGUE,
        "raw_passthrough": _RAW,
        "useClaudeMasking": "Claude masking",
        "geminiThinkingEnabled": "Gemini thinking",
        "compaction": _COMPACTION,
    },
    ProviderModel: {
        "pi_ai_model_id": _CATALOGUE,
    },
    Alias: {
        "use_image_fallthrough": _VISION,
        "enforce_limits": "context limits",
        "preferred_api": _CATALOGUE,
        "model_architecture": _CATALOGUE,
        "pi_model": _CATALOGUE,
        "advanced": "advanced alias behaviours",
        "compaction": _COMPACTION,
    },
    Key: {
        "quota": _QUOTAS,
        "quotas": _QUOTAS,
        "allowedModels": _POLICIES,
        "excludedModels": _POLICIES,
        "allowedProviders": _POLICIES,
        "excludedProviders": _POLICIES,
        "allowedIps": _POLICIES,
        "expiresAt": _POLICIES,
        "expiresInMinutes": _POLICIES,
        "disabledAt": _POLICIES,
        "allowRawPassthrough": _RAW,
    },
}
_ENERGY_PREFIX = "gpu_"


class Later:
    """Notes what a file asks of later features, and brings later shapes into those we have."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._seen: set[tuple[type[Struct], str]] = set()

    def takes(self, kind: type[Struct], key: str, path: str, line: int) -> bool:
        """Whether `key` belongs to a later feature; warns the first time."""
        feature = FEATURES.get(kind, {}).get(key)
        if feature is None and kind is Provider and key.startswith(_ENERGY_PREFIX):
            feature = _ENERGY
        if feature is None:
            return False
        same = _ENERGY_PREFIX if feature == _ENERGY else key
        self._warn(kind, same, child(path, key), line, feature, "is ignored")
        return True

    def prepare(self, kind: type[Struct], node: Map, path: str) -> Map:
        """`node` in the shape of model.py; the same object if it has it already."""
        if kind is PriceRange and node.get("upper_bound") == float("inf"):
            return _with(node, "upper_bound", None)
        if kind in (Provider, ProviderModel) and node.get("adapter") is not None:
            node = self._with_adapters(kind, node, path)
        if kind in (TokenPrices, PriceTier):
            return _with_numbers(node)
        if kind is ProviderModel and isinstance(node.get("access_via"), Seq):
            return self._without_subtypes(node, path)
        return node

    def _with_adapters(self, kind: type[Struct], node: Map, path: str) -> Map:
        """A name alone stands for the adapter without options, and for a list of one."""
        given: Any = node["adapter"]
        line = node.line_of("adapter")
        uses = given if isinstance(given, Seq) else _seq(line, [given])
        place = child(path, "adapter")
        kept = _seq(uses.line, [])
        for index, each in enumerate(uses):
            line = uses.lines[index]
            use = _with(Map(line), "name", each) if isinstance(each, str) else each
            name = use.get("name") if isinstance(use, Map) else None
            if isinstance(name, str) and name not in _ADAPTER_NAMES:
                self._warn(kind, name, f"{place}[{index}]", line, _ADAPTERS, "is skipped")
                continue
            kept.append(use)
            kept.lines.append(line)
        return _with(node, "adapter", kept)

    def _without_subtypes(self, node: Map, path: str) -> Map:
        given: Seq = node["access_via"]
        if not any(isinstance(each, Map) for each in given):
            return node
        place, line = child(path, "access_via"), node.line_of("access_via")
        self._warn(ProviderModel, "access_via", place, line, "API subtypes", "they are ignored")
        plain = Seq(given.line)
        plain.extend(each.get("type") if isinstance(each, Map) else each for each in given)
        plain.lines = given.lines
        return _with(node, "access_via", plain)

    def _warn(
        self, kind: type[Struct], key: str, path: str, line: int, feature: str, effect: str
    ) -> None:
        if (kind, key) not in self._seen:
            self._seen.add((kind, key))
            words = f"belongs to a feature this version does not have yet ({feature}); {effect}"
            self._problems.warning(path, line, words)


def _seq(line: int, items: list[Any]) -> Seq:
    """All on one line."""
    made = Seq(line)
    made.extend(items)
    made.lines = [line] * len(items)
    return made


def _with_numbers(node: Map) -> Map:
    """Prices were texts: catalogues write them so."""
    for key, value in node.items():
        if isinstance(value, str) and isinstance(number := resolve(value), int | float):
            node = _with(node, key, number)
    return node


def _with(node: Map, key: str, value: Any) -> Map:
    """A copy of `node` with another value at `key`."""
    copy = Map(node.line)
    copy.update(node)
    copy.lines = node.lines
    copy[key] = value
    return copy
