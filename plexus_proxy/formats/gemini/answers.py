"""Wire types of answers, whole or a chunk of a stream, as servers send them, and what is read from
them without state. Source: Gemini API reference, "GenerateContentResponse"."""

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from plexus_proxy.errors import Garbled, Refused
from plexus_proxy.formats import arguments
from plexus_proxy.formats import body as bodies
from plexus_proxy.formats.gemini.usage import WireUsage
from plexus_proxy.formats.lenient import Lenient
from plexus_proxy.formats.refusals import error_of_answer, read_refusal


class FunctionCall(Struct, frozen=True, gc=False):
    id: str | None = None
    name: str | None = None
    args: Raw | UnsetType = UNSET


class Part(Struct, frozen=True, gc=False, rename="camel"):
    """Of other kinds than these (images, executed code) nothing is read."""

    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: FunctionCall | None = None

    @property
    def is_empty(self) -> bool:
        """A text part that says nothing, as servers and gateways send to keep a stream alive."""
        return self.text == "" and not self.thought_signature and self.function_call is None

    @property
    def says_something(self) -> bool:
        """More than white space."""
        if self.text is None or self.function_call is not None or self.thought_signature:
            return True
        return bool(self.text.strip())

    @property
    def is_output(self) -> bool:
        """More than a thought or its state."""
        if self.function_call is not None:
            return True
        if self.text is None:
            return not (self.thought or self.thought_signature)
        return bool(self.text) and not self.thought


class Content(Struct, frozen=True, gc=False):
    parts: list[Part] | None = None


class Candidate(Struct, frozen=True, gc=False, rename="camel"):
    content: Content | None = None
    finish_reason: str | None = None
    finish_message: str | None = None
    index: int | None = None
    grounding_metadata: Raw | UnsetType = UNSET
    logprobs_result: Raw | UnsetType = UNSET


class PromptFeedback(Struct, frozen=True, gc=False, rename="camel"):
    block_reason: str | None = None


class Chunk(Struct, frozen=True, gc=False, rename="camel"):
    candidates: list[Candidate] | None = None
    usage_metadata: WireUsage | None = None
    model_version: str | None = None
    response_id: str | None = None
    prompt_feedback: PromptFeedback | None = None
    error: Raw | UnsetType = UNSET

    @property
    def block_reason(self) -> str | None:
        """Why the prompt was refused, if it was: then there are no candidates."""
        if self.candidates or self.prompt_feedback is None:
            return None
        return self.prompt_feedback.block_reason

    @property
    def is_error(self) -> bool:
        return self.error is not UNSET and bytes(self.error) not in _NO_ERROR


_NO_ERROR = (b"null", b"{}")
_CHUNK = Lenient(Chunk, whole=[WireUsage])
_LISTED = msgspec.json.Decoder(tuple[Raw])


def read_chunk(data: bytes) -> Chunk | None:
    """None for JSON of a shape we do not know, the future, and for the [DONE] of other formats.
    Some servers send an error in a list. Raises msgspec.DecodeError for what is no JSON."""
    found = _CHUNK.decode(data)
    if found is None and (listed := bodies.known(_LISTED, Raw(data))) is not None:
        return _CHUNK.known(listed[0])
    return found


def read_whole(body: bytes) -> Chunk:
    """A whole answer. Raises Garbled."""
    try:
        chunk = read_chunk(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Garbled(f"The provider's answer cannot be read: {error}") from error
    if chunk is None:
        raise Garbled("The provider's answer is of an unknown shape.")
    return chunk


def error_of_whole(chunk: Chunk, body: bytes) -> Refused | Garbled | None:
    """Why a whole answer is none, if it is none."""
    if chunk.is_error:
        return read_refusal(200, {}, body)
    if first_candidate(chunk) is None and not chunk.block_reason:
        return error_of_answer(body)
    return None


def first_candidate(chunk: Chunk) -> Candidate | None:
    """The candidate that answers are made of; others exist only if `candidateCount` asked."""
    for candidate in chunk.candidates or ():
        if not candidate.index:
            return candidate
    return None


def argument_text(call: FunctionCall) -> str:
    args = call.args
    return "" if args is UNSET or bytes(args) == b"null" else arguments.as_text(args)
