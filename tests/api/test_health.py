"""What orchestrators ask: no key, no secret, and the truth."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from support.canary import canary, leaks_in
from support.databases import Outage, PostgresOutage
from support.gateway import Reply, Stand, StandBuilder, ask_body, reply_of
from support.postgres import PostgresServer
from support.waiting import until

from plexus_proxy.cluster.cluster import CLUSTER
from plexus_proxy.config.store import CONFIG
from plexus_proxy.db.database import DATABASE, Unavailable


async def get(stand: Stand, path: str, method: str = "GET") -> Reply:
    async with stand.gateway.session.request(method, stand.gateway.url + path) as response:
        return await reply_of(response)


async def config_health(stand: Stand) -> tuple[int, dict[str, Any]]:
    """After the file was looked at."""
    await stand.gateway.app[CONFIG].refresh()
    reply = await get(stand, "/health/config")
    assert leaks_in(reply.text) == []
    return reply.status, reply.json()


@pytest.mark.parametrize(
    ("path", "text"), [("/health", "OK"), ("/healthz", "OK"), ("/readyz", "ready")]
)
async def test_a_healthy_gateway_says_so(stand: Stand, path: str, text: str) -> None:
    reply = await get(stand, path)
    assert (reply.status, reply.text) == (200, text)
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert reply.headers["x-request-id"]
    reply = await get(stand, path, "HEAD")
    assert (reply.status, reply.body) == (200, b"")


async def test_a_draining_gateway_lives_but_is_not_ready(stand_builder: StandBuilder) -> None:
    stand_builder.config["shutdown"] = {"drain_s": 0.5, "grace_s": 1}
    async with stand_builder.started() as stand:
        stopping = asyncio.ensure_future(stand.gateway.stop())
        await until(lambda: stand.gateway.drain.draining)
        ready = await get(stand, "/readyz")
        assert (ready.status, ready.text) == (503, "draining")
        assert (await get(stand, "/healthz")).status == 200
        await stopping
        with pytest.raises(aiohttp.ClientConnectorError):
            await get(stand, "/readyz")


@pytest.mark.usefixtures("postgres_server")  # `outage` cannot start it: it has a loop running
async def test_without_its_database_it_serves_but_is_not_ready(
    stand_builder: StandBuilder, outage: Outage
) -> None:
    async with stand_builder.started(DATABASE_URL=outage.url) as stand:
        ready = await get(stand, "/readyz")
        assert (ready.status, ready.text) == (503, "database unavailable")
        assert (await get(stand, "/healthz")).status == 200
        assert (await stand.gateway.ask("chat", ask_body("chat", "chat"))).status == 200
        headers = {"x-admin-key": stand.secrets.admin}
        url = stand.gateway.url + "/v0/management/usage"
        async with stand.gateway.session.get(url, headers=headers) as response:
            assert response.status == 503
            problem = (await response.json())["error"]
            assert (problem["type"], problem["code"]) == ("api_error", 503)
        await outage.end()
        async with asyncio.timeout(20):
            while (await get(stand, "/readyz")).status != 200:  # noqa: ASYNC110 - seen from outside
                await asyncio.sleep(0.1)


async def test_when_its_database_goes_away_it_stays_ready(
    stand_builder: StandBuilder, postgres_server: PostgresServer
) -> None:
    name = postgres_server.create()
    async with PostgresOutage(postgres_server.url(name)) as outage:
        await outage.end()
        async with stand_builder.started(DATABASE_URL=outage.url) as stand:
            assert (await get(stand, "/readyz")).status == 200
            await outage.begin()
            with pytest.raises(Unavailable):
                await stand.gateway.app[DATABASE].ping()
            assert (await get(stand, "/readyz")).status == 200  # or no replica would be left
            assert (await stand.gateway.ask("chat", ask_body("chat", "chat"))).status == 200
            await outage.end()
    postgres_server.drop(name)


# ---- The config


async def test_a_good_config_is_ok(stand: Stand) -> None:
    status, body = await config_health(stand)
    assert (status, body["state"], body["problems"]) == (200, "ok", [])
    assert body.keys() == {"state", "loaded_at", "problems", "members", "configs"}


async def test_replicas_on_different_configs_are_counted(
    stand_builder: StandBuilder, tmp_path: Path
) -> None:
    (tmp_path / "second").mkdir()
    second = StandBuilder(tmp_path / "second", stand_builder.providers)
    shared = f"sqlite://{tmp_path / 'shared.db'}"
    async with stand_builder.started(DATABASE_URL=shared) as one:
        async with second.started(DATABASE_URL=shared) as other:
            assert (await other.gateway.ask("chat", ask_body("chat", "chat"))).status == 200
            for stand in (one, other):
                await stand.gateway.app[CLUSTER].members.beat()
            body = (await config_health(one))[1]
            assert (body["members"], body["configs"]) == (2, 2)
            other.gateway.config_file.write_text(one.gateway.config_file.read_text())
            await config_health(other)
            await until(lambda: one.gateway.app[CLUSTER].members.configs() == 1, 6)
            body = (await config_health(one))[1]
            assert (body["members"], body["configs"]) == (2, 1)
        await until(lambda: one.gateway.app[CLUSTER].members.count == 1, 4)


async def test_a_bad_file_is_named_until_it_is_mended(stand: Stand) -> None:
    good = stand.gateway.config_file.read_text()
    loaded_at = (await config_health(stand))[1]["loaded_at"]
    stand.gateway.config["models"]["to-chat"]["targets"] = 5
    stand.gateway.write_config()
    status, body = await config_health(stand)
    assert (status, body["state"], body["loaded_at"]) == (503, "invalid", loaded_at)
    assert any("models.to-chat.targets" in problem for problem in body["problems"])
    assert (await stand.gateway.ask("chat", ask_body("chat", "chat"))).status == 200
    assert (await get(stand, "/readyz")).status == 200
    stand.gateway.config_file.write_text(good + "\n")
    status, body = await config_health(stand)
    assert (status, body["state"], body["problems"]) == (200, "ok", [])


async def test_a_start_from_the_last_good_config_is_named(stand_builder: StandBuilder) -> None:
    async with stand_builder.started():
        pass
    good = stand_builder.config
    stand_builder.config = {**good, "providers": "none"}
    async with stand_builder.started() as stand:
        status, body = await config_health(stand)
        assert (status, body["state"]) == (503, "last_good")
        assert (await stand.gateway.ask("chat", ask_body("chat", "chat"))).status == 200
        stand.gateway.config = good
        stand.gateway.write_config()
        assert (await config_health(stand))[1]["state"] == "ok"


SECRET = "SECRET"
"""Stands for a fresh one in the texts."""


@pytest.mark.parametrize(
    "text",
    [
        f"adminKey: [{SECRET}]",
        f"adminKey: {SECRET}\nkeys: {SECRET}",
        f"adminKey: {SECRET}\nkeys: {{app: {SECRET}}}",
        f"adminKey: {SECRET}\nkeys: {{app: {{secret: [{SECRET}]}}}}",
        f'adminKey: "{SECRET}\n',
        f"adminKey: {SECRET}: {SECRET}\n",
        f"{SECRET}",
        f"adminKey: *{SECRET}",
        f"adminKey: {SECRET}\n\tkeys: {SECRET}",
        f"adminKey: !{SECRET} {SECRET}",
        f"adminKey: ${{MISSING_VARIABLE}}\nproviders: {{p: {{api_key: {SECRET}}}}}",
        f"adminKey: {SECRET}\nproviders: {{p: {{api_key: {{x: {SECRET}}}, timeouts: {SECRET}}}}}",
    ],
)
async def test_problems_never_quote_a_secret(stand: Stand, text: str) -> None:
    stand.gateway.config_file.write_text(text.replace(SECRET, canary("misplaced")))
    status, body = await config_health(stand)
    assert (status, body["state"]) == (503, "invalid")
    assert body["problems"]
