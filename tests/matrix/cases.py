"""What a provider may say, in no format's words: the rows of the matrix."""

from dataclasses import dataclass, field
from typing import Any, Literal

End = Literal["stop", "tools", "length", "filter", "sequence"]
SEQUENCE = "END"
"""What the answer stopped at whose end is `sequence`."""


@dataclass(frozen=True)
class Text:
    text: str


@dataclass(frozen=True)
class Thought:
    text: str


@dataclass(frozen=True)
class Refusal:
    text: str


@dataclass(frozen=True)
class Call:
    id: str
    name: str
    arguments: dict[str, Any]


Say = Text | Thought | Refusal | Call


@dataclass(frozen=True)
class Usage:
    """Tokens in five disjoint buckets."""

    fresh: int = 20
    read: int = 0
    written: int = 0
    out: int = 7
    thought: int = 0


@dataclass(frozen=True)
class Case:
    name: str
    says: tuple[Say, ...]
    end: End = "stop"
    usage: Usage = field(default_factory=Usage)

    def of(self, kind: type[Any]) -> list[Any]:
        return [each for each in self.says if isinstance(each, kind)]

    @property
    def text(self) -> str:
        return "".join(each.text for each in self.says if isinstance(each, Text))


WEATHER = Call("call_S1", "get_weather", {"city": "Oslo", "n": 9007199254740993})
TIME = Call("call_S2", "Get_Time", {"zone": "Europe/Oslo", "deep": {"a": [1, None, "ü"]}})

CASES = (
    Case("text", (Text("Teal is a colour."),)),
    Case("unicode", (Text('Grün 🟢 \u2028 "quoted"\n\tend'),)),
    Case("tool call", (WEATHER,), "tools"),
    Case("text and tool call", (Text("Let me see."), WEATHER), "tools"),
    Case("parallel tools", (WEATHER, TIME), "tools"),
    Case("no arguments", (Call("call_S3", "ping", {}),), "tools"),
    Case("huge arguments", (Call("call_S4", "write", {"text": "x" * 200_000}),), "tools"),
    Case("thinking", (Thought("Hm, a colour."), Text("Teal.")), usage=Usage(out=3, thought=9)),
    Case("thinking and tool", (Thought("Look it up."), WEATHER), "tools", Usage(out=3, thought=9)),
    Case("length stop", (Text("Once upon a"),), "length"),
    Case("content filter", (Text("Well, "),), "filter"),
    Case("cached usage", (Text("x"),), usage=Usage(100, 1000, 200, 100, 0)),
    Case("reasoning usage", (Text("x"),), usage=Usage(out=3, thought=9)),
    Case("refusal", (Refusal("I will not."),)),
    Case("stop sequence", (Text("One, two, "),), "sequence"),
    Case("empty completion", ()),
)
