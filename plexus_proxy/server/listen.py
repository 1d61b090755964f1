"""Binding the address, before anything expensive has started, and raising the file limit."""

import errno
import resource
import socket
from typing import Any

BACKLOG = 4096
_WANTED_FILES = 65536
_Address = tuple[Any, ...]
"""(host, port), for IPv6 with flow and scope."""


class CannotListen(Exception):
    """The address cannot be bound; the message says why and what to do."""


def bind(host: str, port: int) -> list[socket.socket]:
    """Sockets bound to every address of `host`, not listening yet. Raises CannotListen.

    Port 0 takes a free one, the same for all addresses.
    """
    bound: list[socket.socket] = []
    try:
        for family, address in _addresses(host, port):
            if port == 0 and bound:
                address = (address[0], bound[0].getsockname()[1], *address[2:])
            bound.append(_bind_one(family, address))
    except OSError as error:
        for each in bound:
            each.close()
        raise CannotListen(_explain(error, host, port)) from error
    return bound


def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, _Address]]:
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return [(family, address) for family, _, _, _, address in dict.fromkeys(found)]


def _bind_one(family: socket.AddressFamily, address: _Address) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:  # the IPv4 address, if wanted, is bound by itself
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def _explain(error: OSError, host: str, port: int) -> str:
    where = f"{host or '*'}:{port}"
    if error.errno == errno.EADDRINUSE:
        return (
            f"{where} is already in use. Stop what listens there, or choose another port with"
            " --port or PORT."
        )
    if error.errno == errno.EACCES:
        return f"No permission to listen on {where}. Choose a port above 1023."
    return f"Cannot listen on {where}: {error.strerror or error}."


def url_of(sock: socket.socket) -> str:
    """A URL that reaches the socket from this machine."""
    host, port = sock.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def raise_file_limit() -> None:
    """Every open stream needs two descriptors; take what the hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED_FILES if hard == resource.RLIM_INFINITY else min(_WANTED_FILES, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # a container may refuse what getrlimit promised
        return
