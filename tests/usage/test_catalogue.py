"""The catalogue of models: how they are found, and that what is shipped is sound."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from plexus_proxy.usage.catalogue import Catalogue, Rate, shipped

FILE = Path(__file__).parent.parent.parent / "catalogue" / "models.json"
SHIPPED: dict[str, Any] = json.loads(FILE.read_text())
MODELS = [(vendor, model) for vendor in SHIPPED["vendors"] for model in vendor["models"]]


def vendor(name: str, url: str, *models: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "url": url, "models": list(models), **more}


SMALL = Catalogue(
    json.dumps(
        {
            "vendors": [
                vendor(
                    "acme",
                    r"https://api\.acme\.com",
                    {"names": ["one", "uno"], "context": 1},
                    {"pattern": r"two-\d{8}|two@.*", "context": 2},
                    {"pattern": "on.*", "context": 3},
                    {"names": ["online"], "context": 4},
                ),
                vendor(
                    "beta", "https://beta", {"names": ["own"], "context": 5}, also=["acme", "x"]
                ),
                vendor("acme-too", r"https://api\.acme\.com", {"names": ["six"], "context": 6}),
                vendor("openrouter", "https://openrouter", {"names": ["acme/one"], "context": 7}),
            ]
        }
    ).encode()
)
ACME = "https://api.acme.com/v1"


@pytest.mark.parametrize(
    ("url", "model", "context"),
    [
        (ACME, "one", 1),
        (ACME, "UNO", 1),
        (ACME, "two-20260101", 2),
        (ACME, "two@x", 2),
        (ACME, "two-2026", None),
        (ACME, "not-two-20260101", None),
        (ACME, "one-more", 3),
        (ACME, "online", 3),  # the first that fits
        (ACME, "six", 6),
        ("https://beta/v1", "own", 5),
        ("https://beta/v1", "one", 1),
        ("https://other/api.acme.com", "one", None),
        ("", "one", None),
        (ACME, "", None),
    ],
)
def test_a_model_is_found_where_it_is_served(url: str, model: str, context: int | None) -> None:
    found = SMALL.at(url, model)
    assert (found.context if found else None) == context


@pytest.mark.parametrize(
    ("path", "context"),
    [
        ("acme/one", 7),
        ("acme/uno", 1),
        ("ACME/Uno", 1),
        ("acme/nobody", None),
        ("nobody/one", None),
        ("one", None),
    ],
)
def test_a_model_is_found_by_its_path(path: str, context: int | None) -> None:
    found = SMALL.named(path)
    assert (found.context if found else None) == context


def test_what_is_shipped_knows_the_models_people_use() -> None:
    catalogue = shipped()
    gpt = catalogue.at("https://api.openai.com/v1", "gpt-5.2")
    assert gpt is not None
    assert gpt.context == 400_000
    assert gpt.rates == (Rate(0, 1.75, 14, 0.175, None),)
    claude = catalogue.at("https://api.anthropic.com/v1", "claude-sonnet-4-5-20250929")
    assert claude is not None
    assert [(each.above, each.input) for each in claude.rates] == [(0, 3), (200_000, 6)]
    assert catalogue.at("https://generativelanguage.googleapis.com", "gemini-2.5-pro") is not None
    assert catalogue.named("qwen/qwen3-coder") is not None
    assert catalogue.at("http://127.0.0.1:11434/v1", "gpt-5.2") is None


def test_what_is_shipped_names_its_source() -> None:
    assert re.fullmatch(r"genai-prices [\d.]+", SHIPPED["source"])
    assert "Pydantic" in FILE.with_name("LICENSE.genai-prices").read_text()


def test_every_vendor_has_an_address_and_models() -> None:
    names = [each["name"] for each in SHIPPED["vendors"]]
    assert len(set(names)) == len(names) > 40
    for each in SHIPPED["vendors"]:
        re.compile(each["url"])
        assert each["models"], each["name"]
        assert set(each.get("also", ())) <= set(names)


def test_every_model_has_a_name_and_something_to_say() -> None:
    assert len(MODELS) > 2000
    for vendor, model in MODELS:
        assert model.keys() <= {"names", "pattern", "context", "rates"}
        assert model.get("names") or model.get("pattern"), vendor["name"]
        re.compile(model.get("pattern", ""))
        assert all(name == name.lower() for name in model.get("names", ()))
        assert model.get("context", 1) > 0
        thresholds = [rate[0] for rate in model.get("rates", ())]
        assert thresholds == sorted(set(thresholds))
        assert thresholds[:1] in ([], [0])
        prices = [price for rate in model.get("rates", ()) for price in rate[1:]]
        assert all(price is None or 0 <= price < 2000 for price in prices), model
