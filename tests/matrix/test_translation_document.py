"""docs/TRANSLATION.md says what a running gateway does, and no loss goes untold.

`pytest tests/matrix/test_translation_document.py --update-docs` rewrites it.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from support.fake_provider import Whole
from support.gateway import Reply
from support.matrix import FORMATS, Matrix

from matrix import maximal_answers, maximal_requests
from matrix.maximal_answers import AnswerFeature, answer_with, plain_answer
from matrix.maximal_requests import Feature, with_all, with_feature, without
from matrix.translation_document import (
    DONE_HERE,
    REASONS,
    Outcome,
    Pair,
    differences,
    document,
    shown,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

DOCUMENT = Path(__file__).parents[2] / "docs" / "TRANSLATION.md"
PAIRS = [(client, provider) for client in FORMATS for provider in FORMATS if client != provider]
ASKING: dict[str, dict[str, Any]] = {
    "chat": {},
    "messages": {},
    "responses": {"reasoning": {"summary": "auto"}},
    "gemini": {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}},
}
"""So that a client of the format is shown all that can be shown."""


async def ask(matrix: Matrix, client: str, provider: str, request: dict[str, Any]) -> Reply:
    matrix.upstream.default = [Whole(plain_answer(provider))]
    return await matrix.post(client, f"to-{provider}", request)


async def sent(
    matrix: Matrix, client: str, provider: str, request: dict[str, Any]
) -> tuple[Reply, Any]:
    """The reply, and what the provider was sent; {} if nothing."""
    before = len(matrix.asked)
    reply = await ask(matrix, client, provider, request)
    arrived = matrix.asked[before:]
    return reply, arrived[0].json() if arrived else {}


def dropped(reply: Reply) -> tuple[str, ...]:
    header = reply.headers.get("x-plexus-dropped", "")
    return tuple(header.split(", ")) if header else ()


def message_of(reply: Reply) -> str:
    return "" if reply.status == 200 else reply.json()["error"]["message"]


def told(before: Any, after: Any) -> tuple[str, ...]:
    return tuple(shown(path, value) for path, value in differences(before, after))


async def request_outcome(matrix: Matrix, client: str, provider: str, feature: Feature) -> Outcome:
    plain, before = await sent(matrix, client, provider, without(client, feature))
    assert plain.status == 200, plain.text
    reply, after = await sent(matrix, client, provider, with_feature(client, feature))
    known = dropped(plain)
    return Outcome(
        feature.name,
        reply.status,
        message_of(reply),
        tuple(each for each in dropped(reply) if each not in known),
        told(before, after) if reply.status == 200 else (),
    )


async def answer_outcome(
    matrix: Matrix, client: str, provider: str, feature: AnswerFeature
) -> Outcome:
    request = maximal_requests.request_of(client, ASKING[client])
    replies: list[Reply] = []
    for answer in (plain_answer(provider), answer_with(provider, feature)):
        matrix.upstream.default = [Whole(answer)]
        replies.append(await matrix.post(client, f"to-{provider}", request))
    plain, reply = replies
    assert plain.status == 200, plain.text
    arrived = () if reply.status != 200 else told(steady(plain), steady(reply))
    return Outcome(feature.name, reply.status, message_of(reply), (), arrived)


def steady(reply: Reply) -> Any:
    """The answer without what is different in every one."""
    own = reply.headers["x-request-id"].removeprefix("req_")
    text = re.sub(r'"(created|created_at|completed_at)":\d+', r'"\1":0', reply.text)
    return json.loads(text.replace(own, "…"))


async def pair_of(matrix: Matrix, client: str, provider: str) -> Pair:
    features = maximal_requests.FEATURES[client]
    request = [await request_outcome(matrix, client, provider, each) for each in features]
    answer = [
        await answer_outcome(matrix, client, provider, each)
        for each in maximal_answers.FEATURES[provider]
    ]
    taken = [
        feature
        for feature, outcome in zip(features, request, strict=True)
        if not outcome.is_refused
    ]
    reply = await ask(matrix, client, provider, with_all(client, taken))
    assert reply.status == 200, reply.text
    return Pair(client, provider, request, answer, dropped(reply))


async def test_the_document_says_what_a_gateway_does(matrix: Matrix, update_docs: bool) -> None:
    pairs = [await pair_of(matrix, *pair) for pair in PAIRS]
    silent = {
        (pair.client, each.feature) for pair in pairs for each in pair.request if each.is_silent
    }
    assert DONE_HERE.keys() - silent == set(), "nobody does it here"
    silent -= DONE_HERE.keys()
    assert silent - REASONS.keys() == set(), "lost without a word and without a reason"
    assert REASONS.keys() - silent == set(), "no longer lost without a word"
    for pair in pairs:
        known = words_of(pair.client)
        assert {each.split(".")[0] for each in pair.all_at_once} <= known, pair.title
    text = document(pairs)
    if update_docs:
        DOCUMENT.write_text(text, encoding="utf-8")
    assert DOCUMENT.read_text(encoding="utf-8") == text, "run it with --update-docs"


def words_of(client: str) -> set[str]:
    """All a client of the format can call a field; other names it would not understand."""
    names = (each.name for each in maximal_requests.FEATURES[client])
    return {word for name in names for word in re.findall(r"\w+", name)}


@pytest.mark.parametrize("fmt", FORMATS)
async def test_the_same_format_passes_as_it_is(matrix: Matrix, fmt: str) -> None:
    """Everything at once, in both directions; legal or not is between client and provider."""
    matrix.upstream.strict = None
    request = with_all(fmt, maximal_requests.FEATURES[fmt])
    for feature in maximal_answers.FEATURES[fmt]:
        answer = Whole(answer_with(fmt, feature))
        matrix.upstream.default = [answer]
        reply = await matrix.post(fmt, f"to-{fmt}", request)
        assert (reply.status, reply.body) == (200, answer.encoded())
        assert "x-plexus-dropped" not in reply.headers
    named = {"model": matrix.asked[0].json().get("model")} if fmt != "gemini" else {}
    assert matrix.asked[0].json() == {**request, **named}


async def test_differences_are_told_by_path() -> None:
    before = {"a": 1, "b": [1, {"c": 2}, 3], "d": {"e": 5}, "gone": 0}
    after = {"a": 1, "b": [1, {"c": 4}, 3], "d": {"e": 5, "f": 6}}
    assert told(before, after) == ("b[].c: 4", "d.f: 6", "no gone")
    assert told({"b": [1, 3]}, {"b": [1, 2, 3]}) == ("b[]: 2",)
    assert told({"b": [1, 2, 3]}, {"b": [1, 3]}) == ("no b[]",)
    assert told(before, before) == ()
    assert shown("x", "y" * 30) == 'x: "' + "y" * 23 + '…"'
