"""Tokens guessed from characters."""

import pytest

from plexus_proxy.formats.events import Usage
from plexus_proxy.usage.estimate import estimate_tokens, estimate_usage


@pytest.mark.parametrize(
    ("chars", "tokens"), [(0, 0), (1, 1), (4, 1), (5, 2), (4000, 1000), (-3, 0)]
)
def test_four_characters_are_about_a_token(chars: int, tokens: int) -> None:
    assert estimate_tokens(chars) == tokens


def test_an_estimate_claims_nothing_about_caches() -> None:
    assert estimate_usage(input_chars=40, output_chars=20, reasoning_chars=8) == Usage(
        input_tokens=10, output_tokens=5, reasoning_tokens=2
    )
