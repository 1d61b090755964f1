"""Whole Chat Completions answers, both ways. Source: OpenAI API reference, "The chat completion
object"; chat-completions.md §6 of the design notes."""

from collections.abc import Iterator, Sequence

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec.structs import replace

from plexus_proxy.formats import body as bodies
from plexus_proxy.formats import ids
from plexus_proxy.formats.chat.reasoning import read_reasoning, write_detail
from plexus_proxy.formats.chat.reasons import read_reason, write_reason
from plexus_proxy.formats.chat.types import ReasoningDetail
from plexus_proxy.formats.chat.usage import WireUsage, WrittenUsage, read_usage, write_usage
from plexus_proxy.formats.conversation import Crossing
from plexus_proxy.formats.events import Citation, Event
from plexus_proxy.formats.fold import Answer, Block, fold, unfold
from plexus_proxy.formats.refusals import error_of_answer

_encode = msgspec.json.Encoder().encode


class _Function(Struct, frozen=True):
    name: str = ""
    arguments: str | None = None


class _Custom(Struct, frozen=True):
    name: str = ""
    input: str = ""


class _ToolCall(Struct, frozen=True):
    id: str | None = None
    function: _Function | None = None
    custom: _Custom | None = None


class _UrlCitation(Struct, frozen=True):
    url: str = ""
    title: str | None = None
    start_index: int | None = None
    end_index: int | None = None


class _Annotation(Struct, frozen=True):
    url_citation: _UrlCitation | None = None


class _Part(Struct, frozen=True):
    """Of content that some servers send as a list."""

    text: str | UnsetType = UNSET


class _Message(Struct, frozen=True):
    content: str | list[_Part] | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None
    function_call: _Function | None = None
    annotations: list[_Annotation] | None = None
    reasoning_content: Raw | UnsetType = UNSET
    reasoning: Raw | UnsetType = UNSET
    reasoning_details: Raw | UnsetType = UNSET


class _Choice(Struct, frozen=True):
    message: _Message | None = None
    finish_reason: str | None = None


class _Completion(Struct, frozen=True):
    id: str | None = None
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: WireUsage | None = None


_COMPLETION = msgspec.json.Decoder(_Completion)


def read_response(body: bytes, crossing: Crossing) -> list[Event]:
    """See Format.read_response."""
    completion = bodies.decode_answer(_COMPLETION, body)
    choice = completion.choices[0] if completion.choices else _Choice()
    message = choice.message
    if message is None:
        raise error_of_answer(body)
    reason = read_reason(choice.finish_reason or "stop")
    answer = Answer(
        id=completion.id or "",
        model=completion.model or crossing.model,
        blocks=list(_blocks(message, crossing)),
        reason="refusal" if reason == "stop" and message.refusal else reason,
        stop_sequence=None,
        usage=read_usage(completion.usage) if completion.usage else None,
    )
    return unfold(answer)


def _blocks(message: _Message, crossing: Crossing) -> Iterator[Block]:
    for part in read_reasoning(message):
        opaque = part.opaque
        if opaque is not None:
            opaque = replace(opaque, issuer=crossing.provider, model=crossing.model)
        yield Block(kind="reasoning", text=part.text, opaque=opaque)
    if text := _text(message.content):
        citations = tuple(_citations(message.annotations or ()))
        yield Block(kind="text", text=text, citations=citations)
    if message.refusal:
        yield Block(kind="refusal", text=message.refusal)
    for call in message.tool_calls or ():
        if (block := _tool_block(call, crossing)) is not None:
            yield block
    if message.function_call and not message.tool_calls:
        yield _function_block("", message.function_call, crossing)


def _text(content: str | list[_Part] | None) -> str:
    if isinstance(content, list):
        return "".join(part.text for part in content if part.text is not UNSET)
    return content or ""


def _citations(annotations: Sequence[_Annotation]) -> Iterator[Citation]:
    for each in annotations:
        found = each.url_citation
        if found is not None and found.url:
            yield Citation(
                found.url, found.title or "", start=found.start_index, end=found.end_index
            )


def _tool_block(call: _ToolCall, crossing: Crossing) -> Block | None:
    if call.function is not None:
        return _function_block(call.id or "", call.function, crossing)
    custom = call.custom
    if custom is None:
        return None
    name = crossing.tool_names.get(custom.name, custom.name)
    return Block(kind="tool", text=custom.input, tool_id=call.id or "", tool_name=name, custom=True)


def _function_block(tool_id: str, function: _Function, crossing: Crossing) -> Block:
    name = crossing.tool_names.get(function.name, function.name)
    return Block(kind="tool", text=function.arguments or "", tool_id=tool_id, tool_name=name)


class _WrittenFunction(Struct, frozen=True):
    name: str
    arguments: str


class _WrittenCall(Struct, frozen=True, omit_defaults=True):
    id: str
    type: str
    function: _WrittenFunction | None = None
    custom: _Custom | None = None


class _WrittenCitation(Struct, frozen=True):
    start_index: int
    end_index: int
    title: str
    url: str


class WrittenAnnotation(Struct, frozen=True, tag="url_citation"):
    url_citation: _WrittenCitation


class _WrittenMessage(Struct, frozen=True):
    role: str
    content: str | None
    refusal: str | None
    annotations: list[WrittenAnnotation] | UnsetType = UNSET
    reasoning_content: str | UnsetType = UNSET
    reasoning_details: list[ReasoningDetail] | UnsetType = UNSET
    tool_calls: list[_WrittenCall] | UnsetType = UNSET
    function_call: _WrittenFunction | UnsetType = UNSET


class _WrittenChoice(Struct, frozen=True):
    index: int
    message: _WrittenMessage
    logprobs: None
    finish_reason: str


class _WrittenCompletion(Struct, frozen=True):
    id: str
    object: str
    created: int
    model: str
    choices: list[_WrittenChoice]
    usage: WrittenUsage


def write_response(events: Sequence[Event], crossing: Crossing) -> bytes:
    """See Format.write_response. Raises the error of a Failure among the events."""
    answer = fold(events)
    message = _message(answer, crossing)
    reason: str = write_reason(answer.reason)
    if message.function_call is not UNSET and reason == "tool_calls":
        reason = "function_call"
    return _encode(
        _WrittenCompletion(
            id=ids.completion_id(crossing),
            object="chat.completion",
            created=crossing.created_s,
            model=answer.model,
            choices=[_WrittenChoice(0, message, None, reason)],
            usage=write_usage(answer.usage_or_estimate(crossing)),
        )
    )


def _message(answer: Answer, crossing: Crossing) -> _WrittenMessage:
    text = "".join(block.text for block in answer.of("text"))
    refusal = "".join(block.text for block in answer.of("refusal"))
    thoughts = answer.of("reasoning") if crossing.show_reasoning else []
    calls = [
        _call(index, block, crossing)
        for index, block in enumerate(answer.blocks)
        if block.kind == "tool"
    ]
    function = UNSET
    if crossing.legacy_functions and calls:
        function, calls = calls[0].function or UNSET, []
    return _WrittenMessage(
        role="assistant",
        content=text if text or not (calls or refusal or function) else None,
        refusal=refusal or None,
        annotations=list(_annotations(answer)) or UNSET,
        reasoning_content="".join(block.text for block in thoughts) or UNSET,
        reasoning_details=(list(_details(answer)) if thoughts else None) or UNSET,
        tool_calls=calls or UNSET,
        function_call=function,
    )


def _details(answer: Answer) -> Iterator[ReasoningDetail]:
    index = offset = 0
    for block in answer.blocks:
        if block.kind == "text":
            offset += len(block.text)
        elif block.kind == "reasoning":
            if block.opaque is not None:
                yield write_detail(index, block.text, block.opaque, offset)
            index += 1


def _call(index: int, block: Block, crossing: Crossing) -> _WrittenCall:
    tool_id = block.tool_id or ids.tool_id(crossing, index)
    if block.custom:
        return _WrittenCall(tool_id, "custom", custom=_Custom(block.tool_name, block.text))
    function = _WrittenFunction(block.tool_name, block.text or "{}")
    return _WrittenCall(tool_id, "function", function)


def _annotations(answer: Answer) -> Iterator[WrittenAnnotation]:
    offset = 0
    for block in answer.of("text"):
        end = offset + len(block.text)
        for each in block.citations:
            yield write_annotation(each, offset, end)
        offset = end


def write_annotation(citation: Citation, offset: int, end: int) -> WrittenAnnotation:
    """A citation of the text block that reaches from `offset` to `end` of the joined text; its own
    offsets are counted there too."""
    return WrittenAnnotation(
        _WrittenCitation(
            offset if citation.start is None else offset + citation.start,
            end if citation.end is None else offset + citation.end,
            citation.title,
            citation.url,
        )
    )
