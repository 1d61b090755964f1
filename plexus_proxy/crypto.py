"""Secrets: a type that never prints, and authenticated encryption of what we store.

Sealed form: `enc:v1:` + base64url(nonce 12 bytes + ciphertext + tag 16 bytes), AES-256-GCM.
The key comes from ENCRYPTION_KEY: 64 hex digits are the key itself, anything else is a passphrase
stretched by scrypt (N=16384, r=8, p=1, fixed salt, so that every worker derives the same key).
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

PREFIX = "enc:v1:"
_SALT = b"plexus-proxy/encryption-key/v1"
_NONCE_BYTES = 12
_HEX_KEY = re.compile(r"[0-9a-fA-F]{64}")


class Secret:
    """A string that must not be shown: `repr`, `str`, formatting and JSON all refuse or mask it.

    `reveal()` is the only way out; grep for it to see every place a secret leaves.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(
            self._value.encode(), other._value.encode()
        )

    def __hash__(self) -> int:
        return hash(digest(self._value))

    def __reduce__(self) -> str:
        raise TypeError("a Secret is never pickled")


def digest(value: str) -> bytes:
    """SHA-256 of a secret: what look-ups and comparisons use in place of the secret itself."""
    return hashlib.sha256(value.encode("utf-8", "surrogateescape")).digest()


class WrongKey(Exception):
    """The sealed text was made with another ENCRYPTION_KEY, or was altered."""


class Sealer:
    """Seals and opens stored values. Without a key it stores plain text and `sealing` is False."""

    def __init__(self, encryption_key: Secret | None) -> None:
        self._aead = AESGCM(_derive(encryption_key.reveal())) if encryption_key else None

    @property
    def sealing(self) -> bool:
        return self._aead is not None

    def seal(self, plain: str) -> str:
        """Encrypt `plain`; an already sealed text and, without a key, plain text pass unchanged."""
        if self._aead is None or plain.startswith(PREFIX):
            return plain
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = nonce + self._aead.encrypt(nonce, plain.encode(), PREFIX.encode())
        return PREFIX + base64.urlsafe_b64encode(sealed).decode()

    def open(self, text: str) -> str:
        """Decrypt; text without the prefix is returned as it is. Raises WrongKey."""
        if not text.startswith(PREFIX):
            return text
        if self._aead is None:
            raise WrongKey("A stored value is encrypted but ENCRYPTION_KEY is not set.")
        try:
            sealed = base64.urlsafe_b64decode(text[len(PREFIX) :])
            plain = self._aead.decrypt(
                sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], PREFIX.encode()
            )
        except (InvalidTag, binascii.Error, ValueError) as error:
            raise WrongKey(
                "A stored value cannot be decrypted with this ENCRYPTION_KEY."
            ) from error
        return plain.decode()


def _derive(key: str) -> bytes:
    if _HEX_KEY.fullmatch(key):
        return bytes.fromhex(key)
    return hashlib.scrypt(key.encode(), salt=_SALT, n=16384, r=8, p=1, dklen=32)


def generate_secret(prefix: str) -> str:
    """A fresh secret such as `sk-plexus-…`: 32 url-safe characters after the prefix (192 bits)."""
    return f"{prefix}-{secrets.token_urlsafe(24)}"
