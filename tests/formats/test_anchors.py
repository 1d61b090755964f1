"""What kept reasoning is found by: marks on tool ids, texts of turns without calls."""

from msgspec import Struct

from plexus_proxy.formats.anchors import MAX_TEXTS, Sought, mark, recalled, text_anchor, unmarked
from plexus_proxy.formats.conversation import (
    Conversation,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from plexus_proxy.formats.events import Opaque


def call(tool_id: str) -> ToolCall:
    return ToolCall(id=tool_id, name="f", arguments="{}")


def result(tool_id: str) -> Turn:
    return Turn("user", (ToolResult(call_id=tool_id, parts=(Text(text="4"),)),))


def assistant(*parts: Part) -> Turn:
    return Turn("assistant", parts)


def sought(*turns: Turn) -> Sought:
    return unmarked(Conversation(model="m", turns=turns))[1]


STATE = Reasoning(text="t", opaque=Opaque(kind="sig", data="s"))


def test_marks_are_taken_off_calls_and_their_results() -> None:
    turns = (assistant(call("a_gw"), call("b")), result("a_gw"), result("b"))
    bare, _ = unmarked(Conversation(model="m", turns=turns))
    assert bare.turns == (assistant(call("a"), call("b")), result("a"), result("b"))
    assert mark("a") == "a_gw"


def test_a_conversation_without_marks_stays_the_very_same() -> None:
    plain = Conversation(model="m", turns=(assistant(call("a")), result("a")))
    assert unmarked(plain) == (plain, Sought())


def test_only_marked_calls_are_looked_up() -> None:
    assert sought(assistant(call("a_gw"), call("b"))).anchors == ("a",)


def test_a_turn_that_came_back_with_its_state_is_not_looked_up() -> None:
    assert sought(assistant(STATE, call("a_gw"))).anchors == ()
    assert sought(assistant(Reasoning(text="t"), call("a_gw"))).anchors == ("a",)


def test_only_the_newest_step_is_awaited() -> None:
    found = sought(assistant(call("a_gw")), result("a_gw"), assistant(call("b_gw"), call("c_gw")))
    assert found.anchors == ("a", "b", "c")
    assert found.awaited == {"b", "c"}
    assert sought(assistant(call("a_gw")), result("a_gw"), assistant(STATE)).awaited == frozenset()


def test_a_turn_without_calls_is_known_by_its_text() -> None:
    found = sought(assistant(Text(text=" four\n"), Text(text="teen ")), Turn("user", ()))
    assert found.anchors == (text_anchor("four\nteen"),)
    assert found.awaited == frozenset()
    assert sought(assistant(Text(text=" \n"))).anchors == ()


def test_of_turns_without_calls_only_the_newest_are_looked_up() -> None:
    found = sought(*(assistant(Text(text=str(number))) for number in range(MAX_TEXTS + 5)))
    assert found.anchors == tuple(text_anchor(str(number)) for number in range(5, MAX_TEXTS + 5))


class Over(Struct):
    """What `recalled` needs of a Crossing."""

    remembered: dict[str, tuple[Reasoning, ...]]


def test_a_turn_is_recalled_by_any_of_its_calls_or_else_its_text() -> None:
    over = Over({"b": (STATE,), text_anchor("hi"): (Reasoning(text="other"),)})
    assert recalled((Text(text="hi"), call("a"), call("b")), over) == (STATE,)
    assert recalled((Text(text="hi "),), over) == (Reasoning(text="other"),)
    assert recalled((Text(text="hi"), call("z")), over) == ()
