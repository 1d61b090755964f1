"""Opaque state travels through a client and comes back unaltered."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plexus_proxy.formats import envelope
from plexus_proxy.formats.events import Opaque


def sealed(content: bytes) -> str:
    return "gw1." + base64.urlsafe_b64encode(content).decode()


TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(
    st.builds(
        Opaque,
        kind=st.sampled_from(["sig", "redacted", "enc", "gsig"]),
        data=TEXT,
        issuer=TEXT.filter(bool),
        model=TEXT,
        item_id=TEXT,
    )
)
def test_what_was_packed_is_unpacked(opaque: Opaque) -> None:
    packed = envelope.pack(opaque)
    assert envelope.unpack(packed) == opaque
    assert envelope.pack(opaque) == packed


def test_state_without_an_issuer_goes_as_it_is() -> None:
    """To clients of the issuer's own format, which send it back to be relayed untouched."""
    native = Opaque("sig", "c2ln")
    assert envelope.pack(native) == envelope.pack_base64(native) == "c2ln"


def test_an_envelope_is_its_prefix_and_url_safe_base64() -> None:
    packed = envelope.pack(Opaque("sig", "?>~ÿ" * 9, "p", "m"))
    assert packed.startswith("gw1.")
    assert packed.removeprefix("gw1.").replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize(
    "junk",
    [
        "",
        "sig",
        "gw1.",
        "gw1.====",
        "gw1.é",
        "gw1.AAAA",
        sealed(b'{"v":2,"issuer":"","kind":"sig","model":"","data":""}'),
        sealed(b'{"v":1,"issuer":"","kind":"new","model":"","data":""}'),
        sealed(b"[" * 50_000),
    ],
)
def test_junk_is_no_envelope(junk: str) -> None:
    assert envelope.unpack(junk) is None


@given(TEXT)
def test_no_text_makes_unpacking_fail(text: str) -> None:
    envelope.unpack(text)
    envelope.unpack("gw1." + text)


@given(TEXT)
def test_an_envelope_of_base64_alone_is_unpacked_in_either_alphabet(data: str) -> None:
    opaque = Opaque("gsig", data, "p", "m", "id")
    packed = envelope.pack_base64(opaque)
    assert envelope.is_base64_envelope(packed)
    content = base64.b64decode(packed, validate=True)
    assert envelope.unpack_base64(packed) == opaque
    assert envelope.unpack_base64(base64.urlsafe_b64encode(content).decode().rstrip("=")) == opaque


@pytest.mark.parametrize("junk", ["", "c2ln", envelope.BASE64_PREFIX, envelope.BASE64_PREFIX + "é"])
def test_junk_is_no_envelope_of_base64(junk: str) -> None:
    assert envelope.unpack_base64(junk) is None
