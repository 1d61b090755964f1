"""A provider that refuses what the real API of the asked path would refuse, in its words.

Newest models of each vendor, whose rules are the strictest. Shares no code with the package.
"""

import re
from typing import Any

from support.fake_provider import Received, Whole
from support.strict_chat import problems as chat_problems
from support.strict_gemini import problems as gemini_problems
from support.strict_messages import problems as messages_problems
from support.strict_responses_request import problems as responses_problems

PATHS = {
    "/v1/chat/completions": "chat",
    "/v1/messages": "messages",
    "/v1/responses": "responses",
}
MODELS = {
    "chat": "deepseek-reasoner",
    "messages": "claude-opus-9",
    "responses": "gpt-5.1",
    "gemini": "gemini-3-pro",
}
"""Models that think, by the format of their provider: those the judges know the rules of."""
SIGNATURE = "c2lnbmF0dXJl"
ENCRYPTED = "ZW5jcnlwdGVk"
GEMINI_SIGNATURE = "Z2VtaW5pLXNpZw=="
ISSUED = frozenset({SIGNATURE, ENCRYPTED, GEMINI_SIGNATURE})
"""The state these providers have ever signed; any other is forged."""


def format_of(received: Received) -> str:
    return PATHS.get(received.path, "gemini")


def problems(received: Received) -> list[str]:
    """Everything the API would answer with a 400."""
    body: dict[str, Any] = received.json()
    match format_of(received):
        case "chat":
            return chat_problems(body, reasons="deepseek" in body["model"])
        case "messages":
            version = received.headers["anthropic-version"]
            return messages_problems(body, version=version, newest=True, signatures=ISSUED)
        case "responses":
            return responses_problems(body)
        case _:
            named = re.fullmatch(r"/v1(?:beta)?/models/([^/:]+):\w+", received.path)
            if named is None:
                return [f"no such path: {received.path}"]
            return gemini_problems(body, model=named[1], signatures=ISSUED)


def refusal(received: Received) -> Whole | None:
    """For `FakeProvider.strict`."""
    found = problems(received)
    if not found:
        return None
    said: dict[str, Any] = {"message": "; ".join(found), "type": "invalid_request_error"}
    return Whole({"type": "error", "error": said, "refused": True}, 400)
