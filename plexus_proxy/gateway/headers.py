"""Which headers cross the gateway. Allow-lists both ways; everything else stays on its side."""

from collections.abc import Mapping
from functools import lru_cache

from multidict import CIMultiDictProxy

from plexus_proxy.formats.format import Call, Format

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
_LIST = "anthropic-beta"
_SESSION = ("session_id", "session-id")


@lru_cache(maxsize=512)
def _kept(name: str) -> str | None:
    """What a provider's header is called for the client; None if it stays behind."""
    name = name.lower()
    if name in _FROM_PROVIDER or name.startswith(_FROM_PROVIDER_PREFIXES):
        return name
    return "x-upstream-request-id" if name == _PROVIDER_REQUEST_ID else None


def from_provider(headers: Mapping[str, str]) -> dict[str, str]:
    """A provider's response headers that a client of the same format may see.

    Hop-by-hop headers, cookies, account names and encodings (the body was decoded) stay behind.
    The provider's x-request-id becomes x-upstream-request-id: the client's belongs to us.
    """
    return {known: value for name, value in headers.items() if (known := _kept(name)) is not None}


def from_client(headers: "CIMultiDictProxy[str]") -> Mapping[str, str]:
    """A client's headers by lower-case name. Of those that may pass only one is a list that may
    come in several lines (RFC 9110 §5.3); joined by a comma it means the same."""
    if len(headers.getall(_LIST, ())) < 2:
        return headers
    out: dict[str, str] = {}
    for name, value in headers.items():
        name = name.lower()
        out[name] = f"{out[name]},{value}" if name in out else value
    return out


def with_session(headers: Mapping[str, str], provider: Format, call: Call) -> Mapping[str, str]:
    """A client's headers for a provider. Those that speak Responses find a prompt's cache by the
    session in a header: it is the body's cache key if the client names none. Source: behaviour
    reference App. C, "cache-affinity headers"."""
    if provider.name != "responses" or not call.cache_key:
        return headers
    if any(name in headers for name in _SESSION):
        return headers
    return {name.lower(): value for name, value in headers.items()} | {"session-id": call.cache_key}
