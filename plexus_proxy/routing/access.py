"""Which wire format a target is spoken to in, and at which base URL. Pure.

Source: the base release's dispatch rules (behaviour reference §2 "Provider API-type inference",
§3.6): a model's `access_via` wins over the provider's own types; the client's format is preferred,
else the first one listed that we speak.
"""

from collections.abc import Collection, Mapping

from plexus_proxy.config.model import Provider, ProviderModel

DEMO_SCHEME = "demo://"
_FALLBACK_KEY = "default"


def provider_types(provider: Provider) -> tuple[str, ...]:
    """The API types a provider offers, in the order of the config."""
    urls = provider.api_base_url
    if isinstance(urls, str):
        return _inferred_types(urls)
    return tuple(kind.lower() for kind, url in urls.items() if url and kind != _FALLBACK_KEY)


def _inferred_types(url: str) -> tuple[str, ...]:
    if url.startswith(DEMO_SCHEME):
        return ("chat", "messages")
    if url.startswith("oauth://"):
        return ("oauth",)
    if "anthropic.com" in url:
        return ("messages",)
    if "generativelanguage.googleapis.com" in url:
        return ("gemini",)
    return ("chat",)


def usable_types(provider: Provider, model: ProviderModel | None) -> tuple[str, ...]:
    """API types for one model; an empty `access_via` counts as none given."""
    if model is not None and model.access_via:
        return tuple(kind.lower() for kind in model.access_via)
    return provider_types(provider)


def choose_format(available: Collection[str], wanted: str, spoken: Collection[str]) -> str | None:
    """The client's own format if the target offers it, else the first one we speak, else None."""
    if wanted in available and wanted in spoken:
        return wanted
    return next((kind for kind in available if kind in spoken), None)


def provider_url(provider: Provider) -> str:
    """Where a provider is, whichever of its APIs is spoken."""
    urls = provider.api_base_url
    return urls if isinstance(urls, str) else next((url for url in urls.values() if url), "")


def is_http(url: str) -> bool:
    """Whether an address is one of a server, not of something built in."""
    return url.startswith(("http://", "https://"))


def base_url(provider: Provider, api_type: str) -> str:
    """The provider's URL for an API type: its own key, else `default`, else the first; no slash."""
    urls = provider.api_base_url
    if isinstance(urls, str):
        return urls.removesuffix("/") if not urls.startswith(DEMO_SCHEME) else urls
    by_type: Mapping[str, str] = {kind.lower(): url for kind, url in urls.items() if url}
    url = by_type.get(api_type) or by_type.get(_FALLBACK_KEY) or next(iter(by_type.values()), "")
    return url.removesuffix("/") if not url.startswith(DEMO_SCHEME) else url
