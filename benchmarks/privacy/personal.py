"""Made-up personal data and secrets: valid by their rules, nobody's. Knows nothing of the detectors."""

from __future__ import annotations

import base64
import ipaddress
import json
import string
from collections.abc import Callable
from random import Random

__all__ = ["MAKERS"]

_FIRST = ("jane", "john", "maría", "søren", "wei", "olga", "ahmed", "chloe", "lars", "priya", "o'neil", "anne-marie")
_LAST = ("doe", "smith", "garcia", "müller", "chen", "ivanova", "hassan", "dubois", "nilsson", "patel", "kim", "rossi")
_HOSTS = (
    "example.com",
    "mail.example.co.uk",
    "example.org",
    "corp.example.net",
    "gmail.com",
    "uni-köln.de",
    "xn--bcher-kva.example",
    "example.museum",
    "sub.a-b.example.io",
    "почта.рф",
    "EXAMPLE.COM",
)
_LETTERS = string.ascii_letters
_ALNUM = string.ascii_letters + string.digits
_URL = _ALNUM + "-_"
_UPPER = string.ascii_uppercase + string.digits


def _of(random: Random, alphabet: str, size: int) -> str:
    return "".join(random.choices(alphabet, k=size))


def _digits(random: Random, size: int) -> str:
    return _of(random, string.digits, size)


def _key(random: Random, alphabet: str, size: int) -> str:
    """Random characters, a digit among them, as keys of this length all but always have."""
    text = _of(random, alphabet, size)
    place = random.randrange(1, size)
    return text[:place] + random.choice(string.digits) + text[place + 1 :]


def email(random: Random) -> str:
    """An address."""
    first, last = random.choice(_FIRST), random.choice(_LAST)
    local = random.choice(
        (
            first,
            f"{first}.{last}",
            f"{first[0]}{last}",
            f"{first}_{last}{random.randrange(99)}",
            f"{first}+news",
            f"{last}-{first}",
            f"{random.randrange(1000, 99999)}",
            f"{first}.{last}+{random.randrange(9)}",
        )
    )
    address = f"{local}@{random.choice(_HOSTS)}"
    return address.upper() if random.random() < 0.05 else address


_ISSUERS = (
    ("4", 16, 6),
    ("4", 13, 1),
    ("51", 16, 2),
    ("55", 16, 2),
    ("2221", 16, 1),
    ("2720", 16, 1),
    ("34", 15, 1),
    ("37", 15, 2),
    ("6011", 16, 1),
    ("65", 16, 1),
    ("3530", 16, 1),
    ("36", 14, 1),
    ("3005", 14, 1),
    ("62", 16, 1),
    ("62", 19, 1),
    ("6759", 12, 1),
    ("5018", 16, 1),
    ("2200", 16, 1),
    ("6304", 18, 1),
)


def credit_card(random: Random) -> str:
    """A number with a right check digit, plain or as it is printed."""
    prefix, size, _ = random.choices(_ISSUERS, [weight for _, _, weight in _ISSUERS])[0]
    digits = prefix + _digits(random, size - len(prefix) - 1)
    digits += next(check for check in string.digits if _luhn(digits + check))
    separator = random.choice(("", "", " ", "-", "\u00a0"))
    sizes = {15: (4, 6, 5), 14: (4, 6, 4)}.get(size, (4, 4, 4, 4, 4))
    groups, place = [], 0
    for group in sizes:
        groups.append(digits[place : place + group])
        place += group
    return separator.join(filter(None, groups)) if size != 13 else digits


def _luhn(digits: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (1 + place % 2)
        total += doubled - 9 * (doubled > 9)
    return total % 10 == 0


_ACCOUNTS = {
    "DE": "n" * 18,
    "GB": "a" * 4 + "n" * 14,
    "FR": "n" * 10 + "c" * 11 + "nn",
    "NL": "a" * 4 + "n" * 10,
    "ES": "n" * 20,
    "IT": "a" + "n" * 10 + "c" * 12,
    "CH": "n" * 5 + "c" * 12,
    "AT": "n" * 16,
    "BE": "n" * 12,
    "PL": "n" * 24,
    "NO": "n" * 11,
    "MT": "a" * 4 + "n" * 5 + "c" * 18,
    "SE": "n" * 20,
    "IE": "a" * 4 + "n" * 14,
}
_CLASSES = {"n": string.digits, "a": string.ascii_uppercase, "c": string.ascii_uppercase + string.digits}


def iban(random: Random) -> str:
    """An account number with right check digits, together or in groups of four, in small letters at times."""
    country, shape = random.choice(list(_ACCOUNTS.items()))
    account = "".join(random.choice(_CLASSES[kind]) for kind in shape)
    check = 98 - int("".join(str(int(c, 36)) for c in f"{account}{country}00")) % 97
    text = f"{country}{check:02}{account}"
    if random.random() < 0.4:
        text = " ".join(text[place : place + 4] for place in range(0, len(text), 4))
    return text.lower() if random.random() < 0.2 else text


def phone(random: Random) -> str:
    """A number as it is written in one of many countries."""
    area = f"{random.choice('23456789')}{random.choice('02345678')}{random.choice('023456789')}"
    exchange = f"{random.choice('23456789')}{random.choice('02345678')}{random.choice(string.digits)}"
    four, six, seven = _digits(random, 4), _digits(random, 6), f"{random.choice('23456789')}{_digits(random, 6)}"
    return random.choice(
        (
            f"+1{area}{exchange}{four}",
            f"+1-{area}-{exchange}-{four}",
            f"+1 ({area}) {exchange}-{four}",
            f"({area}) {exchange}-{four}",
            f"{area}-{exchange}-{four}",
            f"{area}.{exchange}.{four}",
            f"1-{area}-{exchange}-{four}",
            f"+44 20 7946 0{_digits(random, 3)}",
            f"020 7946 0{_digits(random, 3)}",
            f"+447700900{_digits(random, 3)}",
            f"07700 900{_digits(random, 3)}",
            f"+49 30 {seven}",
            f"+49 (0)30 {seven}",
            f"030/{seven}",
            f"0171-{seven}",
            f"0049 30 {seven}",
            f"+4917{random.choice('0123456789')}{seven}",
            f"01 {' '.join(_digits(random, 2) for _ in range(4))}",
            f"+33 6 {' '.join(_digits(random, 2) for _ in range(4))}",
            f"06.{'.'.join(_digits(random, 2) for _ in range(4))}",
            f"+39 06 {seven}",
            f"+81 3-1234-{four}",
            f"03-5555-{four}",
            f"090-1234-{four}",
            f"+86 138 1234 {four}",
            f"138-1234-{four}",
            f"(11) 9{four}-{four}",
            f"+55 11 9{four}-{four}",
            f"+91 98{_digits(random, 3)} {_digits(random, 5)}",
            f"+7 495 123-45-{four[:2]}",
            f"(02) 9876 {four}",
            f"+61 2 9876 {four}",
            f"+358 40 {six}",
            f"+46-8-123 {four[:2]} {four[2:]}",
            f"(030) {six}",
        )
    )


def ip(random: Random) -> str:
    """An address of a host, of either version, in every way to write it."""
    if random.random() < 0.6:
        return ".".join(
            map(
                str,
                (
                    random.choice((10, 192, 172, random.randrange(1, 127), random.randrange(128, 224))),
                    random.randrange(256),
                    random.randrange(256),
                    random.randrange(1, 255),
                ),
            )
        )
    prefix = random.choice((0x2001 << 112, 0x2A02 << 112, 0xFE80 << 112, 0xFD12 << 112))
    address = ipaddress.IPv6Address(prefix | random.getrandbits(random.choice((16, 64, 112))) | 1 << 9)
    return random.choice(
        (
            str(address),
            address.exploded,
            str(address).upper(),
            f"::ffff:10.{random.randrange(256)}.3.4",
            f"fe80::{random.randrange(1, 999):x}1%eth0",
        )
    )


def jwt(random: Random) -> str:
    """A signed token."""
    header = {"alg": random.choice(("HS256", "RS256", "ES256", "none")), "typ": "JWT"}
    if random.random() < 0.3:
        header = {"kid": _of(random, _ALNUM, 8), **header}
    claims = {"sub": _digits(random, 10), "iat": random.randrange(10**9, 2 * 10**9)}
    parts = [
        json.dumps(part, separators=random.choice(((",", ":"), (", ", ": ")))).encode() for part in (header, claims)
    ]
    signature = b"" if header["alg"] == "none" else random.randbytes(random.choice((32, 64, 256)))
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (*parts, signature))


def secret(random: Random) -> str:
    """A key of a service, or a credential in its usual surroundings (then what must be found is between two marks)."""
    password = _of(random, _LETTERS, 6) + random.choice("!%^*_-") + _digits(random, 3)
    return random.choice(
        (
            f"AKIA{_of(random, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567', 16)}",
            f"ASIA{_of(random, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567', 16)}",
            f"aws_secret_access_key = \x02{_key(random, _ALNUM + '/+', 40)}\x03",
            f"ghp_{_of(random, _ALNUM, 36)}",
            f"gho_{_of(random, _ALNUM, 36)}",
            f"github_pat_{_of(random, _ALNUM, 22)}_{_of(random, _ALNUM, 59)}",
            f"glpat-{_of(random, _URL, 19)}x",
            f"xoxb-{_digits(random, 12)}-{_digits(random, 12)}-{_of(random, _ALNUM, 24)}",
            f"AIza{_of(random, _URL, 34)}x",
            f"sk_live_{_of(random, _ALNUM, 24)}",
            f"rk_live_{_of(random, _ALNUM, 24)}",
            f"sk-{_of(random, _ALNUM, 48)}",
            f"sk-proj-{_of(random, _URL, 47)}x",
            f"sk-ant-api03-{_of(random, _URL, 92)}x",
            f"npm_{_of(random, _ALNUM, 36)}",
            f"pypi-AgEIcHlwaS5vcmc{_of(random, _URL, 99)}x",
            f"SG.{_of(random, _URL, 22)}.{_of(random, _URL, 42)}x",
            f"SK{_of(random, '0123456789abcdef', 32)}",
            f"hf_{_of(random, _LETTERS, 34)}",
            f"dop_v1_{_of(random, '0123456789abcdef', 64)}",
            f"AccountName=x;AccountKey=\x02{_key(random, _ALNUM + '+/', 86)}==\x03;EndpointSuffix=core.example.net",
            f"https://x.blob.example.net/c?sv=2024&sig=\x02{_key(random, _ALNUM, 43)}%3D\x03",
            f"-----BEGIN {_of(random, 'AB', 2)} PRIVATE KEY-----\n{_of(random, _ALNUM, 60)}\n-----END PRIVATE KEY-----",
            f"postgres://app:\x02{password}\x03@db.example.com:5432/shop",
            f"redis://:\x02{password}\x03@cache:6379",
            f"https://deploy:\x02{password}\x03@git.example.com/x.git",
            f"Authorization: Bearer \x02{_key(random, _URL, 40)}\x03",
            f"authorization: Basic \x02{base64.b64encode(f'app:{password}'.encode()).decode()}\x03",
            f"password=\x02{password}\x03",
            f'{{"password": "\x02{password}\x03"}}',
            f"client_secret=\x02{_key(random, _ALNUM, 32)}\x03&grant_type=client_credentials",
            f"api_key: \x02{_key(random, _ALNUM, 32)}\x03",
            f"PGPASSWORD='\x02{password}\x03' psql",
            f"--token=\x02{_key(random, _ALNUM, 40)}\x03",
        )
    )


MAKERS: dict[str, Callable[[Random], str]] = {
    "email": email,
    "credit_card": credit_card,
    "iban": iban,
    "phone": phone,
    "ip": ip,
    "jwt": jwt,
    "secret": secret,
}
"""By the detector that has to find them."""
