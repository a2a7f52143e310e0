"""Keys for AES-256 as settings give them: each has a name, so that it can be changed while old data is there."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from sluiceway.config.types import Opaque, Settings
from sluiceway.personal.cipher import KEY_ID
from sluiceway.personal.keys import AES_BYTES, parse_key

__all__ = ["AesKeyConfig"]


def _check(key: Opaque) -> Opaque:
    size = len(parse_key(key.reveal()))
    if size != AES_BYTES:
        raise ValueError(f"the key has {size} bytes, not {AES_BYTES}")
    return key


class AesKeyConfig(Settings):
    """A key for encryption."""

    id: str = Field(pattern=f"^{KEY_ID.pattern}$")
    """What it is called where something is encrypted with it."""
    key: Annotated[Opaque, AfterValidator(_check)]
    """32 bytes in hexadecimal or base64."""
