"""The HTTP edge: what is refused before any handler sees it, and which connections may be closed.

aiohttp parses and serves; a connection of ours overrides three of its methods and nothing else:

* `data_received`, the only place that sees bytes before a head is complete: a head that dribbles in
  (slow loris) or grows too large is cut off. aiohttp has no limit for either. One sweep per second
  looks at all connections; there is no timer per connection.
* `_handle_request`, the funnel every parsed message goes through, also those that aiohttp parses
  behind a declined upgrade without calling `data_received` again: requests whose framing could be
  read in two ways are refused (request smuggling), and the connection with them.
* `handle_error`: aiohttp would log a traceback and echo a piece of the head, which may be a secret.

Cost per request: about one microsecond. Sources: RFC 9112 §3.2 (Host), §6.1 (Transfer-Encoding
in HTTP/1.0, together with Content-Length), §9.3.2; field lessons of CVE-2026-2833 and -2835.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from secrets import token_hex
from types import CoroutineType
from typing import Any

import msgspec
from aiohttp import hdrs, web
from aiohttp.http import HttpVersion10, HttpVersion11
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler

from plexus_proxy.drain import Drain

MAX_HEAD_BYTES = 32 * 1024
MAX_FIELD_BYTES = 16 * 1024
MAX_LINE_BYTES = 8 * 1024
MAX_HEADERS = 128

# super() would cost as much again, once per read and once per request.
_receive = RequestHandler.data_received
_handle = RequestHandler._handle_request  # pyright: ignore[reportPrivateUsage] - we override it

_Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
_TUNNELLING = frozenset({"CONNECT", "TRACE"})
_HOST = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=%-]+|\[[0-9A-Fa-f:.]+\])(?::\d{0,5})?")


class Refusal(msgspec.Struct, frozen=True):
    """Why the edge does not pass a request on."""

    status: int
    code: str
    message: str


_NOT_HTTP = Refusal(400, "bad_request", "The request is not valid HTTP/1.1.")
_HEAD_TOO_LARGE = Refusal(
    431, "headers_too_large", f"The request's head is larger than {MAX_HEAD_BYTES} bytes."
)
_HEAD_TOO_SLOW = Refusal(408, "request_timeout", "The request's head did not arrive in time.")
_AMBIGUOUS = Refusal(
    400, "ambiguous_framing", "Transfer-Encoding with Content-Length or in HTTP/1.0 is refused."
)
_BAD_HOST = Refusal(400, "bad_host", "The Host header is missing or not a host name.")
_BAD_METHOD = Refusal(405, "method_not_allowed", "TRACE and CONNECT are not served.")
_BAD_VERSION = Refusal(505, "http_version_not_supported", "Only HTTP/1.0 and HTTP/1.1 are served.")


def refusal(request: web.BaseRequest) -> Refusal | None:
    """What is wrong with a request's head, judged by itself."""
    headers = request.headers
    if hdrs.TRANSFER_ENCODING in headers and (
        request.version != HttpVersion11 or hdrs.CONTENT_LENGTH in headers
    ):
        return _AMBIGUOUS
    if request.method in _TUNNELLING:
        return _BAD_METHOD
    host = headers.get(hdrs.HOST)
    if host is None:
        return _BAD_HOST if request.version == HttpVersion11 else None
    if not _is_host(host):
        return _BAD_HOST
    if request.version not in (HttpVersion11, HttpVersion10):
        return _BAD_VERSION
    return None


@lru_cache(maxsize=256)
def _is_host(text: str) -> bool:
    return _HOST.fullmatch(text) is not None


def _head_bytes(request: web.BaseRequest) -> int:
    fields = sum(len(name) + len(value) + 4 for name, value in request.raw_headers)
    return len(request.raw_path) + fields


class Connection(RequestHandler):
    """One client connection."""

    __slots__ = ("_head_began_s", "_head_size", "_last", "_measure")

    def __init__(
        self,
        manager: web.Server,
        *,
        loop: asyncio.AbstractEventLoop,
        last: bool,
        **options: Any,
    ) -> None:
        super().__init__(manager, loop=loop, **options)
        self._last = last
        """True while draining: the next answer ends the connection."""
        self._head_size = 0
        """Bytes that have arrived of a head that is not complete."""
        self._head_began_s = 0.0
        self._measure = False

    def data_received(self, data: bytes) -> None:
        heads = self._request_count
        _receive(self, data)
        if self._request_count != heads:
            if self._head_size or len(data) > MAX_HEAD_BYTES:
                self._head_completed(len(data))
        elif data and self.idle:
            self._head_grew(len(data))

    def _head_completed(self, size: int) -> None:
        # More than the limit may be a body that came with a small head: measured when it is served.
        self._measure = self._head_size + size > MAX_HEAD_BYTES
        self._head_size = 0
        self._head_began_s = 0.0

    def _head_grew(self, size: int) -> None:
        if not self._head_size:
            self._head_began_s = self._loop.time()
        self._head_size += size
        if self._head_size > MAX_HEAD_BYTES:
            self._cut(_HEAD_TOO_LARGE)

    def _handle_request(
        self, request: web.BaseRequest, start_time: float | None, request_handler: _Handler
    ) -> "CoroutineType[Any, Any, tuple[web.StreamResponse, bool]]":
        reason = refusal(request)
        if self._measure:
            self._measure = False
            if _head_bytes(request) > MAX_HEAD_BYTES:
                reason = _HEAD_TOO_LARGE
        if reason is not None:
            request_handler = self._refuse(reason)
        elif self._last:
            _answer_with_close(request)
        return _handle(self, request, start_time, request_handler)

    def _refuse(self, reason: Refusal) -> _Handler:
        self._lingering_time = 0.0  # where a body would end is just what cannot be known

        async def refused(request: web.BaseRequest) -> web.StreamResponse:
            return _response(reason)

        return refused

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status != 400:
            return super().handle_error(request, status, exc, message)
        self.logger.debug("malformed request: %s", type(exc).__name__)
        return _response(_HEAD_TOO_LARGE if isinstance(exc, LineTooLong) else _NOT_HTTP)

    def cut_if_slow(self, now_s: float, head_s: float) -> None:
        """Answer 408 and close if a head has been arriving for longer than `head_s`."""
        if self._head_size and now_s - self._head_began_s > head_s and self.idle:
            self._cut(_HEAD_TOO_SLOW)

    def _cut(self, reason: Refusal) -> None:
        if self.transport is not None:
            self.transport.write(_raw_response(reason))
        self.force_close()

    @property
    def idle(self) -> bool:
        """True if no request is being served or waits to be.

        Between popping a message and the first step of its task aiohttp has no flag of its own,
        but it does not wait for a message then either. Bytes that arrive while this is True belong
        to a head; behind an unanswered request they may be its body.
        """
        return not self._messages and (self._waiter is not None or self._request_count == 0)

    @property
    def expects_request(self) -> bool:
        """True for an idle connection whose client is likely about to send a request."""
        return self._request_count == 0 or self._head_size > 0

    def tell_to_close(self) -> None:
        """The next answer, of the request in progress if its head is still to be sent, ends the
        connection."""
        self._last = True
        if self._current_request is not None:
            _answer_with_close(self._current_request)

    def cancel(self) -> "asyncio.Task[None] | None":
        """Cancel the request in progress; the task to wait for."""
        task = self._task_handler
        if task is not None:
            task.cancel()
        return task


def _answer_with_close(request: web.BaseRequest) -> None:
    """What `request.keep_alive` is derived from: the response gets `Connection: close`."""
    message = request._message  # pyright: ignore[reportPrivateUsage] - aiohttp has no setter
    request._message = message._replace(should_close=True)  # pyright: ignore[reportPrivateUsage]


class Server(web.Server):
    """aiohttp's server with connections of ours."""

    def __init__(
        self,
        plain: web.Server,
        *,
        loop: asyncio.AbstractEventLoop,
        drain: Drain,
        options: Mapping[str, Any],
    ) -> None:
        super().__init__(
            plain.request_handler,
            request_factory=plain.request_factory,
            handler_cancellation=True,
            loop=loop,
        )
        self._drain = drain
        self._options = options

    def __call__(self) -> RequestHandler:
        return Connection(self, loop=self._loop, last=self._drain.draining, **self._options)

    def _ours(self) -> list[Connection]:
        return [each for each in self.connections if isinstance(each, Connection)]

    @property
    def open_requests(self) -> int:
        """Requests being served or waiting to be; counted when asked, so serving costs nothing."""
        return sum(not connection.idle for connection in self._ours())

    def cut_slow_heads(self, now_s: float, head_s: float) -> None:
        for connection in self._ours():
            connection.cut_if_slow(now_s, head_s)

    def tell_to_close(self) -> None:
        """Draining has begun: see Connection.tell_to_close."""
        for connection in self._ours():
            connection.tell_to_close()

    def close_idle(self, *, spare_expectant: bool) -> int:
        """Close connections without a request; how many are left."""
        left = 0
        for connection in self._ours():
            if connection.idle and not (spare_expectant and connection.expects_request):
                connection.force_close()
            else:
                left += 1
        return left

    async def cancel_open(self, limit_s: float) -> None:
        """Cancel every request in progress and wait until its handler has noticed."""
        cancelled = [connection.cancel() for connection in self._ours() if not connection.idle]
        tasks = [task for task in cancelled if task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=limit_s)


def _body(reason: Refusal) -> bytes:
    return msgspec.json.encode(
        {
            "error": {
                "message": reason.message,
                "type": "invalid_request_error",
                "param": None,
                "code": reason.code,
            }
        }
    )


def _response(reason: Refusal) -> web.Response:
    response = web.Response(
        status=reason.status,
        body=_body(reason),
        content_type="application/json",
        headers={"x-request-id": _request_id()},
    )
    response.force_close()
    return response


def _raw_response(reason: Refusal) -> bytes:
    """The same on a connection where no request is being served."""
    body = _body(reason)
    phrase = {408: "Request Timeout", 431: "Request Header Fields Too Large"}[reason.status]
    return (
        f"HTTP/1.1 {reason.status} {phrase}\r\ncontent-type: application/json\r\n"
        f"x-request-id: {_request_id()}\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    ).encode() + body


def _request_id() -> str:
    """Like the gateway's; what is refused here has no row, so the id only marks the response."""
    return f"req_{token_hex(16)}"
