"""Stop sequences toward providers whose API has none: the gateway watches, and hangs up."""

import asyncio
from typing import Any

import pytest
from matrix.cases import Case, Text
from matrix.providers import body, frames
from support.fake_provider import Chunk, Hang, Head, Pause, Whole
from support.gateway import StandBuilder, reply_of
from support.strict_streams import read_chat, read_messages

SAYS = Case("says", (Text("Answer: 4\nObservation: none"),))


def question(client: str, stream: bool) -> dict[str, Any]:
    said: dict[str, Any] = {
        "model": "to-responses",
        "messages": [{"role": "user", "content": "?"}],
        "stream": stream,
    }
    if client == "chat":
        return said | {"stop": ["\nObservation:"]}
    return said | {"max_tokens": 99, "stop_sequences": ["\nObservation:"]}


@pytest.mark.parametrize("client", ["chat", "messages"])
async def test_a_stream_ends_at_the_sequence_and_the_provider_is_let_go(
    matrix_builder: StandBuilder, client: str
) -> None:
    upstream = matrix_builder.providers["chat"]
    sent = [Chunk(frame) for frame in frames("responses", SAYS)]
    end = next(at for at, each in enumerate(sent) if b"output_text.done" in each.data)
    slowly = [step for each in sent[:end] for step in (each, Pause(0.03))]
    upstream.enqueue(Head(), *slowly, Hang())  # it would talk on and on
    async with matrix_builder.started() as stand:
        reply = await asyncio.wait_for(stand.gateway.ask(client, question(client, True)), 5)
        await asyncio.wait_for(upstream.last.over.wait(), 5)
        row = await stand.gateway.row()
    assert upstream.last.cut
    assert not {"stop", "stop_sequences"} & upstream.last.json().keys()
    if client == "chat":
        answer = read_chat(reply.body)
        assert (answer.text, answer.reason) == ("Answer: 4", "stop")
    else:
        told = read_messages(reply.body)
        assert (told.text, told.reason, told.stop_sequence) == (
            "Answer: 4",
            "stop_sequence",
            "\nObservation:",
        )
    assert "x-plexus-dropped" not in reply.headers
    assert (row["status"], row["dropped_fields"], row["tokens_estimated"]) == ("success", [], 1)


async def test_a_whole_answer_ends_at_the_sequence(matrix_builder: StandBuilder) -> None:
    matrix_builder.providers["chat"].enqueue(Whole(body("responses", SAYS)))
    async with matrix_builder.started() as stand:
        url = f"{stand.gateway.url}/v1beta/models/to-responses:generateContent"
        asked = {
            "contents": [{"role": "user", "parts": [{"text": "?"}]}],
            "generationConfig": {"stopSequences": ["Observation:"]},
        }
        headers = {"x-goog-api-key": stand.secrets.app}
        async with stand.gateway.session.post(url, json=asked, headers=headers) as response:
            reply = await reply_of(response)
    (candidate,) = reply.json()["candidates"]
    assert candidate["content"]["parts"] == [{"text": "Answer: 4\n"}]
    assert candidate["finishReason"] == "STOP"
    assert reply.json()["usageMetadata"]["totalTokenCount"] > 0


@pytest.mark.parametrize(("fmt", "name"), [("messages", "stop_sequences"), ("chat", "stop")])
@pytest.mark.parametrize(
    ("stops", "status"),
    [
        ([f"<{n}>" for n in range(64)], 200),
        ([f"<{n}>" for n in range(65)], 400),
        (["x" * 1000], 200),
        (["x" * 1001], 400),
    ],
)
async def test_only_so_much_is_watched_for(
    matrix_builder: StandBuilder, fmt: str, name: str, stops: list[str], status: int
) -> None:
    """Each piece of an answer is compared with all of them."""
    upstream = matrix_builder.providers["chat"]
    upstream.enqueue(Whole(body("responses", SAYS)))
    async with matrix_builder.started() as stand:
        reply = await stand.gateway.ask(fmt, question(fmt, False) | {name: stops})
    assert reply.status == status
    assert len(upstream.requests) == (status == 200)
    if status == 400:
        assert "At most 64 stop sequences" in reply.json()["error"]["message"]
