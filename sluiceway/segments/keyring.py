"""Encryption of segments with AES-256-GCM.

Each segment has a key of its own, drawn at random and kept in its header, encrypted with a key of the keyring (NIST SP
800-38D: 2**32 uses with random nonces; here there is one for each segment). Within a segment the nonce is the number of
the record, which no segment gives twice, and a segment is never written to again after a restart. So no pair of key
and nonce comes twice. What is authenticated with a record is its whole frame header and the id of its segment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ["TAG_BYTES", "Keyring", "MissingKeyError", "SegmentCipher"]

TAG_BYTES: Final = 16
_NONCE_BYTES: Final = 12
_KEY_BYTES: Final = 32


class MissingKeyError(LookupError):
    """A segment was encrypted with a key that is not in the keyring, or the key of that name is another one."""


class SegmentCipher:
    """Encrypts and decrypts the records of one segment."""

    def __init__(self, key: bytes) -> None:
        self._gcm = _gcm(key)

    def encrypt(self, number: int, data: bytes, header: bytes) -> bytes:
        """The ciphertext of a record with its tag; each number must be used once."""
        return self._gcm.encrypt(number.to_bytes(_NONCE_BYTES, "big"), data, header)

    def decrypt(self, number: int, data: bytes, header: bytes) -> bytes:
        """What was encrypted. Raises `ValueError` where the record, its number or its header is not what it was."""
        from cryptography.exceptions import InvalidTag

        try:
            return self._gcm.decrypt(number.to_bytes(_NONCE_BYTES, "big"), data, header)
        except InvalidTag:
            raise ValueError("the record does not authenticate") from None


class Keyring:
    """The keys by their ids; new segments use the first one, the others are there to read older segments."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._keys = dict(keys)
        self._ciphers = {id: _gcm(key) for id, key in keys.items()}  # now, so that no sender waits for the library
        self.current = next(iter(self._keys))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Keyring) and list(self._keys.items()) == list(other._keys.items())

    def __hash__(self) -> int:
        return hash(self.current)

    def make(self, segment: bytes) -> tuple[bytes, SegmentCipher]:
        """A new key for a segment of this id: as it is kept in the header, and ready to use."""
        key = os.urandom(_KEY_BYTES)
        nonce = os.urandom(_NONCE_BYTES)
        wrapped = nonce + self._ciphers[self.current].encrypt(nonce, key, segment + self.current.encode())
        return wrapped, SegmentCipher(key)

    def open(self, id: str, wrapped: bytes, segment: bytes) -> SegmentCipher:
        """The key of a segment that is there. Raises `MissingKeyError`."""
        from cryptography.exceptions import InvalidTag

        if id not in self._keys:
            raise MissingKeyError(f'there is no key "{id}"')
        nonce, key = wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:]
        try:
            return SegmentCipher(self._ciphers[id].decrypt(nonce, key, segment + id.encode()))
        except InvalidTag:
            raise MissingKeyError(f'the key "{id}" is another one than that of the segment') from None


def _gcm(key: bytes) -> AESGCM:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key)
