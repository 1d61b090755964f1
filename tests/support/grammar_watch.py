"""No client gets a broken stream: a pytest plugin that watches the whole suite.

Every stream that a gateway in the test's own process has sent to its end is read by the strict
grammar of the format its client speaks, whatever the test itself looks at. One that its client cut
short is not judged, nor one of more than MAX_BYTES.

What a provider of the client's own format sends is passed on as it came; a test whose provider
breaks the grammar says so with `@pytest.mark.provider_breaks_grammar`.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.strict_gemini_stream import read_gemini
from support.strict_responses import read_responses
from support.strict_streams import read_chat, read_messages

from plexus_proxy.gateway.pump import ClientStream

MAX_BYTES = 16 * 1024 * 1024

_sent: dict[ClientStream, list[bytes]] = {}
"""What each open stream has sent so far."""
broken: list[str] = []
"""Of the running test."""
judged: list[str] = []
"""The path of every stream read since the session began."""


def problem_of(path: str, stream: bytes) -> str | None:
    """What the client that asked on `path` would stumble over.

    Ids and arguments are the provider's own: tests of those ask for more (`sound`)."""
    try:
        _read(path, stream)
    except (AssertionError, KeyError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def _read(path: str, stream: bytes) -> None:
    match path:
        case "/v1/chat/completions":
            read_chat(stream, sound=False)
        case "/v1/messages":
            read_messages(stream, sound=False)
        case "/v1/responses":
            read_responses(stream, sound=False)
        case _ if path.endswith(":streamGenerateContent"):
            read_gemini(_as_sse(stream) if stream.startswith(b"[") else stream, sound=False)


def _as_sse(array: bytes) -> bytes:
    return b"".join(b"data: %b\n\n" % json.dumps(each).encode() for each in json.loads(array))


def _observe(name: str, note: Callable[..., None]) -> None:
    """Call `note` before the method `name` of every ClientStream."""
    plain = getattr(ClientStream, name)

    def observed(self: ClientStream, *args: Any) -> Any:
        note(self, *args)
        return plain(self, *args)

    setattr(ClientStream, name, observed)


def _starts(stream: ClientStream, head: bytes) -> None:
    _sent[stream] = [head]


def _writes(stream: ClientStream, data: bytes) -> None:
    _sent[stream].append(data)


def _finishes(stream: ClientStream) -> None:
    sent = b"".join(_sent.pop(stream))
    if stream.gone or len(sent) > MAX_BYTES:
        return
    path = stream._request.path
    judged.append(path)
    if problem := problem_of(path, sent):
        broken.append(f"{path}: {problem}\n{sent.decode(errors='replace')[-2000:]}")


def pytest_configure() -> None:
    _observe("start", _starts)
    _observe("write", _writes)
    _observe("finish", _finishes)


@pytest.fixture(autouse=True)
def streams_keep_their_grammar(request: pytest.FixtureRequest) -> Iterator[None]:
    broken.clear()
    yield
    _sent.clear()  # of clients that have gone
    if broken and request.node.get_closest_marker("provider_breaks_grammar") is None:
        pytest.fail("a client got a broken stream: " + "\n\n".join(broken))
