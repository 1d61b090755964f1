"""A provider's own credential is taken out of what it says when it fails."""

from plexus_proxy.config.model import Provider
from plexus_proxy.crypto import Secret
from plexus_proxy.errors import Garbled, Refused
from plexus_proxy.upstream.scrub import scrub, scrub_fault

PROVIDER = Provider(
    api_base_url="http://provider.example",
    api_key=Secret("provider-key-1234"),
    headers={
        "x-tenant": Secret("tenant-token-5678"),
        "x-flag": Secret("true"),
        "proxy-authorization": Secret("Bearer token-behind-9012"),
    },
)


def test_key_and_configured_headers_are_masked() -> None:
    said = b'{"message": "provider-key-1234 of tenant-token-5678"}'
    assert scrub(said, PROVIDER) == b'{"message": "*** of ***"}'


def test_a_token_is_masked_without_the_scheme_it_is_configured_with() -> None:
    assert scrub(b"Incorrect key: token-behind-9012.", PROVIDER) == b"Incorrect key: ***."
    assert scrub(b"Got: Bearer token-behind-9012.", PROVIDER) == b"Got: ***."


def test_a_short_header_value_does_not_spoil_the_json_around_it() -> None:
    assert scrub(b'{"retry": true}', PROVIDER) == b'{"retry": true}'


def test_a_faults_message_and_body_are_masked() -> None:
    fault = Refused(
        "no: provider-key-1234", upstream_status=400, kind="bad_request", body=b"tenant-token-5678"
    )
    scrub_fault(fault, PROVIDER)
    assert (fault.message, fault.body) == ("no: ***", b"***")


def test_any_fault_has_its_message_masked() -> None:
    fault = Garbled("odd: provider-key-1234")
    scrub_fault(fault, PROVIDER)
    assert fault.message == "odd: ***"


def test_a_provider_without_secrets_is_left_alone() -> None:
    assert scrub(b"text", Provider(api_base_url="http://provider.example")) == b"text"
