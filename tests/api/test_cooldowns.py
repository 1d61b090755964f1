"""Cooldowns and live counts, as the operator sees and changes them."""

import time
from typing import Any

import pytest
from api.management import Api

from plexus_proxy.config.model import CooldownPolicy
from plexus_proxy.limits.cooldown_store import COOLDOWNS
from plexus_proxy.limits.cooling import Cooling

COOLDOWNS_PATH = "/v0/management/cooldowns"
BUSY = Cooling(cause="overloaded", hard=False, account_wide=False, message="Overloaded")
MODELS = ("gpt-4", "gpt-4o", "hf:org/x:free", "a b/ü%25")


def cool(api: Api, provider: str, model: str, cooling: Cooling = BUSY) -> None:
    now_ms = time.time_ns() // 1_000_000
    api.gateway.app[COOLDOWNS].failed(
        provider, model, cooling, CooldownPolicy(), started_ms=now_ms, now_ms=now_ms
    )


async def listed(api: Api) -> list[dict[str, Any]]:
    reply = await api.call("GET", COOLDOWNS_PATH)
    assert reply.status == 200
    return reply.json()


async def test_what_cools_down_is_listed_with_its_exact_ids(api: Api) -> None:
    assert await listed(api) == []
    for model in MODELS:
        cool(api, "acme/eu:1", model)
    found = await listed(api)
    assert {each["model"] for each in found} == set(MODELS)
    [first] = [each for each in found if each["model"] == "gpt-4"]
    assert first["provider"] == "acme/eu:1"
    assert 119_000 < first["timeRemainingMs"] <= 120_000
    assert first["expiry"] - first["since"] == 120_000
    assert (first["hard"], first["cause"], first["source"]) == (False, "overloaded", "default")
    assert (first["failures"], first["reason"]) == (1, "Overloaded")


@pytest.mark.pitfall("B85")
async def test_a_provider_without_cooldowns_is_not_listed(api: Api) -> None:
    cool(api, "chatty", "up-chat")  # its config says disable_cooldown
    assert await listed(api) == []


@pytest.mark.pitfall("B78", "B79")
async def test_exactly_one_is_cleared(api: Api) -> None:
    for model in MODELS:
        cool(api, "acme/eu:1", model)
    path = f"{COOLDOWNS_PATH}/acme%2Feu%3A1"
    reply = await api.call("DELETE", path, model="gpt-4")
    assert reply.json() == {"success": True, "cleared": 1}
    assert {each["model"] for each in await listed(api)} == set(MODELS) - {"gpt-4"}
    reply = await api.call("DELETE", path, model="hf:org/x:free")
    assert reply.json()["cleared"] == 1


async def test_all_of_a_provider_and_all_of_all_are_cleared(api: Api) -> None:
    for provider in ("acme", "acme-2"):
        cool(api, provider, "m")
        cool(api, provider, "n")
    assert (await api.call("DELETE", f"{COOLDOWNS_PATH}/acme")).json()["cleared"] == 2
    assert {each["provider"] for each in await listed(api)} == {"acme-2"}
    assert (await api.call("DELETE", COOLDOWNS_PATH)).json()["cleared"] == 2
    assert await listed(api) == []


async def test_the_operator_takes_a_target_out(api: Api) -> None:
    path = f"{COOLDOWNS_PATH}/chatty"
    reply = await api.call("POST", path, model="up-chat")
    assert reply.status == 200
    assert (reply.json()["cause"], reply.json()["hard"]) == ("operator", True)
    assert reply.json()["timeRemainingMs"] > 300 * 86_400_000
    assert (await api.call("POST", f"{COOLDOWNS_PATH}/nobody")).status == 404


@pytest.mark.parametrize("path", [COOLDOWNS_PATH, f"{COOLDOWNS_PATH}/p"])
@pytest.mark.parametrize("key", [None, "wrong"])
async def test_only_the_operator_may(api: Api, path: str, key: str | None) -> None:
    cool(api, "p", "m")
    assert (await api.call("DELETE", path, key=key)).status == 401
    assert len(await listed(api)) == 1


async def test_live_counts_are_shown(api: Api) -> None:
    reply = await api.call("GET", "/v0/management/concurrency")
    assert reply.json() == {"active": [], "waiting": 0}
