"""Password files as Apache's `htpasswd` writes them: bcrypt, MD5 (`$apr1$`), SHA-1 (`{SHA}`) and plain text."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final

from sluiceway.errors import ConfigError
from sluiceway.extras import require

__all__ = ["is_slow", "parse", "verify"]

_ALPHABET: Final = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BCRYPT: Final = ("$2a$", "$2b$", "$2y$")
_APR1: Final = "$apr1$"
_ORDER: Final = ((0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5))


def parse(text: str) -> dict[str, str]:
    """Read `user:hash` lines; raise `ConfigError` for any other, by its number, and when bcrypt is not installed."""
    users: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        user, colon, stored = entry.partition(":")
        if not (user and colon and stored):
            raise ConfigError(f"htpasswd: line {number} is not user:hash")
        users[user] = stored
    if any(stored.startswith(_BCRYPT) for stored in users.values()):
        require("htpasswd: a hash of bcrypt", "auth", "bcrypt")
    return users


def is_slow(stored: str) -> bool:
    """Say whether a hash takes a millisecond or more to verify, as bcrypt and `$apr1$` are meant to."""
    return stored.startswith((*_BCRYPT, _APR1))


def verify(stored: str, password: bytes) -> bool:
    """Compare a password with its stored hash, in a time that says nothing of where they differ."""
    if stored.startswith(_BCRYPT):
        return _verify_bcrypt(stored, password)
    if stored.startswith(_APR1):
        salt = stored[len(_APR1) :].partition("$")[0][:8]
        return hmac.compare_digest(_apr1(password, salt.encode()).encode(), stored.encode())
    if stored.startswith("{SHA}"):
        digest = base64.b64encode(hashlib.sha1(password, usedforsecurity=False).digest())
        return hmac.compare_digest(digest, stored[5:].encode())
    return hmac.compare_digest(password, stored.encode())


def _verify_bcrypt(stored: str, password: bytes) -> bool:
    import bcrypt

    try:
        return bool(bcrypt.checkpw(password[:72], stored.encode()))  # bcrypt itself looks at 72 bytes
    except ValueError:
        return False


def _apr1(password: bytes, salt: bytes) -> str:
    """Apache's variant of MD5-crypt: a thousand rounds over password, salt and the last digest."""
    digest = _md5(password + salt + password)
    seed = password + _APR1.encode() + salt
    seed += (digest * (len(password) // 16 + 1))[: len(password)]
    length = len(password)
    while length:
        seed += b"\0" if length & 1 else password[:1]
        length >>= 1
    digest = _md5(seed)
    for number in range(1000):
        first, last = (password, digest) if number & 1 else (digest, password)
        digest = _md5(first + (salt if number % 3 else b"") + (password if number % 7 else b"") + last)
    text = "".join(_letters(digest[a] << 16 | digest[b] << 8 | digest[c], 4) for a, b, c in _ORDER)
    return f"{_APR1}{salt.decode()}${text}{_letters(digest[11], 2)}"


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def _letters(value: int, count: int) -> str:
    return "".join(_ALPHABET[value >> 6 * place & 0x3F] for place in range(count))
