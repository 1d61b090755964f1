"""How wrong our count is, model by model, learned from what providers say.

A factor is what the tokens of our tokenizer must be multiplied with to get those of the model. It
is learned where both numbers come for free: a client that asks for a count sends, as a rule, the
same conversation a moment later, and the usage row of that request states the real number. So a
count leaves a note (`Factors.asked`), keyed by what a row says of its request (key, target, numbers
of messages and tools), and a row that fits the note within two minutes is a sample (`seen`).
Nothing is hashed, read or kept of any body; a row costs a look into a dictionary, which is empty
where nobody counts. Two counts that look alike but differ say nothing of either, so their note is
void. A count that the provider answered itself is not a sample: where it answers, no factor is
needed, and to count those requests too would start the helper process for nothing.

Mean and deviation are moving averages: of all samples at first, then of about the last twenty. A
sample far off the mean counts as one that is not so far; one beyond belief is dropped. Each process
learns for itself and forgets when it ends. Pure but for what the objects hold; time is an argument.
"""

from typing import TypeVar

from msgspec import Struct

from plexus_proxy.tokens.pictures import Family

K = TypeVar("K")
V = TypeVar("V")

MIN_SAMPLES = 5
"""Fewer are not acted upon."""
MAX_TARGETS = 1024
MAX_NOTES = 256
NOTE_S = 120.0
MIN_TEXT_TOKENS = 200
"""In less the overhead of the request drowns the text."""

_PRIOR: dict[Family, float] = {"openai": 1.0, "anthropic": 1.2, "gemini": 1.0}
"""Until we know better. Claude's tokenizers make more of the same text."""
_PRIOR_DEVIATION = 0.15
_LEAST, _MOST = 0.5, 2.5
"""Ratios beyond are of another conversation."""
_WEIGHT = 0.1
_FAR = 4
_MIN_DEVIATION = 0.02
_BAND = 2
"""Deviations to either side: where nearly all real numbers lie."""


class Factor(Struct, frozen=True, gc=False):
    """What to multiply text tokens with, how much it varies, and on how many samples it rests."""

    value: float
    deviation: float
    samples: int


class Estimate(Struct, frozen=True, gc=False):
    """A corrected count; the real number is expected between `low` and `high`."""

    tokens: int
    low: int
    high: int


def estimate(text_tokens: int, fixed: int, factor: Factor) -> Estimate:
    spread = _BAND * factor.deviation
    return Estimate(
        round(text_tokens * factor.value) + fixed,
        round(text_tokens * max(factor.value - spread, 0)) + fixed,
        round(text_tokens * (factor.value + spread)) + fixed,
    )


def learned(factor: Factor | None, ratio: float) -> Factor:
    """`factor` after one more sample."""
    if factor is None:
        return Factor(ratio, 0.0, 1)
    samples = factor.samples + 1
    weight = max(1 / samples, _WEIGHT)
    off = ratio - factor.value
    if factor.samples >= MIN_SAMPLES:
        far = _FAR * max(factor.deviation, _MIN_DEVIATION)
        off = min(max(off, -far), far)
    return Factor(
        factor.value + weight * off,
        factor.deviation + weight * (abs(off) - factor.deviation),
        samples,
    )


class Likeness(Struct, frozen=True, gc=False):
    """What a count and the row of a request have in common if they are of one conversation."""

    key_name: str
    provider: str
    model: str
    messages: int
    tools: int


class _Note(Struct, gc=False):
    text_tokens: int
    fixed: int
    at: float
    void: bool = False


class Factors:
    """Everything learned, and the counts that may teach more."""

    def __init__(self) -> None:
        self._factors: dict[tuple[str, str], Factor] = {}
        self._notes: dict[Likeness, _Note] = {}

    def of(self, provider: str, model: str, family: Family) -> Factor:
        found = self._factors.get((provider, model))
        if found is None or found.samples < MIN_SAMPLES:
            samples = found.samples if found is not None else 0
            return Factor(_PRIOR[family], _PRIOR_DEVIATION, samples)
        return found

    def asked(self, likeness: Likeness, text_tokens: int, fixed: int, now: float) -> None:
        """A count was made, before any factor."""
        before = self._notes.pop(likeness, None)
        note = _Note(text_tokens, fixed, now)
        if before is not None and now - before.at <= NOTE_S:
            same = (before.text_tokens, before.fixed) == (text_tokens, fixed)
            note.void = before.void or not same
        self._notes[likeness] = note
        _trim(self._notes, MAX_NOTES)

    @property
    def waiting(self) -> bool:
        """Whether any row could teach anything."""
        return bool(self._notes)

    def seen(self, likeness: Likeness, input_tokens: int, now: float) -> None:
        """A request ended whose provider stated its input tokens, cached ones included."""
        note = self._notes.get(likeness)
        if note is None:
            return
        if now - note.at > NOTE_S:
            del self._notes[likeness]
        elif not note.void:
            del self._notes[likeness]
            self._learn((likeness.provider, likeness.model), note, input_tokens)

    def _learn(self, target: tuple[str, str], note: _Note, input_tokens: int) -> None:
        if note.text_tokens < max(MIN_TEXT_TOKENS, note.fixed):
            return
        ratio = (input_tokens - note.fixed) / note.text_tokens
        if _LEAST <= ratio <= _MOST:
            self._factors[target] = learned(self._factors.pop(target, None), ratio)
            _trim(self._factors, MAX_TARGETS)


def _trim(found: dict[K, V], most: int) -> None:
    """Drop what was touched longest ago."""
    while len(found) > most:
        del found[next(iter(found))]
