"""What a conversation is made of, for counting: every kind of part, once."""

import base64
import struct
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from plexus_proxy.formats.conversation import (
    Audio,
    Conversation,
    Document,
    Foreign,
    Image,
    Part,
    Reasoning,
    Refusal,
    ResponseFormat,
    ServerTool,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from plexus_proxy.formats.events import Opaque
from plexus_proxy.tokens.pictures import Family
from plexus_proxy.tokens.structure import outline

ANSWER = 3
TURN = 3


def raw(value: Any, **spaced: Any) -> Raw:
    text = msgspec.json.encode(value)
    return Raw(msgspec.json.format(text, indent=4) if spaced else text)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def png(width: int, height: int) -> str:
    head = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR" + struct.pack(">II", width, height) + bytes(9)
    return b64(head)


PDF = b64(b"%PDF-1.4\n2 0 obj\n<< /Type /Pages /Count 4 >>\nendobj\n")
RESULT = ToolResult(call_id="c1", parts=(Text(text="cold"), Image(data=png(512, 512))))


@pytest.mark.parametrize(
    ("part", "texts", "fixed"),
    [
        pytest.param(Text(text="hello"), ("hello",), 0, id="text"),
        pytest.param(Text(text=""), (), 0, id="no text"),
        pytest.param(Refusal(text="no"), ("no",), 0, id="refusal"),
        pytest.param(
            ToolCall(id="c1", name="get", arguments='{"a":1}'),
            ("get", '{"a":1}'),
            7,
            id="tool call",
        ),
        pytest.param(RESULT, ("cold",), 7 + 255, id="tool result with a picture"),
        pytest.param(Reasoning(text="hm"), ("hm",), 0, id="reasoning"),
        pytest.param(
            Reasoning(text="hm", opaque=Opaque("sig", "x" * 160)), ("hm",), 0, id="signed reasoning"
        ),
        pytest.param(
            Reasoning(text="", opaque=Opaque("enc", "x" * 160)), (), 30, id="encrypted reasoning"
        ),
        pytest.param(Reasoning(text=""), (), 0, id="empty reasoning"),
        pytest.param(Image(data=png(2048, 4096)), (), 1105, id="picture"),
        pytest.param(Image(data=png(2048, 4096), detail="low"), (), 85, id="picture, low detail"),
        pytest.param(Image(url="https://example.com/a.png"), (), 765, id="picture by URL"),
        pytest.param(Image(file_id="file-1"), (), 765, id="picture by id"),
        pytest.param(Image(data=b64(b"?" * 40)), (), 765, id="picture of no known kind"),
        pytest.param(
            Document(media_type="application/pdf", data=PDF, title="A", context="B"),
            ("A", "B"),
            4 * 3000,
            id="document",
        ),
        pytest.param(Document(text="plain"), ("plain",), 0, id="text document"),
        pytest.param(
            Document(media_type="text/csv", data=b64(b"a,b")), ("a,b",), 0, id="text as base64"
        ),
        pytest.param(
            Document(media_type="text/plain", data=b64(b"\xff\xfe")), (), 3000, id="no text at all"
        ),
        pytest.param(Document(url="https://example.com/a.pdf"), (), 15000, id="document by URL"),
        pytest.param(Audio(data=b64(bytes(48_000)), format="mp3"), (), 30, id="recording"),
        pytest.param(
            Foreign(format="messages", type="x", json=raw({"a": [1]}, spaced=True)),
            ('{"a":[1]}',),
            0,
            id="foreign",
        ),
        pytest.param(
            Foreign(format="messages", type="x", json=Raw(b'["\xff"]')),
            ('["\ufffd"]',),
            0,
            id="foreign bytes that are no text",
        ),
    ],
)
def test_a_part(part: Part, texts: tuple[str, ...], fixed: int) -> None:
    conversation = Conversation(model="m", turns=(Turn("user", (part,)),))
    found = outline(conversation, "openai", "gpt-4o")
    assert found.texts == texts
    assert found.fixed == fixed + TURN + ANSWER
    assert found.chars == sum(map(len, texts))


def test_turns_and_system_have_a_frame_and_keep_their_order() -> None:
    conversation = Conversation(
        model="m",
        system=(Text(text="one"), Text(text="two")),
        turns=(
            Turn("user", (Text(text="three"),), name="Ann"),
            Turn("assistant", (Text(text="four"),)),
        ),
    )
    found = outline(conversation, "openai", "gpt-4o")
    assert found.texts == ("one", "two", "Ann", "three", "four")
    assert found.fixed == 3 * TURN + 1 + ANSWER


TOOLS = (
    Tool(name="get", description="Weather", schema=raw({"type": "object"}, spaced=True)),
    Tool(name="bare"),
    Tool(name="patch", custom=True, custom_format=raw({"type": "grammar"})),
    ServerTool(format="messages", type="web_search", name="web_search", json=raw({"type": "web"})),
)


@pytest.mark.parametrize(
    ("family", "choice", "before"),
    [
        ("openai", None, 12),
        ("gemini", ToolChoice("required"), 12),
        ("anthropic", None, 346),
        ("anthropic", ToolChoice("auto"), 346),
        ("anthropic", ToolChoice("required", ("get",)), 313),
    ],
)
def test_tools(family: Family, choice: ToolChoice | None, before: int) -> None:
    found = outline(Conversation(model="m", tools=TOOLS, tool_choice=choice), family, "m")
    schemas = ('{"type":"object"}', '{"type":"grammar"}', '{"type":"web"}')
    assert found.texts == (
        "get",
        "Weather",
        schemas[0],
        "bare",
        "patch",
        schemas[1],
        schemas[2],
    )
    assert found.fixed == before + 4 * 7 + ANSWER


def test_the_schema_of_the_answer_is_part_of_the_prompt() -> None:
    wanted = ResponseFormat(kind="json_schema", name="x", schema=raw({"type": "object"}))
    found = outline(Conversation(model="m", response_format=wanted), "openai", "gpt-4o")
    assert found.texts == ('{"type":"object"}',)


@pytest.mark.parametrize(
    ("family", "model", "tokens"),
    [
        ("openai", "gpt-4o", 765 + 12_000),
        ("anthropic", "claude-sonnet-4-5", 1399 + 12_000),
        ("gemini", "gemini-2.5-pro", 4 * 258 + 4 * 258),
        ("gemini", "gemini-3-pro", 1120 + 4 * 560),
    ],
)
def test_pictures_and_pages_follow_the_models_vendor(
    family: Family, model: str, tokens: int
) -> None:
    parts = (Image(data=png(1024, 1024)), Document(media_type="application/pdf", data=PDF))
    found = outline(Conversation(model="m", turns=(Turn("user", parts),)), family, model)
    assert found.fixed == tokens + TURN + ANSWER
