"""Encryption of values with AES-256-GCM, so that whoever has the key can read them again.

A token is `enc:v1:<key id>:<base64url of nonce, ciphertext and tag>`. The construction is XAES-256-GCM (C2SP): the
first twelve of the 24 bytes of the nonce derive a key by AES-CMAC, the other twelve are the nonce of AES-256-GCM. Each
process draws the first half at random, and draws anew after a fork and after 2**32 values; the second half counts. So
no pair of derived key and nonce comes twice: not within a process, since it counts, and not in another one, since that
would take the same 96 random bits. The id of the key is authenticated with the value.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import os
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from sluiceway.personal.keys import AES_BYTES

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ["KEY_ID", "TOKEN", "Cipher", "UnknownKeyError", "derive"]

KEY_ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
TOKEN: Final = re.compile(rf"enc:v1:({KEY_ID.pattern}):([A-Za-z0-9_-]+)")
"""A token as it stands in a text."""
_HALF: Final = 12
_MOST_VALUES: Final = 2**32


class _Series(NamedTuple):
    """What the nonces of one process come from, for a while."""

    process: int
    half: bytes
    gcm: AESGCM
    first: int
    numbers: Iterator[int]


class UnknownKeyError(LookupError):
    """A token was encrypted with a key that is not there."""

    def __init__(self, id: str) -> None:
        super().__init__(f'there is no key "{id}"')
        self.id = id


def derive(key: bytes, half: bytes) -> AESGCM:
    """The cipher for the first half of a nonce: AES-CMAC of two blocks that hold it, as C2SP has it."""
    from cryptography.hazmat.primitives.ciphers import Cipher as BlockCipher
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.ciphers.algorithms import AES
    from cryptography.hazmat.primitives.ciphers.modes import ECB

    encryptor = BlockCipher(AES(key), ECB()).encryptor()  # noqa: S305 - single blocks, as CMAC is made of
    last = int.from_bytes(encryptor.update(bytes(16)))
    mask = (last << 1 ^ (0x87 if last >> 127 else 0)) & (1 << 128) - 1
    blocks = (int.from_bytes(bytes((0, number)) + b"X\0" + half) ^ mask for number in (1, 2))
    return AESGCM(b"".join(encryptor.update(block.to_bytes(16)) for block in blocks))


class Cipher:
    """Encrypts with the first of its keys and decrypts with any of them, by their ids. Keys have 32 bytes.

    Raises `ImportError` where the package `cryptography` is missing.
    """

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        if not keys or any(len(key) != AES_BYTES for key in keys.values()):
            raise ValueError(f"a cipher needs keys of {AES_BYTES} bytes")
        self._keys = dict(keys)
        self._id = next(iter(keys))
        self._prefix = f"enc:v1:{self._id}:".encode()
        self._renew()

    def _renew(self) -> _Series:
        half = os.urandom(_HALF)
        first = int.from_bytes(os.urandom(_HALF))
        self._series = _Series(os.getpid(), half, derive(self._keys[self._id], half), first, itertools.count())
        return self._series

    def encrypt(self, value: bytes) -> bytes:
        """The token for a value; another one each time. Threads may share a cipher."""
        series = self._series if self._series.process == os.getpid() else self._renew()
        number = next(series.numbers)
        if number >= _MOST_VALUES:
            self._renew()
            return self.encrypt(value)
        other = ((series.first + number) % (1 << 8 * _HALF)).to_bytes(_HALF)
        sealed = series.gcm.encrypt(other, value, self._prefix)
        return self._prefix + base64.urlsafe_b64encode(series.half + other + sealed).rstrip(b"=")

    def decrypt(self, token: str) -> bytes:
        """The value of a token. Raises `UnknownKeyError`, or `ValueError` for what is no token or was changed."""
        from cryptography.exceptions import InvalidTag

        match = TOKEN.fullmatch(token)
        if match is None:
            raise ValueError("this is no encrypted value")
        id, text = match.groups()
        if id not in self._keys:
            raise UnknownKeyError(id)
        try:
            sealed = _unpacked(text)
            gcm = derive(self._keys[id], sealed[:_HALF])
            return gcm.decrypt(sealed[_HALF : 2 * _HALF], sealed[2 * _HALF :], f"enc:v1:{id}:".encode())
        except (binascii.Error, InvalidTag, ValueError):
            raise ValueError(f'an encrypted value was changed, or "{id}" is not the key it was made with') from None


def _unpacked(text: str) -> bytes:
    """What base64url without padding stands for; of the texts for the same bytes only the one that we write."""
    content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if base64.urlsafe_b64encode(content).rstrip(b"=").decode() != text:
        raise ValueError("bits that stand for nothing are set")
    return content
