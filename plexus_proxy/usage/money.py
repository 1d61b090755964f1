"""Exact money: a price per piece as a ratio of integers, rounded once when it is applied."""

from decimal import Context, Decimal

from msgspec import Struct

_EXACT = Context(prec=100)
_HIGHEST_USD = 1e9  # a rate of `.inf` must not break a row


class Ratio(Struct, frozen=True, gc=False):
    """`numerator / denominator` nano-dollars per piece."""

    numerator: int
    denominator: int

    def times(self, pieces: int) -> int:
        """The nearest whole number of nano-dollars; a half goes to the even neighbour."""
        whole, rest = divmod(pieces * self.numerator, self.denominator)
        twice = 2 * rest
        return whole + (twice > self.denominator or (twice == self.denominator and whole % 2))


def ratio(usd: float, discount: float, nano_usd_per_usd: int) -> Ratio:
    """A configured price with `discount` (0..1) taken off, times `nano_usd_per_usd`.

    Floats are read as a person wrote them: 0.1 is one tenth, not the nearest binary fraction.
    """
    left = _EXACT.subtract(Decimal(1), Decimal(str(discount)))
    price = _EXACT.multiply(_written(usd), left)
    return Ratio(*_EXACT.multiply(price, Decimal(nano_usd_per_usd)).as_integer_ratio())


def _written(usd: float) -> Decimal:
    return Decimal(str(min(usd, _HIGHEST_USD)))


def usd_text(usd: float, pieces: int = 1) -> str:
    """The price of one of so many pieces, as people and other gateways write it: no exponent, no
    zeros at the end."""
    return f"{_EXACT.divide(_written(usd), Decimal(pieces)).normalize(_EXACT):f}"
