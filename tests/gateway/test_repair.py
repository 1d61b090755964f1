"""B22, B54, B55: a request that is refused for a known reason is mended and sent again."""

from typing import Any

import pytest
from support.fake_provider import Chunk, Head, Whole
from support.gateway import PROVIDERS, Stand, StandBuilder, ask_body, events_in, spoken_text

from plexus_proxy.limits.cooldown_store import COOLDOWNS

UNSUPPORTED = {
    "error": {
        "message": "Unsupported parameter: 'temperature' is not supported with this model.",
        "type": "invalid_request_error",
        "param": "temperature",
        "code": "unsupported_parameter",
    }
}
BAD_SIGNATURE = {
    "type": "error",
    "error": {
        "type": "invalid_request_error",
        "message": "messages.1.content.0: Invalid `signature` in `thinking` block",
    },
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fmt", ["chat", "messages"])
@pytest.mark.pitfall("P105", "B54")
async def test_an_unsupported_parameter_is_left_out_once_and_said(
    stand: Stand, fmt: str, stream: bool
) -> None:
    stand.chat.enqueue(Whole(UNSUPPORTED, status=400))
    body = ask_body(fmt, "chat", stream=stream, temperature=0.5)
    reply = await stand.gateway.ask(fmt, body)
    assert reply.status == 200
    if stream:
        assert spoken_text(fmt, events_in(reply.body)) == "Teal is a colour."
    assert reply.headers["x-plexus-dropped"] == "temperature"
    first, second = (each.json() for each in stand.chat.requests)
    assert first.pop("temperature") == 0.5
    assert second == first
    row = await stand.gateway.row()
    assert row["dropped_fields"] == ["temperature"]
    failed, done = row["attempts"]
    assert (failed["status"], failed["http_status"]) == ("failed", 400)
    assert failed["reason"] == UNSUPPORTED["error"]["message"]
    assert (done["status"], done["http_status"], done["provider"]) == ("success", 200, "chatty")


@pytest.mark.pitfall("B54")
async def test_a_second_refusal_reaches_the_client(stand: Stand) -> None:
    also = {"error": {"message": "Unknown parameter: 'seed'.", "code": "unknown_parameter"}}
    stand.chat.enqueue(Whole(UNSUPPORTED, status=400))
    stand.chat.enqueue(Whole(also, status=400))
    reply = await stand.gateway.ask("chat", ask_body("chat", "chat", temperature=0.5, seed=1))
    assert (reply.status, reply.json()) == (400, also)
    assert len(stand.chat.requests) == 2
    assert len((await stand.gateway.row())["attempts"]) == 2


@pytest.mark.parametrize("status", [400, 422])
async def test_a_second_refusal_with_400_moves_on(stand_builder: StandBuilder, status: int) -> None:
    """What one target refuses again and again another may take, as it was asked."""
    targets = [{"provider": PROVIDERS[fmt], "model": "m"} for fmt in ("chat", "responses")]
    stand_builder.config["models"]["both"] = {"selector": "in_order", "targets": targets}
    async with stand_builder.started() as stand:
        stand.chat.enqueue(Whole(UNSUPPORTED, status=400))
        stand.chat.enqueue(Whole({"error": {"message": "Unknown parameter: 'seed'."}}, status))
        body = ask_body("chat", "x", temperature=0.5, seed=1) | {"model": "both"}
        reply = await stand.gateway.ask("chat", body)
        assert reply.status == (200 if status == 400 else 422)
        asked = stand.providers["responses"].requests
        assert [each.json()["temperature"] for each in asked] == [0.5] * (status == 400)


async def test_a_refusal_that_cannot_be_mended_is_not_sent_again(stand: Stand) -> None:
    stand.chat.enqueue(Whole(UNSUPPORTED, status=400))
    reply = await stand.gateway.ask("chat", ask_body("chat", "chat"))
    assert (reply.status, reply.json()) == (400, UNSUPPORTED)
    assert len(stand.chat.requests) == 1


@pytest.mark.pitfall("B55")
async def test_reasoning_state_that_is_not_accepted_is_left_out_once(stand: Stand) -> None:
    """P63: also of a client of the provider's own format, whose body is else not touched."""
    thought = {"type": "thinking", "thinking": "t", "signature": "of another account"}
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": [thought, {"type": "text", "text": "a"}]},
        {"role": "user", "content": "And?"},
    ]
    stand.messages.enqueue(Whole(BAD_SIGNATURE, status=400))
    body = ask_body("messages", "messages", messages=messages, metadata={"user_id": "u"})
    reply = await stand.gateway.ask("messages", body)
    assert reply.json()["content"][0]["text"] == "Teal is a colour."
    assert reply.headers["x-plexus-dropped"] == "reasoning"
    first, second = (each.json() for each in stand.messages.requests)
    assert first["messages"] == messages
    del messages[1]["content"][0]
    assert second == first | {"messages": messages}


async def test_reasoning_that_was_not_kept_is_left_out_and_cools_nothing_down(
    stand_builder: StandBuilder,
) -> None:
    """OpenAI says so with a 404, as of a model that it does not have."""
    error = {
        "message": "Item with id 'rs_1' not found. Items are not persisted when `store` is false.",
        "type": "invalid_request_error",
        "param": "input",
        "code": None,
    }
    del stand_builder.provider_config("responses")["disable_cooldown"]
    items: list[dict[str, Any]] = [
        {"role": "user", "content": "?"},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"role": "assistant", "content": [{"type": "output_text", "text": "a"}]},
        {"role": "user", "content": "And?"},
    ]
    async with stand_builder.started() as stand:
        server = stand.providers["responses"]
        server.enqueue(Whole({"error": error}, 404))
        body = ask_body("responses", "responses", input=items)
        assert (await stand.gateway.ask("responses", body)).status == 200
        first, second = (each.json() for each in server.requests)
        assert first["input"] == items
        assert "reasoning" not in [each.get("type") for each in second["input"]]
        assert stand.gateway.app[COOLDOWNS].keys() == []
        server.enqueue(Whole({"error": error}, 404))  # of an item that we do not know how to mend
        reply = await stand.gateway.ask("responses", ask_body("responses", "responses"))
        assert (reply.status, reply.json()) == (404, {"error": error})
        assert stand.gateway.app[COOLDOWNS].keys() == []


async def test_an_error_event_before_the_answer_is_mended_too(stand_builder: StandBuilder) -> None:
    async with stand_builder.started() as stand:
        error = b"event: error\ndata: " + (
            b'{"type":"error","error":{"type":"invalid_request_error",'
            b'"message":"temperature: Extra inputs are not permitted"}}\n\n'
        )
        stand.messages.enqueue(Head(), Chunk(error))
        body = ask_body("messages", "messages", stream=True, temperature=0.5)
        reply = await stand.gateway.ask("messages", body)
    assert spoken_text("messages", events_in(reply.body)) == "Teal is a colour."
    assert "temperature" not in stand.messages.last.json()
