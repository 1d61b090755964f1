"""catalogue/models.json from the installed genai-prices: `make catalogue`.

Of each vendor's models it keeps names, context length and today's list price of text.
"""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

from genai_prices import types as source
from genai_prices.data import providers

TARGET = Path(__file__).parent / "models.json"
FIELDS = ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok")
NOW = datetime.now(UTC)


def clauses(match: Any) -> Iterator[Any]:
    if isinstance(match, source.ClauseOr):
        for each in match.or_:
            yield from clauses(each)
    else:
        yield match


def names(match: Any) -> list[str]:
    return [each.equals.lower() for each in clauses(match) if isinstance(each, source.ClauseEquals)]


def pattern(match: Any) -> str:
    """A regular expression for whole names in lower case besides `names`; empty for none."""
    others = [each for each in clauses(match) if not isinstance(each, source.ClauseEquals)]
    return "|".join(whole(each) for each in others)


def whole(clause: Any) -> str:
    match clause:
        case source.ClauseEquals():
            return re.escape(clause.equals.lower())
        case source.ClauseStartsWith():
            return re.escape(clause.starts_with.lower()) + ".*"
        case source.ClauseEndsWith():
            return ".*" + re.escape(clause.ends_with.lower())
        case source.ClauseContains():
            return f".*{re.escape(clause.contains.lower())}.*"
        case source.ClauseRegex():
            return f"(?=.*?(?:{clause.regex})).*"
        case source.ClauseAnd():
            return "".join(f"(?=(?:{whole(each)})$)" for each in clause.and_) + ".*"
        case source.ClauseOr():
            return "|".join(whole(each) for each in clause.or_)
        case _:
            raise TypeError(f"a new kind of clause: {clause}")


def rates(prices: Any) -> list[list[Any]]:
    """[above so many tokens of prompt, input, output, cache read, cache write] per million."""
    given = [getattr(prices, field) for field in FIELDS]
    starts = {
        tier.start for each in given if isinstance(each, source.TieredPrices) for tier in each.tiers
    }
    return [[start, *(at(each, start) for each in given)] for start in sorted({0, *starts})]


def at(price: Any, start: int) -> float | int | None:
    if isinstance(price, source.TieredPrices):
        reached = [tier.price for tier in price.tiers if tier.start <= start]
        price = reached[-1] if reached else price.base
    return None if price is None else plain(price)


def plain(price: Decimal) -> float | int:
    return int(price) if price == int(price) else float(price)


def models(provider: Any) -> Iterator[dict[str, Any]]:
    for each in provider.models:
        told = {
            "names": names(each.match),
            "pattern": pattern(each.match),
            "context": each.context_window,
            "rates": rates(each.get_prices(NOW)),
        }
        if told["rates"] == [[0, None, None, None, None]]:
            told["rates"] = []
        if told["rates"] or told["context"]:
            yield {field: value for field, value in told.items() if value}


def line(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def vendor(provider: Any) -> str:
    head = {"name": provider.id, "url": provider.api_pattern}
    if provider.fallback_model_providers:
        head["also"] = provider.fallback_model_providers
    listed = ",\n".join(line(each) for each in models(provider))
    return f'{line(head)[:-1]},"models":[\n{listed}\n]}}'


def main() -> None:
    made = f"genai-prices {version('genai-prices')}"
    vendors = ",\n".join(vendor(each) for each in providers)
    TARGET.write_text(f'{{"source":{line(made)},"vendors":[\n{vendors}\n]}}\n')
    print(f"{TARGET.stat().st_size} bytes from {made}")


main()
