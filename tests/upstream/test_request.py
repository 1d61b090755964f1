"""Where a request to a provider goes."""

import pytest

from plexus_proxy.upstream.request import endpoint_url


@pytest.mark.parametrize(
    ("base", "endpoint", "url"),
    [
        ("https://a/v1", "/chat/completions", "https://a/v1/chat/completions"),
        ("https://a/v1/chat/completions", "/chat/completions", "https://a/v1/chat/completions"),
        ("https://api.anthropic.com", "/messages", "https://api.anthropic.com/v1/messages"),
        ("https://api.anthropic.com/v1", "/messages", "https://api.anthropic.com/v1/messages"),
        ("http://host:8080", "/chat/completions", "http://host:8080/chat/completions"),
        ("https://g/v1beta", "/v1beta/models/m:x", "https://g/v1beta/models/m:x"),
        ("https://g", "/v1beta/models/m:x", "https://g/v1beta/models/m:x"),
    ],
)
@pytest.mark.pitfall("B64")
def test_base_urls_are_tolerated_however_they_are_written(
    base: str, endpoint: str, url: str
) -> None:
    assert endpoint_url(base, endpoint) == url
