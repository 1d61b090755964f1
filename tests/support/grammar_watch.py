"""No client gets a broken stream: a pytest plugin that watches the whole suite.

Two things are watched, whatever the test itself looks at: what the writers of the formats write
from events, and what a gateway in the test's own process sends to a client. Whenever such a stream
has come to its end it is read by the strict grammar of its format. One that was cut short is not
judged, nor one of more than MAX_BYTES.

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

from plexus_proxy.formats.events import Event, Failure, Finish
from plexus_proxy.formats.registry import FORMATS
from plexus_proxy.gateway.pump import ClientStream

MAX_BYTES = 16 * 1024 * 1024
PATHS = {
    "/v1/chat/completions": "chat",
    "/v1/messages": "messages",
    "/v1/responses": "responses",
}
GEMINI = ":streamGenerateContent"

_sent: dict[object, list[bytes]] = {}
"""What each open stream has sent so far, by its writer or its ClientStream."""
broken: list[str] = []
"""Of the running test."""
judged: list[str] = []
"""The format of every stream judged since the session began."""
_good: set[int] = set()
"""Hashes of those without a problem: property tests make the same stream over and over."""


def problem_of(fmt: str, stream: bytes) -> str | None:
    """What a client of the format would stumble over.

    Ids and arguments are the provider's own: tests of those ask for more (`sound`)."""
    try:
        _read(fmt, stream)
    except (AssertionError, KeyError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def _read(fmt: str, stream: bytes) -> None:
    match fmt:
        case "chat":
            read_chat(stream, sound=False)
        case "messages":
            read_messages(stream, sound=False)
        case "responses":
            read_responses(stream, sound=False)
        case "gemini":
            read_gemini(_as_sse(stream) if stream.startswith(b"[") else stream, sound=False)
        case _:
            raise AssertionError(f"no grammar for {fmt}")


def _as_sse(array: bytes) -> bytes:
    return b"".join(b"data: %b\n\n" % json.dumps(each).encode() for each in json.loads(array))


def _judge(fmt: str, sent: list[bytes]) -> None:
    stream = b"".join(sent)
    if len(stream) > MAX_BYTES:
        return
    judged.append(fmt)
    known = hash((fmt, stream))
    if known in _good:
        return
    if problem := problem_of(fmt, stream):
        broken.append(f"{fmt}: {problem}\n{stream.decode(errors='replace')[-2000:]}")
    else:
        _good.add(known)


def _watch_writer(fmt: str, writer: type[Any]) -> None:
    plain = writer.feed
    feeding: set[object] = set()
    """Writers that feed themselves what they had held back: part of what they write anyway."""

    def feed(self: Any, event: Event) -> bytes:
        if self in feeding:
            return plain(self, event)
        feeding.add(self)
        try:
            written = plain(self, event)
        finally:
            feeding.discard(self)
        _sent.setdefault(self, []).append(written)
        if isinstance(event, Finish | Failure):
            _judge(fmt, _sent.pop(self))
        return written

    writer.feed = feed


def _watch_clients(name: str, note: Callable[..., None]) -> None:
    """Call `note` before the method `name` of every ClientStream."""
    plain = getattr(ClientStream, name)

    def observed(self: ClientStream, *args: Any) -> Any:
        note(self, *args)
        return plain(self, *args)

    setattr(ClientStream, name, observed)


def _sends(stream: ClientStream, data: bytes) -> None:
    _sent.setdefault(stream, []).append(data)


def _finishes(stream: ClientStream) -> None:
    sent = _sent.pop(stream, [])
    path = stream._request.path
    fmt = "gemini" if path.endswith(GEMINI) else PATHS.get(path)
    if fmt is not None and not stream.gone:
        _judge(fmt, sent)


def pytest_configure() -> None:
    for fmt in {*PATHS.values(), "gemini"}:
        writer: Any = FORMATS[fmt].writer
        _watch_writer(fmt, writer)
    _watch_clients("start", _sends)
    _watch_clients("write", _sends)
    _watch_clients("finish", _finishes)


def forget_cut_streams() -> None:
    """What is held of streams that will not end; a test that looks for leaks must not find it."""
    _sent.clear()


@pytest.fixture(autouse=True)
def streams_keep_their_grammar(request: pytest.FixtureRequest) -> Iterator[None]:
    broken.clear()
    yield
    forget_cut_streams()
    if broken and request.node.get_closest_marker("provider_breaks_grammar") is None:
        pytest.fail("a client got a broken stream: " + "\n\n".join(broken))
