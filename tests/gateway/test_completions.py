"""Legacy completions through the whole gateway: raw, and by the official openai SDK."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from matrix.cases import Case, Text, Thought, Usage
from matrix.providers import body, frames
from openai import APIError, AsyncOpenAI, BadRequestError, NotFoundError, RateLimitError
from openai.types import Completion
from support.answers import chat_error, messages_error
from support.fake_provider import Chunk, FakeProvider, Head, Received, Step, Whole
from support.gateway import Stand, StandBuilder
from support.matrix import FORMATS
from support.sdks import openai_settings
from support.strict_completions import read_completion, read_completions
from support.strict_provider import problems
from support.wire import ROLE, chunk, data

PATH = "/v1/completions"
SAYS = (Thought("Hm, SECRET."), Text("Teal is\n a colour."))
SAID = Case("said", SAYS, usage=Usage(9, 4, 0, 3, 8))
Playing = tuple[Stand, FakeProvider]


@pytest.fixture
async def playing(matrix_builder: StandBuilder) -> AsyncIterator[Playing]:
    """A gateway whose alias `to-<format>` leads to one server that can play every format."""
    async with matrix_builder.started() as stand:
        yield stand, stand.provider("chat")


def answering(upstream: FakeProvider, fmt: str, case: Case) -> None:
    def say(received: Received) -> list[Step]:
        streamed = b'"stream":true' in received.body or "stream" in received.path
        if not streamed:
            return [Whole(body(fmt, case))]
        return [Head(), *(Chunk(frame) for frame in frames(fmt, case))]

    upstream.default = say


async def ask(stand: Stand, **fields: Any) -> tuple[int, Mapping[str, str], bytes]:
    async with stand.gateway.session.post(
        stand.gateway.url + PATH,
        json={"model": "to-chat", "prompt": "What is teal?"} | fields,
        headers=stand.gateway.auth("chat"),
    ) as response:
        return response.status, response.headers, await response.read()


async def create(stand: Stand, stream: bool, **request: Any) -> Completion:
    """One completion through the SDK, a stream put together."""
    async with AsyncOpenAI(**openai_settings(stand)) as client:
        if not stream:
            return await client.completions.create(stream=False, **request)
        chunks = await client.completions.create(
            stream=True, stream_options={"include_usage": True}, **request
        )
        found: list[Completion] = [chunk async for chunk in chunks]
    last = found[-1]
    assert not last.choices
    choices = [chunk.choices[0] for chunk in found[:-1]]
    assert [each.finish_reason for each in choices[:-1]] == [None] * (len(choices) - 1)
    choice = choices[-1].model_copy(update={"text": "".join(each.text for each in choices)})
    return last.model_copy(update={"choices": [choice]})


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("fmt", FORMATS)
async def test_the_sdk_is_answered_by_providers_of_every_format(
    playing: Playing, fmt: str, stream: bool
) -> None:
    stand, upstream = playing
    answering(upstream, fmt, SAID)
    found = await create(
        stand, stream, model=f"to-{fmt}", prompt="What is teal?", max_tokens=30, stop="###"
    )
    assert found.object == "text_completion"
    assert found.id.startswith("cmpl-")
    assert found.choices[0].text == SAID.text
    assert found.choices[0].finish_reason == "stop"
    assert found.usage is not None
    assert (found.usage.prompt_tokens, found.usage.completion_tokens) == (13, 11)
    assert found.usage.prompt_tokens_details is not None
    assert found.usage.prompt_tokens_details.cached_tokens == 4
    (received,) = upstream.requests
    assert not problems(received)
    assert b"What is teal?" in received.body
    row = await stand.gateway.row()
    assert (row["client_format"], row["provider_format"]) == ("completions", fmt)
    assert (row["passthrough"], row["status"], row["message_count"]) == (0, "success", 1)


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("fmt", FORMATS)
async def test_strict_clients_read_every_answer(playing: Playing, fmt: str, stream: bool) -> None:
    stand, upstream = playing
    answering(upstream, fmt, SAID)
    fields: dict[str, Any] = {"model": f"to-{fmt}", "prompt": ["What is teal?"], "echo": True}
    if stream:
        fields["stream"] = True
    status, headers, raw = await ask(stand, **fields)
    found = read_completions(raw, include_usage=False) if stream else read_completion(raw)
    kind = "text/event-stream" if stream else "application/json"
    assert (status, headers["content-type"].partition(";")[0]) == (200, kind)
    assert (found.text, found.reason) == ("What is teal?" + SAID.text, "stop")
    assert b"SECRET" not in raw


@pytest.mark.parametrize("fmt", FORMATS)
async def test_a_gap_is_filled(playing: Playing, fmt: str) -> None:
    stand, upstream = playing
    answering(upstream, fmt, Case("middle", (Text("    return x"),)))
    before, after = "def f(x):\n", "\n\nprint(f(1))\n"
    found = await create(stand, False, model=f"to-{fmt}", prompt=before, suffix=after)
    assert found.choices[0].text == "    return x"
    (received,) = upstream.requests
    sent = received.json()
    assert not problems(received)
    assert json.dumps(f"<before>{before}</before><after>{after}</after>") in json.dumps(sent)
    assert "You fill the gap in a text." in json.dumps(sent)


async def test_what_is_lost_is_named(stand: Stand) -> None:
    status, headers, _ = await ask(stand, logprobs=2, best_of=2, logit_bias={"1": 1}, user="u")
    assert status == 200
    assert headers["x-plexus-dropped"] == "logprobs, logit_bias, best_of"
    row = await stand.gateway.row()
    assert row["dropped_fields"] == ["logprobs", "logit_bias", "best_of"]
    assert row["client_session"] == "u"


async def test_configured_fields_reach_the_provider(stand_builder: StandBuilder) -> None:
    stand_builder.config["models"]["to-chat"]["extraBody"] = {"top_p": 0.25}
    async with stand_builder.started() as stand:
        await ask(stand, max_tokens=5)
    (received,) = stand.chat.requests
    assert received.path == "/v1/chat/completions"
    assert received.json() == {
        "model": "up-chat",
        "messages": [{"role": "user", "content": "What is teal?"}],
        "max_tokens": 5,
        "top_p": 0.25,
    }


async def test_errors_are_openais(stand: Stand) -> None:
    async with AsyncOpenAI(**openai_settings(stand)) as client:
        with pytest.raises(BadRequestError) as refused:
            await client.completions.create(model="to-chat", prompt=[1, 2, 3])
        assert (refused.value.param, refused.value.type) == ("prompt", "invalid_request_error")
        with pytest.raises(NotFoundError) as unknown:
            await client.completions.create(model="nobody", prompt="a")
        assert unknown.value.code == "model_not_found"
        stand.messages.enqueue(Whole(messages_error("slow down", "rate_limit_error"), 429))
        with pytest.raises(RateLimitError) as limited:
            await client.completions.create(model="to-messages", prompt="a")
        assert limited.value.code == "rate_limit_exceeded"
    assert not stand.chat.requests


async def test_an_error_within_a_stream_is_raised_by_the_sdk(stand: Stand) -> None:
    frames = (ROLE, chunk(content="a"), data(chat_error("fell over")))
    stand.chat.enqueue(Head(), *map(Chunk, frames))
    async with AsyncOpenAI(**openai_settings(stand)) as client:
        chunks = await client.completions.create(model="to-chat", prompt="a", stream=True)
        assert [(await anext(chunks)).choices[0].text for _ in range(2)] == ["", "a"]
        with pytest.raises(APIError) as caught:
            await anext(chunks)
    assert caught.value.message == "fell over"


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_only_posts_are_served(stand: Stand, method: str) -> None:
    async with stand.gateway.session.request(method, stand.gateway.url + PATH) as response:
        assert (response.status, response.headers["allow"]) == (405, "POST")


async def test_without_a_key_nothing_is_served(stand: Stand) -> None:
    async with stand.gateway.session.post(
        stand.gateway.url + PATH, json={"model": "to-chat", "prompt": "a"}
    ) as response:
        said = await response.json()
    assert (response.status, said["error"]["code"]) == (401, "invalid_api_key")
    assert not stand.chat.requests
