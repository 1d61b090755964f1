"""Logging: one line per record on stderr, and a filter that masks whatever looks like a secret."""

import logging
import re
import sys

_MASKS = (
    # `Authorization: Bearer x`, `x-api-key: x`, `api_key=x`, `"secret": "x"`, `?key=x`
    re.compile(
        r"(?i)((?:authorization|x-api-key|x-goog-api-key|x-admin-key|(?:api|admin)[_-]?key|secret|password|token"
        r"|[?&]key)[\"']?\s*[:=]\s*[\"']?(?:bearer\s+)?)([^\s\"',;&}]+)"
    ),
    re.compile(r"(?i)(bearer\s+)([^\s\"',;&}]{6,})"),
    re.compile(
        r"()\b((?:sk|pk|rk|key|AIza|xai|gsk)[-_][A-Za-z0-9_\-]{8,}|AIza[A-Za-z0-9_\-]{20,})"
    ),
    re.compile(r"(\w+://[^\s:/@]*:)([^\s@/]+)(?=@)"),  # user:password@host in a URL
)


def redact(text: str) -> str:
    """`text` with everything that looks like a credential replaced by `***`."""
    for mask in _MASKS:
        text = mask.sub(r"\1***", text)
    return text


def reason(error: BaseException) -> str:
    """Why something failed, in one line; a time-out brings no words of its own."""
    return str(error) or type(error).__name__


class RedactingFormatter(logging.Formatter):
    """Masks the finished line, so that tracebacks and arguments are covered too."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def configure(level: str) -> None:
    """Log to stderr at `level` (a name of the logging module); replaces what was set up before."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        RedactingFormatter(
            "%(asctime)s %(levelname)-7s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S%z"
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
