"""Every fault of a provider × {stream, whole} × {same format, translated}: what the client gets,
what the row says, what cools down, and that no place is kept."""

import gzip
import json
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.answers import TEXT, VOICES, chat_delta, chat_error, chat_frames, sse
from support.fake_provider import (
    Chunk,
    Drop,
    FakeProvider,
    Flood,
    Hang,
    Head,
    Raw,
    Step,
    Whole,
    fake_provider,
)
from support.gateway import (
    RunningGateway,
    Secrets,
    ask_body,
    error_in,
    error_object,
    events_in,
    healthy,
    spoken_text,
    whole_text,
)
from support.waiting import until

from plexus_proxy.config.store import CONFIG

VOICE = VOICES["chat"]
JSON = {"content-type": "application/json"}
CLIENTS = ("chat", "messages")
"""The providers speak Chat: one client is relayed, the other translated."""


def refusal(status: int, body: Any, **headers: str) -> list[Step]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return [
        Whole(body if isinstance(body, bytes) else json.dumps(body).encode(), status, JSON | named)
    ]


def said(status: int, **headers: str) -> list[Step]:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return refusal(status, chat_error("The vendor's words.", kind), **headers)


@dataclass(frozen=True)
class Fault:
    """`alone` is what clients of both formats are told if there is no other target."""

    steps: Callable[[bool], Sequence[Step]] | None
    alone: tuple[int, int]
    """HTTP statuses; 200 with an error in the stream for faults after the first content."""
    cause: str | None
    """Of the cooldown; None: there is none."""
    hard: bool = False
    moves_on: bool = True
    status: str = "error"
    """The row's, if there is no other target."""
    seconds: tuple[float, float] = (119, 121)
    """Length of the cooldown."""
    account_wide: bool = False
    streams_only: bool = False
    patience_s: float = 0.3
    """For the answer to begin."""
    base_url: str | None = None


def always(steps: Sequence[Step]) -> Callable[[bool], Sequence[Step]]:
    return lambda stream: steps


def bad_frame(stream: bool) -> Sequence[Step]:
    if not stream:
        return [Whole(b'{"choices": [{"message": {"con', 200, JSON)]
    return [Head(), Chunk(b'data: {"choices": [{"delta": {"con\n\n'), Chunk(b"data: [DONE]\n\n")]


def in_200(stream: bool) -> Sequence[Step]:
    error = chat_error("Overloaded, try later.", "server_error", "server_is_overloaded")
    return [Head(), Chunk(sse(error))] if stream else [Whole(error)]


def empty(stream: bool) -> Sequence[Step]:
    if not stream:
        return [Whole(VOICE.body("\n ", usage={"prompt_tokens": 9, "completion_tokens": 1}))]
    frames = [chat_delta({"role": "assistant", "content": ""}), chat_delta({"content": " \n"})]
    return [Head(), *map(Chunk, frames), Chunk(chat_delta({}, "stop")), Chunk(b"data: [DONE]\n\n")]


def cut_early(stream: bool) -> Sequence[Step]:
    if stream:
        return [Head(), Chunk(b": waiting\n\n"), Drop()]
    return [Head(headers=JSON), Chunk(b'{"id": "x", "choices"'), Drop()]


BOMB = gzip.compress(b"\0" * 300_000_000, 1)
ENDLESS = b"data: " + b"x" * 1_000_000
PLAN_WINDOW = {
    "anthropic_ratelimit_unified_status": "rejected",
    "anthropic_ratelimit_unified_5h_status": "rejected",
    "anthropic_ratelimit_unified_5h_reset": "4102444800",
}
FAULTS: dict[str, Fault] = {
    "refused": Fault(None, (502, 502), "network", base_url="http://127.0.0.1:{closed}/v1"),
    "reset": Fault(always([Drop()]), (502, 502), "network"),
    "TLS failure": Fault(None, (502, 502), "network", base_url="https://127.0.0.1:{plain}/v1"),
    "slow headers": Fault(always([Hang()]), (504, 504), "timeout", status="timeout"),
    "401": Fault(
        always(said(401)),
        (502, 502),
        "auth",
        hard=True,
        seconds=(17_990, 18_001),
        account_wide=True,
    ),
    "402": Fault(
        always(said(402)),
        (502, 502),
        "billing",
        hard=True,
        seconds=(17_990, 18_001),
        account_wide=True,
    ),
    "403": Fault(always(said(403)), (502, 502), "permission", hard=True, seconds=(17_990, 18_001)),
    "404": Fault(always(said(404)), (404, 404), "model"),
    "408": Fault(always(said(408)), (408, 504), "timeout"),
    "413": Fault(always(said(413)), (413, 413), None, moves_on=False),
    "422": Fault(always(said(422)), (422, 400), None, moves_on=False),
    "400": Fault(always(said(400)), (400, 400), None, moves_on=False),
    "400 about a quota": Fault(
        always(refusal(400, chat_error("You exceeded your current quota: quota exceeded."))),
        (429, 429),
        "quota",
        hard=True,
        seconds=(17_990, 18_001),
        account_wide=True,
    ),
    "429": Fault(always(said(429)), (429, 429), "rate_limit"),
    "429 with Retry-After": Fault(
        always(said(429, retry_after="17")), (429, 429), "rate_limit", hard=True, seconds=(16, 18)
    ),
    "429 with retry-after-ms": Fault(
        always(said(429, retry_after_ms="6500")), (429, 429), "rate_limit", True, seconds=(6, 7)
    ),
    "429 with words": Fault(
        always(refusal(429, chat_error("Rate limit reached. Please try again in 1m30s."))),
        (429, 429),
        "rate_limit",
        hard=True,
        seconds=(89, 92),
    ),
    "429 with an empty bucket": Fault(
        always(said(429, x_ratelimit_remaining_tokens="0", x_ratelimit_reset_tokens="6m0s")),
        (429, 429),
        "rate_limit",
        hard=True,
        seconds=(359, 361),
    ),
    "429 of an empty account": Fault(
        always(refusal(429, chat_error("No credit.", "insufficient_quota", "insufficient_quota"))),
        (502, 502),
        "billing",
        hard=True,
        seconds=(17_990, 18_001),
        account_wide=True,
    ),
    "500": Fault(always(said(500)), (500, 502), "server"),
    "502": Fault(always(said(502)), (502, 502), "server"),
    "503": Fault(always(said(503)), (503, 529), "overloaded"),
    "503 whose deadline expired": Fault(
        always(refusal(503, chat_error("Deadline expired before operation could complete."))),
        (503, 529),
        None,
    ),
    "529": Fault(always(said(529)), (529, 529), "overloaded"),
    "error in 200": Fault(in_200, (503, 529), "overloaded"),
    "stall before the first content": Fault(
        always([Head(), Chunk(b": waiting\n\n"), Hang()]),
        (504, 504),
        "timeout",
        status="timeout",
    ),
    "cut before the first content": Fault(cut_early, (502, 502), "network"),
    "bad frame": Fault(bad_frame, (502, 502), "server or network"),
    "wrong content type": Fault(
        always([Whole(b"<html><title>Hello</title></html>", 200, {"content-type": "text/html"})]),
        (502, 502),
        "server or network",
    ),
    "redirect": Fault(
        always([Whole(b"", 302, {"location": "http://127.0.0.1:1/elsewhere"})]),
        (502, 502),
        "server",
    ),
    "gzip bomb": Fault(
        always([Whole(BOMB, 200, JSON | {"content-encoding": "gzip"})]),
        (502, 502),
        "server or network or nothing",
        patience_s=20,
    ),
    "endless line": Fault(
        always([Head(), Chunk(ENDLESS), Flood(b"x" * 1_000_000, 40)]),
        (502, 502),
        "server or network",
        streams_only=True,
        patience_s=20,
    ),
    "huge headers": Fault(
        always([Raw(b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: y\r\n" % n for n in range(40_000)))]),
        (502, 502),
        "server",
    ),
    "empty completion": Fault(empty, (200, 200), None, status="success"),
}
GRID = [
    (name, fmt, stream)
    for name, fault in FAULTS.items()
    for fmt in CLIENTS
    for stream in (False, True)
    if stream or not fault.streams_only
]


class Grid:
    """A failing provider, a spare one, and aliases with one target and with both."""

    def __init__(self, gateway: RunningGateway, bad: FakeProvider, spare: FakeProvider) -> None:
        self.gateway = gateway
        self.bad = bad
        self.spare = spare

    async def listed(self) -> list[dict[str, Any]]:
        key = {"x-admin-key": self.gateway.secrets.admin}
        url = self.gateway.url + "/v0/management/cooldowns"
        async with self.gateway.session.get(url, headers=key) as response:
            return await response.json()

    async def active(self) -> dict[str, Any]:
        key = {"x-admin-key": self.gateway.secrets.admin}
        url = self.gateway.url + "/v0/management/concurrency"
        async with self.gateway.session.get(url, headers=key) as response:
            return await response.json()


@asynccontextmanager
async def grid_of(
    folder: Path, bad: FakeProvider, spare: FakeProvider, fault: Fault
) -> AsyncIterator[Grid]:
    secrets = Secrets()
    url = bad.url
    if fault.base_url is not None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            ports = {"closed": closed.getsockname()[1], "plain": bad.port}
        url = fault.base_url.format_map(ports)
    config: dict[str, Any] = {
        "adminKey": secrets.admin,
        "providers": {
            "bad": {"api_base_url": {"chat": url}, "api_key": secrets.providers["chat"]},
            "spare": {"api_base_url": {"chat": spare.url}, "api_key": secrets.providers["gemini"]},
        },
        "models": {
            "alone": {"targets": [{"provider": "bad", "model": "m"}]},
            "both": {
                "selector": "in_order",
                "targets": [
                    {"provider": "bad", "model": "m"},
                    {"provider": "spare", "model": "n"},
                ],
            },
        },
        "keys": {"app": {"secret": secrets.app}},
        "timeouts": {"headers_s": fault.patience_s, "first_content_s": fault.patience_s},
    }
    if fault.steps is None or fault.moves_on:
        spare.default = healthy("chat")
    gateway = RunningGateway(config, folder, secrets, {})
    async with gateway.running():
        yield Grid(gateway, bad, spare)


@pytest.fixture
async def fakes() -> AsyncIterator[tuple[FakeProvider, FakeProvider]]:
    async with fake_provider() as bad, fake_provider() as spare:
        bad.default = healthy("chat")
        spare.default = healthy("chat")
        yield bad, spare


def text_of(fmt: str, stream: bool, body: bytes) -> str:
    if stream:
        return spoken_text(fmt, events_in(body))
    return whole_text(fmt, json.loads(body))


async def assert_cooled(grid: Grid, fault: Fault) -> None:
    found = await grid.listed()
    if fault.cause is None or (not found and "nothing" in fault.cause):
        assert found == []
        return
    [entry] = found
    assert (entry["provider"], entry["hard"]) == ("bad", fault.hard)
    assert entry["cause"] in fault.cause.split(" or ")
    assert entry["model"] == ("" if fault.account_wide else "m")
    shortest, longest = fault.seconds
    lasts_ms = entry["expiry"] - entry["since"]
    assert shortest * 1000 < lasts_ms <= longest * 1000
    assert 0 < entry["timeRemainingMs"] <= lasts_ms


async def assert_nothing_held(grid: Grid) -> None:
    assert await grid.active() == {"active": [], "waiting": 0}


@pytest.mark.provider_breaks_grammar
@pytest.mark.parametrize(("name", "fmt", "stream"), GRID)
@pytest.mark.pitfall("B68", "B72", "B73", "B74", "B80", "B81", "B82", "B83", "B87")
async def test_a_fault_before_the_first_content_moves_on_if_another_may_do_better(
    tmp_path: Path,
    fakes: tuple[FakeProvider, FakeProvider],
    name: str,
    fmt: str,
    stream: bool,
) -> None:
    fault = FAULTS[name]
    async with grid_of(tmp_path, *fakes, fault) as grid:
        if fault.steps is not None:
            grid.bad.enqueue(*fault.steps(stream))
        body = ask_body(fmt, "x", stream=stream) | {"model": "both"}
        reply = await grid.gateway.ask(fmt, body)
        row = await grid.gateway.row()
        tried = [(each["provider"], each["status"]) for each in row["attempts"]]
        if fault.moves_on:
            assert reply.status == 200, reply.text
            assert text_of(fmt, stream, reply.body) == "".join(TEXT)
            assert (row["status"], row["provider"], row["http_status"]) == ("success", "spare", 200)
            assert tried == [("bad", "failed"), ("spare", "success")]
            assert len(grid.spare.requests) == 1
        else:
            assert reply.status == fault.alone[CLIENTS.index(fmt)]
            assert tried == [("bad", "failed")]
            assert grid.spare.requests == []
        await assert_cooled(grid, fault)
        await assert_nothing_held(grid)


@pytest.mark.provider_breaks_grammar
@pytest.mark.parametrize(("name", "fmt", "stream"), GRID)
async def test_a_single_target_that_fails_is_told_honestly(
    tmp_path: Path,
    fakes: tuple[FakeProvider, FakeProvider],
    name: str,
    fmt: str,
    stream: bool,
) -> None:
    fault = FAULTS[name]
    async with grid_of(tmp_path, *fakes, fault) as grid:
        if fault.steps is not None:
            grid.bad.enqueue(*fault.steps(stream))
        body = ask_body(fmt, "x", stream=stream) | {"model": "alone"}
        reply = await grid.gateway.ask(fmt, body)
        assert reply.status == fault.alone[CLIENTS.index(fmt)], reply.text
        row = await grid.gateway.row()
        assert (row["status"], row["http_status"]) == (fault.status, reply.status)
        if reply.status != 200:
            error = error_object(fmt, reply.json())
            assert "authentication" not in json.dumps(error)
            assert row["error_message"]
            assert [each["status"] for each in row["attempts"]] == ["failed"]
        await assert_cooled(grid, fault)
        await assert_nothing_held(grid)


LATE: dict[str, tuple[Sequence[Step], str, str]] = {
    "stall": ([Hang()], "stall", "upstream_idle_timeout"),
    "cut": ([Drop()], "error", "upstream_cut"),
    "error event": (
        [Chunk(sse(chat_error("Overloaded", "server_error", "server_is_overloaded")))],
        "error",
        "server_is_overloaded",
    ),
}
"""After the first content: the steps, the row's status and its code."""


@pytest.mark.provider_breaks_grammar
@pytest.mark.parametrize("fmt", CLIENTS)
@pytest.mark.parametrize("name", LATE)
@pytest.mark.pitfall("P119")
async def test_a_fault_after_the_first_content_is_told_in_band_and_never_retried(
    tmp_path: Path, fakes: tuple[FakeProvider, FakeProvider], name: str, fmt: str
) -> None:
    steps, status, code = LATE[name]
    fault = Fault(always([]), (200, 200), None)
    async with grid_of(tmp_path, *fakes, fault) as grid:
        grid.gateway.config["timeouts"]["idle_s"] = 0.4
        grid.bad.enqueue(Head(), *map(Chunk, chat_frames()[:3]), *steps)
        grid.gateway.write_config()
        body = ask_body(fmt, "x", stream=True) | {"model": "both"}
        store = grid.gateway.app[CONFIG]
        await until(lambda: store.current.general_timeouts.idle_s == 0.4)
        reply = await grid.gateway.ask(fmt, body)
        assert reply.status == 200
        events = events_in(reply.body)
        assert sum(error_in(fmt, event) is not None for event in events) == 1
        if fmt == "messages":
            starts = [event for event in events if event["type"] == "message_start"]
            assert len(starts) == 1
        row = await grid.gateway.row()
        assert (row["status"], row["error_code"]) == (status, code)
        assert len(row["attempts"]) == 1
        assert grid.spare.requests == []
        assert len(await grid.listed()) == 1
        await assert_nothing_held(grid)
