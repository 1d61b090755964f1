"""The demo provider's server: one loopback listener per process, opened by the first request that
is routed to `demo://`, so that nothing listens where nothing is configured."""

import asyncio
import hashlib
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
from aiohttp import web

from plexus_proxy import tasks
from plexus_proxy.demo.chat import ChatDialogue, chat_error
from plexus_proxy.demo.messages import MessagesDialogue, messages_error
from plexus_proxy.demo.script import answer

WORDS_PER_S = 40
MODEL = "demo-chat"
_MAX_BODY_BYTES = 64 * 1024 * 1024

_Dialogue = ChatDialogue | MessagesDialogue


class Demo:
    """Knows where the demo provider listens; asking for the first time opens the listener."""

    def __init__(self, words_per_s: float = WORDS_PER_S) -> None:
        self._words_per_s = words_per_s
        self._runner: web.AppRunner | None = None
        self._opening: asyncio.Task[None] | None = None
        self._base_url = ""

    @property
    def listening(self) -> bool:
        return bool(self._base_url)

    def base_url(self, kind: str) -> str:
        """For `chat` and `messages` alike. Needs a running event loop."""
        if not self._base_url:
            # Bound and listening at once: whoever connects waits until the server accepts.
            listener = socket.create_server(("127.0.0.1", 0))
            listener.setblocking(False)
            self._base_url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
            self._opening = tasks.spawn(self._open(listener), name="demo provider")
        return self._base_url

    async def _open(self, listener: socket.socket) -> None:
        self._runner = web.AppRunner(
            _application(self._words_per_s), handler_cancellation=True, access_log=None
        )
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()

    async def close(self) -> None:
        if self._opening is not None:
            await self._opening
        if self._runner is not None:
            await self._runner.cleanup()


DEMO = web.AppKey("demo", Demo)


@asynccontextmanager
async def demo_upstream(app: web.Application) -> AsyncGenerator[None]:
    """cleanup_ctx: puts the Demo under DEMO."""
    app[DEMO] = demo = Demo()
    try:
        yield
    finally:
        await demo.close()


def _application(words_per_s: float) -> web.Application:
    app = web.Application(client_max_size=_MAX_BODY_BYTES)
    app.router.add_post(
        "/v1/chat/completions", _serving(ChatDialogue, chat_error, "invalid_request", words_per_s)
    )
    app.router.add_post(
        "/v1/messages",
        _serving(MessagesDialogue, messages_error, "invalid_request_error", words_per_s),
    )
    app.router.add_get("/v1/models", _models)
    return app


async def _models(request: web.Request) -> web.Response:
    models = [{"id": MODEL, "object": "model", "created": 0, "owned_by": "plexus"}]
    return _json(200, msgspec.json.encode({"object": "list", "data": models}))


def _serving(
    read: Callable[[bytes, str], _Dialogue],
    write_error: Callable[[str, str], bytes],
    error_code: str,
    words_per_s: float,
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def serve(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        try:
            dialogue = read(body, hashlib.sha256(body).hexdigest()[:16])
        except msgspec.DecodeError as error:  # ValidationError is one
            return _json(400, write_error(str(error), error_code))
        reply = answer(dialogue.ask())
        if not dialogue.streamed:
            return _json(200, dialogue.whole(reply))
        response = web.StreamResponse(
            headers={"content-type": "text/event-stream", "cache-control": "no-cache"}
        )
        await response.prepare(request)
        for frame in dialogue.stream(reply):
            await response.write(frame)
            await asyncio.sleep(1 / words_per_s)
        return response

    return serve


def _json(status: int, body: bytes) -> web.Response:
    return web.Response(status=status, body=body, content_type="application/json")
