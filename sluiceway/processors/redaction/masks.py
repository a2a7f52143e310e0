"""What stands in the place of what is masked: four asterisks, or a digest in lower-case hex."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import TypeAlias

__all__ = ["KEY_SIZES", "Mask", "make_mask"]

Mask: TypeAlias = Callable[[bytes], bytes]
"""What takes the place of some bytes."""

KEY_SIZES = {"hmac-sha256": 32, "hmac-sha512": 64}
"""The functions that need a key, and the least bytes of it."""

_DIGESTS = {"md5": "md5", "sha1": "sha1", "sha3": "sha3_256"}


def make_mask(function: str, key: bytes = b"") -> Mask:
    """Make the mask that a `hash_function` names; for none, asterisks."""
    if not function:
        return lambda _: b"****"
    if function in KEY_SIZES:
        digest = function.removeprefix("hmac-")
        return lambda part: hmac.digest(key, part, digest).hex().encode()
    name = _DIGESTS[function]
    return lambda part: hashlib.new(name, part, usedforsecurity=False).hexdigest().encode()
