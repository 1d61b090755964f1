"""P87: media by URL reaches providers that take only the content itself, and only from outside."""

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from matrix.cases import Case, Text
from matrix.providers import body
from support.fake_provider import Whole
from support.gateway import StandBuilder

PNG = b"\x89PNG\r\n\x1a\n" + bytes(50)
PDF = b"%PDF-1.7 sample"
SAID = Case("said", (Text("Seen."),))


@pytest.fixture
async def site() -> AsyncIterator[str]:
    """A site on this machine with a picture and a document, of no helpful types."""

    async def picture(_: web.Request) -> web.Response:
        return web.Response(body=PNG, content_type="application/octet-stream")

    async def document(_: web.Request) -> web.Response:
        return web.Response(body=PDF, content_type="application/octet-stream")

    app = web.Application()
    app.router.add_get("/picture", picture)
    app.router.add_get("/document", document)
    server = TestServer(app)
    await server.start_server()
    yield str(server.make_url("/")).rstrip("/")
    await server.close()


def question(site: str, model: str) -> dict[str, Any]:
    content = [
        {"type": "text", "text": "What is it?"},
        {"type": "image", "source": {"type": "url", "url": f"{site}/picture"}},
        {"type": "document", "source": {"type": "url", "url": f"{site}/document"}},
    ]
    messages = [{"role": "user", "content": content}]
    return {"model": model, "max_tokens": 99, "messages": messages}


def base64_of(content: bytes) -> str:
    return base64.b64encode(content).decode()


async def ask(builder: StandBuilder, site: str, upstream: str) -> tuple[int, Any, list[Any]]:
    """Status, answer, and what reached the provider, of a Messages client."""
    builder.providers["chat"].enqueue(Whole(body(upstream, SAID)))
    async with builder.started() as stand:
        reply = await stand.gateway.ask("messages", question(site, f"to-{upstream}"))
    return (
        reply.status,
        json.loads(reply.body),
        [each.json() for each in builder.providers["chat"].requests],
    )


@pytest.mark.pitfall("P87")
async def test_a_gemini_provider_gets_the_content(matrix_builder: StandBuilder, site: str) -> None:
    matrix_builder.config["egress"] = {"allow_private_addresses": True}
    status, answer, (sent,) = await ask(matrix_builder, site, "gemini")
    assert (status, answer["content"][0]["text"]) == (200, "Seen.")
    assert sent["contents"][0]["parts"][1:] == [
        {"inlineData": {"mimeType": "image/png", "data": base64_of(PNG)}},
        {"inlineData": {"mimeType": "application/pdf", "data": base64_of(PDF)}},
    ]


async def test_a_chat_provider_gets_the_content_of_documents_alone(
    matrix_builder: StandBuilder, site: str
) -> None:
    matrix_builder.config["egress"] = {"allow_private_addresses": True}
    _, _, (sent,) = await ask(matrix_builder, site, "chat")
    _, picture, document = sent["messages"][0]["content"]
    assert picture["image_url"]["url"] == f"{site}/picture"
    assert document["file"]["file_data"] == f"data:application/pdf;base64,{base64_of(PDF)}"


async def test_a_responses_provider_fetches_for_itself(
    matrix_builder: StandBuilder, site: str
) -> None:
    _, _, (sent,) = await ask(matrix_builder, site, "responses")
    _, picture, document = sent["input"][0]["content"]
    assert picture["image_url"] == f"{site}/picture"
    assert document["file_url"] == f"{site}/document"


@pytest.mark.pitfall("P87")
async def test_addresses_inside_are_refused_unless_allowed(
    matrix_builder: StandBuilder, site: str
) -> None:
    status, answer, sent = await ask(matrix_builder, site, "gemini")
    assert (status, sent) == (400, [])
    assert answer["error"] == {
        "type": "invalid_request_error",
        "message": "A URL on 127.0.0.1 cannot be used: its address is not public.",
    }


async def test_all_media_of_a_request_share_a_bound(
    matrix_builder: StandBuilder, site: str
) -> None:
    bound = len(PNG) + len(PDF) - 1
    matrix_builder.config["egress"] = {"allow_private_addresses": True, "media_bytes": bound}
    status, answer, sent = await ask(matrix_builder, site, "gemini")
    assert (status, sent) == (400, [])
    assert "is larger than" in answer["error"]["message"]
