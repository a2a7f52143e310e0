"""The detectors: what each finds and leaves alone, against plain regular expressions and validators."""

from __future__ import annotations

import base64
import json
from random import Random

import pytest

from sluiceway.personal import KINDS, Detectors
from tests.personal.naive import NAIVE
from tests.personal.texts import text

ALL = Detectors((1 << len(KINDS)) - 1)


def found(given: str) -> list[tuple[str, str]]:
    """What all detectors find in a text, with its kind."""
    raw = given.encode()
    return [(KINDS[kind], raw[first:last].decode()) for first, last, kind, _ in ALL.find(raw)]


def masked(detectors: Detectors, given: str) -> str:
    """The text with asterisks for what is found."""
    left, place = b"", 0
    for first, last, *_ in detectors.find(given.encode()):
        left += given.encode()[place:first] + b"****"
        place = last
    return (left + given.encode()[place:]).decode()


@pytest.mark.parametrize("detector", NAIVE)
def test_it_finds_what_the_oracle_finds(detector: str) -> None:
    """In any text a detector finds exactly what regular expressions and Python's validators find."""
    alone = Detectors(1 << KINDS.index(detector))
    hits = 0
    for number in range(3000):
        given = text(Random(f"{detector}:{number}"))
        expected = list(NAIVE[detector](given))
        assert [finding[:2] for finding in alone.find(given.encode())] == expected, given
        hits += len(expected)
    assert hits > 100


def test_findings_are_in_order_and_apart() -> None:
    """Whatever a text holds, its findings lie in it, follow one another and do not overlap."""
    for number in range(3000):
        raw = text(Random(number)).encode()
        place = 0
        for first, last, _, _ in Detectors(127, decodes=number % 2 == 0).find(raw):
            assert place <= first < last <= len(raw)
            place = last


JWT = ".".join(
    base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
    for part in ({"typ": "JWT", "alg": "HS256"}, {"sub": 1}, 7)
)


@pytest.mark.parametrize(
    ("detector", "given", "expected"),
    [
        ("email", "to jane.doe+news@mail.example.co.uk.", "jane.doe+news@mail.example.co.uk"),
        ("email", "<o'brien_2@EXAMPLE.COM>", "o'brien_2@EXAMPLE.COM"),
        ("email", "mailto:иван@почта.рф?subject=x", "иван@почта.рф"),
        ("email", "联系foo@example.com", "foo@example.com"),
        ("email", "a@b.xn--p1ai", "a@b.xn--p1ai"),
        ("email", "smtp://jane@example.com/", "jane@example.com"),
        ("credit_card", "card4111111111111111", "4111111111111111"),
        ("credit_card", "4111 1111 1111 1111 12/27", "4111 1111 1111 1111"),
        ("credit_card", "3782-822463-10005", "3782-822463-10005"),
        ("credit_card", "4222222222222", "4222222222222"),
        ("iban", "DE89 3704 0044 0532 0130 00", "DE89 3704 0044 0532 0130 00"),
        ("iban", "to gb29nwbk60161331926819.", "gb29nwbk60161331926819"),
        ("phone", "call +49 (0)30 1234567 now", "+49 (0)30 1234567"),
        ("phone", "(202) 555-0143", "(202) 555-0143"),
        ("phone", "tel:020 7946 0958", "020 7946 0958"),
        ("phone", "01 23 45 67 89", "01 23 45 67 89"),
        ("ip", "10.1.2.3:8080", "10.1.2.3"),
        ("ip", "http://10.1.2.3/x", "10.1.2.3"),
        ("ip", "localhost/10.1.2.3", "10.1.2.3"),
        ("ip", "10.1.2.0/24", "10.1.2.0"),
        ("ip", "/lookup/93.184.216.34", "93.184.216.34"),
        ("ip", "GET /ip/8.8.8.8?x=1", "8.8.8.8"),
        ("ip", "https://h.example/v1/hosts/203.0.113.7/x", "203.0.113.7"),
        ("ip", "[2001:db8::1]:443", "2001:db8::1"),
        ("ip", "fe80::1%eth0 up", "fe80::1%eth0"),
        ("ip", "::ffff:10.1.2.3", "::ffff:10.1.2.3"),
        ("ip", "peer:2001:db8::5,", "2001:db8::5"),
        ("jwt", f"Authorization: Bearer {JWT}", JWT),
        ("jwt", f"t={JWT}.", JWT),
        ("secret", "AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
        ("secret", "ghp_" + "aB3" * 12, "ghp_" + "aB3" * 12),
        ("secret", "sk-ant-api03-" + "aB3-_" * 18, "sk-ant-api03-" + "aB3-_" * 18),
        ("secret", "glpat-" + "aB3_" * 5, "glpat-" + "aB3_" * 5),
        ("secret", "postgres://app:p4ss@db.example.com:5432/x", "p4ss"),
        ("secret", "Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
        ("secret", "password=hunter2&x=1", "hunter2"),
        ("secret", '{"password": "a b\\"c"}', 'a b\\"c'),
        ("secret", "client_secret=0123456789abcdef0", "0123456789abcdef0"),
        (
            "secret",
            "-----BEGIN EC PRIVATE KEY-----\nabc\n-----END EC PRIVATE KEY-----",
            "-----BEGIN EC PRIVATE KEY-----\nabc\n-----END EC PRIVATE KEY-----",
        ),
        ("secret", "x -----BEGIN PRIVATE KEY-----\nabc", "-----BEGIN PRIVATE KEY-----\nabc"),
    ],
)
def test_it_finds(detector: str, given: str, expected: str) -> None:
    """What is personal is found as it stands, without what is around it."""
    assert found(given) == [(detector, expected)]


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ("https://h:(jane.doe@corp.com)", "https://h:****@corp.com)"),
        ("http://h:${X};to=jane.doe@corp.com", "http://h:****@corp.com"),
        ("smtp://jane.doe@corp.com:s3cret@mail.corp.com/", "smtp://****:****@mail.corp.com/"),
        ("smtp://jane.doe@corp.com:5ecret@mail.corp.com/", "smtp://****:****@mail.corp.com/"),
        ("jdbc:sqlserver://db:1433;user=jane.doe@corp.com;x=1", "jdbc:sqlserver://db:1433;user=****;x=1"),
        ("a('http://h:80')|b('jane@corp.com')", "a('http://h:80')|b('****')"),
        ("postgres://app:p4;ss@db.example.com/", "postgres://app:****@db.example.com/"),
        ("postgres://app:$3cret@db.example.com/", "postgres://app:****@db.example.com/"),
        ("postgres://app:{abc@db.example.com/", "postgres://app:****@db.example.com/"),
        ("redis://:$DB_PASS@cache.example.com", "redis://:$DB_PASS@cache.example.com"),
        ("redis://:<password>@cache.example.com", "redis://:<password>@cache.example.com"),
        ("redis://:redacted@cache.example.com", "redis://:redacted@cache.example.com"),
    ],
)
def test_a_password_in_a_url_hides_nothing_else(given: str, left: str) -> None:
    """Addresses in front of it and behind a port are found, and only a whole placeholder is left alone."""
    assert masked(ALL, given) == left


@pytest.mark.parametrize(
    "given",
    [
        "https://h:(jane.doe@corp.com)",
        "http://h:${X};to=jane.doe@corp.com",
        "jdbc:sqlserver://db:1433;user=jane.doe@corp.com;x=1",
        "ftp://u:jane.doe@corp.com@host/",
        "x://h:abc;to=jane.doe@corp.com",
    ],
)
def test_what_nobody_looks_for_hides_no_address(given: str) -> None:
    """Where only addresses are wanted, what could be the password of a URL is no reason to leave one out."""
    assert "jane.doe" not in masked(Detectors(1 << KINDS.index("email")), given)


@pytest.mark.parametrize(
    "given",
    [
        "logo@2x.png",
        "getty@tty1.service",
        "git@github.com:example/repo.git",
        "react@18.2.0",
        "user@localhost",
        "@example.com",
        "amqp://guest@rabbit.example.com:5672/",
        "redis://:***@cache",
        "postgres://app:${PASSWORD}@db.example.com/x",
        "4111111111111112",
        "14111111111111111",
        "4111111111111111a",
        "0.4111111111111111",
        "1732550400000",
        "550e8400-e29b-41d4-a716-446655440000",
        "DE89370400440532013001",
        "XDE89370400440532013000",
        "DE8937040044053201300",
        "2024-01-15",
        "302-555-12345",
        "978-3-16-148410-0",
        "GET / 200 512 1024",
        "12345678901",
        "+0200",
        "1e+12345678",
        "123-45-6789",
        "1.2.3.4.5",
        "v1.2.3.4",
        "version 1.2.3.4",
        "010.1.2.3",
        "256.1.1.1",
        "Chrome/120.0.6.1",
        "lib-1.2.3.4.jar",
        "127.0.0.1",
        "0.0.0.0",
        "255.255.255.0",
        "12:34:56",
        "00:1b:44:11:3a:b7",
        "00:1b:44:11:3a:b7:00:01",
        "std::vector",
        "f32::add",
        "::1",
        "[::]:4317",
        "12:34:56:78:9a:bc:de:f0:12:34",
        "eyJhbGciOiJIUzI1NiJ9",
        "eyJ.foo.bar",
        "aaaaaaaaaaaaaaaaaaaa.bbbbbbbb.cccccc",
        "token=null",
        "password=${X}",
        "password: required",
        "password: ********",
        "token: expired",
        "max_tokens=4096",
        "Bearer authentication",
        "Basic auth failed",
        "ghp_short",
        "sk-learn-pipeline-of-many-words",
        "AKIAIOSFODNN7EXAMPL",
        "secret: checkout-service",
    ],
)
def test_it_leaves_alone(given: str) -> None:
    """What only looks personal is not found."""
    assert found(given) == []


def test_a_narrower_wish_is_granted() -> None:
    """Of all detectors that are on some can be asked for one text."""
    raw = b"jane@example.com 10.1.2.3"
    assert [kind for _, _, kind, _ in ALL.find(raw, 1 << KINDS.index("ip"))] == [KINDS.index("ip")]
