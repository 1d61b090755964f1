"""Context lengths and list prices of vendors' models, as known when this version was made.

The file comes with the package; nothing is fetched. A model is found by the vendor's address and
its own name, or by a path such as `openai/gpt-5.2`. Source: genai-prices (MIT); `make catalogue`
makes the file anew.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

import msgspec
from msgspec import Struct

from plexus_proxy import resources

_AGGREGATOR = "openrouter"
"""Its names are paths themselves."""


class Rate(Struct, frozen=True, array_like=True, gc=False):
    """US dollars per million tokens, for prompts of more than `above` tokens."""

    above: int
    input: float | None
    output: float | None
    cache_read: float | None
    cache_write: float | None


class Listed(Struct, frozen=True):
    """What is known of one model. `rates` begin with that of the shortest prompts, or are empty."""

    context: int | None = None
    rates: tuple[Rate, ...] = ()
    names: tuple[str, ...] = ()
    pattern: str = ""
    """A regular expression for further names."""


class _Vendor(Struct, frozen=True):
    name: str
    url: str
    """A regular expression for the start of its addresses."""
    models: tuple[Listed, ...]
    also: tuple[str, ...] = ()
    """Vendors whose models it has under their own names."""


class _Data(Struct, frozen=True):
    vendors: tuple[_Vendor, ...]


_DATA = msgspec.json.Decoder(_Data)


class _Names:
    """The names of one vendor's models. Of two models that fit the first in the data is meant."""

    def __init__(self, models: Sequence[Listed]) -> None:
        self._models = models
        self._places: dict[str, int] = {}
        for place, model in enumerate(models):
            for name in model.names:
                self._places.setdefault(name, place)
        self._patterns = [
            (place, re.compile(model.pattern))
            for place, model in enumerate(models)
            if model.pattern
        ]

    def find(self, name: str) -> Listed | None:
        name = name.lower()
        place = self._places.get(name, len(self._models))
        fits = (other for other, pattern in self._patterns if pattern.fullmatch(name))
        place = min(place, next(fits, place))
        return self._models[place] if place < len(self._models) else None


class Catalogue:
    """Look-ups are prepared vendor by vendor, when first asked for."""

    def __init__(self, data: bytes) -> None:
        self._vendors = {each.name: each for each in _DATA.decode(data).vendors}
        self._names: dict[str, _Names] = {}
        self._hosts = lru_cache(maxsize=256)(self._hosts_at)

    def at(self, url: str, model: str) -> Listed | None:
        """The model of who answers at `url`."""
        found = (self._find(vendor, model) for vendor in self._hosts(url))
        return next((each for each in found if each is not None), None)

    def named(self, path: str) -> Listed | None:
        """The model of a path: an aggregator's name for it, or vendor and model."""
        vendor, _, model = path.partition("/")
        return self._find(_AGGREGATOR, path) or self._find(vendor.lower(), model)

    def _hosts_at(self, url: str) -> list[str]:
        """Vendors whose models may be at an address, the best first."""
        hosts = [each for each in self._vendors.values() if re.match(each.url, url)]
        return [name for each in hosts for name in (each.name, *each.also)]

    def _find(self, vendor: str, model: str) -> Listed | None:
        known = self._vendors.get(vendor)
        if known is None:
            return None
        names = self._names.get(vendor)
        if names is None:
            names = self._names[vendor] = _Names(known.models)
        return names.find(model)


def shipped() -> Catalogue:
    """The catalogue that comes with the package."""
    return Catalogue(resources.CATALOGUE.read_bytes())
