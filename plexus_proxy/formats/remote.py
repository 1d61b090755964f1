"""Media that a request names by URL, for providers that take only the content itself.

The gateway fetches what `remote_urls` names and hands it back to `with_fetched`. Pure.
"""

import base64
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from msgspec.structs import replace

from plexus_proxy.errors import BadRequest
from plexus_proxy.formats import media
from plexus_proxy.formats.conversation import Conversation, Document, Image, Part, ToolResult

MediaKind = Literal["image", "document"]

_SCHEMES = ("http://", "https://")
_KNOWN = {
    "image": ("image/png", "image/jpeg", "image/gif", "image/webp", "image/heic", "image/heif"),
    "document": ("application/pdf",),
}


def remote_urls(conversation: Conversation, kinds: Iterable[MediaKind]) -> list[str]:
    """Each URL of an image or document of `kinds`, once, in order."""
    wanted = frozenset(kinds)
    if not wanted:
        return []
    found = (
        part.url
        for turn in conversation.turns
        for part in _media(turn.parts)
        if part.url is not None and _kind(part) in wanted
    )
    return [url for url in dict.fromkeys(found) if url.lower().startswith(_SCHEMES)]


def with_fetched(conversation: Conversation, fetched: Mapping[str, media.Data]) -> Conversation:
    """The conversation with content in place of the URLs that are in `fetched`.

    Raises BadRequest where the content is not what it should be.
    """
    turns = tuple(
        replace(turn, parts=tuple(_inlined(part, fetched) for part in turn.parts))
        for turn in conversation.turns
    )
    return replace(conversation, turns=turns)


def content_of(declared: str, body: bytes) -> media.Data:
    """Fetched bytes as media; their magic number wins over what their server says."""
    data = base64.b64encode(body).decode()
    return media.Data(media.media_type(declared, data), data)


def _media(parts: Iterable[Part]) -> Iterator[Image | Document]:
    for part in parts:
        if isinstance(part, Image | Document):
            yield part
        elif isinstance(part, ToolResult):
            yield from _media(part.parts)


def _kind(part: Image | Document) -> MediaKind:
    return "image" if isinstance(part, Image) else "document"


def _inlined(part: Part, fetched: Mapping[str, media.Data]) -> Part:
    if isinstance(part, ToolResult):
        return replace(part, parts=tuple(_inlined(inner, fetched) for inner in part.parts))
    found = fetched.get(part.url or "") if isinstance(part, Image | Document) else None
    if found is None or not isinstance(part, Image | Document):
        return part
    if isinstance(part, Document) and found.media_type.startswith("text/"):
        text = media.decoded_text(found.data)
        if text is not None:
            return replace(part, url=None, text=text)
    if found.media_type not in _KNOWN[_kind(part)]:
        what = found.media_type or "of no known type"
        raise BadRequest(f"What stands at the URL of a {_kind(part)} is {what}.")
    return replace(part, url=None, media_type=found.media_type, data=found.data)
