"""Edits of the config take effect within a second and never touch a request in flight."""

import asyncio

import pytest
from support.answers import chat_frames
from support.canary import canary
from support.fake_provider import Chunk, Head, Until, fake_provider
from support.gateway import Stand, ask_body, chat_answers, spoken_text

WITHIN_S = 1.0
SLACK_S = 2.0


async def _status(stand: Stand, key: str) -> int:
    reply = await stand.gateway.ask(
        "chat", ask_body("chat", "chat"), {"x-api-key": key}, anonymous=True
    )
    return reply.status


async def _becomes(stand: Stand, key: str, status: int) -> None:
    async with asyncio.timeout(WITHIN_S + SLACK_S):
        while True:
            if await _status(stand, key) == status:
                return
            await asyncio.sleep(0.05)


async def test_a_new_key_works_and_a_removed_one_stops(stand: Stand) -> None:
    fresh = canary("fresh")
    assert await _status(stand, fresh) == 401
    stand.gateway.config["keys"]["fresh"] = {"secret": fresh}
    del stand.gateway.config["keys"]["other"]
    stand.gateway.write_config()
    await _becomes(stand, fresh, 200)
    assert await _status(stand, stand.secrets.other) == 401
    assert await _status(stand, stand.secrets.app) == 200


async def test_a_request_in_flight_finishes_on_its_own_config(stand: Stand) -> None:
    release = asyncio.Event()
    frames = [Chunk(frame) for frame in chat_frames()]
    stand.chat.enqueue(Head(), *frames[:3], Until(release), *frames[3:])
    asking = asyncio.ensure_future(stand.gateway.ask("chat", ask_body("chat", "chat", stream=True)))
    await stand.chat.arrived()
    del stand.gateway.config["keys"]["app"]
    del stand.gateway.config["models"]["to-chat"]
    del stand.gateway.config["providers"]["chatty"]
    stand.gateway.write_config()
    await _becomes(stand, stand.secrets.app, 401)
    release.set()
    reply = await asking
    assert spoken_text("chat", reply.events()) == "Teal is a colour."
    [row] = [row for row in await stand.gateway.rows() if row["streamed"]]
    assert (row["status"], row["provider"], row["key_name"]) == ("success", "chatty", "app")
    assert row["total_nano_usd"] == 142_200


async def test_a_provider_can_be_moved(stand: Stand) -> None:
    async with fake_provider() as elsewhere:
        elsewhere.default = chat_answers
        stand.gateway.config["providers"]["chatty"]["api_base_url"] = {"chat": elsewhere.url}
        stand.gateway.write_config()
        async with asyncio.timeout(WITHIN_S + SLACK_S):
            while not elsewhere.requests:
                await stand.gateway.ask("chat", ask_body("chat", "chat"))
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("bad", ["{", "providers: 5", ""])
async def test_a_bad_file_changes_nothing(stand: Stand, bad: str) -> None:
    good = stand.gateway.config_file.read_text()
    stand.gateway.config_file.write_text(bad)
    await asyncio.sleep(WITHIN_S + 0.3)
    assert await _status(stand, stand.secrets.app) == 200
    stand.gateway.config_file.write_text(good)
    assert await _status(stand, stand.secrets.app) == 200


async def test_no_request_fails_during_many_edits(stand: Stand) -> None:
    done = asyncio.Event()

    async def edit() -> None:
        for number in range(15):
            stand.gateway.config["keys"][f"extra{number}"] = {"secret": f"sk-extra-{number:020}"}
            stand.gateway.write_config()
            await asyncio.sleep(0.1)
        done.set()

    editing = asyncio.ensure_future(edit())
    while not done.is_set():
        assert await _status(stand, stand.secrets.app) == 200
    await editing
