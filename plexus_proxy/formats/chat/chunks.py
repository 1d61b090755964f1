"""Wire types of Chat Completions streams as servers send them, and what is read from them without
state. Source: OpenAI API reference, "The chat completion chunk object"; fields of compatible
servers are marked ext."""

from collections.abc import Iterator, Sequence

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from plexus_proxy.formats import body as bodies
from plexus_proxy.formats.chat.usage import WireUsage
from plexus_proxy.formats.events import Citation, TokenLogprob
from plexus_proxy.formats.lenient import Lenient
from plexus_proxy.formats.logprobs import read_tokens
from plexus_proxy.formats.sse import Frame


class Function(Struct, frozen=True, gc=False):
    """`arguments` is a piece of text; ext: the whole object."""

    name: str | None = None
    arguments: Raw | UnsetType = UNSET


class Custom(Struct, frozen=True, gc=False):
    name: str | None = None
    input: str | None = None


class ToolCall(Struct, frozen=True, gc=False):
    """A piece of a call; ext: without index, with the id or the name in every piece."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None
    custom: Custom | None = None
    extra_content: Raw | UnsetType = UNSET
    """ext: of Google's, beside the name."""


class UrlCitation(Struct, frozen=True, gc=False):
    url: str = ""
    title: str | None = None
    start_index: int | None = None
    end_index: int | None = None


class Annotation(Struct, frozen=True, gc=False):
    url_citation: UrlCitation | None = None


class Part(Struct, frozen=True, gc=False):
    """ext: of content that is sent as a list."""

    text: str | None = None


class Delta(Struct, frozen=True, gc=False):
    content: str | list[Part] | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: Function | None = None
    annotations: list[Annotation] | None = None
    reasoning_content: Raw | UnsetType = UNSET
    """ext, like the two below."""
    reasoning: Raw | UnsetType = UNSET
    reasoning_details: Raw | UnsetType = UNSET


class Logprobs(Struct, frozen=True, gc=False):
    content: Raw | UnsetType = UNSET


class Choice(Struct, frozen=True, gc=False):
    index: int | None = None
    delta: Delta | None = None
    finish_reason: str | None = None
    logprobs: Raw | UnsetType = UNSET
    usage: WireUsage | None = None
    """ext"""
    error: Raw | UnsetType = UNSET
    """ext: beside the finish reason "error"."""


class Elsewhere(Struct, frozen=True, gc=False):
    """ext: an object that holds the usage."""

    usage: WireUsage | None = None


class Chunk(Struct, frozen=True, gc=False):
    id: str | None = None
    object: str | None = None
    model: str | None = None
    choices: list[Choice] | None = None
    usage: WireUsage | None = None
    x_groq: Elsewhere | None = None
    error: Raw | UnsetType = UNSET
    """ext: an error inside the stream."""


DONE = b"[DONE]"
_NULL = b"null"
_NO_ERROR = (_NULL, b"{}", b"[]", b'""', b"false", b"0")
_CHUNK = Lenient(Chunk, whole=[WireUsage])
_LOGPROBS = msgspec.json.Decoder(Logprobs)
_STRING = msgspec.json.Decoder(str)


def read_chunk(data: bytes) -> Chunk | None:
    """None for JSON of a shape we do not know: the future. Raises msgspec.DecodeError for what is
    no JSON."""
    return _CHUNK.decode(data)


def is_error(chunk: Chunk, frame: Frame) -> bool:
    """An error of the provider instead of a piece of the answer. Servers that always send the
    field leave it empty, which the official clients take for none too."""
    if chunk.error is not UNSET and bytes(chunk.error) not in _NO_ERROR:
        return True
    return chunk.object == "error" or frame.event == "error"


def usage_of(chunk: Chunk) -> WireUsage | None:
    """From wherever the server put it; one without counts says nothing."""
    found = chunk.usage
    if found is None and chunk.x_groq is not None:
        found = chunk.x_groq.usage
    if found is None:
        for choice in chunk.choices or ():
            found = found or choice.usage
    return found if found is not None and found.has_counts else None


def first_choice(chunk: Chunk) -> Choice | None:
    """The choice that answers are made of; others exist only if `n` asked for them."""
    for choice in chunk.choices or ():
        if not choice.index:
            return choice
    return None


def text_of(content: str | Sequence[Part] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(part.text or "" for part in content)


def logprobs_of(value: Raw | UnsetType) -> tuple[TokenLogprob, ...]:
    """Of the tokens of the text."""
    if value is UNSET or bytes(value) == _NULL:
        return ()
    found = bodies.known(_LOGPROBS, value)
    return () if found is None else read_tokens(found.content)


def citations_of(annotations: Sequence[Annotation] | None) -> Iterator[Citation]:
    for each in annotations or ():
        found = each.url_citation
        if found is not None and found.url:
            yield Citation(
                found.url, found.title or "", start=found.start_index, end=found.end_index
            )


def argument_text(value: Raw | UnsetType) -> str:
    """A piece of arguments as text; a whole object is taken as it is written."""
    if value is UNSET:
        return ""
    written = bytes(value)
    if written.startswith(b'"'):
        return _STRING.decode(written)
    return "" if written == _NULL else written.decode()
