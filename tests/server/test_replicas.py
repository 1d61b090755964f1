"""Two replicas of two workers on one PostgreSQL: what they share, and how they are restarted."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
from support.answers import chat_delta, chat_error, chat_usage_chunk
from support.fake_provider import (
    Chunk,
    FakeProvider,
    Head,
    Pause,
    Received,
    Step,
    Whole,
    fake_provider,
)
from support.gateway import ask_body, healthy
from support.postgres import PostgresServer
from support.program import Program

ADMIN = "replica-test-admin-key"
CLIENT = "replica-test-client-key"
STREAMS = 200
DELTAS = 24
PAUSE_S = 0.25
WORKERS = 2


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    name = postgres_server.create(migrated=True)
    yield postgres_server.url(name)
    postgres_server.drop(name)


class Replica:
    """One `serve --workers 2`, which can be ended and started anew on the same port."""

    def __init__(self, folder: Path, config: dict[str, Any], database_url: str) -> None:
        folder.mkdir()
        self._folder = folder
        (folder / "plexus.yaml").write_text(json.dumps(config))
        self._environment = {
            "DATABASE_URL": database_url,
            "CONFIG_FILE": str(folder / "plexus.yaml"),
        }
        self.port = 0
        self.program: Program | None = None

    async def start(self) -> None:
        arguments = ["serve", "--host", "127.0.0.1", "--port", str(self.port)]
        self.program = Program(
            self._folder, [*arguments, "--workers", str(WORKERS)], environment=self._environment
        )
        url = await asyncio.to_thread(self.program.url)
        self.port = int(url.rpartition(":")[2].strip("/"))

    async def end(self) -> None:
        assert self.program is not None
        self.program.signal(signal.SIGTERM)
        assert await asyncio.to_thread(self.program.wait, 60) == 0, self.program.output

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def replicas(
    folder: Path, database_url: str, provider: FakeProvider
) -> AsyncIterator[tuple[Replica, Replica]]:
    config = {
        "adminKey": ADMIN,
        "providers": {"p": {"api_base_url": {"chat": provider.url}, "api_key": "provider-key-1"}},
        "models": {"to-chat": {"targets": [{"provider": "p", "model": "m"}]}},
        "keys": {"app": {"secret": CLIENT}},
        "shutdown": {"drain_s": 1, "grace_s": 60},
    }
    pair = Replica(folder / "a", config, database_url), Replica(folder / "b", config, database_url)
    try:
        await asyncio.gather(*(each.start() for each in pair))
        yield pair
    finally:
        for each in pair:
            if each.program is not None:
                each.program.close()


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    async with fake_provider() as fake:
        fake.default = healthy("chat")
        yield fake


async def fetch(method: str, url: str, **more: Any) -> tuple[int, Any]:
    """Over a connection of its own: any worker may get it."""
    async with aiohttp.ClientSession() as session, session.request(method, url, **more) as reply:
        text = await reply.text()
        return reply.status, json.loads(text) if text.startswith(("{", "[")) else text


async def cooldowns(replica: Replica) -> list[Any]:
    url = replica.url + "/v0/management/cooldowns"
    status, body = await fetch("GET", url, headers={"x-admin-key": ADMIN})
    assert status == 200
    return body


async def all_agree(pair: tuple[Replica, Replica], count: int) -> None:
    """Within a second every answer of either replica lists so many cooldowns."""
    deadline = asyncio.get_running_loop().time() + 1
    in_a_row = 0
    while in_a_row < 20:
        for replica in pair:
            in_a_row = in_a_row + 1 if len(await cooldowns(replica)) == count else 0
            assert in_a_row or asyncio.get_running_loop().time() < deadline


CLEANUPS = {"clean the vault", "clean cooldowns", "clean bindings", "clean the statistics"}


def asking(**more: Any) -> dict[str, Any]:
    return {
        "json": ask_body("chat", "chat", **more),
        "headers": {"authorization": f"Bearer {CLIENT}"},
    }


@pytest.mark.timeout(120)
async def test_what_one_learns_all_know_and_one_cleans_for_all(
    tmp_path: Path, postgres_url: str, provider: FakeProvider
) -> None:
    async with (
        watched_leases(postgres_url) as holders,
        replicas(tmp_path, postgres_url, provider) as pair,
    ):
        one, other = pair
        async with asyncio.timeout(10):
            members = 0
            while members != 4:
                _, health = await fetch("GET", other.url + "/health/config")
                members = health["members"]
        assert (await fetch("GET", one.url + "/health/config"))[1]["configs"] == 1

        provider.enqueue(Whole(chat_error("no room"), 503))
        status, _ = await fetch("POST", one.url + "/v1/chat/completions", **asking())
        assert status == 503
        await all_agree(pair, 1)
        url = other.url + "/v0/management/cooldowns/p?model=m"
        status, body = await fetch("DELETE", url, headers={"x-admin-key": ADMIN})
        assert (status, body["cleared"]) == (200, 1)
        await all_agree(pair, 0)
        status, _ = await fetch("POST", one.url + "/v1/chat/completions", **asking())
        assert status == 200

        async with asyncio.timeout(10):
            while not holders.keys() >= CLEANUPS:  # noqa: ASYNC110 - processes decide
                await asyncio.sleep(0.1)
        await asyncio.sleep(3)  # by now all four have asked for each of them
        status, health = await fetch("GET", one.url + "/health/config")
        assert health["members"] == 4
        assert {name: len(found) for name, found in holders.items()} == dict.fromkeys(holders, 1)


@asynccontextmanager
async def watched_leases(database_url: str) -> AsyncIterator[dict[str, set[str]]]:
    """Every holder that each lease ever had, from before the first program starts."""
    holders: dict[str, set[str]] = {}
    connection = await asyncpg.connect(database_url)

    async def watch() -> None:
        while True:
            for row in await connection.fetch("SELECT name, holder FROM leases"):
                holders.setdefault(row["name"], set()).add(row["holder"])
            await asyncio.sleep(0.02)

    watching = asyncio.ensure_future(watch())
    try:
        yield holders
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await connection.close()


class Balancer:
    """Sends each new connection to a replica that says it is ready, in turn."""

    def __init__(self, pair: tuple[Replica, Replica]) -> None:
        self._pair = pair
        self.ready: list[Replica] = []
        self._next = 0
        self._open: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        polling = asyncio.ensure_future(self._poll())
        try:
            while len(self.ready) < 2:  # noqa: ASYNC110 - another process decides
                await asyncio.sleep(0.05)
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            polling.cancel()
            server.close()
            for task in self._open:
                task.cancel()
            await asyncio.gather(polling, *self._open, return_exceptions=True)

    async def _poll(self) -> None:
        while True:
            ready: list[Replica] = []
            for replica in self._pair:
                with suppress(aiohttp.ClientError, OSError):
                    if (await fetch("GET", replica.url + "/readyz"))[0] == 200:
                        ready.append(replica)
            self.ready = ready
            await asyncio.sleep(0.1)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        self._next += 1
        replica = self.ready[self._next % len(self.ready)]
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", replica.port)
            await asyncio.gather(_pipe(reader, far_writer), _pipe(far_reader, writer))
        finally:
            self._open.discard(task)


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


def numbered(received: Received) -> list[Step]:
    if not received.json().get("stream"):
        return [Whole({"id": "x", "object": "chat.completion", "choices": [_choice()]})]
    steps: list[Step] = [Head(), Chunk(chat_delta({"role": "assistant", "content": "0 "}))]
    for number in range(1, DELTAS):
        steps += [Pause(PAUSE_S), Chunk(chat_delta({"content": f"{number} "}))]
    end = [chat_delta({}, "stop"), chat_usage_chunk(), b"data: [DONE]\n\n"]
    return [*steps, *map(Chunk, end)]


def _choice() -> dict[str, Any]:
    message = {"role": "assistant", "content": "Teal."}
    return {"index": 0, "message": message, "finish_reason": "stop"}


@pytest.mark.timeout(180)
async def test_a_rolling_restart_loses_no_stream_and_refuses_no_request(
    tmp_path: Path, postgres_url: str, provider: FakeProvider
) -> None:
    provider.default = numbered
    async with replicas(tmp_path, postgres_url, provider) as pair, Balancer(pair).running() as url:
        chat = url + "/v1/chat/completions"
        short = 0
        rolling = True
        texts: list[str] = []

        async def stream() -> None:
            while rolling:  # the second replica has to end under open streams too
                status, text = await fetch("POST", chat, **asking(stream=True))
                assert status == 200
                texts.append(text)

        async def trickle() -> None:
            nonlocal short
            while rolling:
                status, _ = await fetch("POST", chat, **asking())
                assert status == 200
                short += 1
                await asyncio.sleep(0.05)

        streams = [asyncio.ensure_future(stream()) for _ in range(STREAMS)]
        trickling = asyncio.ensure_future(trickle())
        async with asyncio.timeout(30):
            while provider.open < STREAMS:  # noqa: ASYNC110 - processes decide
                await asyncio.sleep(0.05)
        for replica in pair:
            assert provider.open >= STREAMS * 0.9  # some are between two streams
            await replica.end()
            await replica.start()
            await asyncio.sleep(0.5)  # until the balancer has seen it
        rolling = False
        await trickling
        whole = "".join(f"{number} " for number in range(DELTAS))
        await asyncio.gather(*streams)
        for text in texts:
            events = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
            assert events[-1] == "[DONE]"
            pieces = [json.loads(event)["choices"] for event in events[:-1]]
            said = [choices[0]["delta"].get("content") or "" for choices in pieces if choices]
            assert "".join(said) == whole
        connection = await asyncpg.connect(postgres_url)
        try:
            async with asyncio.timeout(10):
                while True:
                    rows = await connection.fetch("SELECT request_id, status FROM usage")
                    if len(rows) >= len(texts) + short:
                        break
                    await asyncio.sleep(0.2)
        finally:
            await connection.close()
        assert len(rows) == len({row["request_id"] for row in rows}) == len(texts) + short
        assert {row["status"] for row in rows} == {"success"}
        assert short > 20
