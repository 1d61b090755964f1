"""Probabilities of an answer's tokens: what was asked of them, and how the two APIs of OpenAI write
them. Sources: OpenAI API reference, "The chat completion object" and "The response object";
translation rules §7 of the design notes."""

from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Raw, Struct, UnsetType

from plexus_proxy.formats import body as bodies
from plexus_proxy.formats.conversation import Conversation, Crossing
from plexus_proxy.formats.events import Likelihood, TokenLogprob

_NONE = (b"null", b"[]")


class _Top(Struct, frozen=True, gc=False):
    token: str
    logprob: float
    bytes: Sequence[int] | None = None


class _Token(Struct, frozen=True, gc=False):
    token: str
    logprob: float
    bytes: Sequence[int] | None = None
    top_logprobs: Sequence[_Top] | None = None


_TOKENS = msgspec.json.Decoder(list[_Token])


def asked(conversation: Conversation, crossing: Crossing, *, known: bool) -> tuple[bool, int]:
    """Whether the provider is to tell probabilities, and of how many other tokens at each place.
    What it is not told is lost: all of it unless its model is `known` to tell, and a number
    without the wish itself, which providers refuse."""
    wanted = bool(conversation.logprobs)
    if wanted and not known:
        conversation.lose("logprobs", crossing)
    if conversation.top_logprobs and not (wanted and known):
        conversation.lose("top_logprobs", crossing)
    return (True, conversation.top_logprobs or 0) if wanted and known else (False, 0)


def read_tokens(value: Raw | UnsetType) -> tuple[TokenLogprob, ...]:
    """None of what is absent, empty or of a shape we do not know."""
    if isinstance(value, UnsetType) or bytes(value) in _NONE:
        return ()
    return tuple(
        TokenLogprob(
            Likelihood(each.token, each.logprob, _octets(each.bytes)),
            tuple(
                Likelihood(top.token, top.logprob, _octets(top.bytes))
                for top in each.top_logprobs or ()
            ),
        )
        for each in bodies.known(_TOKENS, value) or ()
    )


def write_tokens(tokens: Iterable[TokenLogprob]) -> list[_Token]:
    """In the form of both APIs; octets that the provider did not tell are those of the text."""
    return [
        _Token(
            each.chosen.token,
            each.chosen.logprob,
            _told_octets(each.chosen),
            [_Top(top.token, top.logprob, _told_octets(top)) for top in each.top],
        )
        for each in tokens
    ]


def _octets(told: Sequence[int] | None) -> tuple[int, ...] | None:
    return None if told is None else tuple(told)


def _told_octets(each: Likelihood) -> Sequence[int]:
    return list(each.token.encode()) if each.octets is None else each.octets
