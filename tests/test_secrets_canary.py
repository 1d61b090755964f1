"""Secrets stay where they belong. `support.canary` watches logs and files of all other tests."""

import asyncio
import gc
import logging
import secrets
from typing import Any

import pytest
from support.answers import VOICES, chat_frames
from support.canary import canary, leaks_in, leaks_on_disk
from support.fake_provider import Chunk, Drop, Hang, Head, Raw, Whole
from support.gateway import FORMATS, PATHS, Stand, StandBuilder, ask_body, stand, stand_builder

from plexus_proxy.crypto import Secret

__all__ = ["stand", "stand_builder"]


@pytest.fixture
def secretive(stand_builder: StandBuilder) -> StandBuilder:
    """A config with a secret in every place that can hold one."""
    for provider in stand_builder.config["providers"].values():
        provider["headers"] = {"x-tenant-token": canary("header")}
    stand_builder.config["quotas"] = [
        {
            "id": "meter",
            "type": "naga",
            "provider": "chatty",
            "enabled": False,
            "options": {"apiKey": canary("quota")},
        }
    ]
    return stand_builder


def _reprs() -> str:
    """repr and str of every living object whose class is ours."""
    out: list[str] = []
    for each in gc.get_objects():
        kind = type(each)
        if str(kind.__module__).partition(".")[0] == "plexus_proxy":
            out += [repr(each), str(each)]
    return "\n".join(out)


async def test_no_object_shows_a_secret_while_a_request_is_in_flight(
    secretive: StandBuilder,
) -> None:
    async with secretive.started() as stand:
        stand.chat.enqueue(Head(), *map(Chunk, chat_frames()[:3]), Hang())
        for fmt in FORMATS[1:]:
            stand.provider(fmt).enqueue(Hang())
        asking = [
            asyncio.ensure_future(stand.gateway.ask(fmt, ask_body(fmt, fmt, stream=True)))
            for fmt in FORMATS
        ]
        for fmt in FORMATS:
            await stand.provider(fmt).arrived()
        shown = _reprs()
        assert "Snapshot" in shown
        assert "Attempt" in shown
        assert leaks_in(shown) == []
        for each in asking:
            each.cancel()
        await asyncio.gather(*asking, return_exceptions=True)


async def _every_kind_of_failure(stand: Stand) -> list[str]:
    """Bodies and headers of as many different error answers as we know."""
    said: list[str] = []

    async def ask(fmt: str, body: Any, headers: dict[str, str] | None = None) -> None:
        reply = await stand.gateway.ask(fmt, body, headers)
        said.append(reply.body.decode("utf-8", "replace") + repr(reply.raw_headers))

    for fmt in FORMATS:
        error = VOICES[fmt].error
        key = stand.secrets.providers[fmt]
        bodies: list[Any] = [b"{", b"[]", {}, {"model": 1}, ask_body(fmt, fmt) | {"model": "no"}]
        for body in bodies:
            await ask(fmt, body)
        await ask(fmt, b"x", {"content-type": "text/plain"})
        await ask(fmt, ask_body(fmt, fmt), {"authorization": f"Bearer {stand.secrets.admin}"})
        for script in (
            [Whole(error(f"key {key}"), 400)],
            [Whole(error(f"key {key}"), 401)],
            [Whole(f"<html>{key}</html>", 500)],
            [Whole(error(f"key {key}"), 200)],
            [Raw(b"junk\r\n\r\n")],
            [Drop()],
            [Head(), *map(Chunk, VOICES[fmt].opening()), Drop()],
        ):
            for stream in (False, True):
                stand.provider(fmt).enqueue(*script)
                await ask(fmt, ask_body(fmt, fmt, stream=stream))
        for path in (PATHS[fmt], "/nowhere", "/v1/nowhere"):
            url = f"{stand.gateway.url}{path}?key={stand.secrets.app}"
            async with stand.gateway.session.get(url) as response:
                said.append(await response.text() + repr(response.headers))
    return said


async def test_no_error_answer_log_line_or_row_holds_a_secret(
    secretive: StandBuilder, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with secretive.started() as stand:
        for text in await _every_kind_of_failure(stand):
            assert leaks_in(text) == []
        await stand.gateway.rows(20)
    assert list(leaks_on_disk(stand.gateway.data_dir)) == []
    for record in caplog.records:
        assert leaks_in(record.getMessage() + repr(record.args)) == []


async def test_what_a_request_says_is_not_logged_or_stored(
    stand: Stand, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    confidential = canary("prompt")
    body = ask_body("chat", "chat")
    body["messages"][0]["content"] = confidential
    assert (await stand.gateway.ask("chat", body)).status == 200
    stand.chat.enqueue(Drop())
    await stand.gateway.ask("chat", body)
    await stand.gateway.rows(2)
    assert leaks_in(caplog.text) == []


async def test_the_kept_copy_of_the_config_is_readable_by_its_owner_only(stand: Stand) -> None:
    for path in stand.gateway.data_dir.rglob("*"):
        if path.is_file() and leaks_in(path.read_bytes().decode("latin-1")):
            assert path.stat().st_mode & 0o077 == 0, path.name


@pytest.mark.parametrize(
    "around", ["{}", "before {} after", "key=x{}\\n", '\0{{"a":"Bearer {}"}}\0']
)
def test_a_leak_would_be_found(around: str) -> None:
    passphrase = f"three words {secrets.token_hex(8)}"
    Secret(passphrase)
    for secret in (canary("proof"), passphrase):
        assert leaks_in(around.format(secret)) == [f"{secret[:16]}…"]
        assert not leaks_in(around.format(secret[:-1]))


def test_no_leak_is_found_where_there_is_none() -> None:
    assert not leaks_in("nothing here, and nothing-in-this-long-word")
