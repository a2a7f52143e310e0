"""Addresses to listen on, compared and checked without opening anything."""

import pytest

from sluiceway.config.address import Address, check_address


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("localhost:1",), ("localhost:1",)),
        (("localhost:1",), ("127.0.0.1:1",)),
        (("LOCALHOST:1",), ("[::1]:1",)),
        (("0.0.0.0:1",), ("127.0.0.1:1",)),
        ((":1",), ("192.0.2.1:1",)),
        ((":1",), ("[2001:db8::1]:1",)),
        (("[::]:1",), ("0.0.0.0:1",)),
        (("[::]:1",), ("127.0.0.1:1",)),
        (("0:1",), ("127.1:1",)),
        (("[::ffff:127.0.0.1]:1",), ("127.0.0.1:1",)),
        (("gateway.example.com:1",), ("Gateway.example.com:1",)),
        (("gateway.example.com:1",), (":1",)),
        (("/run/a", "unix"), ("/run/a", "unix")),
    ],
)
def test_the_same_address_is_known_in_every_spelling(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    """Two servers cannot have both, whichever comes first."""
    assert Address(*one).overlaps(Address(*other))
    assert Address(*other).overlaps(Address(*one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("localhost:0",), ("localhost:0",)),
        (("localhost:1",), ("localhost:2",)),
        (("127.0.0.1:1",), ("127.0.0.2:1",)),
        (("127.0.0.1:1",), ("[::1]:1",)),
        ((":1", "tcp4"), (":1", "tcp6")),
        (("localhost:1", "tcp4"), ("[::1]:1",)),
        (("0.0.0.0:1",), ("[::1]:1",)),
        (("[::]:1", "tcp6"), ("0.0.0.0:1",)),
        (("a.example.com:1",), ("b.example.com:1",)),
        (("/run/a", "unix"), ("/run/b", "unix")),
        (("/run/a:1", "unix"), ("localhost:1",)),
    ],
)
def test_other_addresses_are_no_collision(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    """Port 0 never collides, and neither do other ports, other hosts and other families."""
    assert not Address(*one).overlaps(Address(*other))
    assert not Address(*other).overlaps(Address(*one))


@pytest.mark.parametrize(
    "address",
    [("localhost:1",), (":1",), ("a_b.svc.:1",), ("127.1:1", "tcp4"), ("[::1]:1", "tcp6"), ("bücher.example:1",),
     ("[fe80::1%eth0]:1",), ("x", "unix")],
)  # fmt: skip
def test_addresses_that_can_be(address: tuple[str, ...]) -> None:
    """Names, literals of the transport's family, and paths."""
    check_address(*address)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        (("localhost",), "expected host:port"),
        (("http://localhost:1",), "expected host:port"),
        (("localhost:99999",), "invalid port"),
        (("[::1]:1", "tcp4"), "::1 is not an address of transport tcp4"),
        (("127.0.0.1:1", "tcp6"), "127.0.0.1 is not an address of transport tcp6"),
        (("256.0.0.1:1",), 'invalid host "256.0.0.1"'),
        (("a..b:1",), 'invalid host "a..b"'),
        (("a b:1",), 'invalid host "a b"'),
        (("a\0:1",), "invalid host"),
        (("x" * 108, "unix"), "has 1 to 107 bytes"),
        (("a\0", "unix"), "none of them is zero"),
    ],
)
def test_addresses_that_cannot_be(address: tuple[str, ...], message: str) -> None:
    """What no machine could listen on is refused before the start."""
    with pytest.raises(ValueError, match=message):
        check_address(*address)
