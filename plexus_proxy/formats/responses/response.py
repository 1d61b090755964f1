"""Whole Responses answers, both ways. Source: OpenAI API reference, "The response object";
responses.md §6 of the design notes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from plexus_proxy.formats import envelope, ids
from plexus_proxy.formats.conversation import Crossing
from plexus_proxy.formats.events import Citation, Event, Opaque
from plexus_proxy.formats.fold import Answer, Block, fold, unfold
from plexus_proxy.formats.lenient import Lenient
from plexus_proxy.formats.logprobs import read_tokens, write_tokens
from plexus_proxy.formats.refusals import error_of_answer
from plexus_proxy.formats.responses import events as wire
from plexus_proxy.formats.responses.errors import ResponseError
from plexus_proxy.formats.responses.reasons import End, read_reason, write_end
from plexus_proxy.formats.responses.searches import WrittenSearch, read_search, write_search
from plexus_proxy.formats.responses.usage import WrittenUsage, known_usage, write_usage

_encode = msgspec.json.Encoder().encode
_RESPONSE = Lenient(wire.Response)
PARAGRAPH = "\n\n"
"""Stands between the pieces of a summary that become one text."""


def read_response(body: bytes, crossing: Crossing) -> list[Event]:
    """See Format.read_response."""
    response = _RESPONSE.answer(body)
    if response.output is None or response.status in ("failed", "cancelled"):
        raise error_of_answer(body)
    incomplete = response.incomplete_details
    blocks = [block for item in response.output for block in read_item(item, crossing)]
    reason = read_reason(incomplete.reason if incomplete else None)
    refused = reason == "stop" and any(block.kind == "refusal" for block in blocks)
    return unfold(
        Answer(
            id=response.id or "",
            model=response.model or crossing.model,
            blocks=blocks,
            reason="refusal" if refused else reason,
            stop_sequence=None,
            usage=known_usage(response.usage),
        )
    )


def read_item(item: wire.Item, crossing: Crossing) -> Iterator[Block]:
    """The blocks of one output item; hosted tools have none, but for searches."""
    match item.type:
        case "reasoning":
            yield Block(
                kind="reasoning",
                text=PARAGRAPH.join(
                    piece.text for piece in item.summary or item.content or () if piece.text
                ),
                opaque=read_state(item, crossing),
            )
        case "message":
            for part in item.content or ():
                if part.refusal:
                    yield Block(kind="refusal", text=part.refusal)
                elif part.text:
                    found = (read_citation(each) for each in part.annotations or ())
                    citations = tuple(each for each in found if each is not None)
                    likely = list(read_tokens(part.logprobs))
                    yield Block(kind="text", text=part.text, citations=citations, logprobs=likely)
        case "function_call" | "custom_tool_call":
            name = item.name or ""
            yield Block(
                kind="tool",
                text=item.input or item.arguments or "",
                tool_id=item.call_id or "",
                tool_name=crossing.tool_names.get(name, name),
                custom=item.type == "custom_tool_call",
            )
        case "web_search_call":
            if (search := read_search(item)) is not None:
                yield Block(kind="search", search=search)
        case _:
            pass


def read_state(item: wire.Item, crossing: Crossing) -> Opaque | None:
    """The encrypted content of a reasoning item."""
    if not item.encrypted_content:
        return None
    return Opaque("enc", item.encrypted_content, crossing.provider, crossing.model, item.id or "")


def read_citation(annotation: wire.Annotation) -> Citation | None:
    """Those with a URL; files cannot be said elsewhere."""
    if not annotation.url:
        return None
    return Citation(
        annotation.url,
        annotation.title or "",
        start=annotation.start_index,
        end=annotation.end_index,
    )


class WrittenAnnotation(Struct, frozen=True, tag="url_citation"):
    start_index: int
    end_index: int
    url: str
    title: str


class WrittenText(Struct, frozen=True, tag="output_text"):
    text: str
    annotations: list[WrittenAnnotation] = []
    logprobs: Sequence[Any] = ()


class WrittenRefusal(Struct, frozen=True, tag="refusal"):
    refusal: str


class WrittenMessage(Struct, frozen=True, tag="message"):
    id: str
    status: str
    content: list[WrittenText | WrittenRefusal]
    role: str = "assistant"


class WrittenSummary(Struct, frozen=True, tag="summary_text"):
    text: str


class WrittenReasoning(Struct, frozen=True, tag="reasoning"):
    id: str
    summary: list[WrittenSummary]
    encrypted_content: str | UnsetType = UNSET


class WrittenCall(Struct, frozen=True, tag="function_call"):
    id: str
    status: str
    call_id: str
    name: str
    arguments: str


class WrittenCustomCall(Struct, frozen=True, tag="custom_tool_call"):
    id: str
    status: str
    call_id: str
    name: str
    input: str


WrittenItem = WrittenMessage | WrittenReasoning | WrittenCall | WrittenCustomCall | WrittenSearch


class _Incomplete(Struct, frozen=True):
    reason: str


class WrittenResponse(Struct, frozen=True, kw_only=True):
    """A response object; what the client asked for is repeated in it."""

    id: str
    object: str = "response"
    created_at: int
    status: str
    background: bool = False
    error: ResponseError | None = None
    incomplete_details: _Incomplete | None = None
    instructions: Raw
    max_output_tokens: Raw
    max_tool_calls: Raw
    metadata: Raw
    model: str
    output: Sequence[WrittenItem]
    parallel_tool_calls: Raw
    previous_response_id: None = None
    prompt_cache_key: Raw
    reasoning: Raw
    safety_identifier: Raw
    service_tier: Raw
    store: bool = False
    temperature: Raw
    text: Raw
    tool_choice: Raw
    tools: Raw
    top_logprobs: Raw
    top_p: Raw
    truncation: Raw
    usage: WrittenUsage | None = None
    user: Raw


_NULL = Raw(b"null")
_DEFAULTS: Mapping[str, Raw] = {
    "instructions": _NULL,
    "max_output_tokens": _NULL,
    "max_tool_calls": _NULL,
    "metadata": Raw(b"{}"),
    "parallel_tool_calls": Raw(b"true"),
    "prompt_cache_key": _NULL,
    "reasoning": Raw(b'{"effort":null,"summary":null}'),
    "safety_identifier": _NULL,
    "service_tier": Raw(b'"default"'),
    "temperature": Raw(b"1.0"),
    "text": Raw(b'{"format":{"type":"text"}}'),
    "tool_choice": Raw(b'"auto"'),
    "tools": Raw(b"[]"),
    "top_logprobs": Raw(b"0"),
    "top_p": Raw(b"1.0"),
    "truncation": Raw(b'"disabled"'),
    "user": _NULL,
}


def response_object(
    crossing: Crossing,
    model: str,
    status: str,
    output: Sequence[WrittenItem] = (),
    *,
    incomplete: str | None = None,
    usage: WrittenUsage | None = None,
    error: ResponseError | None = None,
) -> WrittenResponse:
    echoed: dict[str, Any] = {**_DEFAULTS, **crossing.echo}
    return WrittenResponse(
        id=ids.response_id(crossing),
        created_at=crossing.created_s,
        status=status,
        error=error,
        incomplete_details=_Incomplete(incomplete) if incomplete else None,
        model=model,
        output=output,
        usage=usage,
        **echoed,
    )


def write_response(events: Sequence[Event], crossing: Crossing) -> bytes:
    """See Format.write_response. Raises the error of a Failure among the events."""
    answer = fold(events)
    end = write_end(answer.reason)
    return _encode(
        response_object(
            crossing,
            answer.model,
            end.status,
            list(_items(answer, crossing, end)),
            incomplete=end.incomplete,
            usage=write_usage(answer.usage_or_estimate(crossing)),
        )
    )


def _items(answer: Answer, crossing: Crossing, end: End) -> Iterator[WrittenItem]:
    """One item per block, but neighbouring texts share a message; only the last may be cut."""
    number = 0
    parts: list[WrittenText | WrittenRefusal] = []
    blocks = [block for block in answer.blocks if _is_written(block, crossing)]
    for index, block in enumerate(blocks):
        is_last = index == len(blocks) - 1
        status = end.status if is_last else "completed"
        if block.kind in ("text", "refusal"):
            parts.append(_part(block))
            if is_last or blocks[index + 1].kind not in ("text", "refusal"):
                yield WrittenMessage(ids.item_id(crossing, "msg", number), status, parts)
                parts = []
                number += 1
            continue
        if block.kind == "reasoning":
            yield write_reasoning(block, crossing, number)
        elif block.search is not None:
            yield write_search(block.search, crossing, number)
        else:
            yield write_call(block, crossing, number, status)
        number += 1


def _is_written(block: Block, crossing: Crossing) -> bool:
    """Blocks without any content leave no item."""
    if block.kind == "reasoning":
        return block.opaque is not None or bool(block.text and crossing.show_reasoning)
    return block.kind == "tool" or bool(block.text or block.search)


def _part(block: Block) -> WrittenText | WrittenRefusal:
    if block.kind == "refusal":
        return WrittenRefusal(block.text)
    return WrittenText(
        block.text,
        write_annotations(block.citations, len(block.text)),
        write_tokens(block.logprobs),
    )


def write_annotations(citations: Iterable[Citation], length: int) -> list[WrittenAnnotation]:
    return [WrittenAnnotation(*each.span(length), each.url, each.title) for each in citations]


def write_reasoning(block: Block, crossing: Crossing, number: int) -> WrittenReasoning:
    shown = block.text if crossing.show_reasoning else ""
    return WrittenReasoning(
        ids.item_id(crossing, "rs", number),
        [WrittenSummary(shown)] if shown else [],
        UNSET if block.opaque is None else envelope.pack(block.opaque),
    )


def write_call(
    block: Block, crossing: Crossing, number: int, status: str
) -> WrittenCall | WrittenCustomCall:
    call_id = block.tool_id or ids.tool_id(crossing, number)
    if block.custom:
        return WrittenCustomCall(
            ids.item_id(crossing, "ctc", number), status, call_id, block.tool_name, block.text
        )
    return WrittenCall(
        ids.item_id(crossing, "fc", number), status, call_id, block.tool_name, block.text or "{}"
    )
