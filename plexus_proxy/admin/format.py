"""Numbers and instants as people read them. Templates hold no arithmetic; it is all here."""

from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal

NOTHING = "–"
_NANO = Decimal("1e-9")
_SMALLEST_NANO_USD = 1000  # the sixth decimal of a dollar


def count(number: int) -> str:
    return f"{number:,}"


def usd(nano_usd: int | None) -> str:
    """Dollars with as many decimals as their size needs; exact to the eye, not to the nano."""
    if nano_usd is None:
        return NOTHING
    if nano_usd == 0:
        return "$0"
    if 0 < nano_usd < _SMALLEST_NANO_USD:
        return "<$0.000001"
    dollars = Decimal(nano_usd) * _NANO
    places = 2 if dollars >= 1 else 4 if dollars >= Decimal("0.01") else 6
    return f"${dollars.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN):,f}"


def usd_exact(nano_usd: int | None) -> str:
    if nano_usd is None:
        return NOTHING
    text = f"{Decimal(nano_usd) * _NANO:,.9f}".rstrip("0").rstrip(".")
    return f"${text}"


def duration(milliseconds: float | None) -> str:
    if milliseconds is None:
        return NOTHING
    if milliseconds < 999.5:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min"


def rate(tokens_per_s: float | None) -> str:
    if tokens_per_s is None:
        return NOTHING
    return f"{tokens_per_s:,.0f} tok/s" if tokens_per_s >= 100 else f"{tokens_per_s:.1f} tok/s"


def plural(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def iso(epoch_ms: int) -> str:
    """For machines: ISO 8601 with milliseconds, UTC."""
    text = datetime.fromtimestamp(epoch_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def utc_day(epoch_ms: int) -> str:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%Y-%m-%d")


def utc_clock(epoch_ms: int) -> str:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%H:%M:%S")
