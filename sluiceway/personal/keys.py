"""Keys as they are written in settings: hexadecimal or base64."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import Final

__all__ = ["AES_BYTES", "LEAST_HMAC_BYTES", "parse_key", "prepare_hmac_key"]

AES_BYTES: Final = 32
LEAST_HMAC_BYTES: Final = 16
_BLOCK: Final = 64
_HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2})+")


def parse_key(text: str) -> bytes:
    """Read a key. Hexadecimal digits in pairs are taken as such, else it is base64, of either alphabet, padded or not.

    Raises `ValueError`, with a text that shows nothing of the key.
    """
    text = text.strip()
    if not text:
        raise ValueError("the key is empty; is the variable that it comes from set?")
    if _HEX.fullmatch(text):
        return bytes.fromhex(text)
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("the key is neither hexadecimal nor base64") from None


def prepare_hmac_key(key: bytes) -> bytes:
    """The block of 64 bytes that RFC 2104 makes of a key."""
    return (hashlib.sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")
