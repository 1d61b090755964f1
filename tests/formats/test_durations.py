"""Spans and points of time as providers write them."""

import pytest

from plexus_proxy.formats.durations import epoch_s, span_s, wait_in_text_s

NOON_S = 1795694400.0  # Thu, 26 Nov 2026 12:00:00 GMT


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("20s", 20),
        ("30  s", 30),
        ("5m", 300),
        ("10 min", 600),
        ("1h", 3600),
        ("3 hrs", 10800),
        ("1 second", 1),
        ("10 MIN", 600),
        ("18h31m10s", 66670),
        ("10m15s", 615),
        ("34.5s", 34.5),
        ("500ms", 0.5),
        ("12ms", 0.012),
        ("250µs", 0.00025),
        ("250μs", 0.00025),
        ("100ns", 1e-7),
        ("6m0s", 360),
        ("1h0m30s", 3630),
        ("1h2m3.5s", 3723.5),
        ("34.074824224s", 34.074824224),
        ("2 days", 172800),
        ("1d2h", 93600),
        ("2 hours, 5 minutes and 1 second", 7501),
        ("3 months", None),
        ("20", None),
        ("soon", None),
        ("", None),
    ],
)
def test_a_span_is_read_in_every_spelling(text: str, seconds: float | None) -> None:
    assert span_s(text) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Quota exceeded, reset after 20s.", 20),
        ("RESET AFTER 1 SECOND", 1),
        ("Your quota will reset after 18h31m10s.", 66670),
        ("Please retry in 12.3s.", 12.3),
        ("Please retry in 900ms.", 0.9),
        ("Please try again in 1.5s. Visit the dashboard.", 1.5),
        ("Please try again in 20ms.", 0.02),
        ("Please try again in 6m0s.", 360),
        ("Try again in ~45 min.", 2700),
        ("Please try again in 58 hours", 208800),
        ("retry after 7 s", 7),
        ("retry after 2 m", 120),
        ("retry-after: 5 min", 300),
        ("You must wait 10 minutes", 600),
        ('{"retryDelay": "34s"', 34),
        ("try again in 99 days", 8 * 86400),
        ("try again in 0s", None),
        ("It takes 5 minutes.", None),
        ("Slow down.", None),
    ],
)
def test_a_wait_is_found_in_prose(text: str, seconds: float | None) -> None:
    assert wait_in_text_s(text) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    "value",
    [
        NOON_S,
        int(NOON_S),
        "1795694400",
        "1795694400.0",
        NOON_S * 1000,
        "1795694400000",
        "2026-11-26T12:00:00Z",
        "2026-11-26T13:00:00+01:00",
        "2026-11-26T12:00:00",
        "Thu, 26 Nov 2026 12:00:00 GMT",
    ],
)
def test_a_point_of_time_is_read_in_every_spelling(value: object) -> None:
    assert epoch_s(value) == NOON_S


@pytest.mark.parametrize("value", ["", "soon", "nan", "inf", None, True, [], {}, 10**400])
def test_what_is_no_point_of_time_is_none(value: object) -> None:
    assert epoch_s(value) is None
