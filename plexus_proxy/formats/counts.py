"""What the formats share in counting tokens: a body with only the fields a count takes, and answers
that are one number in one field."""

from collections.abc import Collection

import msgspec
from msgspec import Raw

from plexus_proxy.errors import Garbled
from plexus_proxy.formats import body as bodies
from plexus_proxy.formats.body import raw

_INT = msgspec.json.Decoder(int)


def only(body: bytes, names: Collection[str]) -> bytes:
    """`body` without the top-level fields that are not named."""
    fields = bodies.decode_fields(body)
    return bytes(raw({name: value for name, value in fields.items() if name in names}))


def number_in(body: bytes, name: str) -> int:
    """The tokens an answer states in the field `name`. Raises Garbled."""
    try:
        tokens = bodies.parse(_INT, bodies.decode_fields(body).get(name, Raw(b"null")))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Garbled("The provider's count of tokens cannot be read.") from error
    if tokens < 0:
        raise Garbled("The provider's count of tokens is negative.")
    return tokens
