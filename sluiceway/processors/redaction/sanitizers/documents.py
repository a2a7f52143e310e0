"""JSON documents of MongoDB, OpenSearch and Elasticsearch without the values in them."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["looks_like_document", "sanitize_document"]

_PARTS: Final = re.compile(r'(?s)"(?:[^"\\]|\\.)*"|-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null|\s+|.')
_BRACKETS: Final = {"}": "{", "]": "["}
_UNREAD: Final = "..."


def looks_like_document(text: str) -> bool:
    """Whether a text begins as a JSON object or array does."""
    return text.lstrip()[:1] in ("{", "[")


def sanitize_document(text: str) -> str:
    """JSON with `"?"` for every value. From where it is no JSON on, `...` stands for the rest."""
    pieces: list[str] = []
    opened: list[str] = []
    key_next = False
    for match in _PARTS.finditer(text):
        part = match.group()
        if part in _BRACKETS and (not opened or opened.pop() != _BRACKETS[part]):
            return "".join((*pieces, _UNREAD))
        if part in ("{", "["):
            opened.append(part)
        sanitized = _sanitize_part(part, key_next=key_next)
        if sanitized is None:
            return "".join((*pieces, _UNREAD))
        pieces.append(sanitized)
        if not part.isspace():
            key_next = part in ("{", ",") and opened[-1:] == ["{"]
    return "".join((*pieces, _UNREAD)) if opened else "".join(pieces)


def _sanitize_part(part: str, *, key_next: bool) -> str | None:
    """None for what cannot stand in JSON."""
    if part in "{}[]:," or part.isspace():
        return part
    if key_next:
        return part if len(part) > 1 and part[0] == '"' else None
    return '"?"' if len(part) > 1 or part.isdigit() else None
