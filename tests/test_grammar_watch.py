"""The watch sees what clients get, and a broken stream does not pass it."""

import pytest
from support import grammar_watch
from support.answers import DONE, chat_delta
from support.fake_provider import Chunk, Head
from support.gateway import FORMATS, Stand, ask_body


@pytest.mark.parametrize("upstream", FORMATS)
@pytest.mark.parametrize("fmt", FORMATS)
async def test_a_stream_of_any_pair_is_judged(stand: Stand, fmt: str, upstream: str) -> None:
    before = len(grammar_watch.judged)
    await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=True))
    written = [] if fmt == upstream else [fmt]
    assert grammar_watch.judged[before:] == [*written, fmt]
    assert grammar_watch.broken == []


@pytest.mark.provider_breaks_grammar
async def test_a_broken_stream_is_found(stand: Stand) -> None:
    late = chat_delta({"content": "after the end"})
    frames = [chat_delta({"role": "assistant", "content": ""}), chat_delta({}, "stop"), late, DONE]
    stand.chat.enqueue(Head(), *map(Chunk, frames))
    await stand.gateway.ask("chat", ask_body("chat", "chat", stream=True))
    [found] = grammar_watch.broken
    assert "chat: AssertionError: a choice after the finish chunk" in found


@pytest.mark.parametrize("fmt", ["chat", "messages", "responses", "gemini", "unheard of"])
@pytest.mark.parametrize("stream", [b"", b"data: {}\n\n", b"[{}]"], ids=["empty", "sse", "array"])
def test_no_answer_is_a_broken_stream(fmt: str, stream: bytes) -> None:
    assert grammar_watch.problem_of(fmt, stream) is not None
