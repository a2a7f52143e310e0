"""How bytes become text, and how wide a line feed is among them."""

from __future__ import annotations

import codecs
from typing import Final

__all__ = ["NOP", "check_encoding", "codec", "width"]

NOP: Final = "nop"
"""Bytes stay bytes."""
_NAMES: Final = {"utf-8-raw": "utf-8", "": "utf-8"}
_NO_TEXT: Final = ("idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape")
_ORDERLESS: Final = ("utf-16", "utf-32", "utf-7")


def check_encoding(name: str) -> str:
    """The name, if there is such an encoding of text. Raises `ValueError`."""
    if name == NOP:
        return name
    try:
        found = codecs.lookup(_NAMES.get(name.lower(), name))
    except (LookupError, ValueError):
        raise ValueError(f"unsupported encoding '{name[:50]}'") from None
    if not found._is_text_encoding or found.name in _NO_TEXT:  # noqa: SLF001 - there is no other way
        raise ValueError(f"unsupported encoding '{name[:50]}'")
    if found.name in _ORDERLESS:
        raise ValueError(f"unsupported encoding '{name[:50]}': say in which order bytes stand, as utf-16le does")
    return name


def codec(name: str) -> str:
    """Python's name of an encoding."""
    return codecs.lookup(_NAMES.get(name.lower(), name)).name


def width(name: str) -> int:
    """Bytes of a line feed."""
    return 1 if name == NOP else len("\n".encode(codec(name)))
