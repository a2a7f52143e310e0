"""How long a certificate is valid, read from its bytes: Python shows it only of a peer's certificate."""

from __future__ import annotations

import re
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from typing import Final

__all__ = ["lapse"]

SOON: Final = timedelta(days=1)
_CERTIFICATE: Final = re.compile(rb"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)
_VERSION: Final = 0xA0
_FORMATS: Final = {0x17: "%y%m%d%H%M%SZ", 0x18: "%Y%m%d%H%M%SZ"}


def lapse(pem: bytes) -> str:
    """What is to be said of the first certificate's time: that it is over, soon is, or has not come; empty if not."""
    try:
        first, last = _validity(pem)
    except (IndexError, KeyError, ValueError):
        return ""
    now = datetime.now(UTC)
    if now < first:
        return f"is not valid before {first:%Y-%m-%d %H:%M} UTC"
    if now > last:
        return f"has expired on {last:%Y-%m-%d %H:%M} UTC"
    return f"expires soon, on {last:%Y-%m-%d %H:%M} UTC" if last - now < SOON else ""


def _validity(pem: bytes) -> tuple[datetime, datetime]:
    found = _CERTIFICATE.search(pem)
    if found is None:
        raise ValueError("no certificate")
    der = b64decode(found[1])
    _, at, _ = _element(der, 0)
    _, at, _ = _element(der, at)  # what is signed: the version, if it stands there, and three more come first
    for _ in range(4 if der[at] == _VERSION else 3):
        _, _, at = _element(der, at)
    _, at, _ = _element(der, at)
    first, at = _time(der, at)
    last, _ = _time(der, at)
    return first, last


def _time(der: bytes, at: int) -> tuple[datetime, int]:
    tag, start, end = _element(der, at)
    return datetime.strptime(der[start:end].decode("ascii"), _FORMATS[tag]).replace(tzinfo=UTC), end


def _element(der: bytes, at: int) -> tuple[int, int, int]:
    """The tag of an element of DER, and where its content begins and ends."""
    tag, size, start = der[at], der[at + 1], at + 2
    if size & 0x80:
        start, count = start + (size & 0x7F), size & 0x7F
        size = int.from_bytes(der[start - count : start], "big")
    return tag, start, start + size
