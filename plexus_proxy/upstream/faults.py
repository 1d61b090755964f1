"""What may go wrong on the way to a provider, mapped to our faults where it happens."""

import socket
import ssl

from plexus_proxy.errors import Unreachable


def as_fault(error: OSError | ValueError) -> Unreachable:
    """The fault of a connection that could not be made. Messages name no URL and no header."""
    match error:
        case ssl.SSLError():  # CertificateError is one; both are ValueErrors or OSErrors too
            return Unreachable(
                "The provider's TLS certificate or handshake was refused.", code="upstream_tls"
            )
        case socket.gaierror():
            return Unreachable(
                "The provider's host name could not be resolved.", code="upstream_dns"
            )
        case ValueError():
            return Unreachable("The provider's base URL or a configured header is not valid.")
        case _:
            return Unreachable("The provider could not be connected to.")
