"""Code fences that models put around the text for a gap."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plexus_proxy.formats.completions.fence import Unfenced


def unfenced(pieces: list[str]) -> str:
    fences = Unfenced()
    return "".join([fences.feed(piece) for piece in pieces]) + fences.close()


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("x = 1", "x = 1"),
        ("```py\nx = 1\n```", "x = 1"),
        ("```py\nx = 1\n```\n", "x = 1"),
        ("\n  ```\n  x\n   ```  \n\n", "  x"),
        ("```\r\nx\r\n```\r\n", "x"),
        ("```c++ title=a\nx\n\ny\n\n```", "x\n\ny\n"),
        ("```\n```", ""),
        ("```py\nx", "x"),
        ("```py\nx\n``", "x\n``"),
        ("```py\nx\n```\nand so on", "x\n```\nand so on"),
        ("see ```\nx\n```", "see ```\nx\n```"),
        ("\n    x\n", "\n    x\n"),
        ("`x`", "`x`"),
        ("```", "```"),
        ("```\nx```", "x```"),
        ("```inline``` x\n```", "```inline``` x\n```"),
        ("", ""),
    ],
)
def test_a_fence_around_everything_is_taken_off(said: str, meant: str) -> None:
    assert unfenced([said]) == meant
    assert unfenced(list(said)) == meant


PIECES = st.sampled_from(
    ["```", "`", "\n", "\r\n", "\r", " ", "x", "``", "```py\n", "\n```", "y\n"]
)


@given(st.booleans(), st.lists(PIECES, max_size=12))
def test_pieces_make_no_difference(fenced: bool, pieces: list[str]) -> None:
    text = ("```\n" if fenced else "") + "".join(pieces)
    assert unfenced(pieces if not fenced else ["```\n", *pieces]) == unfenced([text])
    assert unfenced(list(text)) == unfenced([text])


@given(st.text())
def test_text_without_a_fence_is_left_alone(text: str) -> None:
    text = text.replace("`", "")
    assert unfenced(list(text)) == text


def test_what_is_no_fence_is_not_held_back() -> None:
    fences = Unfenced()
    assert [fences.feed(each) for each in ("x", "\n", "`", " y")] == ["x", "\n", "`", " y"]
    fences = Unfenced()
    said = [fences.feed(each) for each in ("```py", "\n", "x", "\n", "y", "``")]
    assert said == ["", "", "x", "", "\ny", "``"]


def test_a_line_that_never_ends_is_not_held_for_ever() -> None:
    fences = Unfenced()
    assert fences.feed("```" + "x" * 100) == "```" + "x" * 100
    fences = Unfenced()
    assert fences.feed(" " * 200) == " " * 200
