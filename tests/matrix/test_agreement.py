"""Whole and streamed answers agree: the fold of the stream is the whole answer.

The same answer comes from a provider whole and as a stream, whichever it was asked for, and goes to
a client whole and as a stream: four ways, one answer.
"""

from dataclasses import replace
from typing import Any

import pytest
from support.matrix import Matrix
from support.strict_gemini_stream import read_gemini
from support.strict_responses import read_responses
from support.strict_streams import Answer, Tool, read_chat, read_messages

from matrix.axes import CLIENTS, PROVIDERS
from matrix.cases import CASES, Case
from matrix.providers import answering, says
from matrix.whole import answer_in

pytestmark = pytest.mark.asyncio(loop_scope="module")

REQUESTS: dict[str, dict[str, Any]] = {
    "chat": {"messages": [{"role": "user", "content": "?"}]},
    "messages": {"messages": [{"role": "user", "content": "?"}], "max_tokens": 1000},
    "responses": {"input": "?", "store": False, "reasoning": {"summary": "auto"}},
    "gemini": {
        "contents": [{"role": "user", "parts": [{"text": "?"}]}],
        "generationConfig": {"thinkingConfig": {"includeThoughts": True}},
    },
}
STREAM_READERS = {
    "messages": read_messages,
    "responses": read_responses,
    "gemini": read_gemini,
}


async def heard(matrix: Matrix, client: str, provider: str, *, stream: bool) -> Answer:
    body = REQUESTS[client]
    if stream and client == "chat":
        body = {**body, "stream_options": {"include_usage": True}}
    reply = await matrix.post(client, f"to-{provider}", body, stream=stream)
    assert reply.status == 200, reply.text
    assert reply.headers["content-type"].startswith(
        "text/event-stream" if stream else "application/json"
    )
    written = client != provider
    if not stream:
        return comparable(answer_in(client, reply.body, written=written))
    if client == "chat":
        return comparable(read_chat(reply.body, include_usage=True if written else None))
    return comparable(STREAM_READERS[client](reply.body))


def comparable(answer: Answer) -> Answer:
    """Without what only a stream has, zeros that may be left out, and the spelling of arguments."""
    usage = dict(answer.usage or {})
    if usage.get("output_tokens_details") == {"thinking_tokens": 0}:
        del usage["output_tokens_details"]
    tools = [Tool(each.id, each.name, repr(each.value)) for each in answer.tools]
    return replace(answer, tools=tools, usage=usage, first_usage=None)


@PROVIDERS
@CLIENTS
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.pitfall("B28", "B33")
async def test_a_stream_and_a_whole_answer_are_one(
    matrix: Matrix, client: str, provider: str, case: Case
) -> None:
    if not says(provider, case):
        pytest.skip(f"{provider} cannot say it")
    answers: dict[tuple[bool, bool], Answer] = {}
    for sent in (False, True):
        matrix.upstream.default = answering(provider, case, stream=sent)
        for asked in (False, True):
            answers[sent, asked] = await heard(matrix, client, provider, stream=asked)
    first = answers[False, False]
    assert len(first.tools) == len([each for each in case.says if hasattr(each, "arguments")])
    assert first.usage
    assert answers == dict.fromkeys(answers, first)
