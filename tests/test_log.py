"""Whatever looks like a credential is masked in every line, tracebacks included."""

import logging

import pytest

from plexus_proxy.log import RedactingFormatter, reason, redact


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer CANARY1234567",
        "authorization: CANARY1234567",
        "'x-api-key': 'CANARY1234567'",
        '{"api_key": "CANARY1234567"}',
        '{"secret":"CANARY1234567","a":1}',
        "GET /v1/models?key=CANARY1234567&x=1",
        "adminKey: CANARY1234567",
        "sent sk-CANARY1234567 upstream",
        "postgres://user:CANARY1234567@host/db",
        "token=CANARY1234567",
    ],
)
def test_credentials_are_masked(text: str) -> None:
    assert "CANARY" not in redact(text)
    assert "***" in redact(text)


@pytest.mark.parametrize("text", ["input_tokens: 12", "model gpt-4o answered in 12 ms", "http://h"])
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert redact(text) == text


def test_tracebacks_are_masked_too() -> None:
    try:
        raise ValueError("Bearer CANARY1234567")
    except ValueError:
        import sys

        record = logging.LogRecord("n", logging.ERROR, "p", 1, "failed", None, sys.exc_info())
    text = RedactingFormatter("%(message)s").format(record)
    assert "ValueError" in text
    assert "CANARY" not in text


def test_every_failure_has_a_reason() -> None:
    assert reason(OSError("no route")) == "no route"
    assert reason(TimeoutError()) == "TimeoutError"
