"""When streams count as stalled: a provider's own settings over the general ones."""

import pytest

from plexus_proxy.config.load import load
from plexus_proxy.config.stalls import ResolvedStall

GENERAL = "{ttfbSeconds: 20, ttfbBytes: 200, minBytesPerSecond: 60, windowSeconds: 5}"


def resolved(general: str, own: str) -> ResolvedStall:
    loaded, problems = load(f"""
adminKey: an-admin-key
providers:
  p: {{api_base_url: http://p/v1, api_key: k{own}}}
models: {{}}
keys: {{}}
stall: {general}
""")
    assert loaded is not None, problems
    return loaded.stalls(loaded.config.providers["p"])


def test_thresholds_are_off_unless_given() -> None:
    found = resolved("{}", "")
    assert (found.ttfb_s, found.min_bytes_per_s, found.cooldown) == (None, None, False)
    assert (found.ttfb_bytes, found.window_s, found.grace_s) == (100, 10, 30)


def test_what_a_provider_leaves_out_is_inherited() -> None:
    found = resolved(GENERAL, ", stallWindowMs: 8000")
    assert (found.ttfb_s, found.ttfb_bytes, found.min_bytes_per_s) == (20, 200, 60)
    assert found.window_s == 8


@pytest.mark.parametrize(
    ("own", "ttfb_s", "pace"),
    [
        (", stallTtfbMs: null", None, 60),
        (", stallMinBps: null", 20, None),
        (", stallTtfbMs: 1500, stallMinBps: 900", 1.5, 900),
    ],
)
def test_null_turns_a_threshold_off_for_one_provider(
    own: str, ttfb_s: float | None, pace: float | None
) -> None:
    found = resolved(GENERAL, own)
    assert (found.ttfb_s, found.min_bytes_per_s) == (ttfb_s, pace)


@pytest.mark.parametrize(("general", "own"), [("true", "false"), ("false", "true")])
def test_a_providers_word_on_cooldowns_wins(general: str, own: str) -> None:
    found = resolved(f"{{stallCooldown: {general}}}", f", stall_cooldown: {own}")
    assert found.cooldown is (own == "true")
