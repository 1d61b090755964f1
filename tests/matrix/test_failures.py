"""Every client format in front of every provider format: what fails is told as a failure.

An error of each status, an error inside a 200 answer, and an answer that breaks off: the SDK of
each format raises the class of error its users catch.
"""

from typing import Any

import anthropic
import openai
import pytest
from google.genai import errors as google
from support.fake_provider import Chunk, Drop, Head, Step, Whole
from support.matrix import Matrix

from matrix.axes import CLIENTS, PROVIDERS, STREAMS
from matrix.cases import Case, Text
from matrix.clients import Failed, ask
from matrix.providers import body, failure, frames

pytestmark = pytest.mark.asyncio(loop_scope="module")

MESSAGE = "so it is"
TOLD = {
    400: (400, 400, 400),
    401: (502, 502, 503),
    404: (404, 404, 404),
    413: (413, 413, 413),
    429: (429, 429, 429),
    500: (502, 502, 503),
    503: (503, 529, 503),
    529: (503, 529, 503),
}
"""What the provider answers → what a client of another format is told: OpenAI's, Anthropic's,
Google's."""
COLUMN = {"chat": 0, "responses": 0, "messages": 1, "gemini": 2}
OPENAI: dict[int, type[Exception]] = {
    400: openai.BadRequestError,
    404: openai.NotFoundError,
    413: openai.APIStatusError,
    429: openai.RateLimitError,
}
ANTHROPIC: dict[int, type[Exception]] = {
    400: anthropic.BadRequestError,
    404: anthropic.NotFoundError,
    413: anthropic.RequestTooLargeError,
    429: anthropic.RateLimitError,
    529: anthropic.OverloadedError,
}
ANY = (
    openai.APIError,
    anthropic.APIError,
    google.APIError,
    Failed,
)


def class_of(client: str, status: int) -> type[Exception]:
    if client == "gemini":
        return google.ClientError if status < 500 else google.ServerError
    if client == "messages":
        return ANTHROPIC.get(status, anthropic.InternalServerError)
    return OPENAI.get(status, openai.InternalServerError)


@STREAMS
@PROVIDERS
@CLIENTS
@pytest.mark.parametrize("status", TOLD)
async def test_what_a_provider_refuses_is_refused(
    matrix: Matrix, client: str, provider: str, status: int, stream: bool
) -> None:
    said = {"message": MESSAGE, "type": "some_error"}
    wrapped = {"type": "error", "error": said} if provider == "messages" else {"error": said}
    matrix.upstream.default = [Whole(wrapped, status)]
    told = TOLD[status][COLUMN[client]]
    if client == provider and status != 401:  # the gateway's own key is not the client's fault
        told = status  # the provider's own words
    with pytest.raises(class_of(client, told)) as caught:
        await ask(matrix.sdks, client, f"to-{provider}", stream=stream)
    error: Any = caught.value
    assert (error.code if client == "gemini" else error.status_code) == told
    assert (MESSAGE in str(error)) is (status != 401)
    row = await matrix.stand.gateway.row()
    assert (row["status"], row["attempts"][0]["http_status"]) == ("error", status)
    assert row["error_message"] == MESSAGE


BEGUN = Case("begun", (Text("Once upon a time"),))


def begun(provider: str) -> list[Step]:
    """The head of a stream and all its frames up to the text's last."""
    texts = [at for at, each in enumerate(frames(provider, BEGUN)) if b"time" in each]
    return [Head(), *map(Chunk, frames(provider, BEGUN)[: texts[0] + 1])]


@PROVIDERS
@CLIENTS
async def test_an_error_in_the_stream_is_an_error(
    matrix: Matrix, client: str, provider: str
) -> None:
    steps = begun(provider)
    last = failure(provider, MESSAGE, after=len(steps) - 1)
    matrix.upstream.default = [*steps, Chunk(last)]
    with pytest.raises(ANY, match=MESSAGE):
        await ask(matrix.sdks, client, f"to-{provider}", stream=True)
    row = await matrix.stand.gateway.row()
    assert (row["status"], row["http_status"]) == ("error", 200)


@STREAMS
@PROVIDERS
@CLIENTS
async def test_an_error_in_place_of_the_answer_is_an_error(
    matrix: Matrix, client: str, provider: str, stream: bool
) -> None:
    """Nothing has been said yet: the status tells it, whatever the provider's was."""
    said = failure(provider, MESSAGE, after=0 if stream else None)
    matrix.upstream.default = [Head(), Chunk(said)] if stream else [Whole(said)]
    told = 529 if client == "messages" else 503
    with pytest.raises(class_of(client, told), match=MESSAGE):
        await ask(matrix.sdks, client, f"to-{provider}", stream=stream)
    row = await matrix.stand.gateway.row()
    assert (row["status"], row["http_status"]) == ("error", told)


@pytest.mark.parametrize("drops", [True, False], ids=["connection lost", "clean end"])
@PROVIDERS
@CLIENTS
async def test_a_cut_stream_is_an_error(
    matrix: Matrix, client: str, provider: str, drops: bool
) -> None:
    matrix.upstream.default = [*begun(provider), *([Drop()] if drops else [])]
    with pytest.raises(ANY):
        await ask(matrix.sdks, client, f"to-{provider}", stream=True)
    row = await matrix.stand.gateway.row()
    assert (row["status"], row["http_status"]) == ("error", 200)
    assert row["output_tokens"] > 0
    assert row["tokens_estimated"]


@PROVIDERS
@CLIENTS
async def test_a_cut_answer_is_an_error(matrix: Matrix, client: str, provider: str) -> None:
    whole = Whole(body(provider, BEGUN))
    half = whole.encoded()[: len(whole.encoded()) // 2]
    matrix.upstream.default = [Head(headers=whole.headers), Chunk(half), Drop()]
    with pytest.raises(class_of(client, 502)):
        await ask(matrix.sdks, client, f"to-{provider}", stream=False)
    assert (await matrix.stand.gateway.row())["status"] == "error"
