"""The operator frees conversations from their targets."""

import pytest
from api.management import Api

from plexus_proxy.routing.bindings import BINDINGS, Unknown

SESSIONS = "/v0/management/sessions"


async def test_deleting_frees_every_conversation(api: Api) -> None:
    bindings = api.gateway.app[BINDINGS]
    for key in ("one", "two"):
        bindings.served(key, ("acme", "fast"))
    await bindings.commit()
    bindings.served("pending", ("acme", "fast"))
    reply = await api.call("DELETE", SESSIONS)
    assert (reply.status, reply.json()) == (200, {"success": True, "deleted": 2})
    await bindings.commit()
    for key in ("one", "two", "pending"):
        assert bindings.bound_now(key) is Unknown.UNKNOWN
        assert await bindings.find(key) is None
    assert (await api.call("DELETE", SESSIONS)).json()["deleted"] == 0


@pytest.mark.parametrize("key", [None, "wrong"])
async def test_only_the_operator_may(api: Api, key: str | None) -> None:
    bindings = api.gateway.app[BINDINGS]
    bindings.served("one", ("acme", "fast"))
    assert (await api.call("DELETE", SESSIONS, key=key)).status == 401
    assert bindings.bound_now("one") == ("acme", "fast")


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_other_methods_are_refused(api: Api, method: str) -> None:
    reply = await api.call(method, SESSIONS)
    assert (reply.status, reply.headers["allow"]) == (405, "DELETE")
