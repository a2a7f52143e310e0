"""Listening sockets."""

import socket

import pytest

from sluiceway.config.listen import check_unix_path, is_loopback, listen
from sluiceway.errors import ConfigError


@pytest.mark.parametrize(
    ("endpoint", "transport", "expected"),
    [
        ("localhost:1", "tcp", True),
        ("127.0.0.9:1", "tcp4", True),
        ("[::1]:1", "tcp6", True),
        ("0.0.0.0:1", "tcp", False),
        (":1", "tcp", False),
        ("example.com:1", "tcp", False),
        ("/run/x.sock", "unix", True),
    ],
)
def test_loopback_is_known(endpoint, transport, expected):
    """Names and addresses that only this machine can reach."""
    assert is_loopback(endpoint, transport) is expected


@pytest.mark.parametrize("endpoint", ["localhost:0", ":0", "127.0.0.1:0"])
async def test_all_addresses_share_one_port(endpoint):
    """Port 0 is chosen once."""
    opened = await listen(endpoint)
    assert len({one.getsockname()[1] for one in opened}) == 1
    for one in opened:
        one.close()


async def test_every_address_is_ipv4_and_ipv6():
    """`[::]` takes IPv4 as well, as users of the Collector know it."""
    opened = await listen("[::]:0")
    assert {one.family for one in opened} == {socket.AF_INET, socket.AF_INET6}
    for one in opened:
        one.close()


async def test_what_cannot_be_bound_is_named():
    """A busy port, another machine's address and an unknown host are errors that name the endpoint."""
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        for endpoint in (f"127.0.0.1:{port}", "192.0.2.1:0", "no-such-host.invalid:0"):
            with pytest.raises(ConfigError, match=f"cannot listen on {endpoint}"):
                await listen(endpoint)


async def test_an_address_that_is_not_there_may_be_left_out(monkeypatch):
    """A host name with an IPv6 address listens on IPv4 where there is no IPv6, but a busy port is never left out."""

    async def two(*_args, **_options):
        return [(socket.AF_INET, 1, 6, "", ("127.0.0.1", 0)), (socket.AF_INET6, 1, 6, "", ("2001:db8::1", 0, 0, 0))]

    import asyncio

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", two)
    opened = await listen("both:0")
    assert [one.family for one in opened] == [socket.AF_INET]
    opened[0].close()


async def test_a_left_over_socket_makes_way(tmp_path):
    """A socket that nobody serves is replaced; one that is served, and any other file, is not."""
    path = str(tmp_path / "s")
    (first,) = await listen(path, "unix")
    with pytest.raises(ConfigError, match="cannot listen on"):
        check_unix_path(path)
    first.close()
    (second,) = await listen(path, "unix")
    second.close()
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="not a socket"):
        check_unix_path(str(tmp_path / "file"))
    with pytest.raises(ConfigError, match="cannot listen on"):
        await listen(str(tmp_path / "no" / "folder"), "unix")
