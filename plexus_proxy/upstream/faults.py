"""What aiohttp's client may raise, mapped to our faults at the one edge that calls it."""

import ssl

import aiohttp

from plexus_proxy.errors import Garbled, Unreachable, UpstreamFault

FOREIGN = (aiohttp.ClientError, OSError, EOFError, ValueError)
"""What a call of the HTTP client may raise; ValueError: an unusable URL or header."""


def as_fault(error: Exception) -> UpstreamFault:
    """The fault an exception of the HTTP client stands for. Messages name no URL and no header."""
    match error:
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError() | ssl.SSLError():
            return Unreachable(
                "The provider's TLS certificate or handshake was refused.", code="upstream_tls"
            )
        case aiohttp.ClientConnectorDNSError():
            return Unreachable(
                "The provider's host name could not be resolved.", code="upstream_dns"
            )
        case aiohttp.ClientConnectorError():
            return Unreachable("The provider could not be connected to.")
        case aiohttp.ServerDisconnectedError():
            return Unreachable("The provider closed the connection without an answer.")
        case aiohttp.ClientPayloadError():
            return Garbled(
                "The provider's answer ended early or is badly encoded.", code="upstream_cut"
            )
        case aiohttp.ClientResponseError():
            return Garbled("The provider did not answer in valid HTTP.")
        case ValueError():  # InvalidURL is one too
            return Unreachable("The provider's base URL or a configured header is not valid.")
        case _:
            return Unreachable("The connection to the provider broke.")
