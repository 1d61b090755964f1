"""Every client format in front of every provider format: what was asked is what is asked.

The official SDKs ask the running gateway. The provider's request is read back into the question,
after a strict judge of its format has passed it.
"""

from dataclasses import replace
from typing import cast

import pytest
from support.matrix import Matrix

from matrix.axes import CLIENTS, PROVIDERS, STREAMS
from matrix.cases import SEQUENCE, Case, End, Text
from matrix.clients import ask
from matrix.providers import answering
from matrix.questions import QUESTIONS, Paper, Piece, Question
from matrix.received import question_in

pytestmark = pytest.mark.asyncio(loop_scope="module")

STOP_FIELDS = {
    "chat": "stop",
    "messages": "stop_sequences",
    "gemini": "generationConfig.stopSequences",
}
"""How clients call it; Responses has no such field."""
NEEDED_TITLE = "document.pdf"
CANNOT_STOP = frozenset({"responses"})
"""Providers that take no stop sequences, so that the gateway watches for them."""


def can_ask(client: str, question: Question) -> bool:
    return client != "responses" or not question.stop


def arriving(question: Question, client: str, provider: str) -> Question:
    """The question, less what one of the formats cannot say."""
    if provider in CANNOT_STOP:
        question = replace(question, stop=())
    if client == "gemini":
        title = NEEDED_TITLE if provider in ("chat", "responses") else ""
        return _titled(question, title)
    return _titled(question, "") if provider == "gemini" else question


def _titled(question: Question, title: str) -> Question:
    """Gemini's documents have no names; OpenAI's must have one."""

    def renamed(piece: Piece) -> Piece:
        return replace(piece, title=title) if isinstance(piece, Paper) else piece

    turns = (replace(turn, says=tuple(map(renamed, turn.says))) for turn in question.turns)
    return replace(question, turns=tuple(turns))


@STREAMS
@PROVIDERS
@CLIENTS
@pytest.mark.parametrize("name", QUESTIONS)
async def test_what_a_client_asks_is_what_a_provider_is_asked(
    matrix: Matrix, client: str, provider: str, name: str, stream: bool
) -> None:
    question = QUESTIONS[name]
    if not can_ask(client, question):
        pytest.skip(f"{client} cannot ask it")
    said = Case(name, (Text('{"city":"Ölo","n":1}'),))
    matrix.upstream.default = answering(provider, said, stream=stream)
    heard = await ask(matrix.sdks, client, f"to-{provider}", question, stream=stream)
    assert (heard.text, heard.end) == ('{"city":"Ölo","n":1}', "stop")
    [received] = matrix.asked
    asked = question_in(provider, received.json())
    assert asked == arriving(question, client, provider)


@STREAMS
@PROVIDERS
@CLIENTS
async def test_an_answer_ends_at_a_stop_sequence(
    matrix: Matrix, client: str, provider: str, stream: bool
) -> None:
    """Where the provider cannot stop by itself, the gateway ends the answer."""
    question = QUESTIONS["stop sequence"]
    if not can_ask(client, question):
        pytest.skip(f"{client} cannot ask it")
    assert SEQUENCE in question.stop
    watched = provider in CANNOT_STOP and client != provider
    said, end = (f"One, two, {SEQUENCE} three", "stop") if watched else ("One, two, ", "sequence")
    case = Case("stop sequence", (Text(said),), cast("End", end))
    matrix.upstream.default = answering(provider, case, stream=stream)
    heard = await ask(matrix.sdks, client, f"to-{provider}", question, stream=stream)
    assert heard.text == "One, two, "
    told = client == "messages" and (watched or client == provider)
    assert heard.end == ("sequence" if told else "stop")
    assert STOP_FIELDS[client] not in (await matrix.stand.gateway.row())["dropped_fields"]
