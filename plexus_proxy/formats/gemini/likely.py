"""Probabilities of an answer's tokens: `logprobsResult` of a candidate. Source: Gemini API
reference, "LogprobsResult"."""

from collections.abc import Sequence

import msgspec
from msgspec import Raw, Struct

from plexus_proxy.formats import body as bodies
from plexus_proxy.formats.events import Likelihood, TokenLogprob


class _Token(Struct, frozen=True, gc=False, rename="camel"):
    token: str = ""
    log_probability: float = 0.0


class _Top(Struct, frozen=True, gc=False):
    candidates: Sequence[_Token] = ()


class WrittenLogprobs(Struct, frozen=True, gc=False, rename="camel"):
    """`top_candidates` has as many items as `chosen_candidates`."""

    chosen_candidates: Sequence[_Token] = ()
    top_candidates: Sequence[_Top] = ()


_RESULT = msgspec.json.Decoder(WrittenLogprobs)


def read_logprobs(result: Raw) -> tuple[TokenLogprob, ...]:
    """None of a shape we do not know."""
    found = bodies.known(_RESULT, result) or WrittenLogprobs()
    tops = found.top_candidates
    return tuple(
        TokenLogprob(
            _likelihood(each),
            tuple(map(_likelihood, tops[at].candidates)) if at < len(tops) else (),
        )
        for at, each in enumerate(found.chosen_candidates)
    )


def write_logprobs(tokens: Sequence[TokenLogprob]) -> WrittenLogprobs:
    return WrittenLogprobs(
        [_written(each.chosen) for each in tokens],
        [_Top([_written(top) for top in each.top]) for each in tokens],
    )


def _likelihood(each: _Token) -> Likelihood:
    return Likelihood(each.token, each.log_probability)


def _written(each: Likelihood) -> _Token:
    return _Token(each.token, each.logprob)
