"""A candidate and a body → the request that goes to its provider. Pure."""

import re
from collections.abc import Mapping

from plexus_proxy.formats.format import Format
from plexus_proxy.routing.aliases import Candidate
from plexus_proxy.upstream.client import OutgoingRequest

_MESSAGES_HOST = "anthropic.com"
_GEMINI_VERSION = "/v1beta"
_VERSION = re.compile(r"/v\d+(?:alpha|beta)?$")


def endpoint_url(base_url: str, endpoint: str) -> str:
    """Base URL + endpoint, however the base URL was written.

    A base that already ends with the endpoint is taken as it is, Anthropic's bare host gets the /v1
    that its own SDKs add, and a base with a version of its own does without the endpoint's.
    """
    if base_url.endswith(endpoint):
        return base_url
    host_and_path = base_url.partition("://")[2]
    if "/" not in host_and_path and host_and_path.endswith(_MESSAGES_HOST):
        base_url += "/v1"
    if endpoint.startswith(_GEMINI_VERSION) and _VERSION.search(base_url):
        endpoint = endpoint.removeprefix(_GEMINI_VERSION)
    return base_url + endpoint


def outgoing(
    candidate: Candidate,
    fmt: Format,
    base_url: str,
    body: bytes,
    *,
    streamed: bool,
    client_headers: Mapping[str, str],
) -> OutgoingRequest:
    """`base_url` is the candidate's, with demo:// already resolved.

    Headers are made here, never copied: the format names those of the client's that may pass. A
    provider's configured headers win over all.
    """
    headers = fmt.provider_headers(candidate.provider.api_key, client_headers)
    headers["content-type"] = "application/json"
    headers["accept"] = "text/event-stream" if streamed else "application/json"
    headers["accept-encoding"] = "identity"
    for name, value in candidate.provider.headers.items():
        headers[name.lower()] = value.reveal()
    return OutgoingRequest(
        endpoint_url(base_url, fmt.endpoint(candidate.model, streamed)), headers, body
    )
