"""SQL without the values in it."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["looks_like_sql", "sanitize_sql"]

_PARTS: Final = re.compile(
    r"(?s)'(?:[^'\\]|\\.)*(?:'|\\?\Z)"  # a string; one with a quote in it reads as two
    r'|"(?:[^"\\]|\\.)*(?:"|\\?\Z)'
    r"|`[^`]*(?:`|\Z)"
    r"|--[^\n]*|/\*.*?(?:\*/|\Z)"
    r"|\$[0-9]+|\$[A-Za-z_]*\$"
    r"|0[xX][0-9A-Fa-f]+|[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
    r"|[A-Za-z_]+"
    r"|[^\s]"
)
_VALUES: Final = frozenset({"TRUE", "FALSE", "NULL"})
_BEFORE_NAMES: Final = frozenset(
    {"SELECT", "FROM", "JOIN", "INTO", "UPDATE", "TABLE", "AS", "BY", "ON", "DISTINCT", "INDEX", "VIEW", "COLUMN", "."}
)


def looks_like_sql(text: str) -> bool:
    """Whether a text may hold SQL: anything but a JSON document, as a query may stand anywhere in a message."""
    return text.lstrip()[:1] not in ("{", "[")


def sanitize_sql(text: str) -> str:
    """SQL with `?` for strings, numbers, booleans, NULL and parameters, digits in names included, and no comments.

    What stands in double quotes is kept only where nothing but a name can stand.
    """
    pieces: list[str] = []
    place, before = 0, ""
    while (match := _PARTS.search(text, place)) is not None:
        start, end = match.span()
        part = text[start:end]
        if part[0] == "$" == part[-1] and len(part) > 1:
            end = _end_of_dollars(text, part, end)
        pieces += (text[place:start], _sanitize_part(part, before))
        before, place = part.upper(), end
    return "".join((*pieces, text[place:]))


def _end_of_dollars(text: str, quote: str, start: int) -> int:
    closing = text.find(quote, start)
    return len(text) if closing < 0 else closing + len(quote)


def _sanitize_part(part: str, before: str) -> str:
    first = part[0]
    if first == "'":
        return "" if before[:1] == "'" else "?"  # the rest of a string with a quote in it
    if first == '"':
        return part if before in _BEFORE_NAMES else "?"
    if part.startswith(("--", "/*")):
        return ""
    if first.isdigit() or (first == "$" and len(part) > 1) or part.upper() in _VALUES:
        return "?"
    return part
