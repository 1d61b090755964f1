"""Reasoning kept for clients that do not echo it: scope, age and size."""

from plexus_proxy.formats.conversation import Reasoning, Remembered
from plexus_proxy.formats.events import Opaque
from plexus_proxy.vault.reasoning import ReasoningVault


def turn(*tool_ids: str, text: str = "because") -> Remembered:
    part = Reasoning(text=text, opaque=Opaque(kind="sig", data="s" * 10, issuer="p"))
    return Remembered(tool_ids, (part,))


def test_a_turn_is_found_under_each_of_its_tool_ids() -> None:
    vault = ReasoningVault()
    vault.keep("alice", turn("call_1", "call_2"), now=0)
    found = vault.fetch("alice", ["call_2", "call_1", "call_3"], now=1)
    assert set(found) == {"call_1", "call_2"}
    assert found["call_1"][0].text == "because"


def test_another_key_never_sees_it() -> None:
    vault = ReasoningVault()
    vault.keep("alice", turn("call_1"), now=0)
    assert vault.fetch("bob", ["call_1"], now=1) == {}


def test_it_is_forgotten_after_its_time() -> None:
    vault = ReasoningVault(ttl_s=60)
    vault.keep("alice", turn("call_1"), now=0)
    assert vault.fetch("alice", ["call_1"], now=59)
    assert vault.fetch("alice", ["call_1"], now=61) == {}


def test_the_oldest_go_when_it_grows_too_large() -> None:
    vault = ReasoningVault(max_bytes=250)
    for number in range(10):
        vault.keep("alice", turn(f"call_{number}", text="x" * 90), now=number)
    kept = vault.fetch("alice", [f"call_{number}" for number in range(10)], now=10)
    assert set(kept) == {"call_8", "call_9"}


def test_keeping_the_same_turn_again_counts_its_size_once() -> None:
    vault = ReasoningVault(max_bytes=250)
    vault.keep("alice", turn("other", text="x" * 90), now=0)
    for now in range(20):
        vault.keep("alice", turn("call_1", text="x" * 90), now=now)
    assert set(vault.fetch("alice", ["other", "call_1"], now=20)) == {"other", "call_1"}
