"""What providers send, read as far as it is of a shape we know.

A field that a server spells in its own way, or that is younger than this code, is no reason to lose
the text beside it. Only the answers of others are read so: what a client sends is refused with the
place of its mistake.
"""

from collections.abc import Sequence
from types import NoneType
from typing import Any, Generic, TypeVar, get_args, get_origin

import msgspec
from msgspec import Raw, Struct, UnsetType

from plexus_proxy.errors import Garbled
from plexus_proxy.formats import body as bodies

T = TypeVar("T", bound=Struct)

_ANYTHING = msgspec.json.Decoder(Raw)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Lenient(Generic[T]):
    """A decoder of one type of object. In it, members of unknown shape count as missing if their
    type allows that (`| None`, `| UnsetType`), and such items of lists are left out; any other
    unknown member makes the object one that we do not know."""

    __slots__ = ("_plans", "_strict", "_whole")

    def __init__(self, kind: type[T], *, whole: Sequence[type[Struct]] = ()) -> None:
        """`whole`: types of which a part would be wrong, as of sums; they are read as they are or
        not at all."""
        self._strict = msgspec.json.Decoder(kind)
        self._whole = frozenset(whole)
        self._plans: dict[type[Struct], tuple[_Member, ...]] = {}

    def decode(self, data: bytes | Raw) -> T | None:
        """None for JSON that is no such object. Raises msgspec.DecodeError and UnicodeDecodeError
        for what is no JSON."""
        try:
            return self._strict.decode(data)
        except (msgspec.DecodeError, RecursionError):
            return self._unusual(data)

    def _unusual(self, data: bytes | Raw) -> T | None:
        kind = self._strict.type
        try:
            try:
                return bodies.parse(self._strict, data)
            except msgspec.ValidationError:
                bodies.parse(_ANYTHING, data)  # what is wrong may be no JSON from there on
        except RecursionError:
            return None
        found = self._read(kind, data)
        return found if isinstance(found, kind) else None

    def answer(self, body: bytes) -> T:
        """A whole answer. Raises Garbled."""
        try:
            found = self.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Garbled(f"The provider's answer cannot be read: {error}") from error
        if found is None:
            raise Garbled("The provider's answer is of an unknown shape.")
        return found

    def known(self, piece: Raw | UnsetType) -> T | None:
        """A piece that may be missing, or of any shape."""
        try:
            return None if isinstance(piece, UnsetType) else self.decode(piece)
        except _UNREADABLE:
            return None

    def _read(self, kind: type[Struct], data: bytes | Raw) -> Struct | None:
        values: dict[str, Any] = {}
        try:
            members = bodies.decode_fields(data)
            for each in self._plan(kind):
                if (piece := members.get(each.sent_name)) is None:
                    continue
                try:
                    values[each.name] = self._value(each, piece)
                except _UNREADABLE:
                    if not each.is_optional:
                        return None
            return kind(**values)
        except (*_UNREADABLE, TypeError):  # the last: something required is missing
            return None

    def _value(self, member: "_Member", piece: Raw) -> Any:
        """Raises msgspec.DecodeError, UnicodeDecodeError, RecursionError."""
        try:
            return bodies.parse(member.decoder, piece)
        except msgspec.ValidationError:
            if member.inner is None:
                raise
            if not member.is_list:
                if (found := self._read(member.inner, piece)) is None:
                    raise
                return found
        items = [self._item(member.inner, each) for each in bodies.decode_items(piece)]
        return [each for each in items if each is not None]

    def _item(self, kind: type[Struct], piece: Raw) -> Struct | None:
        try:
            return msgspec.json.decode(piece, type=kind)
        except msgspec.DecodeError:
            return self._read(kind, piece)

    def _plan(self, kind: type[Struct]) -> "tuple[_Member, ...]":
        found = self._plans.get(kind)
        if found is None:
            fields = msgspec.structs.fields(kind)
            found = self._plans[kind] = tuple(_member(each, self._whole) for each in fields)
        return found


class _Member(Struct, frozen=True, gc=False):
    name: str
    sent_name: str
    decoder: "msgspec.json.Decoder[Any]"
    is_optional: bool
    inner: type[Struct] | None
    """The type of the object it is, or of the items of the list it is."""
    is_list: bool


def _member(field: msgspec.structs.FieldInfo, whole: frozenset[type[Struct]]) -> _Member:
    options = get_args(field.type) if get_origin(field.type) is not list else (field.type,)
    options = options or (field.type,)
    inner, is_list = None, False
    for each in options:
        is_list = get_origin(each) is list
        [found] = get_args(each) if is_list else [each]
        if isinstance(found, type) and issubclass(found, Struct) and found not in whole:
            inner = found
            break
    return _Member(
        name=field.name,
        sent_name=field.encode_name,
        decoder=msgspec.json.Decoder(field.type),
        is_optional=NoneType in options or UnsetType in options,
        inner=inner,
        is_list=is_list and inner is not None,
    )
