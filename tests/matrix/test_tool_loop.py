"""A tool loop with thinking: whatever the client gives back, the provider gets its own state again.

The provider thinks, calls a tool and signs what it thought. The client sends the result, echoing
all it was given or, as many do, only the call. The strict part is the second request.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from support.matrix import FORMATS, Matrix
from support.strict_provider import ENCRYPTED, GEMINI_SIGNATURE, SIGNATURE

from matrix.axes import CLIENTS, PROVIDERS, STREAMS
from matrix.cases import WEATHER, Case, Text, Thought
from matrix.folded import whole_of
from matrix.providers import answering

pytestmark = pytest.mark.asyncio(loop_scope="module")

THINKS = Case("thinks", (Thought("Look it up."), WEATHER), "tools")
DONE = Case("done", (Text("4 degrees."),))


def question(client: str) -> dict[str, Any]:
    """The first request."""
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    match client:
        case "chat":
            tool: Any = {
                "type": "function",
                "function": {"name": "get_weather", "parameters": schema},
            }
            said: dict[str, Any] = {"messages": [{"role": "user", "content": "Weather?"}]}
        case "messages":
            tool = {"name": "get_weather", "input_schema": schema}
            said = {"messages": [{"role": "user", "content": "Weather?"}], "max_tokens": 9000}
            said["thinking"] = {"type": "adaptive"}
        case "responses":
            tool = {
                "type": "function",
                "name": "get_weather",
                "parameters": schema,
                "strict": False,
            }
            said = {"input": [{"role": "user", "content": "Weather?"}]}
            said |= {"store": False, "reasoning": {"effort": "low", "summary": "auto"}}
        case _:
            declared = {"name": "get_weather", "parametersJsonSchema": schema}
            return {
                "contents": [{"role": "user", "parts": [{"text": "Weather?"}]}],
                "tools": [{"functionDeclarations": [declared]}],
                "generationConfig": {"thinkingConfig": {"includeThoughts": True}},
            }
    return {"tools": [tool], **said}


def follow_up(
    client: str, first: dict[str, Any], answer: dict[str, Any], echo: bool
) -> dict[str, Any]:
    """The second request: the history with the answer, whole or bare, and the tool's result."""
    match client:
        case "chat":
            message = answer["choices"][0]["message"]
            if not echo:
                message = {name: message[name] for name in ("role", "content", "tool_calls")}
            call_id = message["tool_calls"][0]["id"]
            result = {"role": "tool", "tool_call_id": call_id, "content": '{"temp":4}'}
            return {**first, "messages": [*first["messages"], message, result]}
        case "messages":
            blocks = [each for each in answer["content"] if echo or each["type"] == "tool_use"]
            call_id = blocks[-1]["id"]
            result = {"type": "tool_result", "tool_use_id": call_id, "content": '{"temp":4}'}
            turns = [
                {"role": "assistant", "content": blocks},
                {"role": "user", "content": [result]},
            ]
            return {**first, "messages": [*first["messages"], *turns]}
        case "responses":
            items = [each for each in answer["output"] if echo or each["type"] == "function_call"]
            call_id = items[-1]["call_id"]
            result = {"type": "function_call_output", "call_id": call_id, "output": '{"temp":4}'}
            return {**first, "input": [*first["input"], *items, result]}
        case _:
            content = answer["candidates"][0]["content"]
            parts = content["parts"]
            if not echo:
                parts = [
                    {"functionCall": each["functionCall"]}
                    for each in parts
                    if "functionCall" in each
                ]
            call = next(each["functionCall"] for each in parts if "functionCall" in each)
            response = {"id": call["id"], "name": call["name"], "response": {"temp": 4}}
            turns = [
                {"role": "model", "parts": parts},
                {"role": "user", "parts": [{"functionResponse": response}]},
            ]
            return {**first, "contents": [*first["contents"], *turns]}


async def answered(
    matrix: Matrix, client: str, alias: str, request: dict[str, Any], *, stream: bool
) -> dict[str, Any]:
    """The whole answer, as the client keeps it."""
    reply = await matrix.post(client, alias, request, stream=stream)
    assert reply.status == 200, reply.text
    return whole_of(client, reply.body) if stream else reply.json()


def states_in(value: Any) -> Iterator[str]:
    """Every signature, encrypted content and the like anywhere in a request."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in ("signature", "encrypted_content", "thoughtSignature", "data"):
                yield str(inner)
            yield from states_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from states_in(inner)


NATIVE = {"messages": SIGNATURE, "responses": ENCRYPTED, "gemini": GEMINI_SIGNATURE}


@pytest.mark.parametrize("echo", [True, False], ids=["echoes all", "echoes the call"])
@STREAMS
@PROVIDERS
@CLIENTS
async def test_a_tool_loop_keeps_its_thinking(
    matrix: Matrix, client: str, provider: str, stream: bool, echo: bool
) -> None:
    if client == provider and not echo:
        pytest.skip("what a client of the provider's own format leaves out is its own choice")
    if client == provider:
        matrix.upstream.strict = None  # and so is what it echoes
    alias = f"to-{provider}"
    matrix.upstream.enqueue(*answering(provider, THINKS, stream=stream))
    matrix.upstream.enqueue(*answering(provider, DONE, stream=stream))
    first = question(client)
    answer = await answered(matrix, client, alias, first, stream=stream)
    second = follow_up(client, first, answer, echo)
    answer = await answered(matrix, client, alias, second, stream=stream)
    assert "4 degrees." in json.dumps(answer)
    sent = matrix.asked[1].json()
    states = list(states_in(sent))
    assert not any("gw1." in each for each in states)
    if provider in NATIVE:
        assert NATIVE[provider] in states
    else:  # it has no state, but wants to read what it thought
        assert "Look it up." in json.dumps(sent)
    arguments = json.dumps(WEATHER.arguments["n"])
    assert arguments in json.dumps(sent).replace("\\", "")


@STREAMS
@PROVIDERS
@CLIENTS
async def test_state_is_not_sent_to_another_provider(
    matrix: Matrix, client: str, provider: str, stream: bool
) -> None:
    """The loop goes on at the next format's provider: legal, and without the first one's state."""
    other = FORMATS[(FORMATS.index(provider) + 1) % len(FORMATS)]
    if client == other:
        matrix.upstream.strict = None  # the client's own words, whatever they are
    matrix.upstream.enqueue(*answering(provider, THINKS, stream=stream))
    matrix.upstream.enqueue(*answering(other, DONE, stream=stream))
    first = question(client)
    answer = await answered(matrix, client, f"to-{provider}", first, stream=stream)
    second = follow_up(client, first, answer, echo=True)
    answer = await answered(matrix, client, f"to-{other}", second, stream=stream)
    assert "4 degrees." in json.dumps(answer)
    if client != other:
        states = list(states_in(matrix.asked[1].json()))
        assert not {*NATIVE.values()} & {*states}
        assert not any("gw1." in each for each in states)
