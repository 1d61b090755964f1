"""The second chance of a row the database refused: values made to fit, whatever a client sent."""

from typing import Any, cast

import msgspec

from plexus_proxy.usage.record import UsageRow

_LARGEST = 2**63 - 1


def scrub(row: UsageRow) -> UsageRow:
    """The row without NUL, lone surrogates and numbers beyond 64 bits."""
    return msgspec.convert(_clean(msgspec.structs.asdict(row)), UsageRow)


def _clean(value: Any) -> Any:
    match value:
        case bool():
            return value
        case str():
            return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
        case int():
            return max(-_LARGEST, min(value, _LARGEST))
        case dict():
            return {key: _clean(item) for key, item in cast(dict[str, Any], value).items()}
        case tuple():
            return tuple(_clean(item) for item in cast(tuple[Any, ...], value))
        case msgspec.Struct():
            return _clean(msgspec.structs.asdict(value))
        case _:
            return value
