"""What no translation may leave out is refused in the client's own words; what it may is named.

Source: translation rules §1.5, §3, §4 and §7 of the design notes."""

import json
from itertools import product
from typing import Any

import pytest
from support.golden import crossing

from plexus_proxy.errors import BadRequest
from plexus_proxy.formats.format import IN_BODY, Asked, Format
from plexus_proxy.formats.registry import FORMATS

CHAT, MESSAGES, RESPONSES, GEMINI = (
    FORMATS[name] for name in ("chat", "messages", "responses", "gemini")
)
OWN_FILE = "https://generativelanguage.googleapis.com/v1beta/files/x"


def chat(*content: Any, **fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": list(content) or "hi"}]
    return {"model": "m", "messages": messages, **fields}


def messages(*content: Any, **fields: Any) -> dict[str, Any]:
    return chat(*content, max_tokens=9, **fields)


def responses(*content: Any, **fields: Any) -> dict[str, Any]:
    item = {"type": "message", "role": "user", "content": list(content)}
    return {"model": "m", "input": [item] if content else "hi", **fields}


def gemini(*parts: Any, **fields: Any) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": list(parts) or [{"text": "hi"}]}], **fields}


def translated(client: Format, provider: Format, body: dict[str, Any]) -> tuple[Any, list[str]]:
    """The provider's request and the fields that were dropped. Raises BadRequest."""
    asked = Asked("m") if client is GEMINI else IN_BODY
    over = crossing(model="gemini-2.5-flash" if provider is GEMINI else "m")
    conversation = client.read_request(json.dumps(body).encode(), asked)
    return json.loads(provider.write_request(conversation, over)), over.dropped


def refused(client: Format, provider: Format, body: dict[str, Any]) -> str:
    """The message that the client reads, in its own format."""
    with pytest.raises(BadRequest) as caught:
        translated(client, provider, body)
    status, written = client.write_error(caught.value, "req_1")
    assert status == 400
    error = json.loads(written)["error"]
    match client.name:
        case "gemini":
            assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")
        case _:
            assert error["type"] == "invalid_request_error"
    return error["message"]


def pairs(*clients: Format, to: tuple[Format, ...] = tuple(FORMATS.values())) -> Any:
    found = [(client, provider) for client, provider in product(clients, to) if client != provider]
    return pytest.mark.parametrize(
        ("client", "provider"), found, ids=[f"{a.name}-{b.name}" for a, b in found]
    )


@pairs(CHAT, GEMINI)
def test_more_than_one_choice_is_refused(client: Format, provider: Format) -> None:
    several = chat(n=2) if client is CHAT else gemini(generationConfig={"candidateCount": 2})
    assert refused(client, provider, several).endswith("only.")
    one = chat(n=1) if client is CHAT else gemini(generationConfig={"candidateCount": 1})
    assert translated(client, provider, one)[1] == []


FILES = {
    "chat": chat({"type": "file", "file": {"file_id": "file-1"}}),
    "messages": messages({"type": "document", "source": {"type": "file", "file_id": "file_1"}}),
    "responses": responses({"type": "input_file", "file_id": "file-1"}),
    "gemini": gemini({"fileData": {"mimeType": "application/pdf", "fileUri": OWN_FILE}}),
}
IMAGES = {
    "messages": messages({"type": "image", "source": {"type": "file", "file_id": "file_1"}}),
    "responses": responses({"type": "input_image", "file_id": "file-1"}),
    "gemini": gemini({"fileData": {"mimeType": "image/png", "fileUri": OWN_FILE}}),
}


@pairs(CHAT, MESSAGES, RESPONSES, GEMINI)
def test_files_of_another_vendor_are_refused(client: Format, provider: Format) -> None:
    said = "Files uploaded to another provider cannot be used with this model: send the content."
    assert refused(client, provider, FILES[client.name]) == said
    if client.name in IMAGES:
        assert refused(client, provider, IMAGES[client.name]) == said


AUDIO = {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}}
SPEAKING = {
    "chat": chat(AUDIO),
    "responses": responses(AUDIO),
    "gemini": gemini({"inlineData": {"mimeType": "audio/wav", "data": "QUJD"}}),
}


@pairs(CHAT, RESPONSES, GEMINI, to=(MESSAGES,))
def test_audio_is_refused_for_providers_that_take_none(client: Format, provider: Format) -> None:
    said = refused(client, provider, SPEAKING[client.name])
    assert said == "This model's provider does not take audio."


@pairs(CHAT, RESPONSES, GEMINI, to=(CHAT, RESPONSES, GEMINI))
def test_audio_reaches_providers_that_take_it(client: Format, provider: Format) -> None:
    sent, dropped = translated(client, provider, SPEAKING[client.name])
    assert dropped == []
    assert "QUJD" in json.dumps(sent)


@pairs(CHAT)
def test_names_of_speakers_are_dropped_and_named(client: Format, provider: Format) -> None:
    body = chat()
    body["messages"] = [
        {"role": "system", "content": "s", "name": "Keeper"},
        {"role": "user", "content": "hi", "name": "Alice"},
    ]
    sent, dropped = translated(client, provider, body)
    assert dropped == ["messages.name"]
    assert not {"Keeper", "Alice"} & set(json.dumps(sent).split('"'))


LOST = "lost"
TIERS = {
    (CHAT.name, "flex"): {"messages": LOST, "responses": "flex", "gemini": "flex"},
    (CHAT.name, "fast"): {"messages": "auto", "responses": "priority", "gemini": "priority"},
    (CHAT.name, "priority"): {"messages": "auto", "responses": "priority", "gemini": "priority"},
    (CHAT.name, "default"): {
        "messages": "standard_only", "responses": "default", "gemini": "standard",
    },
    (CHAT.name, "scale"): {"messages": LOST, "responses": "scale", "gemini": LOST},
    (RESPONSES.name, "flex"): {"chat": "flex", "messages": LOST, "gemini": "flex"},
    (RESPONSES.name, "fast"): {"chat": "priority", "messages": "auto", "gemini": "priority"},
    (RESPONSES.name, "priority"): {"chat": "priority", "messages": "auto", "gemini": "priority"},
    (RESPONSES.name, "default"): {
        "chat": "default", "messages": "standard_only", "gemini": "standard",
    },
    (GEMINI.name, "flex"): {"chat": "flex", "messages": LOST, "responses": "flex"},
    (GEMINI.name, "priority"): {"chat": "priority", "messages": "auto", "responses": "priority"},
    (GEMINI.name, "standard"): {
        "chat": "default", "messages": "standard_only", "responses": "default",
    },
    (MESSAGES.name, "auto"): {"chat": "auto", "responses": "auto", "gemini": None},
    (MESSAGES.name, "standard_only"): {
        "chat": "default", "responses": "default", "gemini": "standard",
    },
    (MESSAGES.name, "speed fast"): {
        "chat": "priority", "responses": "priority", "gemini": "priority",
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("client", "tier", "provider", "expected"),
    [(*asked, name, told) for asked, all_told in TIERS.items() for name, told in all_told.items()],
)
def test_the_tier_is_said_in_the_words_of_the_provider(
    client: str, tier: str, provider: str, expected: str | None
) -> None:
    name = "serviceTier" if client == "gemini" else "service_tier"
    fields = {"speed": "fast"} if tier == "speed fast" else {name: tier}
    make = {"chat": chat, "messages": messages, "responses": responses, "gemini": gemini}[client]
    sent, dropped = translated(FORMATS[client], FORMATS[provider], make(**fields))
    written = sent.get("serviceTier" if provider == "gemini" else "service_tier")
    assert written == (None if expected == LOST else expected)
    assert dropped == ([name] if expected == LOST else [])
