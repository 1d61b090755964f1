"""Spans and points of time as providers write them in headers, fields and prose.

Sources: Go's time.Duration, google.protobuf.Duration, RFC 3339, RFC 9110 §5.6.7; provider-errors.md
§2 of the design notes.
"""

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

MAX_WAIT_S = 8 * 86400.0
"""Longer waits are not believed."""

_SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_UNITS = (
    ("ms", r"ms|msecs?|milliseconds?"),  # before m
    ("us", r"[µμu]s|microseconds?"),  # the micro sign and the letter mu
    ("ns", r"ns|nanoseconds?"),
    ("s", r"s|secs?|seconds?"),
    ("m", r"m|mins?|minutes?"),
    ("h", r"h|hrs?|hours?"),
    ("d", r"d|days?"),
)
_TERM = (
    r"\d{1,15}(?:\.\d{1,15})?\s{0,4}(?:"
    + "|".join(words for _, words in _UNITS)
    + r")(?![^\W\d_])"  # no letter follows: "3 months" are not 3 m
)
SPAN = rf"{_TERM}(?:[\s,]{{0,3}}(?:and )?{_TERM}){{0,6}}"
"""A span as a regular expression without groups, for IGNORECASE."""

_SPAN = re.compile(SPAN, re.IGNORECASE)
_PARTS = re.compile(
    r"(\d+(?:\.\d+)?)\s{0,4}(?:"
    + "|".join(rf"(?P<{name}>(?:{words})(?![^\W\d_]))" for name, words in _UNITS)
    + ")",
    re.IGNORECASE,
)

_WAIT = re.compile(
    r"(?:resets? (?:after|in)|try(?: again)?[ -](?:in|after):?|wait(?: for)?|retrydelay\"?:)"
    rf"[\s\"]{{0,4}}(?:~|about |approximately )?\s?({SPAN})",
    re.IGNORECASE,
)
"""What providers and the proxies in front of them write into messages."""
_MAX_TEXT_CHARS = 20_000

_FIRST_MS = 1e11
"""An epoch time from here on is in milliseconds."""


def span_s(text: str) -> float | None:
    """Seconds of a text that is a span and nothing else: `6m0s`, `34.07s`, `900ms`, `3 hrs`."""
    if _SPAN.fullmatch(text.strip()) is None:
        return None
    return sum(
        float(found[1]) * _SECONDS[found.lastgroup]
        for found in _PARTS.finditer(text)
        if found.lastgroup is not None
    )


def wait_in_text_s(text: str) -> float | None:
    """How long prose tells to wait."""
    found = _WAIT.search(text[:_MAX_TEXT_CHARS])
    return believed(span_s(found[1])) if found else None


def epoch_s(value: Any) -> float | None:
    """A point of time as epoch seconds: epoch seconds or milliseconds, RFC 3339, HTTP date."""
    if (number := number_of(value)) is not None:
        return number / 1000 if number >= _FIRST_MS else number
    if not isinstance(value, str):
        return None
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = read(value.strip())
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
    return None


def number_of(value: Any) -> float | None:
    """A finite number, also one in a string."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def believed(seconds: float | None) -> float | None:
    """A wait that makes sense: above 0, at most MAX_WAIT_S."""
    return min(seconds, MAX_WAIT_S) if seconds is not None and seconds > 0 else None
