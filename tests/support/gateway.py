"""The whole application, served the way the product serves it, in front of fake providers."""

import asyncio
import io
import json
import sqlite3
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from aiohttp import web
from support.answers import VOICES
from support.canary import canary
from support.fake_provider import Chunk, FakeProvider, Head, Received, Step, Whole, fake_provider

from plexus_proxy.app import build
from plexus_proxy.drain import Drain
from plexus_proxy.server.listen import bind
from plexus_proxy.server.runner import rules_of
from plexus_proxy.server.service import Service
from plexus_proxy.settings import read_settings
from plexus_proxy.usage.recorder import RECORDER

FORMATS = ("chat", "messages", "responses", "gemini")
PAIRS = tuple(product(FORMATS, FORMATS))
"""(client, provider)"""
CROSS = tuple((client, provider) for client, provider in PAIRS if client != provider)
SOME_PAIRS = (
    *zip(FORMATS, FORMATS, strict=True),
    *zip(FORMATS, (*FORMATS[1:], FORMATS[0]), strict=True),
)
"""Where what is tested depends on either side alone: each format at home, and once on each side of
a translation."""
PROVIDERS = {"chat": "chatty", "messages": "anthro", "responses": "respo", "gemini": "twins"}
"""Their ids in the usual config."""
PATHS = {
    "chat": "/v1/chat/completions",
    "messages": "/v1/messages",
    "responses": "/v1/responses",
    "gemini": "/v1beta/models/to-gemini:generateContent",
}
"""Where a client asks; Gemini's says which model and whether to stream, so see `path_of`."""

BAD_GATEWAY = {"chat": 502, "messages": 502, "responses": 502, "gemini": 503}
"""What a client is told of a provider that is broken; Google's clients know no 502."""


def path_of(fmt: str, model: str, *, stream: bool = False) -> str:
    if fmt != "gemini":
        return PATHS[fmt]
    verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
    return f"/v1beta/models/{quote(model, safe='/:@')}:{verb}"


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
    """The answer's text, put together from a stream of any format."""
    return "".join(_TEXTS[fmt](event) for event in events if event != "[DONE]")


def _chat_text(event: dict[str, Any]) -> str:
    return "".join(choice["delta"].get("content") or "" for choice in event.get("choices", ()))


def _messages_text(event: dict[str, Any]) -> str:
    return event["delta"].get("text", "") if event["type"] == "content_block_delta" else ""


def _responses_text(event: dict[str, Any]) -> str:
    return event["delta"] if event["type"] == "response.output_text.delta" else ""


def _gemini_text(event: dict[str, Any]) -> str:
    return "".join(
        part["text"]
        for candidate in event.get("candidates", ())
        for part in candidate["content"]["parts"]
        if "text" in part and not part.get("thought")
    )


_TEXTS = {
    "chat": _chat_text,
    "messages": _messages_text,
    "responses": _responses_text,
    "gemini": _gemini_text,
}


def whole_text(fmt: str, answer: dict[str, Any]) -> str:
    """The text of an answer that is no stream."""
    match fmt:
        case "chat":
            return answer["choices"][0]["message"]["content"]
        case "messages":
            return "".join(block["text"] for block in answer["content"])
        case "responses":
            return "".join(part["text"] for item in answer["output"] for part in item["content"])
        case _:
            return _gemini_text(answer)


def error_object(fmt: str, body: Any) -> dict[str, Any]:
    """The error object of a refusal in the format's own shape."""
    if fmt == "messages":
        assert body["type"] == "error"
    error = body["error"]
    assert error["message"]
    assert isinstance(error["message"], str)
    if fmt == "gemini":
        assert isinstance(error["code"], int)
        assert isinstance(error["status"], str)
    else:
        assert isinstance(error["type"], str)
    return error


def error_in(fmt: str, event: Any) -> dict[str, Any] | None:
    """The error that an event of a stream tells, if it tells one."""
    if event == "[DONE]":
        return None
    if fmt != "responses":
        return event.get("error")
    if event["type"] == "response.failed":
        return event["response"]["error"]
    return event if event["type"] == "error" else None


@dataclass
class Secrets:
    """Fresh for each test, so that a leak names its source."""

    admin: str = field(default_factory=lambda: canary("admin"))
    app: str = field(default_factory=lambda: canary("client"))
    other: str = field(default_factory=lambda: canary("client2"))
    providers: dict[str, str] = field(
        default_factory=lambda: {fmt: canary(f"{fmt}-provider") for fmt in FORMATS}
    )
    """By format."""


def config_of(fakes: Mapping[str, FakeProvider], secrets: Secrets) -> dict[str, Any]:
    """One provider per format, an alias for each, two keys. Tests change what they are about."""
    pricing = {"source": "simple", "input": 3, "output": 15, "cached": 0.3}
    return {
        "adminKey": secrets.admin,
        "providers": {
            PROVIDERS[fmt]: {
                "api_base_url": {fmt: fake.url},
                "api_key": secrets.providers[fmt],
                "disable_cooldown": True,  # each failure of a test is its own
                "models": {f"up-{fmt}": {"pricing": dict(pricing)}},
            }
            for fmt, fake in fakes.items()
        },
        "models": {
            f"to-{fmt}": {"targets": [{"provider": PROVIDERS[fmt], "model": f"up-{fmt}"}]}
            for fmt in fakes
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
        match fmt:
            case "messages":
                return {"x-api-key": self.secrets.app, "anthropic-version": "2023-06-01"}
            case "gemini":
                return {"x-goog-api-key": self.secrets.app}
            case _:
                return {"authorization": f"Bearer {self.secrets.app}"}

    def request(
        self,
        fmt: str,
        body: bytes | dict[str, Any],
        headers: Mapping[str, str] | None = None,
        *,
        anonymous: bool = False,
        session: aiohttp.ClientSession | None = None,
    ) -> Any:
        """An aiohttp request context on the path of `fmt`, with this gateway's key."""
        sent = {} if anonymous else self.auth(fmt)
        sent |= {"content-type": "application/json", **(headers or {})}
        path, data = PATHS[fmt], body
        if not isinstance(data, bytes):
            path, data = posted(fmt, data)
        client = session or self.session
        return client.post(self.url + path, data=io.BytesIO(data), headers=sent)

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
    """The usual set-up: a provider of each format, the gateway, one client."""

    gateway: RunningGateway
    providers: Mapping[str, FakeProvider]
    secrets: Secrets

    def provider(self, fmt: str) -> FakeProvider:
        return self.providers[fmt]

    @property
    def chat(self) -> FakeProvider:
        return self.providers["chat"]

    @property
    def messages(self) -> FakeProvider:
        return self.providers["messages"]


class StandBuilder:
    """`configure` before `start`; the `stand` fixture does both with the usual config."""

    def __init__(self, folder: Path, providers: Mapping[str, FakeProvider]) -> None:
        self.secrets = Secrets()
        self.config = config_of(providers, self.secrets)
        self.providers = providers
        self.folder = folder

    def provider_config(self, fmt: str) -> dict[str, Any]:
        return self.config["providers"][PROVIDERS[fmt]]

    @asynccontextmanager
    async def started(self, **environ: str) -> AsyncIterator[Stand]:
        gateway = RunningGateway(self.config, self.folder, self.secrets, environ)
        async with gateway.running():
            yield Stand(gateway, self.providers, self.secrets)


@pytest.fixture
async def stand_builder(tmp_path: Path) -> AsyncIterator[StandBuilder]:
    async with AsyncExitStack() as running:
        providers: dict[str, FakeProvider] = {}
        for fmt in FORMATS:
            providers[fmt] = await running.enter_async_context(fake_provider())
            providers[fmt].default = healthy(fmt)
        yield StandBuilder(tmp_path, providers)


@pytest.fixture
async def stand(stand_builder: StandBuilder) -> AsyncGenerator[Stand]:
    async with stand_builder.started() as running:
        yield running


def healthy(fmt: str) -> Callable[[Received], list[Step]]:
    """What a healthy provider of the format says to anything."""
    voice = VOICES[fmt]

    def answers(received: Received) -> list[Step]:
        request = asked(fmt, received)
        if not request.get("stream"):
            return [Whole(voice.body())]
        if fmt != "chat":
            return [Head(), *map(Chunk, voice.frames())]
        usage = bool((request.get("stream_options") or {}).get("include_usage"))
        return [Head(), *map(Chunk, voice.frames(usage=usage))]

    return answers


chat_answers = healthy("chat")
messages_answers = healthy("messages")


QUESTION = "What is teal?"


def ask_body(
    fmt: str, upstream: str, *, stream: bool = False, question: str = QUESTION, **more: Any
) -> dict[str, Any]:
    """A small valid request of a `fmt` client to the alias served by the `upstream` provider.

    A Gemini request too says here what it will say in its path: the model and whether to stream."""
    body: dict[str, Any] = {"model": f"to-{upstream}"}
    match fmt:
        case "chat":
            body["messages"] = [{"role": "user", "content": question}]
        case "messages":
            body["messages"] = [{"role": "user", "content": question}]
            body["max_tokens"] = 64
        case "responses":
            body["input"] = [{"role": "user", "content": question}]
        case _:
            body["contents"] = [{"role": "user", "parts": [{"text": question}]}]
    if stream:
        body["stream"] = True
    return body | more


def posted(fmt: str, body: dict[str, Any]) -> tuple[str, bytes]:
    """Path and content of a request."""
    if fmt == "gemini":
        body = dict(body)
        path = path_of(fmt, str(body.pop("model", "")), stream=body.pop("stream", False))
    else:
        path = PATHS[fmt]
    return path, json.dumps(body).encode()


def asked(fmt: str, received: Received) -> dict[str, Any]:
    """What a provider has been asked, in the shape of `ask_body`."""
    body = received.json()
    if fmt != "gemini":
        return body
    model, _, verb = received.path.rpartition("/models/")[2].rpartition(":")
    assert verb in ("generateContent", "streamGenerateContent")
    streams = {"stream": True} if verb == "streamGenerateContent" else {}
    return {"model": model, **streams, **body}
