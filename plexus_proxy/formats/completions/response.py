"""A canonical answer → a whole legacy completion. Source: OpenAI API reference, "The completion
object"."""

from collections.abc import Sequence

import msgspec
from msgspec import structs

from plexus_proxy.formats import ids
from plexus_proxy.formats.chat.usage import write_usage
from plexus_proxy.formats.completions.request import ECHO
from plexus_proxy.formats.completions.types import REASONS, Choice, Completion, Identity
from plexus_proxy.formats.conversation import Crossing
from plexus_proxy.formats.events import Event
from plexus_proxy.formats.fold import fold

_encode = msgspec.json.Encoder().encode
_STRING = msgspec.json.Decoder(str)


def write_response(events: Sequence[Event], crossing: Crossing) -> bytes:
    """See ClientFormat.write_response. Raises the error of a Failure among the events."""
    answer = fold(events)
    said = "".join(block.text for block in answer.blocks if block.kind in ("text", "refusal"))
    head = identity_of(crossing, answer.model)
    return _encode(
        Completion(
            *structs.astuple(head),
            choices=[Choice(echoed(crossing) + said, finish_reason=REASONS[answer.reason])],
            usage=write_usage(answer.usage_or_estimate(crossing)),
        )
    )


def echoed(crossing: Crossing) -> str:
    """What the text of the answer begins with: the prompt, if the client wants it repeated."""
    prompt = crossing.echo.get(ECHO)
    return _STRING.decode(prompt) if prompt is not None else ""


def identity_of(crossing: Crossing, model: str) -> Identity:
    completion_id = ids.text_completion_id(crossing)
    return Identity(completion_id, "text_completion", crossing.created_s, model or crossing.model)
