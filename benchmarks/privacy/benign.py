"""What telemetry is full of and what is nobody's: names, texts, and above all what looks like personal data."""

from __future__ import annotations

import base64
import string
import uuid
from collections.abc import Callable
from random import Random

__all__ = ["BENIGN"]

_HEX = "0123456789abcdef"
_WORDS = [
    "checkout", "order", "cart", "payment", "user", "session", "retry", "timeout", "request", "response", "cache",
    "miss", "hit", "failed", "completed", "started", "connection", "pool", "database", "query", "index", "worker",
    "queue", "message", "tenant", "invoice", "shipment", "stock", "item", "price", "token", "password", "invalid",
    "expired", "missing", "unknown",
]  # fmt: skip
_HOSTS = ("api.example.com", "db-01.prod.internal", "cache.local", "localhost", "eu-west-1.elb.example.net")


def _digits(random: Random, size: int) -> str:
    return random.choice("123456789") + "".join(random.choices(string.digits, k=size - 1))


def _hex(random: Random, size: int) -> str:
    return "".join(random.choices(_HEX, k=size))


def _words(random: Random, least: int = 2, most: int = 9) -> str:
    return " ".join(random.choices(_WORDS, k=random.randint(least, most)))


def _version(random: Random, parts: int) -> str:
    return ".".join(str(random.randrange(30)) for _ in range(parts))


def _epoch(random: Random) -> str:
    seconds = random.randrange(1_500_000_000, 1_900_000_000)
    return random.choice(
        (
            str(seconds),
            f"{seconds}{_digits(random, 3)}",
            f"{seconds}{_digits(random, 6)}",
            f"{seconds}{_digits(random, 9)}",
            f"{seconds}.{_digits(random, 6)}",
        )
    )


def _moment(random: Random) -> str:
    year, month, day = random.randrange(1990, 2035), random.randint(1, 12), random.randint(1, 28)
    hour, minute, second = random.randrange(24), random.randrange(60), random.randrange(60)
    return random.choice(
        (
            f"{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{_digits(random, 6)}Z",
            f"{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02},{_digits(random, 3)}",
            f"{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}+02:00",
            f"{day:02}/{month:02}/{year}",
            f"{month:02}-{day:02}-{year}",
            f"{day:02}.{month:02}.{year} {hour:02}:{minute:02}",
            f"Tue, {day:02} Nov {year} {hour:02}:{minute:02}:{second:02} GMT",
            f"{year}{month:02}{day:02}",
            f"{year}{month:02}{day:02}{hour:02}{minute:02}{second:02}",
            f"{hour:02}:{minute:02}:{second:02}",
            f"+{hour:02}:00",
        )
    )


def _identifier(random: Random) -> str:
    return random.choice(
        (
            str(uuid.UUID(int=random.getrandbits(128), version=4)),
            str(uuid.UUID(int=random.getrandbits(128), version=4)).upper(),
            f"{{{uuid.UUID(int=random.getrandbits(128))}}}",
            _hex(random, 16),
            _hex(random, 32),
            _hex(random, 40),
            _hex(random, 64),
            f"sha256:{_hex(random, 64)}",
            f"00-{_hex(random, 32)}-{_hex(random, 16)}-01",
            _hex(random, 7),
            f"req-{_hex(random, 12)}",
            f"0x{_hex(random, 12)}",
            _digits(random, 6),
            _digits(random, 9),
            _digits(random, 10),
            _digits(random, 12),
            str(random.getrandbits(63)),
            f"1{_digits(random, 17)}",
            f"1{_digits(random, 18)}",
            f"arn:aws:sqs:eu-west-1:{_digits(random, 12)}:orders",
            f"i-0{_hex(random, 16)}",
            f"sg-{_hex(random, 8)}",
            f"vpc-{_hex(random, 17)}",
            f"pod-{_hex(random, 9)}-{_hex(random, 5)}",
            f"AC{_digits(random, 3)}",
            base64.b64encode(random.randbytes(24)).decode(),
            base64.urlsafe_b64encode(random.randbytes(16)).decode().rstrip("="),
        )
    )


def _number(random: Random) -> str:
    return random.choice(
        (
            f"{random.random():.16f}",
            f"{random.uniform(-1000, 1000):.3f}",
            f"{random.randrange(100)}%",
            f"{random.randrange(10**6):,}",
            f"${random.randrange(1000)}.{random.randrange(100):02}",
            f"{random.randrange(90)}.{_digits(random, 6)},{random.randrange(180)}.{_digits(random, 6)}",
            f"{random.random():.6e}",
            f"{random.randrange(9999)}ms",
            f"{random.randrange(512)}Mi",
            f"{random.randrange(10**7)} bytes",
            f"{random.randrange(9)}/{random.randrange(9, 99)}",
            f"{random.randrange(1000)} {random.randrange(1000)} {random.randrange(10000)}",
            f"-{_digits(random, 8)}",
            f"1e+{random.randrange(10, 99)}",
            f"[{', '.join(str(random.randrange(1000)) for _ in range(8))}]",
            " ".join(_hex(random, 2) for _ in range(16)),
            " ".join(f"{random.randrange(100):02}" for _ in range(8)),
        )
    )


def _order(random: Random) -> str:
    return random.choice(
        (
            f"ORD-{_digits(random, 8)}",
            f"{_digits(random, 3)}-{_digits(random, 7)}-{_digits(random, 7)}",
            f"INV-{random.randrange(2000, 2030)}-{_digits(random, 5)}",
            f"PO{_digits(random, 10)}",
            f"#{_digits(random, 7)}",
            f"SKU-{_digits(random, 4)}-{_digits(random, 4)}",
            f"978-3-16-{_digits(random, 6)}-{random.randrange(10)}",
            f"978{_digits(random, 10)}",
            f"RMA {_digits(random, 6)}",
            f"CASE-{_digits(random, 5)}/{random.randrange(99)}",
            f"{_digits(random, 5)}-{_digits(random, 4)}",
            f"{_digits(random, 2)}-{_digits(random, 7)}",
            f"{_digits(random, 3)}-{_digits(random, 2)}-{_digits(random, 4)}",
            f"order/{_digits(random, 3)}-{_digits(random, 4)}",
            f"1Z{_digits(random, 10)}",
            f"tracking {_digits(random, 12)}",
            f"batch_{_digits(random, 4)}_{_digits(random, 4)}",
            f"{_digits(random, 4)}-{_digits(random, 4)}-{_digits(random, 4)}",
        )
    )


def _versions(random: Random) -> str:
    major = random.randrange(90, 140)
    return random.choice(
        (
            _version(random, 2),
            _version(random, 3),
            f"v{_version(random, 4)}",
            f"version {_version(random, 4)}",
            f"version={_version(random, 4)}",
            _version(random, 5),
            f"{_version(random, 3)}-rc.{random.randrange(9)}",
            f"{_version(random, 3)}+build.{random.randrange(999)}",
            f"linux-{_version(random, 4)}",
            f"lib-{_version(random, 4)}.jar",
            f"Mozilla/5.0 (X11) AppleWebKit/537.36 Chrome/{major}.0.{random.randrange(256)}.{random.randrange(256)}",
            f"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:{major}.0) Gecko/20100101 Firefox/{major}.0",
            f"curl/{_version(random, 3)}",
            f"1.3.6.1.4.1.{random.randrange(9999)}.1",
            f"python-requests/{_version(random, 3)}",
            f"react@{_version(random, 3)}",
            f"lodash@^{_version(random, 3)}",
            f"org.example:lib:{_version(random, 3)}",
            f"java.base@17.0.{random.randrange(9)}/java.lang.Thread.run",
            f"image:{_version(random, 3)}@sha256:{_hex(random, 64)}",
            f"5.15.0-{random.randrange(99)}-generic",
        )
    )


def _network(random: Random) -> str:
    mac = ":".join(_hex(random, 2) for _ in range(6))
    return random.choice(
        (
            mac,
            mac.upper().replace(":", "-"),
            ":".join(_hex(random, 2) for _ in range(8)),
            ":".join(_hex(random, 2) for _ in range(20)).upper(),
            "127.0.0.1:8080",
            "0.0.0.0",
            "::1",
            "[::]:4317",
            "10.0.0.0/8",
            "255.255.255.0",
            f"{random.choice(_HOSTS)}:{random.randrange(1, 65535)}",
            f"http://{random.choice(_HOSTS)}:{random.randrange(1, 65535)}/v1/items/{_digits(random, 5)}",
            f"ip-10-0-{random.randrange(256)}-{random.randrange(256)}.ec2.internal",
            f"{random.randrange(256, 999)}.1.2.3",
            f"01.02.03.{random.randrange(10):02}",
            f"https://{random.choice(_HOSTS)}/a?x={random.randrange(99)}&y={_hex(random, 8)}#top",
            f"amqp://{random.choice(_HOSTS)}/%2F",
            f"{random.randrange(256)}.{random.randrange(256)}.{random.randrange(256)}",
        )
    )


def _code(random: Random) -> str:
    word = random.choice(_WORDS)
    return random.choice(
        (
            f"std::{word}::{word}",
            "f32::add",
            f"core::ops::{word}",
            f"com.example.{word}.Service@{_hex(random, 8)}",
            f"@{word}",
            f"{word}@",
            f"@Autowired {word}",
            f"logo@{random.randrange(1, 4)}x.png",
            f"getty@tty{random.randrange(9)}.service",
            f"user@{random.randrange(1000, 2000)}.service",
            "git@github.com:example/repo.git",
            "ssh://git@example.com:22/x",
            f"/var/log/{word}/{_moment(random)[:10]}.log",
            f"C:\\Users\\Public\\{word}",
            f"SELECT * FROM {word} WHERE id = {_digits(random, 5)} AND x IN (?, ?, ?)",
            f"at com.example.{word}(File.java:{random.randrange(999)})",
            f'File "/app/{word}.py", line {random.randrange(999)}, in {word}',
            f"0 {random.randrange(24)} * * 1-5",
            f"{word}={random.randrange(99)}; path=/; HttpOnly",
            f"{word}_{word}_total",
            "password=${DB_PASSWORD}",
            "password: ********",
            "token=null",
            "api_key=<redacted>",
            f"invalid password: {word}",
            f"token: {word}",
            f"max_tokens={random.randrange(9999)}",
            f"token_count={random.randrange(9999)}",
            "Authorization: Bearer ****",
            "Bearer authentication required",
            "Basic authentication failed",
            f"secret: {word}-{word}",
            f"sk-{word}-{word}",
            f"key-{word}",
            f"task-{word}-{word}-{random.randrange(9)}",
            f"eyJ{word}",
            f"de{random.randrange(10, 99)} {word} {word} {word}",
            f"{word} +{random.randrange(10, 9999)}",
            f"a+b={random.randrange(99)}",
            f"f({random.randrange(10, 99999)}) {word}",
            f"({random.randrange(100, 999)}) {word}",
            f"{word} ({random.randrange(1990, 2030)}) {random.randrange(100, 999)}",
            f"GET /{word}/{_digits(random, 4)} 200 {random.randrange(999)} {_digits(random, 4)}",
            f'<{word} id="{random.randrange(99)}">&nbsp;{word}&amp;{word}</{word}>',
            f"100%25 of {word}",
            f'{{"{word}": {random.randrange(99)}, "{word}s": [true, null]}}',
        )
    )


def _text(random: Random) -> str:
    return random.choice(
        (
            _words(random),
            f"{random.choice(('GET', 'POST', 'PUT'))} /{random.choice(_WORDS)}/{{id}}",
            random.choice(_HOSTS),
            random.choice(_WORDS),
            "true",
            "application/json; charset=utf-8",
            "en-US,en;q=0.9",
            f"{_words(random)}: {random.randrange(999)}",
            "заказ оформлен",
            "注文が完了しました",
            "تم الطلب",
            "café – “naïve” … €5",
            f"{_words(random)} 🎉 {random.randrange(99)}",
            "eu-west-1a",
            f"{_words(random)} in {random.randrange(999)} ms ({random.randrange(9)} retries)",
            "opentelemetry",
            f"{random.choice(_WORDS)}-service",
            "text/html",
        )
    )


BENIGN: dict[str, Callable[[Random], str]] = {
    "times": lambda random: random.choice((_epoch, _moment))(random),
    "identifiers": _identifier,
    "numbers": _number,
    "orders": _order,
    "versions": _versions,
    "networks": _network,
    "code": _code,
    "texts": _text,
}
"""By what they are."""
