"""Content codings a provider may use although none was asked for (RFC 9110 §8.4.1)."""

import zlib

from plexus_proxy.errors import Garbled

_PIECE_BYTES = 1024 * 1024
"""What one step may give: a small body that unpacks to gigabytes is met piece by piece."""
_GZIP = 16 + zlib.MAX_WBITS
_DEFLATE_METHOD = 8


class Inflater:
    """gzip or deflate, fed and drained bit by bit."""

    def __init__(self, coding: str) -> None:
        self._gzip = coding != "deflate"
        self._inflate = zlib.decompressobj(_GZIP) if self._gzip else None
        self._pending = b""

    def feed(self, data: bytes) -> None:
        self._pending += data

    def next(self) -> bytes:
        """The next decoded piece; empty when more input is needed. Raises Garbled."""
        while self._pending:
            inflate = self._inflate
            if inflate is None or inflate.eof:
                inflate = self._inflate = self._started()
            try:
                piece = inflate.decompress(self._pending, _PIECE_BYTES)
            except zlib.error as error:
                raise _badly_encoded() from error
            self._pending = inflate.unconsumed_tail or inflate.unused_data
            if inflate.eof and not self._gzip:
                self._pending = b""  # what follows the end is nothing we could name
            if piece:
                return piece
        return b""

    def _started(self) -> "zlib._Decompress":  # pyright: ignore[reportPrivateUsage] - its only name
        """For the next member of a gzip body, or a deflate body of either kind: with the header
        that the standard asks for, or bare as some servers send it."""
        if self._gzip:
            return zlib.decompressobj(_GZIP)
        wrapped = self._pending[0] & 0x0F == _DEFLATE_METHOD
        return zlib.decompressobj(zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)

    def finish(self) -> None:
        """The body has ended. Raises Garbled if the coding has not."""
        if self._inflate is not None and not self._inflate.eof:
            raise _badly_encoded()


def inflater(content_encoding: str) -> Inflater | None:
    """The decoder for a Content-Encoding; None for none. Raises Garbled if it is unknown."""
    coding = content_encoding.strip().lower()
    if coding in ("", "identity"):
        return None
    if coding in ("gzip", "x-gzip", "deflate"):
        return Inflater(coding)
    raise Garbled("The provider's answer has an unknown content encoding.")


def _badly_encoded() -> Garbled:
    return Garbled("The provider's answer ended early or is badly encoded.", code="upstream_cut")
