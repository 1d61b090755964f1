"""The names that clients may ask for."""

from collections.abc import Mapping

from plexus_proxy.config.model import Alias


def alias_names(models: Mapping[str, Alias]) -> dict[str, str]:
    """Every name → the primary name of its alias. A primary name wins over additional ones; of
    those the first in the file wins."""
    names = {name: name for name in models}
    for name, alias in models.items():
        for other in alias.additional_aliases:
            names.setdefault(other, name)
    return names


def group_names(
    models: Mapping[str, Alias], names: Mapping[str, str]
) -> dict[str, tuple[str, int]]:
    """`<name>/<group>` for every name → the primary name of its alias, and which of its groups;
    the first in the file wins."""
    places: dict[str, tuple[str, int]] = {}
    for name, primary in names.items():
        for index, group in enumerate(models[primary].groups):
            places.setdefault(f"{name}/{group.name}", (primary, index))
    return places
