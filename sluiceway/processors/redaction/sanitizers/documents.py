"""JSON documents of MongoDB, OpenSearch and Elasticsearch without the values in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import re2

__all__ = ["looks_like_document", "sanitize_document"]

_PARTS: Final = re.compile(
    rb'"[^"\\]*"|-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null|\s+|.', re.DOTALL
)  # a string with escapes is none of these
_BRACKETS: Final = {b"}": b"{", b"]": b"["}
_UNREAD: Final = b"..."


def looks_like_document(text: str) -> bool:
    """Whether a text begins as a JSON object or array does."""
    return text.lstrip()[:1] in ("{", "[")


def sanitize_document(text: str) -> str:
    """JSON with `"?"` for every value. From where it is no JSON on, `...` stands for the rest."""
    out = bytearray()
    opened = bytearray()
    key_next = False
    for part in _parts(text.encode()):
        if part in _BRACKETS:
            if opened[-1:] != _BRACKETS[part]:
                return (out + _UNREAD).decode()
            del opened[-1]
        elif part in (b"{", b"["):
            opened += part
        sanitized = _sanitize_part(part, key_next=key_next)
        if sanitized is None:
            return (out + _UNREAD).decode()
        out += sanitized
        if not part.isspace():
            key_next = part in (b"{", b",") and opened[-1:] == b"{"
    return (out + _UNREAD if opened else out).decode()


def _parts(raw: bytes) -> Iterator[bytes]:
    place = 0
    while place < len(raw):
        for match in _PARTS.finditer(raw, place):
            part, place = match[0], match.end()
            if part == b'"' and (string := _string().match(raw, place - 1)) is not None:
                part, place = string[0], string.end()
                yield part
                break
            yield part


def _sanitize_part(part: bytes, *, key_next: bool) -> bytes | None:
    """None for what cannot stand in JSON."""
    if part in b"{}[]:," or part.isspace():
        return part
    if key_next:
        return part if len(part) > 1 and part[:1] == b'"' else None
    return b'"?"' if len(part) > 1 or part.isdigit() else None


@cache
def _string() -> re2._Regexp:
    """RE2 does not hold the GIL, however long a string is."""
    import re2

    return re2.compile(rb'(?s)"(?:[^"\\]|\\.)*"')
