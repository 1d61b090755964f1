"""A Responses client in front of providers of every format."""

import aiohttp
import pytest
from support.gateway import Stand

URL = "/v1/responses"


@pytest.mark.parametrize(
    "field",
    [
        {"previous_response_id": "resp_1"},
        {"conversation": "conv_1"},
        {"background": True},
        {"prompt": {"id": "pmpt_1"}},
        {"input": [{"type": "item_reference", "id": "msg_1"}]},
    ],
    ids=lambda field: next(iter(field)),
)
@pytest.mark.pitfall("P110")
async def test_p110_state_that_the_provider_does_not_have_is_refused(
    stand: Stand, field: dict[str, object]
) -> None:
    """P110: to ignore it would lose the conversation."""
    body = {"model": "to-messages", "input": "hi", **field}
    async with stand.gateway.session.post(
        stand.gateway.url + URL, json=body, headers=stand.gateway.auth("chat")
    ) as response:
        error = (await response.json())["error"]
    assert response.status == 400
    assert error["type"] == "invalid_request_error"
    assert error["param"] in (next(iter(field)), "input[0]")
    assert not stand.messages.requests


async def test_a_client_that_tries_a_websocket_is_told_to_speak_http(stand: Stand) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await stand.gateway.session.ws_connect(
            stand.gateway.url.replace("http", "ws") + URL, headers=stand.gateway.auth("chat")
        )
    assert caught.value.status == 426


async def test_what_was_asked_is_repeated_in_the_response(stand: Stand) -> None:
    tool = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": None}
    asked = {
        "instructions": "be brief",
        "tools": [tool],
        "tool_choice": "auto",
        "temperature": 0.5,
        "metadata": {"a": "b"},
        "text": {"verbosity": "low"},
    }
    body = {"model": "to-chat", "input": "hi", "user": None, **asked}
    async with stand.gateway.session.post(
        stand.gateway.url + URL, json=body, headers=stand.gateway.auth("chat")
    ) as response:
        found = await response.json()
    assert {name: found[name] for name in asked} == asked
    assert (found["top_p"], found["store"], found["previous_response_id"]) == (1.0, False, None)
