"""What a process remembers of the vault: size and age."""

from plexus_proxy.formats.conversation import Reasoning
from plexus_proxy.vault.memory import Kept, Memory

THOUGHT = (Reasoning(text="x" * 1000),)


def test_the_oldest_go_when_it_grows_too_large() -> None:
    memory = Memory(max_bytes=3000)
    for number in range(10):
        memory.put(("alice", f"call_{number}"), Kept(THOUGHT, 100))
    kept = [number for number in range(10) if memory.get(("alice", f"call_{number}"), 0)]
    assert kept == [8, 9]


def test_keeping_the_same_again_counts_its_size_once() -> None:
    memory = Memory(max_bytes=3000)
    memory.put(("alice", "other"), Kept(THOUGHT, 100))
    for _ in range(20):
        memory.put(("alice", "call_1"), Kept(THOUGHT, 100))
    assert memory.get(("alice", "other"), 0) == THOUGHT


def test_what_has_expired_makes_room() -> None:
    memory = Memory(max_bytes=3000)
    memory.put(("alice", "a"), Kept(THOUGHT, 100))
    memory.put(("alice", "b"), Kept(THOUGHT, 50))
    assert memory.get(("alice", "b"), 50) is None
    memory.put(("alice", "c"), Kept(THOUGHT, 100))
    assert memory.get(("alice", "a"), 60) == THOUGHT


def test_known_absence_differs_from_not_knowing() -> None:
    memory = Memory(max_bytes=3000)
    memory.put(("alice", "gone"), Kept((), 100))
    assert memory.get(("alice", "gone"), 0) == ()
    assert memory.get(("alice", "never"), 0) is None
