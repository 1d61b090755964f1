"""JSON bodies: decoded, or refused with the place and the reason.

msgspec speaks of JSON pointers and Python types; clients get the field's path and JSON's own words.
"""

import re
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, Raw, UnsetType

from plexus_proxy.errors import BadRequest, Garbled

T = TypeVar("T")

_AT = re.compile(r"(?P<what>.*?)(?: - at `(?P<path>[^`]*)`)?", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `([^`]*)`")
_EXPECTED = re.compile(r"Expected `([^`]*)`, got `([^`]*)`")
_WORDS = {
    "str": "string",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "null": "null",
    "any": "any value",
}
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)

_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_ITEMS = msgspec.json.Decoder(list[Raw])


def parse(decoder: "msgspec.json.Decoder[T]", body: bytes | Raw) -> T:
    """`body` as the decoder's type. Half of an emoji, which JavaScript programs send when they cut
    strings, becomes U+FFFD.

    Raises msgspec.DecodeError, UnicodeDecodeError, RecursionError."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        mended = _mend(bytes(body))
        if mended is None:
            raise
    return decoder.decode(mended)


def decode_fields(body: bytes | Raw) -> dict[str, Raw]:
    """A JSON object as its members, each still the client's bytes. Raises as `parse` does."""
    return parse(_FIELDS, body)


def decode_items(body: bytes | Raw) -> list[Raw]:
    """A JSON array as its items, likewise."""
    return parse(_ITEMS, body)


def decode(decoder: "msgspec.json.Decoder[T]", body: bytes | Raw, at: str = "") -> T:
    """What a client sent. Raises BadRequest naming the path; `at` is where `body` stands."""
    try:
        return parse(decoder, body)
    except msgspec.ValidationError as error:
        raise _wrong_type(str(error), at) from error
    except msgspec.DecodeError as error:
        raise _not_json(str(error), at) from error
    except UnicodeDecodeError as error:
        raise BadRequest("The request body is not valid UTF-8.", param=at or None) from error
    except RecursionError as error:
        raise BadRequest("The request body is nested too deeply.", param=at or None) from error


def decode_answer(decoder: "msgspec.json.Decoder[T]", body: bytes | Raw) -> T:
    """What a provider sent. Raises Garbled."""
    try:
        return parse(decoder, body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Garbled(f"The provider's answer cannot be read: {error}") from error


def known(decoder: "msgspec.json.Decoder[T]", piece: Raw | UnsetType) -> T | None:
    """A piece of what a provider sent; None if it is missing or of a shape we do not know: the
    future, and no reason to lose the rest."""
    try:
        return None if piece is UNSET else parse(decoder, piece)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _mend(body: bytes) -> bytes | None:
    """`body` with U+FFFD for every lone surrogate; None if there is none."""
    mended = _ESCAPE.sub(lambda match: b"\\ufffd" if match["half"] else match[0], body)
    return None if mended == body else mended


def require(value: T | msgspec.UnsetType | None, path: str) -> T:
    """`value`, which must be there. Raises BadRequest."""
    if value is None or value is msgspec.UNSET:
        raise BadRequest(f"Missing required field '{path}'.", param=path)
    return value


def invalid(path: str, why: str) -> BadRequest:
    """The error for a field that has the right type and a wrong value."""
    return BadRequest(f"Invalid value for '{path}': {why}", param=path)


def raw(value: Any) -> Raw:
    """Any value of ours as JSON to be put into a body."""
    return Raw(msgspec.json.encode(value))


def _not_json(what: str, at: str) -> BadRequest:
    what = what.removeprefix("JSON is malformed: ")
    return BadRequest(f"The request body is not valid JSON: {what}.", param=at or None)


def _wrong_type(text: str, at: str) -> BadRequest:
    match = _AT.fullmatch(text)
    what, inner = (match["what"], match["path"] or "") if match else (text, "")
    path = at + inner.removeprefix("$")
    path = path.removeprefix(".")
    if missing := _MISSING.fullmatch(what):
        path = f"{path}.{missing[1]}" if path else missing[1]
        return BadRequest(f"Missing required field '{path}'.", param=path)
    if expected := _EXPECTED.fullmatch(what):
        wanted = " or ".join(_word(each) for each in expected[1].split(" | "))
        if not path:
            return BadRequest(
                f"The request body must be a JSON {wanted}, got {_word(expected[2])}."
            )
        return BadRequest(
            f"Invalid type for '{path}': expected {wanted}, got {_word(expected[2])}.", param=path
        )
    return BadRequest(f"Invalid value for '{path}': {what}.", param=path or None)


def _word(name: str) -> str:
    return _WORDS.get(name, name)
