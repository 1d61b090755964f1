"""What the demo provider answers: a pure function of the conversation, the same every time."""

import re
from typing import Any

import msgspec
from msgspec import Struct

from plexus_proxy.demo.example import example

_WORD = re.compile(r"\S+\s*")
_ECHOED_WORDS = 12

_ABOUT = (
    "I am the demo provider that is built into Plexus proxy, so I answer without any account: "
    "my words are fixed, but your request came through the whole gateway. Plexus gives every "
    "client one base URL. It takes requests in the format your tool speaks, sends them to the "
    "provider you chose in the one that provider speaks, streams the answer back as it arrives, "
    "and notes tokens, cost and timing of each request. Add a provider of your own to "
    "config/plexus.yaml and the next request goes there."
)


class Part(Struct):
    """A part of a message's content; both formats agree on these fields."""

    type: str = ""
    text: str | None = None
    content: "Content" = None
    """Of a tool result."""


Content = str | list[Part] | None


class Tool(Struct, frozen=True):
    name: str
    schema: Any = None


class Ask(Struct, frozen=True, kw_only=True):
    """A request, whatever the wire format."""

    user_text: str
    """Of the last user message."""
    tool_result: str | None
    """Of the last tool result in the history, if there is one."""
    tool: Tool | None
    """The one to call unless there is a result already."""
    answer_schema: Any
    """For structured output; None: prose."""
    max_tokens: int | None
    prompt_characters: int


class Answer(Struct, frozen=True, kw_only=True):
    text: str
    call: tuple[str, str] | None
    """Tool name and arguments as JSON text."""
    cut: bool
    """True if max_tokens ended the text."""
    input_tokens: int
    output_tokens: int

    def pieces(self) -> list[str]:
        """The text word by word."""
        return _WORD.findall(self.text)


def answer(ask: Ask) -> Answer:
    echo = " ".join(ask.user_text.split()[-_ECHOED_WORDS:])
    call = None
    if ask.tool is not None and ask.tool_result is None:
        text = f"Let me ask {ask.tool.name}."
        call = (ask.tool.name, msgspec.json.encode(example(ask.tool.schema, echo)).decode())
    elif ask.answer_schema is not None:
        text = msgspec.json.encode(example(ask.answer_schema, echo)).decode()
    elif ask.tool_result is not None:
        text = f"The tool answered: {ask.tool_result.strip()[:400]} – thank you. {_ABOUT}"
    else:
        text = f"Hello! You said: “{echo}”. {_ABOUT}" if echo else f"Hello! {_ABOUT}"
    words = _WORD.findall(text)
    cut = ask.max_tokens is not None and ask.max_tokens < len(words)
    if cut:
        words = words[: ask.max_tokens]
        text, call = "".join(words), None
    return Answer(
        text=text,
        call=call,
        cut=cut,
        input_tokens=max(1, ask.prompt_characters // 4),
        output_tokens=len(words) + (len(call[1]) // 4 + 1 if call else 0),
    )


def arguments_in_pieces(arguments: str, size: int = 12) -> list[str]:
    return [arguments[at : at + size] for at in range(0, len(arguments), size)]


def text_of(content: Content) -> str:
    """The text of a message's content: a string, or the text parts of a list."""
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(part.text for part in content if part.text)
