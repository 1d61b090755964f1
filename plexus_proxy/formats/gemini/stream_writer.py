"""Canonical events → Gemini stream.

Every part is a chunk of its own, with the fields that repeat in each; the last chunk says why the
answer ended and what it took. Records are single `data: ` lines and nothing else: official clients
stumble over comments, event names and [DONE].

Source: Gemini API reference, "streamGenerateContent"; translation rules §15.4.
"""

from collections.abc import Callable

import msgspec

from plexus_proxy.errors import PlexusError
from plexus_proxy.formats.conversation import Crossing
from plexus_proxy.formats.events import Event, Failure, Finish, Start
from plexus_proxy.formats.gemini.errors import error_body
from plexus_proxy.formats.gemini.parts import PartsWriter

DONE = b""
"""The end of the stream is its last frame."""

_encode = msgspec.json.Encoder().encode
_HEAD = b'data: {"candidates":[{"content":{"role":"model","parts":['
_TAIL = b']},"index":0}]%b}\n\n'

KEEPALIVE = b'%b{"text":""}%b' % (_HEAD, _TAIL % b"")


class GeminiWriter(PartsWriter):
    """See Writer."""

    __slots__ = ()

    def __init__(self, crossing: Crossing) -> None:
        super().__init__(crossing, head=_HEAD)

    def _begin(self, event: Start) -> bytes:
        self._start(event)
        model, response_id = _encode(self._model), _encode(self._crossing.response_id)
        self._tail = _TAIL % b',"modelVersion":%b,"responseId":%b' % (model, response_id)
        return b""

    def _finish(self, event: Finish) -> bytes:
        return b"data: %b\n\n" % self.answer(event)

    def _failure(self, event: Failure) -> bytes:
        return stream_error(event.error)

    _WRITE: dict[type[Event], Callable[..., bytes]] = {  # noqa: RUF012 - never changed
        **PartsWriter._WRITE,
        Start: _begin,
        Finish: _finish,
        Failure: _failure,
    }


def stream_error(error: PlexusError, _last: bytes = b"") -> bytes:
    """See Format.stream_error. Without a finish reason: the answer is not complete."""
    return b"data: %b\n\n" % _encode(error_body(error))
