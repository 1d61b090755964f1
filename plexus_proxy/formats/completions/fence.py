"""The text for a gap without the code fence that chat models like to put around code.

Piece by piece: what may be the opening fence is held back until its line has ended, what may be the
closing one until something follows it. A fence that is not the very first thing stays, and so do
all of them where the text before the gap has fences of its own, as Markdown has.
"""

import re

FENCE = "```"
_OPENING = re.compile(r"\s{0,100}```[^`\n]{0,40}\n")
_MAYBE_OPENING = re.compile(r"\s{0,100}(?:`{0,2}|```[^`\n]{0,40})")
_LINE = r"[ \t]{0,100}(?:`{0,2}|```\s{0,100})\Z"
_MAYBE_CLOSING = re.compile(rf"\r?\n{_LINE}|\r\Z")
_MAYBE_CLOSING_AT_ONCE = re.compile(rf"\A{_LINE}|{_MAYBE_CLOSING.pattern}")
_CLOSING = re.compile(r"(?:\r?\n)?[ \t]*```\s*")


class Unfenced:
    """One answer's text. `close` gives what was held back and is no fence."""

    __slots__ = ("_closing", "_held", "_opened")

    def __init__(self) -> None:
        self._held: str = ""
        self._opened = False
        """Whether the text opens with a fence is known."""
        self._closing: re.Pattern[str] | None = None
        """Of text that opened with a fence: what may be the closing one."""

    def feed(self, text: str) -> str:
        text = self._held + text
        self._held = ""
        if not self._opened:
            if _MAYBE_OPENING.fullmatch(text):
                self._held = text
                return ""
            self._opened = True
            if opening := _OPENING.match(text):
                self._closing = _MAYBE_CLOSING_AT_ONCE
                text = text[opening.end() :]
        if self._closing is None:
            return text
        if found := self._closing.search(text):
            self._held = text[found.start() :]
            text = text[: found.start()]
        if text:
            self._closing = _MAYBE_CLOSING
        return text

    def close(self) -> str:
        is_fence = self._closing is not None and _CLOSING.fullmatch(self._held)
        return "" if is_fence else self._held
