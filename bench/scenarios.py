"""What is measured: each scenario is one kind of request under one kind of load."""

import json
from dataclasses import dataclass
from itertools import permutations
from typing import Any

TURNS = 20
TOOLS = 30


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """`model` is the mock's: `mock-NxD` streams N chunks, D ms apart."""

    title: str
    path: str = "/v1/chat/completions"
    """@MODEL@ stands for the model a client asks for."""
    body: str = "chat"
    model: str = "mock-200x0"
    provider: str = "chat"
    """The format it is translated to, if it differs from the path's."""
    concurrency: int = 16
    requests: int = 0
    """0: as many as fit into the run's duration."""
    chunks: int = 0
    """Of each stream; 0: not streamed."""
    repeats: bool = False
    """The end of a stream tells them once more."""
    status: int = 200
    expect: str = ""
    """What each answer, or the end of each stream, must hold."""
    wrong_key: bool = False
    latency: bool = False
    """What counts is the time that is added to a direct request."""
    connections_per_s: int = 5000
    patience_s: int = 30
    target: float | None = None
    """The most CPU it may take, as a multiple of the bare proxy's in the same run."""
    peak_mb: int | None = None


DONE = "[DONE]"
PATHS = {
    "chat": "/v1/chat/completions",
    "messages": "/v1/messages",
    "responses": "/v1/responses",
    "gemini": "/v1beta/models/@MODEL@:streamGenerateContent?alt=sse",
}
ENDS = {
    "chat": DONE,
    "messages": "message_stop",
    "responses": "total_tokens",
    "gemini": '"STOP"',
}
FORMATS = tuple(PATHS)


def _translated() -> dict[str, Scenario]:
    """Every pair of formats, the client's first. The bare proxy passes the client's own."""
    pairs = permutations(FORMATS, 2)
    return {
        f"T{number}": Scenario(
            title=f"{client} → {provider}, translated, 200 chunks, 8 at a time",
            path=PATHS[client],
            body=f"{client} stream",
            provider=provider,
            chunks=200,
            repeats=client == "responses",
            concurrency=8,
            expect=ENDS[client],
            target=2.0,
        )
        for number, (client, provider) in enumerate(pairs, 1)
    }


SCENARIOS = {
    "S1": Scenario(title="chat → chat, whole answers, 16 at a time", expect="mock-ok", target=1.6),
    "S2": Scenario(
        title="chat → chat, 200 chunks at full speed, 8 at a time",
        body="chat stream",
        chunks=200,
        concurrency=8,
        expect=DONE,
    ),
    "S2p": Scenario(
        title="chat → chat, 200 streams of 200 chunks, 20 ms apart",
        body="chat stream",
        model="mock-200x20",
        chunks=200,
        concurrency=200,
        requests=200,
        connections_per_s=1000,
        patience_s=40,
        expect=DONE,
        target=1.3,
    ),
    **_translated(),
    "S5": Scenario(
        title="chat → chat, 200 KB prompt with 30 tools, 8 at a time",
        body="large",
        concurrency=8,
        expect="mock-ok",
        target=1.6,
    ),
    "S7a": Scenario(title="wrong key, 16 at a time", status=401, wrong_key=True, target=2.5),
    "S7b": Scenario(title="unknown path, 16 at a time", status=404, path="/v1/no/such/path"),
    "L1": Scenario(
        title="added latency, whole answers, one at a time",
        concurrency=1,
        requests=400,
        expect="mock-ok",
        latency=True,
    ),
    "L2": Scenario(
        title="added time to the first chunk, streams, one at a time",
        body="chat stream",
        model="mock-20x5",
        chunks=20,
        concurrency=1,
        requests=60,
        expect=DONE,
        latency=True,
    ),
    "S6": Scenario(
        title="1,000 open streams of 200 chunks, 20 ms apart",
        body="chat stream",
        model="mock-200x20",
        chunks=200,
        concurrency=1000,
        requests=1000,
        connections_per_s=1000,
        patience_s=75,
        expect=DONE,
        peak_mb=150,
    ),
}
LATENCY_TARGET_MS = 1.0
"""Added p99 beyond the bare proxy's, one request at a time."""


def body_of(kind: str, model: str) -> bytes:
    """The request body of a scenario."""
    question = {"role": "user", "content": "Say hello in one short sentence, please."}
    system = {"role": "system", "content": "You are a helpful assistant."}
    body: dict[str, Any] = {"model": model, "messages": [system, question], "max_tokens": 400}
    if kind == "chat stream":
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    elif kind == "messages stream":
        body |= {"system": system["content"], "messages": [question], "stream": True}
    elif kind == "responses stream":
        body = {"model": model, "input": [system, question], "max_output_tokens": 400}
        body |= {"stream": True}
    elif kind == "gemini stream":
        body = {
            "systemInstruction": {"parts": [{"text": system["content"]}]},
            "contents": [{"role": "user", "parts": [{"text": question["content"]}]}],
            "generationConfig": {"maxOutputTokens": 400},
        }
    elif kind == "large":
        body |= {"messages": [system, *_history(), question], "tools": _tools()}
    return json.dumps(body, ensure_ascii=False).encode()


def _history() -> list[dict[str, str]]:
    paragraph = (
        'The quick brown fox jumps over the lazy dog; "quoted text" with\nnewlines, tabs\tand '
        "some café ✓ unicode. "
    )
    turns: list[dict[str, str]] = []
    for number in range(TURNS):
        turns.append({"role": "user", "content": f"Turn {number}. " + paragraph * 45})
        turns.append({"role": "assistant", "content": f"Reply {number}. " + paragraph * 45})
    return turns


def _tools() -> list[dict[str, Any]]:
    properties = {
        "path": {"type": "string", "description": "Absolute path of the file to act on"},
        "count": {"type": "integer", "description": "How many"},
        "mode": {"type": "string", "enum": ["fast", "slow", "auto"]},
    }
    schema = {"type": "object", "properties": properties, "required": ["path"]}
    return [
        {
            "type": "function",
            "function": {
                "name": f"tool_{number:02d}",
                "description": "Does something useful with its arguments. " * 5,
                "parameters": schema,
            },
        }
        for number in range(TOOLS)
    ]
