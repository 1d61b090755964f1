"""A whole answer, as its events and back, so that streamed and whole answers agree."""

from collections.abc import Callable, Sequence

from msgspec import Struct

from plexus_proxy.errors import Garbled
from plexus_proxy.formats.conversation import Crossing
from plexus_proxy.formats.events import (
    BlockEnd,
    BlockKind,
    BlockStart,
    Citation,
    CitationDelta,
    Event,
    Failure,
    Finish,
    FinishReason,
    Logprobs,
    Opaque,
    ReasoningDelta,
    ReasoningSignature,
    Search,
    Searched,
    Start,
    TextDelta,
    TokenLogprob,
    ToolInputDelta,
    Usage,
    UsageUpdate,
)

_CHARS_PER_TOKEN = 4


class Block(Struct, kw_only=True):
    """One block with all its deltas joined; `text` of a tool block is its input."""

    kind: BlockKind
    text: str = ""
    opaque: Opaque | None = None
    tool_id: str = ""
    tool_name: str = ""
    custom: bool = False
    citations: tuple[Citation, ...] = ()
    search: Search | None = None
    logprobs: list[TokenLogprob] = []


class Answer(Struct, kw_only=True):
    id: str
    model: str
    blocks: list[Block]
    reason: FinishReason
    stop_sequence: str | None
    usage: Usage | None

    def of(self, kind: BlockKind) -> list[Block]:
        return [block for block in self.blocks if block.kind == kind]

    def usage_or_estimate(self, crossing: Crossing) -> Usage:
        """Clients count on the numbers, also when the upstream gave none."""
        if self.usage is not None:
            return self.usage
        return estimated(sum(len(block.text) for block in self.blocks), crossing)


def estimated(output_chars: int, crossing: Crossing) -> Usage:
    """Usage for a client, of an answer whose provider stated none."""
    tokens = -(-output_chars // _CHARS_PER_TOKEN)
    return Usage(input_tokens=crossing.estimated_input_tokens, output_tokens=tokens)


def fold(events: Sequence[Event]) -> Answer:
    """Raises the error of a Failure, and Garbled if the answer has no beginning or no end."""
    start: Start | None = None
    finish: Finish | None = None
    usage: Usage | None = None
    blocks: dict[int, Block] = {}
    texts: dict[int, list[str]] = {}
    for event in events:
        match event:
            case TextDelta() | ReasoningDelta() | ToolInputDelta():
                texts[event.index].append(event.text)
            case BlockStart():
                texts[event.index] = []
                blocks[event.index] = Block(
                    kind=event.kind,
                    tool_id=event.tool_id,
                    tool_name=event.tool_name,
                    custom=event.custom,
                )
            case ReasoningSignature():
                blocks[event.index].opaque = event.opaque
            case CitationDelta():
                blocks[event.index].citations += (event.citation,)
            case Searched():
                blocks[event.index].search = event.search
            case Logprobs():
                blocks[event.index].logprobs += event.tokens
            case Start():
                start = event
                usage = event.usage
            case UsageUpdate():
                usage = event.usage
            case Finish():
                finish = event
            case Failure():
                raise event.error
            case BlockEnd() | _:
                pass
    if start is None or finish is None:
        raise Garbled("The provider's answer ended before it was complete.")
    for index, block in blocks.items():
        block.text = "".join(texts[index])
    ordered = [blocks[index] for index in sorted(blocks)]
    return Answer(
        id=start.id,
        model=start.model,
        blocks=ordered,
        reason=final_reason(finish.reason, any(block.kind == "tool" for block in ordered)),
        stop_sequence=finish.stop_sequence,
        usage=usage,
    )


def unfold(answer: Answer) -> list[Event]:
    """The events a stream of `answer` would have been."""
    events: list[Event] = [Start(answer.id, answer.model)]
    for index, block in enumerate(answer.blocks):
        start = BlockStart(index, block.kind, block.tool_id, block.tool_name, block.custom)
        events.append(start)
        if block.logprobs:
            events.append(Logprobs(index, tuple(block.logprobs)))
        if block.text:
            events.append(_DELTAS[block.kind](index, block.text))
        events += [CitationDelta(index, each) for each in block.citations]
        if block.search is not None:
            events.append(Searched(index, block.search))
        if block.opaque is not None:
            events.append(ReasoningSignature(index, block.opaque))
        events.append(BlockEnd(index))
    if answer.usage is not None:
        events.append(UsageUpdate(answer.usage))
    has_calls = any(block.kind == "tool" for block in answer.blocks)
    events.append(Finish(final_reason(answer.reason, has_calls), answer.stop_sequence))
    return events


_DELTAS: dict[BlockKind, Callable[[int, str], Event]] = {
    "text": TextDelta,
    "refusal": TextDelta,
    "reasoning": ReasoningDelta,
    "tool": ToolInputDelta,
}


def final_reason(reason: FinishReason, has_calls: bool) -> FinishReason:
    """A normal end with calls is tool_calls, whatever the upstream said; without, it never is."""
    if reason in ("stop", "tool_calls"):
        return "tool_calls" if has_calls else "stop"
    return reason
