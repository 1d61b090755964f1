"""Which output item an event of a Responses stream belongs to.

Servers name an item by its output index, its id or both. Some repeat an index, some leave it out,
some change the ids from event to event, and the final response of some leaves out items they have
streamed. To take one item for two means a call made twice; two for one, arguments mixed up.
"""

from plexus_proxy.formats.events import BlockKind
from plexus_proxy.formats.responses.events import UNSAID, Item, SentEvent

_ADDED = "response.output_item.added"
_KINDS: dict[BlockKind, str] = {"text": "message", "refusal": "message", "reasoning": "reasoning"}


class Places:
    """An item's place is its output index, as far as that is its own."""

    __slots__ = ("_found", "_kinds", "_latest", "_names", "_owned")

    def __init__(self) -> None:
        self._names: dict[str, int] = {}
        """Ids and call ids → place; UNSAID for one that several items have."""
        self._owned: set[int] = set()
        """Places of items with a name."""
        self._kinds: dict[int, str] = {}
        """What has been told there, of messages and reasoning."""
        self._latest = 0
        self._found: set[int] = set()
        """Places whose item the final response repeats."""

    def of(self, event: SentEvent) -> int:
        item = event.item
        name = event.item_id or "" if item is None else _lasting_name(item)
        place = self._names.get(name, UNSAID)
        if place == UNSAID:
            place = event.output_index
            if item is not None and event.type == _ADDED:
                place = self._free(place, item)
            elif place == UNSAID:
                place = self._latest
        if item is not None:
            self._name(place, item)
        self._latest = place
        return place

    def opened(self, place: int, kind: BlockKind) -> None:
        """A block has been opened there."""
        if kind in _KINDS:
            self._kinds[place] = _KINDS[kind]

    def of_final(self, position: int, item: Item) -> int:
        """The place of an item in the final response. The names of calls last, of the others the
        first of its kind is meant."""
        place = self._names.get(_lasting_name(item), UNSAID)
        if place == UNSAID:
            alike = [
                each
                for each, kind in self._kinds.items()
                if kind == item.type and each not in self._found
            ]
            if not alike:
                place = self._free(position, item)
            else:
                place = position if position in alike else alike[0]
        self._found.add(place)
        self._latest = max(self._latest, place)
        return place

    def _name(self, place: int, item: Item) -> None:
        for name in (item.id, item.call_id):
            if name:
                is_its_own = self._names.get(name, place) == place
                self._names[name] = place if is_its_own else UNSAID
                self._owned.add(place)

    def _free(self, place: int, item: Item) -> int:
        """`place`, unless an item of another name is there."""
        if place == UNSAID or (place in self._owned and _lasting_name(item)):
            return max((self._latest, *self._owned, *self._kinds)) + 1
        return place


def _lasting_name(item: Item) -> str:
    """Ids of items may change from event to event, those of calls do not."""
    return item.call_id or item.id or ""
