"""Media by URL, for providers that take only the content."""

import base64

import pytest

from plexus_proxy.errors import BadRequest
from plexus_proxy.formats.conversation import (
    Conversation,
    Document,
    Image,
    Part,
    Text,
    ToolResult,
    Turn,
)
from plexus_proxy.formats.remote import content_of, remote_urls, with_fetched

PNG = b"\x89PNG\r\n\x1a\n"
PDF = b"%PDF-1.7"


def conversation(*parts: Part) -> Conversation:
    return Conversation(model="m", turns=(Turn("user", parts),))


def test_urls_are_named_once_in_order_and_by_kind() -> None:
    within = ToolResult(call_id="a", parts=(Image(url="https://c/"), Text(text="t")))
    said = conversation(
        Image(url="https://a/"), Document(url="HTTP://b/"), within, Image(url="https://a/")
    )
    assert remote_urls(said, ("image",)) == ["https://a/", "https://c/"]
    assert remote_urls(said, ("document",)) == ["HTTP://b/"]
    assert remote_urls(said, ()) == []


def test_what_cannot_be_fetched_is_not_named() -> None:
    said = conversation(
        Image(url="gs://bucket/a"), Image(media_type="image/png", data="YQ=="), Image(file_id="f")
    )
    assert remote_urls(said, ("image", "document")) == []


def test_content_stands_where_the_url_stood() -> None:
    within = ToolResult(call_id="a", parts=(Image(url="https://a/", detail="low"),))
    said = conversation(Document(url="https://b/", title="B"), within, Image(url="https://else/"))
    content = {"https://a/": content_of("", PNG), "https://b/": content_of("text/html", PDF)}
    (turn,) = with_fetched(said, content).turns
    png, pdf = (base64.b64encode(each).decode() for each in (PNG, PDF))
    assert turn.parts == (
        Document(media_type="application/pdf", data=pdf, title="B"),
        ToolResult(call_id="a", parts=(Image(media_type="image/png", data=png, detail="low"),)),
        Image(url="https://else/"),
    )


def test_a_text_becomes_a_text_document() -> None:
    said = conversation(Document(url="https://a/", title="A"))
    (turn,) = with_fetched(said, {"https://a/": content_of("text/plain", "é".encode())}).turns
    assert turn.parts == (Document(text="é", title="A"),)


@pytest.mark.parametrize(
    ("part", "kind"),
    [(Image(url="https://a/"), "text/html"), (Document(url="https://a/"), "application/zip")],
    ids=["image", "document"],
)
def test_what_is_something_else_is_refused(part: Part, kind: str) -> None:
    with pytest.raises(BadRequest, match=f"is {kind}"):
        with_fetched(conversation(part), {"https://a/": content_of(kind, b"<html>")})
