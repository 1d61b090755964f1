"""While a provider is silent its client hears from us, in a form that its SDK takes for nothing."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from matrix.clients import ask
from support.answers import VOICES
from support.fake_provider import Chunk, Head, Pause
from support.gateway import FORMATS, Reply, Stand, StandBuilder, ask_body, posted, spoken_text
from support.judges import read_stream
from support.sdks import sdks_of

from plexus_proxy.gateway import routes
from plexus_proxy.upstream import stall

SILENCE_S = 0.5
TOLD = {
    "chat": b": keep-alive\n\n",
    "messages": b'event: ping\ndata: {"type": "ping"}\n\n',
    "responses": b": keep-alive\n\n",
    "gemini": b'data: {"candidates":[{"content":{"role":"model","parts":[{"text":""}]},"index":0}]}'
    b"\n\n",
}


@pytest.fixture
async def stand(
    stand_builder: StandBuilder, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Stand]:
    """Patient clients are asked to wait for 10 s, tests are not. Every provider falls silent in
    the middle of its answer."""
    monkeypatch.setattr(stall, "KEEPALIVE_S", 0.05)
    monkeypatch.setattr(routes, "SWEEP_S", 0.05)
    for fmt, provider in stand_builder.providers.items():
        voice = VOICES[fmt]
        opening = voice.opening()
        rest = voice.frames()[len(opening) :]
        provider.default = [Head(), *map(Chunk, opening), Pause(SILENCE_S), *map(Chunk, rest)]
    async with stand_builder.started() as running:
        yield running


async def _from_all(stand: Stand, fmt: str) -> list[Reply]:
    """Answers of every provider, asked at once."""
    bodies = [ask_body(fmt, upstream, stream=True) for upstream in FORMATS]
    return await asyncio.gather(*(stand.gateway.ask(fmt, body) for body in bodies))


@pytest.mark.parametrize("fmt", FORMATS)
async def test_silence_is_bridged_by_keep_alives_a_client_ignores(stand: Stand, fmt: str) -> None:
    for reply in await _from_all(stand, fmt):
        assert 1 <= reply.body.count(TOLD[fmt]) <= 12
        answer = read_stream(fmt, reply.body)
        assert answer.text == spoken_text(fmt, reply.events()) == "Teal is a colour."
        assert answer.error is None
    rows = await stand.gateway.rows(len(FORMATS))
    assert {row["status"] for row in rows} == {"success"}


@pytest.mark.parametrize("fmt", FORMATS)
async def test_a_formats_own_sdk_survives_them(stand: Stand, fmt: str) -> None:
    async with sdks_of(stand) as sdks:
        heard = await asyncio.gather(
            *(ask(sdks, fmt, f"to-{upstream}", stream=True) for upstream in FORMATS)
        )
    assert {(each.text, each.end) for each in heard} == {("Teal is a colour.", "stop")}


@pytest.mark.parametrize("upstream", FORMATS)
async def test_between_the_elements_of_an_array_they_are_white_space(
    stand: Stand, upstream: str
) -> None:
    path, data = posted("gemini", ask_body("gemini", upstream, stream=True))
    async with stand.gateway.session.post(
        stand.gateway.url + path.removesuffix("?alt=sse"),
        data=data,
        headers=stand.gateway.auth("gemini") | {"content-type": "application/json"},
    ) as response:
        assert response.headers["content-type"].startswith("application/json")
        body = await response.read()
    assert spoken_text("gemini", json.loads(body)) == "Teal is a colour."
    assert body.startswith(b"[{")
    assert body.endswith(b"}]")
    assert b"}\n" in body.replace(b"}\r\n", b"}").replace(b",\r\n", b",")
