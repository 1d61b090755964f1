"""Whole Chat Completions answers, both ways. Source: OpenAI API reference, "The chat completion
object"; chat-completions.md §6 of the design notes."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec.structs import replace

from plexus_proxy.errors import Garbled
from plexus_proxy.formats import arguments, ids
from plexus_proxy.formats import body as bodies
from plexus_proxy.formats.chat import chunks
from plexus_proxy.formats.chat.errors import error_of_choice
from plexus_proxy.formats.chat.reasoning import (
    read_call_state,
    read_reasoning,
    write_call_state,
    write_detail,
)
from plexus_proxy.formats.chat.reasons import ERROR, read_reason, write_reason
from plexus_proxy.formats.chat.types import ReasoningDetail
from plexus_proxy.formats.chat.usage import WrittenUsage, known_usage, write_usage
from plexus_proxy.formats.conversation import Crossing
from plexus_proxy.formats.events import Citation, Event, Opaque, TokenLogprob
from plexus_proxy.formats.fold import Answer, Block, fold, unfold
from plexus_proxy.formats.lenient import Lenient
from plexus_proxy.formats.logprobs import write_tokens
from plexus_proxy.formats.refusals import error_of_answer

_encode = msgspec.json.Encoder().encode


class _Choice(Struct, frozen=True):
    """`message` has the fields of a delta."""

    index: int | None = None
    message: chunks.Delta | None = None
    finish_reason: str | None = None
    logprobs: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET
    """ext: beside the finish reason "error"."""


class _Completion(Struct, frozen=True):
    id: str | None = None
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: Raw | UnsetType = UNSET


_COMPLETION = Lenient(_Completion)


def read_response(body: bytes, crossing: Crossing) -> list[Event]:
    """See Format.read_response."""
    completion = _COMPLETION.answer(body)
    choices = completion.choices or [_Choice()]
    choice = next((each for each in choices if not each.index), choices[0])
    if choice.finish_reason == ERROR:
        raise error_of_choice(choice.error)
    message = choice.message
    if message is None:
        raise error_of_answer(body)
    reason = read_reason(choice.finish_reason or "stop")
    answer = Answer(
        id=completion.id or "",
        model=completion.model or crossing.model,
        blocks=_blocks(message, list(chunks.logprobs_of(choice.logprobs)), crossing),
        reason="refusal" if reason == "stop" and message.refusal else reason,
        stop_sequence=None,
        usage=known_usage(completion.usage),
    )
    return unfold(answer)


def _blocks(message: chunks.Delta, likely: list[TokenLogprob], crossing: Crossing) -> list[Block]:
    blocks = [_thought(part.text, part.opaque, crossing) for part in read_reasoning(message)]
    if text := chunks.text_of(message.content):
        citations = tuple(chunks.citations_of(message.annotations))
        blocks.append(Block(kind="text", text=text, citations=citations, logprobs=likely))
    if message.refusal:
        blocks.append(Block(kind="refusal", text=message.refusal))
    for call in message.tool_calls or ():
        if (state := read_call_state(call.extra_content)) is not None:
            is_open = blocks and blocks[-1].kind == "reasoning" and blocks[-1].opaque is None
            text = blocks.pop().text if is_open else ""
            blocks.append(_thought(text, state, crossing))
        blocks.append(_tool_block(call, crossing))
    if message.function_call and not message.tool_calls:
        blocks.append(_tool_block(chunks.ToolCall(function=message.function_call), crossing))
    return blocks


def _thought(text: str, state: Opaque | None, crossing: Crossing) -> Block:
    if state is not None:
        state = replace(state, issuer=crossing.provider, model=crossing.model)
    return Block(kind="reasoning", text=text, opaque=state)


def _tool_block(call: chunks.ToolCall, crossing: Crossing) -> Block:
    function, custom = call.function, call.custom
    name = (function or custom or chunks.Function()).name
    if not name:
        raise Garbled("The provider's answer calls a tool without naming it.")
    name = crossing.tool_names.get(name, name)
    text = chunks.argument_text(function.arguments) if function else ""
    if function is None and custom is not None:
        text = custom.input or ""
    elif name in crossing.custom_tools:
        text = arguments.unwrapped(text)
    return Block(
        kind="tool",
        text=text,
        tool_id=call.id or "",
        tool_name=name,
        custom=function is None or name in crossing.custom_tools,
    )


class _WrittenCustom(Struct, frozen=True):
    name: str
    input: str


class _WrittenFunction(Struct, frozen=True):
    name: str
    arguments: str


class _WrittenCall(Struct, frozen=True, omit_defaults=True):
    id: str
    type: str
    function: _WrittenFunction | None = None
    custom: _WrittenCustom | None = None
    extra_content: Raw | UnsetType = UNSET


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


class _WrittenLogprobs(Struct, frozen=True):
    content: Any
    refusal: None = None


class _WrittenChoice(Struct, frozen=True):
    index: int
    message: _WrittenMessage
    logprobs: Raw
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
    likely = [each for block in answer.of("text") for each in block.logprobs]
    reason: str = write_reason(answer.reason)
    if message.function_call is not UNSET and reason == "tool_calls":
        reason = "function_call"
    return _encode(
        _WrittenCompletion(
            id=ids.completion_id(crossing),
            object="chat.completion",
            created=crossing.created_s,
            model=answer.model,
            choices=[_WrittenChoice(0, message, write_logprobs(likely), reason)],
            usage=write_usage(answer.usage_or_estimate(crossing)),
        )
    )


def write_logprobs(tokens: Sequence[TokenLogprob]) -> Raw:
    """Of a choice; null if there are none."""
    return bodies.raw(_WrittenLogprobs(write_tokens(tokens)) if tokens else None)


def _message(answer: Answer, crossing: Crossing) -> _WrittenMessage:
    text = "".join(block.text for block in answer.of("text"))
    refusal = "".join(block.text for block in answer.of("refusal"))
    thoughts = answer.of("reasoning") if crossing.show_reasoning else []
    calls = list(_calls(answer, crossing))
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


def _calls(answer: Answer, crossing: Crossing) -> Iterator[_WrittenCall]:
    extra: Raw | UnsetType = UNSET
    for index, block in enumerate(answer.blocks):
        if block.kind == "reasoning" and block.opaque is not None:
            extra = write_call_state(block.opaque)
        elif block.kind == "tool":
            yield _call(block, block.tool_id or ids.tool_id(crossing, index), extra)
            extra = UNSET


def _call(block: Block, tool_id: str, extra: Raw | UnsetType) -> _WrittenCall:
    if block.custom:
        custom = _WrittenCustom(block.tool_name, block.text)
        return _WrittenCall(tool_id, "custom", custom=custom, extra_content=extra)
    function = _WrittenFunction(block.tool_name, block.text or "{}")
    return _WrittenCall(tool_id, "function", function, extra_content=extra)


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
    first, last = citation.span(end - offset)
    return WrittenAnnotation(
        _WrittenCitation(offset + first, offset + last, citation.title, citation.url)
    )
