"""What a request looks up: names, keys, time-outs."""

import hashlib

import pytest

from plexus_proxy.config.load import load
from plexus_proxy.config.snapshot import Snapshot
from plexus_proxy.config.timeouts import ResolvedTimeouts
from plexus_proxy.gateway.auth import authenticate

PHASES = ("connect_s", "write_s", "headers_s", "first_content_s", "idle_s", "total_s")


def snapshot(general: str = "", provider: str = "") -> Snapshot:
    text = f"""
adminKey: admin
providers:
  p: {{api_base_url: https://p/v1, api_key: k, {provider}}}
models:
  first: {{targets: [], additional_aliases: [second, other, same]}}
  second: {{targets: [], additional_aliases: [same, more]}}
keys:
  one: {{secret: secret-1}}
  two: {{secret: secret-2}}
  twin: {{secret: secret-1}}
{general}
"""
    loaded, problems = load(text)
    assert loaded is not None, problems
    return loaded


def limits(general: str = "", provider: str = "") -> ResolvedTimeouts:
    found = snapshot(general, provider)
    return found.timeouts(found.config.providers["p"])


def test_every_name_leads_to_its_alias_the_first_one_wins() -> None:
    assert snapshot().alias_names == {
        "first": "first",
        "second": "second",
        "other": "first",
        "same": "first",
        "more": "second",
    }


def test_keys_are_found_by_what_clients_send() -> None:
    keys = snapshot()
    assert authenticate({"Authorization": "Bearer secret-2"}, {}, keys).key_name == "two"
    assert authenticate({"x-api-key": "secret-1:Me"}, {}, keys).key_name == "one"


def test_the_admin_key_is_kept_as_its_digest() -> None:
    assert snapshot().admin_digest == hashlib.sha256(b"admin").digest()


def test_defaults_of_the_time_outs() -> None:
    found = limits()
    assert [getattr(found, phase) for phase in PHASES] == [5, 60, 300, 120, 120, 3600]


@pytest.mark.parametrize("phase", PHASES)
def test_a_providers_time_out_wins_over_the_global_one(phase: str) -> None:
    assert getattr(limits(f"timeouts: {{{phase}: 7.5}}"), phase) == 7.5
    both = limits(f"timeouts: {{{phase}: 7.5}}", f"timeouts: {{{phase}: 2}}")
    assert getattr(both, phase) == 2
    others = {each: getattr(both, each) for each in PHASES if each != phase}
    assert others == {each: getattr(limits(), each) for each in PHASES if each != phase}


@pytest.mark.parametrize(
    ("general", "provider", "total_s"),
    [
        ("timeout: {defaultSeconds: 90}", "", 90),
        ("timeout: {}", "", 300),
        ("timeout: {defaultSeconds: 90}\ntimeouts: {total_s: 80}", "", 80),
        ("timeouts: {total_s: 80}", "timeoutMs: 1500", 1.5),
        ("timeout: {defaultSeconds: 90}", "timeoutMs: 1500", 1.5),
        ("timeout: {defaultSeconds: 90}", "timeoutMs: 1500, timeouts: {total_s: 3}", 3),
        ("timeouts: {idle_s: 1}", "timeoutMs: 7200000", 7200),
    ],
)
def test_the_later_spellings_set_the_total(general: str, provider: str, total_s: float) -> None:
    assert limits(general, provider).total_s == total_s


def test_twenty_thousand_keys_all_arrive() -> None:
    keys = "\n".join(
        f"  key-{number}: {{secret: secret-number-{number}}}" for number in range(20_000)
    )
    loaded, problems = load(f"adminKey: a\nproviders: {{}}\nmodels: {{}}\nkeys:\n{keys}\n")
    assert problems == []
    assert loaded is not None
    assert len(loaded.key_names) == 20_000
    caller = authenticate({"x-api-key": "secret-number-19999"}, {}, loaded)
    assert caller.key_name == "key-19999"
