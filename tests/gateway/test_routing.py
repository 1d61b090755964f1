"""Names of models that lead to several targets, or to none: through the running application."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.answers import messages_error
from support.fake_provider import Whole
from support.gateway import FORMATS, PROVIDERS, Stand, StandBuilder, ask_body, error_object


def _target(fmt: str, **more: Any) -> dict[str, Any]:
    return {"provider": PROVIDERS[fmt], "model": f"up-{fmt}", **more}


@pytest.fixture
async def stand(stand_builder: StandBuilder) -> AsyncIterator[Stand]:
    for fmt in FORMATS:
        stand_builder.provider_config(fmt)["models"]["vectors"] = {"type": "embeddings"}
    stand_builder.config["models"] |= {
        "vectors": {"type": "embeddings", "targets": [_target("chat")]},
        "vectors-by-model": {"targets": [{"provider": PROVIDERS["chat"], "model": "vectors"}]},
        "grouped": {
            "additional_aliases": ["nick/name"],
            "target_groups": [
                {"name": "off", "targets": [_target("gemini", enabled=False)]},
                {"name": "first", "targets": [_target("messages")]},
                {"name": "second", "targets": [_target("chat")]},
            ],
        },
        "matched": {
            "selector": "in_order",
            "priority": "api_match",
            "targets": [_target("chat"), _target("messages")],
        },
        "outer": {"extraBody": {"user": "outer"}, "targets": [{"alias": "inner"}]},
        "inner": {"extraBody": {"user": "inner"}, "targets": [_target("chat")]},
    }
    async with stand_builder.started() as running:
        yield running


@pytest.mark.parametrize("model", ["vectors", "vectors-by-model", "direct/chatty/vectors"])
@pytest.mark.parametrize("fmt", FORMATS)
async def test_a_model_for_something_else_is_a_bad_request_that_says_where_to_go(
    stand: Stand, fmt: str, model: str
) -> None:
    reply = await stand.gateway.ask(fmt, ask_body(fmt, fmt) | {"model": model})
    assert reply.status == 400
    error = error_object(fmt, reply.json())
    assert "is for embeddings: ask for it at /v1/embeddings" in error["message"]
    if fmt in ("chat", "responses"):
        assert error["param"] == "model"
    row = await stand.gateway.row()
    assert (row["http_status"], row["attempts"]) == (400, [])


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("direct/chatty/unlisted", "does not list model 'unlisted'"),
        ("direct/nobody/up-chat", "provider 'nobody' is not configured"),
        ("direct/grouped/third", "'grouped' has no target group 'third'"),
    ],
)
@pytest.mark.parametrize("fmt", FORMATS)
async def test_a_direct_name_that_leads_nowhere_is_not_found(
    stand: Stand, fmt: str, model: str, said: str
) -> None:
    reply = await stand.gateway.ask(fmt, ask_body(fmt, fmt) | {"model": model})
    assert reply.status == 404
    assert said in error_object(fmt, reply.json())["message"]


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("grouped", "messages"),
        ("direct/grouped/first", "messages"),
        ("direct/grouped/second", "chat"),
        ("direct/nick/name/second", "chat"),
    ],
)
async def test_a_client_may_ask_for_one_group(stand: Stand, model: str, provider: str) -> None:
    assert (
        await stand.gateway.ask("chat", ask_body("chat", "chat") | {"model": model})
    ).status == 200
    assert len(stand.provider(provider).requests) == 1
    row = await stand.gateway.row()
    assert (row["alias"], row["canonical_model"]) == (model, "grouped")


async def test_a_group_without_usable_target_says_why(stand: Stand) -> None:
    reply = await stand.gateway.ask(
        "chat", ask_body("chat", "chat") | {"model": "direct/grouped/off"}
    )
    assert reply.status == 503
    assert "twins/up-gemini (target disabled)" in error_object("chat", reply.json())["message"]


async def test_an_alias_within_an_alias_serves_as_the_outer_one(stand: Stand) -> None:
    assert (
        await stand.gateway.ask("chat", ask_body("chat", "chat") | {"model": "outer"})
    ).status == 200
    sent = stand.chat.last.json()
    assert (sent["model"], sent["user"]) == ("up-chat", "outer")
    assert (await stand.gateway.row())["canonical_model"] == "outer"


async def test_a_target_of_another_format_serves_when_those_of_the_clients_own_fail(
    stand: Stand,
) -> None:
    body = ask_body("messages", "x") | {"model": "matched"}
    assert (await stand.gateway.ask("messages", body)).status == 200
    assert not stand.chat.requests
    stand.messages.enqueue(Whole(messages_error("broken"), 503))
    assert (await stand.gateway.ask("messages", body)).status == 200
    assert len(stand.chat.requests) == 1


async def test_what_cannot_be_asked_cannot_be_counted(stand: Stand) -> None:
    async with stand.gateway.session.post(
        stand.gateway.url + "/v1/messages/count_tokens",
        json=ask_body("messages", "messages") | {"model": "vectors"},
        headers=stand.gateway.auth("messages"),
    ) as response:
        assert response.status == 400
        error = error_object("messages", await response.json())
        assert "/v1/embeddings" in error["message"]
