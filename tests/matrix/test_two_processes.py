"""A tool loop with thinking whose steps come to different gateways on one database."""

import json
from typing import Any

import pytest
from support.gateway import Reply, Stand, StandBuilder, reply_of
from support.matrix import PATHS
from support.strict_provider import problems

from matrix.axes import STREAMS
from matrix.folded import whole_of
from matrix.providers import answering
from matrix.test_tool_loop import DONE, NATIVE, THINKS, follow_up, question, states_in


async def post(stand: Stand, client: str, alias: str, body: dict[str, Any], stream: bool) -> Reply:
    if client == "gemini":
        verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
        path, sent = f"/v1beta/models/{alias}:{verb}", body
    else:
        path, sent = PATHS[client], {"model": alias, **body, "stream": stream}
    headers = {"authorization": f"Bearer {stand.secrets.app}"}
    url = stand.gateway.url + path
    async with stand.gateway.session.post(url, json=sent, headers=headers) as response:
        return await reply_of(response)


@STREAMS
@pytest.mark.parametrize(
    ("client", "provider"),
    [("chat", "messages"), ("gemini", "messages"), ("messages", "gemini"), ("chat", "responses")],
)
async def test_another_process_has_the_thinking_too(
    matrix_builder: StandBuilder, client: str, provider: str, stream: bool
) -> None:
    """The client echoes only the call."""
    upstream = matrix_builder.providers["chat"]
    upstream.enqueue(*answering(provider, THINKS, stream=stream))
    upstream.enqueue(*answering(provider, DONE, stream=stream))
    first = question(client)
    async with matrix_builder.started() as one, matrix_builder.started() as two:
        reply = await post(one, client, f"to-{provider}", first, stream)
        answer = whole_of(client, reply.body) if stream else reply.json()
        second = follow_up(client, first, answer, echo=False)
        assert "_gw" in json.dumps(second)
        reply = await post(two, client, f"to-{provider}", second, stream)
        assert reply.status == 200, reply.text
    sent = upstream.requests[1].json()
    assert NATIVE[provider] in states_in(sent)
    assert "_gw" not in json.dumps(sent)
    assert problems(upstream.requests[1]) == []
