"""The floor for Python: a plain aiohttp reverse proxy on uvloop, without routing or translation.

It checks the client's key, swaps it for the provider's, streams chunk by chunk and appends one
buffered usage line per request.
"""

import argparse
import json
import time
from collections.abc import AsyncIterator

import aiohttp
import msgspec
import uvloop
from aiohttp import web

HOP_BY_HOP = {"transfer-encoding", "content-length", "connection", "keep-alive", "date", "server"}
TAIL_BYTES = 1500


class Peek(msgspec.Struct):
    model: str = ""
    stream: bool = False


peek = msgspec.json.Decoder(Peek).decode


def build(upstream: str, key: str, upstream_key: str, log_path: str) -> web.Application:
    log = open(log_path, "a", buffering=65536)  # noqa: SIM115 - closed with the application

    def note(path: str, model: str, status: int, started: float, tail: bytes) -> None:
        at = tail.rfind(b'"usage":{')
        usage = tail[at + 8 : at + 88].decode("latin1") if at >= 0 else ""
        line = {"path": path, "model": model, "status": status, "usage": usage}
        log.write(json.dumps(line | {"s": time.monotonic() - started}) + "\n")

    async def proxy(request: web.Request) -> web.StreamResponse:
        started = time.monotonic()
        sent = request.headers
        if sent.get("Authorization") != f"Bearer {key}" and sent.get("x-api-key") != key:
            return web.json_response({"error": {"message": "invalid key"}}, status=401)
        body = await request.read()
        asked = peek(body)
        if model := request.match_info.get("model"):  # Gemini says both in its path
            asked.model, asked.stream = model, request.match_info["verb"].startswith("stream")
        headers = {"Authorization": f"Bearer {upstream_key}", "Content-Type": "application/json"}
        session = request.app[SESSION]
        url = upstream + request.path_qs
        async with session.post(url, data=body, headers=headers) as answer:
            kept = {k: v for k, v in answer.headers.items() if k.lower() not in HOP_BY_HOP}
            if not asked.stream:
                data = await answer.read()
                note(request.path, asked.model, answer.status, started, data)
                return web.Response(body=data, status=answer.status, headers=kept)
            response = web.StreamResponse(status=answer.status, headers=kept)
            await response.prepare(request)
            tail = b""
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
                tail = (tail + chunk)[-TAIL_BYTES:]
            await response.write_eof()
            note(request.path, asked.model, answer.status, started, tail)
            return response

    async def session(app: web.Application) -> AsyncIterator[None]:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
        no_limit = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(
            connector=connector, timeout=no_limit, auto_decompress=False
        ) as app[SESSION]:
            yield
        log.close()

    async def health(request: web.Request) -> web.Response:
        return web.Response(text="OK")

    app = web.Application(client_max_size=64 << 20)
    app.cleanup_ctx.append(session)
    app.router.add_get("/health", health)
    for path in ("/v1/chat/completions", "/v1/messages", "/v1/responses"):
        app.router.add_post(path, proxy)
    app.router.add_post("/v1beta/models/{model}:{verb}", proxy)
    return app


SESSION = web.AppKey("session", aiohttp.ClientSession)

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name in ("--port", "--upstream", "--key", "--upstream-key", "--log"):
        parser.add_argument(name, required=True)
    given = parser.parse_args()
    uvloop.install()
    web.run_app(
        build(given.upstream, given.key, given.upstream_key, given.log),
        host="127.0.0.1",
        port=int(given.port),
        access_log=None,
        backlog=4096,
        print=None,
    )
