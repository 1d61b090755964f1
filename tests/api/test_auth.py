"""Every management route wants the admin key, and says the same to whoever lacks it."""

import pytest
from api.management import USAGE, Api
from support.canary import canary
from support.gateway import Stand
from support.rows import make_row

from plexus_proxy.config.store import CONFIG

ROUTES = [
    ("GET", "/v0/management/auth/verify"),
    ("GET", USAGE),
    ("DELETE", USAGE),
    ("DELETE", USAGE + "/some-id"),
]
REFUSAL = {"error": {"message": "Invalid or missing admin key.", "type": "auth_error", "code": 401}}


@pytest.fixture
def one(stand: Stand) -> Api:
    """On one database: the door does not know which."""
    return Api(stand.gateway)


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_missing_and_wrong_keys_get_one_answer(one: Api, method: str, path: str) -> None:
    await one.insert(make_row())
    secrets = one.gateway.secrets
    for key in (None, canary("wrong"), secrets.admin[:-1], secrets.admin + "x", secrets.app, " "):
        reply = await one.call(method, path, key=key)
        assert (reply.status, reply.json()) == (401, REFUSAL)
        assert reply.headers["content-type"] == "application/json"
        assert reply.headers["cache-control"] == "no-store"
        assert reply.headers["x-request-id"]
    assert len(await one.ids()) == 1


async def test_every_management_route_is_behind_the_door(one: Api) -> None:
    """Also those that are yet to come."""
    guarded: set[tuple[str, str]] = set()
    for route in one.gateway.app.router.routes():
        path = route.resource.canonical if route.resource else ""
        if path.startswith("/v0/") and route.method != "*":
            guarded.add((route.method, path))
            reply = await one.call(route.method, path.replace("{", "").replace("}", ""), key=None)
            assert reply.status == 401, (route.method, path)
    assert len(guarded) >= len(ROUTES)


async def test_the_admin_key_is_taken_from_its_header_only(one: Api) -> None:
    admin = one.gateway.secrets.admin
    url = one.gateway.url + USAGE
    for headers in ({"authorization": f"Bearer {admin}"}, {"x-api-key": admin}):
        async with one.gateway.session.get(url, headers=headers) as response:
            assert response.status == 401
    async with one.gateway.session.get(url, params={"key": admin}) as response:
        assert response.status == 401


async def test_the_right_key_is_verified(one: Api) -> None:
    reply = await one.call("GET", "/v0/management/auth/verify")
    assert (reply.status, reply.json()) == (200, {"ok": True, "role": "admin"})


async def test_a_new_admin_key_replaces_the_old_one(one: Api) -> None:
    old, fresh = one.gateway.secrets.admin, canary("fresh-admin")
    one.gateway.config["adminKey"] = fresh
    one.gateway.write_config()
    await one.gateway.app[CONFIG].refresh()
    assert (await one.call("GET", USAGE, key=old)).status == 401
    assert (await one.call("GET", USAGE, key=fresh)).status == 200
