"""A custom (freeform) tool, as coding agents use to apply patches, before every provider.

Where a provider knows functions only, one stands for it; the client never notices.
"""

from typing import Any

import pytest
from support.matrix import FORMATS, Matrix
from support.strict_responses import read_responses
from support.strict_streams import Answer, Tool, read_chat

from matrix.axes import PROVIDERS, STREAMS
from matrix.cases import Call, Case, Text
from matrix.providers import answering
from matrix.whole import answer_in

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATCH = '*** Begin Patch\n"ü" {a: 1}\n*** End'
CALLS = Case("calls", (Call("call_P1", "patch", {"input": PATCH}),), "tools")
DONE = Case("done", (Text("Done."),))
TOOL: dict[str, Any] = {"name": "patch", "description": "Apply.", "format": {"type": "text"}}
FUNCTION_SCHEMA = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
}
PROVIDERS_OF_FUNCTIONS = [each for each in FORMATS if each != "responses"]


def asking(client: str, *turns: Any) -> dict[str, Any]:
    user = {"role": "user", "content": "Fix it."}
    if client == "chat":
        choice: Any = {"type": "custom", "custom": {"name": "patch"}}
        tool: Any = {"type": "custom", "custom": TOOL}
        return {"messages": [user, *turns], "tools": [tool], "tool_choice": choice}
    choice = {"type": "custom", "name": "patch"}
    tool = {"type": "custom", **TOOL}
    item = {"type": "message", **user}
    return {"input": [item, *turns], "tools": [tool], "tool_choice": choice, "store": False}


def result(client: str) -> list[Any]:
    """The call, as its client gives it back, and what came of it."""
    if client == "chat":
        call = {"id": "call_P1", "type": "custom", "custom": {"name": "patch", "input": PATCH}}
        return [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_P1", "content": "patched"},
        ]
    call = {"type": "custom_tool_call", "call_id": "call_P1", "name": "patch", "input": PATCH}
    output = {"type": "custom_tool_call_output", "call_id": "call_P1", "output": "patched"}
    return [call, output]


async def heard(matrix: Matrix, client: str, provider: str, stream: bool) -> Answer:
    reply = await matrix.post(client, f"to-{provider}", asking(client), stream=stream)
    assert reply.status == 200, reply.text
    if not stream:
        return answer_in(client, reply.body, written=True)
    return read_chat(reply.body) if client == "chat" else read_responses(reply.body)


def declared(provider: str, sent: dict[str, Any]) -> tuple[str, Any]:
    """Name and schema of the one function."""
    if provider == "gemini":
        [function] = sent["tools"][0]["functionDeclarations"]
        return function["name"], function["parametersJsonSchema"]
    [tool] = sent["tools"]
    if provider == "messages":
        return tool["name"], tool["input_schema"]
    assert tool["type"] == "function"
    return tool["function"]["name"], tool["function"]["parameters"]


@STREAMS
@pytest.mark.parametrize("provider", PROVIDERS_OF_FUNCTIONS)
@pytest.mark.parametrize("client", ["chat", "responses"])
async def test_a_function_stands_for_a_custom_tool(
    matrix: Matrix, client: str, provider: str, stream: bool
) -> None:
    if client == provider:
        pytest.skip("passes as it is")
    matrix.upstream.default = answering(provider, CALLS, stream=stream)
    answer = await heard(matrix, client, provider, stream)
    assert answer.tools == [Tool("call_P1", "patch", PATCH, kind="custom")]
    assert answer.text == ""
    assert declared(provider, matrix.asked[0].json()) == ("patch", FUNCTION_SCHEMA)


@pytest.mark.parametrize("client", ["chat", "responses"])
@PROVIDERS
async def test_its_call_and_result_go_back_to_the_provider(
    matrix: Matrix, client: str, provider: str
) -> None:
    if client == provider:
        pytest.skip("passes as it is")
    matrix.upstream.default = answering(provider, DONE, stream=False)
    reply = await matrix.post(client, f"to-{provider}", asking(client, *result(client)))
    assert reply.status == 200, reply.text
    sent = matrix.asked[0]
    wrapped = '{"input":"*** Begin Patch' in sent.body.decode().replace("\\", "")
    assert wrapped == (provider != "responses")
    assert "patched" in sent.body.decode()
