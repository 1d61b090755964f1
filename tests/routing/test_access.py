"""Which format a target is spoken to in, and where."""

from plexus_proxy.config.model import Provider, ProviderModel
from plexus_proxy.routing.access import base_url, choose_format, provider_types, usable_types

SPOKEN = ("chat", "messages")
PROVIDERS = {
    "openai": Provider(api_base_url="https://api.openai.com/v1/"),
    "both": Provider(
        api_base_url={
            "chat": "http://both/v1",
            "messages": "http://both/anthropic",
            "default": "http://both/d",
        }
    ),
    "google": Provider(api_base_url="https://generativelanguage.googleapis.com"),
}


def test_api_type_is_inferred_from_the_url() -> None:
    assert provider_types(PROVIDERS["openai"]) == ("chat",)
    assert provider_types(PROVIDERS["google"]) == ("gemini",)
    assert provider_types(PROVIDERS["both"]) == ("chat", "messages")


def test_base_url_by_type_then_default() -> None:
    both = PROVIDERS["both"]
    assert base_url(both, "messages") == "http://both/anthropic"
    assert base_url(both, "responses") == "http://both/d"
    assert base_url(PROVIDERS["openai"], "chat") == "https://api.openai.com/v1"


def test_format_falls_back_to_the_first_one_we_speak() -> None:
    assert choose_format(("gemini", "messages", "chat"), "responses", SPOKEN) == "messages"
    assert choose_format(("gemini",), "chat", SPOKEN) is None


def test_a_format_that_only_clients_speak_is_translated() -> None:
    assert choose_format(("completions", "chat"), "completions", SPOKEN) == "chat"
    assert choose_format(("completions",), "completions", SPOKEN) is None


def test_an_empty_access_via_is_none_given() -> None:
    both = PROVIDERS["both"]
    assert usable_types(both, ProviderModel(access_via=())) == ("chat", "messages")
    assert usable_types(both, ProviderModel(access_via=("Messages",))) == ("messages",)
