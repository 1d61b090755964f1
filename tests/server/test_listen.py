"""Binding the address before anything expensive starts."""

import resource
import socket

import pytest

from plexus_proxy.server.listen import CannotListen, bind, raise_file_limit, url_of


def _close(sockets: list[socket.socket]) -> None:
    for each in sockets:
        each.close()


def test_port_zero_takes_a_free_port() -> None:
    sockets = bind("127.0.0.1", 0)
    assert sockets[0].getsockname()[1] > 0
    _close(sockets)


def test_a_name_with_several_addresses_gets_one_port_for_all() -> None:
    sockets = bind("localhost", 0)
    assert len({each.getsockname()[1] for each in sockets}) == 1
    _close(sockets)


def test_a_port_in_use_is_named_with_a_way_out() -> None:
    taken = bind("127.0.0.1", 0)
    taken[0].listen()
    port = taken[0].getsockname()[1]
    with pytest.raises(CannotListen, match=rf"127\.0\.0\.1:{port} is already in use.*--port"):
        bind("127.0.0.1", port)
    _close(taken)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1"])
def test_an_address_that_is_not_ours_is_refused_in_words(host: str) -> None:
    with pytest.raises(CannotListen, match=f"Cannot listen on {host}:0"):
        bind(host, 0)


def test_a_socket_on_all_addresses_is_shown_as_localhost() -> None:
    sockets = bind("0.0.0.0", 0)
    assert url_of(sockets[0]) == f"http://localhost:{sockets[0].getsockname()[1]}"
    _close(sockets)


def test_an_ipv6_address_is_bracketed() -> None:
    try:
        sockets = bind("::1", 0)
    except CannotListen:
        pytest.skip("this machine has no IPv6")
    assert url_of(sockets[0]).startswith("http://[::1]:")
    _close(sockets)


def test_the_file_limit_is_raised_as_far_as_allowed() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    raise_file_limit()
    raised, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert raised == (65536 if hard == resource.RLIM_INFINITY else min(65536, hard))
