"""Whole Messages answers, both ways. Source: Anthropic API reference, "Create a Message",
returns; messages.md §6 of the design notes."""

from collections.abc import Iterator, Sequence

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from plexus_proxy.errors import Garbled
from plexus_proxy.formats import arguments, envelope, ids
from plexus_proxy.formats import body as bodies
from plexus_proxy.formats.conversation import Crossing
from plexus_proxy.formats.events import Citation, Event, Opaque
from plexus_proxy.formats.fold import Answer, Block, fold, unfold
from plexus_proxy.formats.lenient import Lenient
from plexus_proxy.formats.messages import types as wire
from plexus_proxy.formats.messages.reasons import read_reason, write_reason
from plexus_proxy.formats.messages.searches import (
    Searches,
    ToolResult,
    ToolUse,
    Trace,
    split,
    write_search,
)
from plexus_proxy.formats.messages.usage import WrittenUsage, known_usage, write_usage
from plexus_proxy.formats.refusals import error_of_answer
from plexus_proxy.formats.websearch import NAME as WEB_SEARCH

_encode = msgspec.json.Encoder().encode


class _Citation(Struct, frozen=True):
    url: str | None = None
    title: str | None = None
    cited_text: str | None = None


class _Block(Struct, frozen=True):
    """Any block of an answer; of other kinds than those below only `type` is looked at."""

    type: str
    text: str | None = None
    citations: list[_Citation] | None = None
    thinking: str | None = None
    signature: str | None = None
    data: Raw = Raw(b"null")
    id: str | None = None
    name: str | None = None
    input: Raw = Raw(b"{}")
    tool_use_id: str | None = None
    content: Raw = Raw(b"null")


class _Message(Struct, frozen=True):
    id: str | None = None
    model: str | None = None
    content: list[_Block] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: Raw | UnsetType = UNSET


_MESSAGE = Lenient(_Message)
_STRING = msgspec.json.Decoder(str)


def read_response(body: bytes, crossing: Crossing) -> list[Event]:
    """See Format.read_response."""
    message = _MESSAGE.answer(body)
    if message.content is None:
        raise error_of_answer(body)
    answer = Answer(
        id=message.id or "",
        model=message.model or crossing.model,
        blocks=list(_blocks(message.content, crossing)),
        reason=read_reason(message.stop_reason or "end_turn"),
        stop_sequence=message.stop_sequence,
        usage=known_usage(message.usage),
    )
    return unfold(answer)


def _blocks(content: Sequence[_Block], crossing: Crossing) -> Iterator[Block]:
    searches = Searches()
    for index, block in enumerate(content):
        match block.type:
            case "text":
                if block.text:
                    citations = tuple(_citations(block.citations or ()))
                    yield Block(kind="text", text=block.text, citations=citations)
            case "thinking":
                opaque = None
                if block.signature:
                    opaque = Opaque("sig", block.signature, crossing.provider, crossing.model)
                yield Block(kind="reasoning", text=block.thinking or "", opaque=opaque)
            case "redacted_thinking":
                data = bodies.decode_answer(_STRING, block.data)
                opaque = Opaque("redacted", data, crossing.provider, crossing.model)
                yield Block(kind="reasoning", opaque=opaque)
            case "tool_use":
                yield _tool_block(block, crossing)
            case "server_tool_use" if block.name == WEB_SEARCH:
                searches.called(index, block.id, block.input)
            case "web_search_tool_result":
                search = searches.found(block.tool_use_id, block.content)
                yield Block(kind="search", search=search)
            case _:
                pass  # other server tools and their results: no other format can say them


def _citations(citations: Sequence[_Citation]) -> Iterator[Citation]:
    """Those with a URL; places in documents cannot be said elsewhere."""
    for each in citations:
        if each.url:
            yield Citation(each.url, each.title or "", each.cited_text or "")


def _tool_block(block: _Block, crossing: Crossing) -> Block:
    if not block.name:
        raise Garbled("The provider's answer calls a tool without naming it.")
    name = crossing.tool_names.get(block.name, block.name)
    text = "" if bytes(block.input) == b"null" else arguments.as_text(block.input)
    custom = name in crossing.custom_tools
    return Block(
        kind="tool",
        text=arguments.unwrapped(text) if custom else text,
        tool_id=block.id or "",
        tool_name=name,
        custom=custom,
    )


class WrittenCitation(Struct, frozen=True, tag="web_search_result_location"):
    """`encrypted_index` belongs to Anthropic's own search; clients only demand that it is there."""

    url: str
    title: str
    encrypted_index: str
    cited_text: str


class _WrittenText(Struct, frozen=True, tag="text", omit_defaults=True):
    text: str
    citations: list[WrittenCitation] | None = None


_WrittenBlock = (
    _WrittenText
    | wire.ThinkingBlock
    | wire.RedactedThinkingBlock
    | wire.ToolUseBlock
    | ToolUse
    | ToolResult
)


class _WrittenMessage(Struct, frozen=True):
    id: str
    type: str
    role: str
    model: str
    content: list[_WrittenBlock]
    stop_reason: str
    stop_sequence: str | None
    usage: WrittenUsage


def write_response(events: Sequence[Event], crossing: Crossing) -> bytes:
    """See Format.write_response. Raises the error of a Failure among the events."""
    answer = fold(events)
    trace = Trace(crossing)
    content: list[_WrittenBlock] = []
    for index, block in enumerate(answer.blocks):
        content += _written(index, block, crossing)
        trace.cited(block.citations)
        if block.search is not None:
            trace.searched(block.search)
    content += trace.owed()
    return _encode(
        _WrittenMessage(
            id=ids.message_id(crossing),
            type="message",
            role="assistant",
            model=answer.model,
            content=content or [_WrittenText("")],
            stop_reason=write_reason(answer.reason, answer.stop_sequence),
            stop_sequence=answer.stop_sequence,
            usage=write_usage(answer.usage_or_estimate(crossing), trace.usage),
        )
    )


def _written(index: int, block: Block, crossing: Crossing) -> Iterator[_WrittenBlock]:
    match block.kind:
        case "text" | "refusal":
            for text, citations in split(block.text, block.citations) if block.text else ():
                yield _WrittenText(text, [write_citation(each) for each in citations] or None)
        case "reasoning":
            if (thinking := _thinking(block, crossing)) is not None:
                yield thinking
        case "search":
            if block.search is not None:
                yield from write_search(block.search, crossing, index)
        case "tool":
            yield wire.ToolUseBlock(
                id=block.tool_id or ids.tool_id(crossing, index),
                name=block.tool_name,
                input=arguments.as_object(block.text),
            )


def write_citation(citation: Citation) -> WrittenCitation:
    return WrittenCitation(citation.url, citation.title, "", citation.cited_text)


def _thinking(
    block: Block, crossing: Crossing
) -> wire.ThinkingBlock | wire.RedactedThinkingBlock | None:
    """A block for the client to send back; without state the signature is empty, as its schema
    demands one."""
    text = block.text if crossing.show_reasoning else ""
    if block.opaque is None:
        return wire.ThinkingBlock(text) if text else None
    state = envelope.pack(block.opaque)
    if block.opaque.kind == "redacted":
        return wire.RedactedThinkingBlock(state)
    return wire.ThinkingBlock(text, state)
