"""Reasoning in Chat Completions messages, an extension with several spellings.

`reasoning_content` or `reasoning` holds the text; `reasoning_details` repeats it piece by piece,
with the opaque state of each. Read is whichever a server or client kept, each text once. Google
puts the state of a call beside the call, in `extra_content.google.thought_signature`.
"""

from collections.abc import Iterator
from typing import Protocol

import msgspec
from msgspec import UNSET, Raw, UnsetType

from plexus_proxy.formats import body as bodies
from plexus_proxy.formats import envelope
from plexus_proxy.formats.chat.types import ExtraContent, GoogleContent, ReasoningDetail
from plexus_proxy.formats.conversation import Reasoning
from plexus_proxy.formats.events import Opaque
from plexus_proxy.formats.signatures import read_signature

DETAILS_FORMAT = "gateway-v1"

_STRING = msgspec.json.Decoder(str)
_DETAIL = msgspec.json.Decoder(ReasoningDetail)
_EXTRA = msgspec.json.Decoder(ExtraContent)


class Holder(Protocol):
    """A message or a delta."""

    @property
    def reasoning_content(self) -> Raw | UnsetType: ...
    @property
    def reasoning(self) -> Raw | UnsetType: ...
    @property
    def reasoning_details(self) -> Raw | UnsetType: ...


def read_reasoning(message: Holder) -> Iterator[Reasoning]:
    """The pieces in order. A lone detail without text belongs to the text beside it."""
    text = _text(message.reasoning_content) or _text(message.reasoning)
    details = list(_details(message.reasoning_details))
    told = any(each.text or each.summary for each in details)
    untold = [each for each in details if each.type == "reasoning.text" and not each.text]
    owner = untold[0] if len(untold) == 1 and not told else None
    if text and not told and owner is None:
        yield Reasoning(text=text)
    for each in details:
        own = text if each is owner else each.text or each.summary or ""
        opaque = _opaque(each)
        if own or opaque:
            yield Reasoning(text=own, opaque=opaque, text_offset=each.text_offset)


def write_detail(index: int, text: str, opaque: Opaque, text_offset: int) -> ReasoningDetail:
    """One piece with its state in an envelope, for a client to send back.

    `text_offset`: characters of the message's content that came before it."""
    state = envelope.pack(opaque)
    has_signature = opaque.kind == "sig"
    return ReasoningDetail(
        "reasoning.text" if has_signature else "reasoning.encrypted",
        index,
        text=text or None,
        signature=state if has_signature else None,
        data=None if has_signature else state,
        format=DETAILS_FORMAT if opaque.issuer else None,
        text_offset=text_offset,
    )


def read_call_state(extra_content: Raw | UnsetType) -> Opaque | None:
    """The state that came with a tool call; being an extension, no other content is refused."""
    found = None if extra_content is UNSET else bodies.known(_EXTRA, extra_content)
    return read_signature(found.google.thought_signature) if found and found.google else None


def write_call_state(opaque: Opaque) -> Raw | UnsetType:
    """The extra_content, for a client, of the first call after `opaque`, which is put into an
    envelope; none unless it is a call's state."""
    return google_content(envelope.pack(opaque)) if opaque.kind == "gsig" else UNSET


def google_content(signature: str) -> Raw:
    """The extra_content of a call that carries `signature`."""
    return bodies.raw(ExtraContent(GoogleContent(signature)))


def _text(value: Raw | UnsetType) -> str:
    if value is UNSET or not bytes(value).startswith(b'"'):
        return ""
    try:
        return bodies.parse(_STRING, value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


def _details(value: Raw | UnsetType) -> Iterator[ReasoningDetail]:
    """Details as far as we know their shape; being an extension, none is refused."""
    try:
        items = [] if value is UNSET else bodies.decode_items(value)
    except msgspec.DecodeError:
        return
    for each in items:
        try:
            yield bodies.parse(_DETAIL, each)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue


def _opaque(detail: ReasoningDetail) -> Opaque | None:
    """The state of a detail: in our envelope, or in the vendor's own form."""
    data = detail.signature or detail.data
    if not data:
        return None
    if envelope.is_envelope(data):
        return envelope.unpack(data)
    return Opaque("sig" if detail.signature else "enc", data, item_id=detail.id or "")
