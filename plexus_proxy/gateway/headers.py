"""Which headers cross the gateway. Allow-lists both ways; everything else stays on its side."""

from collections.abc import Iterable, Mapping

_FROM_PROVIDER = frozenset(
    {
        "content-type",
        "retry-after",
        "retry-after-ms",
        "x-should-retry",
        "request-id",
        "openai-processing-ms",
        "openai-version",
        "openai-model",
    }
)
_FROM_PROVIDER_PREFIXES = ("x-ratelimit-", "anthropic-ratelimit-", "anthropic-priority-")
_PROVIDER_REQUEST_ID = "x-request-id"


def from_provider(headers: Mapping[str, str]) -> dict[str, str]:
    """A provider's response headers that a client of the same format may see.

    Hop-by-hop headers, cookies, account names and encodings (the body was decoded) stay behind.
    The provider's x-request-id becomes x-upstream-request-id: the client's belongs to us.
    """
    kept: dict[str, str] = {}
    for name, value in headers.items():
        name = name.lower()
        if name in _FROM_PROVIDER or name.startswith(_FROM_PROVIDER_PREFIXES):
            kept[name] = value
        elif name == _PROVIDER_REQUEST_ID:
            kept["x-upstream-request-id"] = value
    return kept


def joined(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Header pairs as a mapping of lower-case names; repeated ones are joined by a comma."""
    out: dict[str, str] = {}
    for name, value in headers:
        name = name.lower()
        out[name] = f"{out[name]},{value}" if name in out else value
    return out
