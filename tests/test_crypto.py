"""Secrets never print, and what is sealed opens only with its own key."""

import pickle

import msgspec
import pytest

from plexus_proxy.crypto import PREFIX, Sealer, Secret, WrongKey, digest, generate_secret

HEX_KEY = Secret("0f" * 32)
PASSPHRASE = Secret("correct horse battery staple")


def test_a_secret_never_shows_itself() -> None:
    secret = Secret("hunter2-hunter2")
    shown = (repr(secret), str(secret), f"{secret}", f"{secret:>20}", repr([secret]), f"{secret!r}")
    assert all("hunter2" not in text for text in shown)
    with pytest.raises(TypeError):
        msgspec.json.encode(secret)
    with pytest.raises(TypeError):
        pickle.dumps(secret)


def test_secrets_compare_by_value() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert len({Secret("a"), Secret("a")}) == 1
    assert not Secret("")


@pytest.mark.parametrize("key", [HEX_KEY, PASSPHRASE])
def test_sealed_text_opens_again(key: Secret) -> None:
    sealed = Sealer(key).seal("sk-grüß-1")
    assert sealed.startswith(PREFIX)
    assert "sk-gr" not in sealed
    assert Sealer(key).open(sealed) == "sk-grüß-1"


def test_the_same_text_is_sealed_differently_each_time() -> None:
    sealer = Sealer(HEX_KEY)
    assert sealer.seal("x") != sealer.seal("x")


@pytest.mark.parametrize("other", [PASSPHRASE, Secret("0e" * 32), None])
def test_another_key_fails_loudly(other: Secret | None) -> None:
    sealed = Sealer(HEX_KEY).seal("x")
    with pytest.raises(WrongKey):
        Sealer(other).open(sealed)


@pytest.mark.parametrize("cut", [slice(0, -4), slice(0, 20), slice(0, len(PREFIX))])
def test_altered_text_fails_loudly(cut: slice) -> None:
    sealed = Sealer(HEX_KEY).seal("some longer text")
    with pytest.raises(WrongKey):
        Sealer(HEX_KEY).open(sealed[cut])


def test_without_a_key_plain_text_passes() -> None:
    sealer = Sealer(None)
    assert not sealer.sealing
    assert sealer.open(sealer.seal("plain")) == "plain"


def test_sealing_twice_changes_nothing() -> None:
    sealer = Sealer(HEX_KEY)
    once = sealer.seal("x")
    assert sealer.seal(once) == once


def test_the_sealed_form_is_aes_256_gcm_as_documented() -> None:
    import base64

    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    raw = base64.urlsafe_b64decode(Sealer(HEX_KEY).seal("known").removeprefix("enc:v1:"))
    assert AESGCM(bytes.fromhex("0f" * 32)).decrypt(raw[:12], raw[12:], b"enc:v1:") == b"known"


def test_generated_secrets_differ_and_are_long() -> None:
    made = {generate_secret("sk-plexus") for _ in range(50)}
    assert len(made) == 50
    assert all(len(text) >= 40 for text in made)


def test_digest_is_sha256() -> None:
    assert digest("abc").hex().startswith("ba7816bf8f01cfea")
