"""Paths nobody has and methods nobody takes, outside the client APIs."""

import pytest
from api.management import USAGE, Api
from support.gateway import Stand


@pytest.mark.parametrize(
    "path",
    [
        "/nope",
        "/health/",
        "/health/nope",
        "/v0",
        "/v0/management",
        "/v0/management/nope",
        USAGE + "/",
        "/v2/chat/completions",
        "/favicon.ico",
        "/%00",
        "/..%2f..%2fetc/passwd",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_an_unknown_path_is_a_404_in_the_shape_of_the_base_release(
    stand: Stand, method: str, path: str
) -> None:
    reply = await Api(stand.gateway).call(method, path)
    assert (reply.status, reply.json()) == (404, {"error": "Not Found"})
    assert reply.headers["content-type"].startswith("application/json")
    assert reply.headers["x-request-id"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", USAGE, "GET, HEAD, DELETE"),
        ("PUT", USAGE, "GET, HEAD, DELETE"),
        ("GET", USAGE + "/some-id", "DELETE"),
        ("POST", "/v0/management/auth/verify", "GET, HEAD"),
        ("POST", "/health", "GET, HEAD"),
        ("DELETE", "/healthz", "GET, HEAD"),
        ("POST", "/readyz", "GET, HEAD"),
        ("PATCH", "/health/config", "GET, HEAD"),
    ],
)
async def test_a_wrong_method_is_a_405_that_names_the_right_ones(
    stand: Stand, method: str, path: str, allowed: str
) -> None:
    reply = await Api(stand.gateway).call(method, path, key=None)
    assert reply.status == 405
    assert reply.headers["allow"] == allowed
    problem = reply.json()["error"]
    assert (problem["code"], problem["type"]) == (405, "invalid_request_error")
    assert method in problem["message"]


async def test_the_management_api_is_not_for_other_sites(stand: Stand) -> None:
    api = Api(stand.gateway)
    for path in (USAGE, "/health", "/ui/sign-in"):
        reply = await api.call("GET", path)
        assert not [name for name in reply.headers if name.startswith("access-control-")]
    assert (await api.call("OPTIONS", USAGE)).status == 405
