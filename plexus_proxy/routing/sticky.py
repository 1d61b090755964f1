"""Which conversation a request belongs to, and whose state it carries. Pure.

A conversation that stays with the target that served it last keeps its prompt cache there, and the
reasoning that only that target can read. What names it, first hit wins:

1. a header in which a client says its session: `SESSION_HEADERS`, in this order;
2. the body's `prompt_cache_key`;
3. what else in the body names one conversation: `previous_response_id`, `conversation`, the session
   that Claude Code puts into `metadata.user_id`, Gemini's `cachedContent`;
4. a hash of how it begins, see `formats/opening.py`.

A bare user id is none of these: all that a person does would go to one target. Nor is
`x-prompt-cache-isolation-key`, which parts caches and not conversations, nor a request id.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from plexus_proxy.formats import envelope
from plexus_proxy.formats.format import Call
from plexus_proxy.formats.opening import read_opening
from plexus_proxy.formats.signatures import holds_own_signature

SESSION_HEADERS = (
    "x-claude-code-session-id",
    "session_id",
    "session-id",
    "x-session-id",
    "x-session-affinity",
    "x-multi-turn-session-id",
)
SLOWER_TIMES = 3
SLOWER_MS = 3_000

_MARKS = (envelope.PREFIX, envelope.BASE64_PREFIX)
_MARK_BYTES = tuple(b'"' + mark.encode() for mark in _MARKS)
_ENVELOPE = re.compile(rb'"((?:%b)[^"\s]*)"' % b"|".join(re.escape(e.encode()) for e in _MARKS))


class Session(Struct, frozen=True, gc=False):
    """A conversation, as far as it can be told from others."""

    text: str
    """Its name, under which its target is to be noted."""
    prefers: bool
    """The request should go where the session was served last: the client named it, or the request
    holds an answer already. What begins a conversation may begin many: it is only noted."""
    opening: str | None = None
    """The name that the conversation had at its first turn, to look under if nothing is noted
    under `text` yet. Conversations that begin alike share it."""

    @property
    def names(self) -> tuple[str, ...]:
        """To look under, in this order."""
        return (self.text,) if self.opening is None else (self.text, self.opening)


def session_of(headers: Mapping[str, str], call: Call) -> Session | None:
    """The session of a request; `headers` are the client's, by lower-case name. None if there is
    nothing to tell it by."""
    for name in SESSION_HEADERS:
        value = headers.get(name)
        if value is not None and (value := value.strip()):
            return Session(value, True)
    if call.cache_key:
        return Session(call.cache_key, True)
    if call.conversation:
        return Session(call.conversation, True)
    opening = read_opening(call.body)
    question = opening.question and f"question:{opening.question}"
    if opening.exchange is not None:
        return Session(f"exchange:{opening.exchange}", True, question)
    return Session(question, False) if question else None


def carries_state(call: Call) -> bool:
    """Whether the request holds or names what only one provider can use, whose only the binding
    knows: it must follow that, whatever is preferred."""
    return holds_own_signature(call.body) if call.state is None else call.state


def pins_of(call: Call) -> Sequence[str]:
    """Ids of the providers whose reasoning the request carries in envelopes, newest first."""
    marks = call.marks
    if marks is not None and marks.body is call.body and not marks.envelopes:
        return ()
    if not any(mark in call.body for mark in _MARK_BYTES):
        return ()
    found = [
        envelope.issuer(match[1].replace(b"\\/", b"/").decode("ascii", "replace"))
        for match in _ENVELOPE.finditer(call.body)
    ]
    return tuple(dict.fromkeys(issuer for issuer in reversed(found) if issuer))


class Measured(Protocol):
    """How a target did lately."""

    @property
    def ttft_ms(self) -> float | None:
        """Average time to the first token; None: not known."""
        ...


def degraded(bound: Measured | None, others: Sequence[Measured | None]) -> bool:
    """Whether the target of a session has become so slow, against what else could serve it, that
    its prompt cache is not worth the wait."""
    if bound is None or bound.ttft_ms is None:
        return False
    known = [each.ttft_ms for each in others if each is not None and each.ttft_ms is not None]
    if not known:
        return False
    best = min(known)
    return bound.ttft_ms > SLOWER_TIMES * best and bound.ttft_ms - best > SLOWER_MS
