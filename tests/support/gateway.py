"""The whole application, served the way the product serves it, in front of fake providers."""

import asyncio
import io
import json
import sqlite3
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from support.answers import chat_body, chat_frames, messages_body, messages_frames
from support.canary import canary
from support.fake_provider import Chunk, FakeProvider, Head, Received, Step, Whole, fake_provider

from plexus_proxy.app import build
from plexus_proxy.drain import Drain
from plexus_proxy.server.listen import bind
from plexus_proxy.server.runner import rules_of
from plexus_proxy.server.service import Service
from plexus_proxy.settings import read_settings
from plexus_proxy.usage.recorder import RECORDER

CHAT_PATH = "/v1/chat/completions"
MESSAGES_PATH = "/v1/messages"
PATHS = {"chat": CHAT_PATH, "messages": MESSAGES_PATH}
FORMATS = ("chat", "messages")


@dataclass
class Reply:
    """A complete answer as the client got it."""

    status: int
    headers: Mapping[str, str]
    raw_headers: list[tuple[str, str]]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()

    def events(self) -> list[Any]:
        """Data of every SSE record, decoded unless it is [DONE]."""
        return events_in(self.body)


def events_in(stream: bytes) -> list[Any]:
    out: list[Any] = []
    for record in stream.decode().split("\n\n"):
        data = [line[5:].strip() for line in record.split("\n") if line.startswith("data:")]
        if data:
            text = "\n".join(data)
            out.append(text if text == "[DONE]" else json.loads(text))
    return out


def spoken_text(fmt: str, events: list[Any]) -> str:
    """The answer's text, put together from a stream of either format."""
    if fmt == "chat":
        return "".join(
            event["choices"][0]["delta"].get("content") or ""
            for event in events
            if event != "[DONE]" and event.get("choices")
        )
    return "".join(
        event["delta"]["text"]
        for event in events
        if event["type"] == "content_block_delta" and event["delta"]["type"] == "text_delta"
    )


@dataclass
class Secrets:
    """Fresh for each test, so that a leak names its source."""

    admin: str = field(default_factory=lambda: canary("admin"))
    app: str = field(default_factory=lambda: canary("client"))
    other: str = field(default_factory=lambda: canary("client2"))
    chat_provider: str = field(default_factory=lambda: canary("chatprov"))
    messages_provider: str = field(default_factory=lambda: canary("msgprov"))


def config_of(chat: FakeProvider, messages: FakeProvider, secrets: Secrets) -> dict[str, Any]:
    """One provider per format, an alias for each, two keys. Tests change what they are about."""
    return {
        "adminKey": secrets.admin,
        "providers": {
            "chatty": {
                "api_base_url": {"chat": chat.url},
                "api_key": secrets.chat_provider,
                "models": {
                    "up-chat": {
                        "pricing": {"source": "simple", "input": 3, "output": 15, "cached": 0.3}
                    }
                },
            },
            "anthro": {
                "api_base_url": {"messages": messages.url},
                "api_key": secrets.messages_provider,
                "models": {
                    "up-messages": {
                        "pricing": {"source": "simple", "input": 3, "output": 15, "cached": 0.3}
                    }
                },
            },
        },
        "models": {
            "to-chat": {"targets": [{"provider": "chatty", "model": "up-chat"}]},
            "to-messages": {"targets": [{"provider": "anthro", "model": "up-messages"}]},
        },
        "keys": {
            "app": {"secret": secrets.app},
            "other": {"secret": secrets.other, "comment": "second"},
        },
    }


class RunningGateway:
    """A started application and a client of it."""

    def __init__(
        self, config: dict[str, Any], folder: Path, secrets: Secrets, environ: Mapping[str, str]
    ) -> None:
        self.config = config
        self.secrets = secrets
        self.folder = folder
        self.data_dir = folder / "data"
        self.database_file = self.data_dir / "plexus.db"
        self.config_file = folder / "plexus.yaml"
        self.write_config()
        settings = read_settings(
            {
                "CONFIG_FILE": str(self.config_file),
                "DATA_DIR": str(self.data_dir),
                "HOST": "127.0.0.1",
                **environ,
            }
        )
        self.drain = Drain()
        self.app: web.Application = build(settings, self.drain)
        self.service = Service(self.app, self.drain, rules_of(self.app))
        self._stopped = False
        self.url = ""
        self.port = 0
        self.session: aiohttp.ClientSession

    def write_config(self) -> None:
        """Put `config` in place of the file, as an editor does. JSON is YAML."""
        fresh = self.config_file.with_suffix(".new")
        fresh.write_text(json.dumps(self.config, indent=2))
        fresh.replace(self.config_file)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["RunningGateway"]:
        sockets = bind("127.0.0.1", 0)
        self.port = sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        await self.service.start(sockets)
        try:
            async with aiohttp.ClientSession(
                auto_decompress=False, connector=aiohttp.TCPConnector(limit=0)
            ) as self.session:
                yield self
        finally:
            self.service.hurry.set()
            await self.stop()

    async def stop(self) -> None:
        """As SIGTERM does; once is enough."""
        if not self._stopped:
            self._stopped = True
            await self.service.stop()

    def auth(self, fmt: str = "chat") -> dict[str, str]:
        if fmt == "chat":
            return {"authorization": f"Bearer {self.secrets.app}"}
        return {"x-api-key": self.secrets.app, "anthropic-version": "2023-06-01"}

    def request(
        self,
        fmt: str,
        body: bytes | dict[str, Any],
        headers: Mapping[str, str] | None = None,
        *,
        anonymous: bool = False,
    ) -> Any:
        """An aiohttp request context on the path of `fmt`, with this gateway's key."""
        sent = {} if anonymous else self.auth(fmt)
        sent |= {"content-type": "application/json", **(headers or {})}
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.session.post(self.url + PATHS[fmt], data=io.BytesIO(data), headers=sent)

    async def ask(
        self,
        fmt: str,
        body: bytes | dict[str, Any],
        headers: Mapping[str, str] | None = None,
        *,
        anonymous: bool = False,
    ) -> Reply:
        async with self.request(fmt, body, headers, anonymous=anonymous) as response:
            return await reply_of(response)

    @property
    def open_requests(self) -> int:
        """Requests of clients that are being served right now."""
        return self.service._server.open_requests

    async def rows(self, count: int = 1, timeout: float = 5) -> list[dict[str, Any]]:
        """The usage rows, oldest first, once there are at least `count` of them."""
        recorder = self.app[RECORDER]
        deadline = time.monotonic() + timeout
        while True:
            await recorder.flush()
            found = self.rows_now()
            if len(found) >= count:
                return found
            assert time.monotonic() < deadline, f"{len(found)} rows, expected {count}"
            await asyncio.sleep(0.01)

    async def row(self) -> dict[str, Any]:
        """The only usage row."""
        rows = await self.rows()
        assert len(rows) == 1
        return rows[0]

    def rows_now(self) -> list[dict[str, Any]]:
        if not self.database_file.is_file():
            return []
        with sqlite3.connect(f"file:{self.database_file}?mode=ro", uri=True) as connection:
            connection.row_factory = sqlite3.Row
            found = connection.execute("SELECT * FROM usage ORDER BY started_at_ms, rowid")
            rows = [dict(row) for row in found]
        connection.close()
        for row in rows:
            row["attempts"] = json.loads(row["attempts"])
            row["dropped_fields"] = json.loads(row["dropped_fields"])
        return rows


async def reply_of(response: aiohttp.ClientResponse) -> Reply:
    body = await response.read()
    raw = [(name.decode().lower(), value.decode()) for name, value in response.raw_headers]
    return Reply(response.status, dict(raw), raw, body)


@dataclass
class Stand:
    """The usual set-up: both providers, the gateway, one client."""

    gateway: RunningGateway
    chat: FakeProvider
    messages: FakeProvider
    secrets: Secrets

    def provider(self, fmt: str) -> FakeProvider:
        return self.chat if fmt == "chat" else self.messages


class StandBuilder:
    """`configure` before `start`; the `stand` fixture does both with the usual config."""

    def __init__(self, folder: Path, chat: FakeProvider, messages: FakeProvider) -> None:
        self.secrets = Secrets()
        self.config = config_of(chat, messages, self.secrets)
        self.chat = chat
        self.messages = messages
        self.folder = folder

    @asynccontextmanager
    async def started(self, **environ: str) -> AsyncIterator[Stand]:
        gateway = RunningGateway(self.config, self.folder, self.secrets, environ)
        async with gateway.running():
            yield Stand(gateway, self.chat, self.messages, self.secrets)


@pytest.fixture
async def stand_builder(tmp_path: Path) -> AsyncIterator[StandBuilder]:
    async with fake_provider() as chat, fake_provider() as messages:
        chat.default = chat_answers
        messages.default = messages_answers
        yield StandBuilder(tmp_path, chat, messages)


@pytest.fixture
async def stand(stand_builder: StandBuilder) -> AsyncGenerator[Stand]:
    async with stand_builder.started() as running:
        yield running


def chat_answers(received: Received) -> list[Step]:
    """What a healthy Chat Completions provider says to anything."""
    request = received.json()
    if not request.get("stream"):
        return [Whole(chat_body())]
    usage = bool((request.get("stream_options") or {}).get("include_usage"))
    return [Head(), *(Chunk(frame) for frame in chat_frames(usage=usage))]


def messages_answers(received: Received) -> list[Step]:
    """What a healthy Messages provider says to anything."""
    if not received.json().get("stream"):
        return [Whole(messages_body())]
    return [Head(), *(Chunk(frame) for frame in messages_frames())]


def ask_body(fmt: str, upstream: str, *, stream: bool = False, **more: Any) -> dict[str, Any]:
    """A small valid request of a `fmt` client to the alias served by the `upstream` provider."""
    body: dict[str, Any] = {
        "model": f"to-{upstream}",
        "messages": [{"role": "user", "content": "What is teal?"}],
    }
    if fmt == "messages":
        body["max_tokens"] = 64
    if stream:
        body["stream"] = True
    return body | more
