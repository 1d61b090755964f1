"""Wire types of legacy Completions. Source: OpenAI API reference, "Create completion"
and "The completion object"."""

from typing import Literal

from msgspec import Struct

from plexus_proxy.formats.chat.types import StreamOptions
from plexus_proxy.formats.chat.usage import WrittenUsage
from plexus_proxy.formats.events import FinishReason

Prompt = str | list[str | int | list[int]]


class Request(Struct, frozen=True):
    """What is read of a request. Fields that are missing here are named as dropped."""

    model: str
    prompt: Prompt | None = None
    suffix: str | None = None
    echo: bool | None = None
    n: int | None = None
    best_of: int | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    """An extension of compatible servers."""
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop: str | list[str] | None = None
    user: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None


Reason = Literal["stop", "length", "content_filter"]

REASONS: dict[FinishReason, Reason] = {
    "stop": "stop",
    "tool_calls": "stop",
    "pause": "stop",
    "length": "length",
    "context_full": "length",
    "content_filter": "content_filter",
    "refusal": "content_filter",
}
"""There are no words for tools, which are never offered, and none for a refusal, whose text is
part of the answer's."""


class Kept(Struct, frozen=True):
    """What of a request its answer is written by."""

    repeated: str = ""
    """What the text of the answer begins with."""
    unfence: bool = False
    """A gap is filled: take off the code fence that a model may put around its answer."""


class Choice(Struct, frozen=True):
    text: str
    index: int = 0
    logprobs: None = None
    finish_reason: Reason | None = None


class Identity(Struct, frozen=True):
    """What a whole answer and all chunks of a stream begin with."""

    id: str
    object: str
    created: int
    model: str


class Completion(Identity, frozen=True):
    choices: list[Choice]
    usage: WrittenUsage
