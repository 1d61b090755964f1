"""A canonical answer → a whole legacy completion. Source: OpenAI API reference, "The completion
object"."""

from collections.abc import Sequence

import msgspec
from msgspec import structs

from plexus_proxy.formats import ids
from plexus_proxy.formats.chat.usage import write_usage
from plexus_proxy.formats.completions.fence import Unfenced
from plexus_proxy.formats.completions.request import KEPT
from plexus_proxy.formats.completions.types import REASONS, Choice, Completion, Identity, Kept
from plexus_proxy.formats.conversation import Crossing
from plexus_proxy.formats.events import Event
from plexus_proxy.formats.fold import fold

_encode = msgspec.json.Encoder().encode
_KEPT = msgspec.json.Decoder(Kept)


def write_response(events: Sequence[Event], crossing: Crossing) -> bytes:
    """See ClientFormat.write_response. Raises the error of a Failure among the events."""
    answer = fold(events)
    said = "".join(block.text for block in answer.blocks if block.kind in ("text", "refusal"))
    kept = kept_of(crossing)
    if kept.unfence:
        fences = Unfenced()
        said = fences.feed(said) + fences.close()
    head = identity_of(crossing, answer.model)
    return _encode(
        Completion(
            *structs.astuple(head),
            choices=[Choice(kept.repeated + said, finish_reason=REASONS[answer.reason])],
            usage=write_usage(answer.usage_or_estimate(crossing)),
        )
    )


def kept_of(crossing: Crossing) -> Kept:
    kept = crossing.echo.get(KEPT)
    return _KEPT.decode(kept) if kept is not None else Kept()


def identity_of(crossing: Crossing, model: str) -> Identity:
    completion_id = ids.text_completion_id(crossing)
    return Identity(completion_id, "text_completion", crossing.created_s, model or crossing.model)
