"""SQL without the values in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from heapq import merge
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    import re2

__all__ = ["looks_like_sql", "sanitize_sql"]

Span: TypeAlias = tuple[int, int]

_STANDARD: Final = rb"""(?s)'(?:[^']|'')*(?:'|\z)|"(?:[^"]|"")*(?:"|\z)|`[^`]*(?:`|\z)|--[^\n]*|/\*.*?(?:\*/|\z)"""
_BRACKETS: Final = _STANDARD + rb"|\["
"""Of SQLite and others: a name in brackets may hold a quote."""
_MYSQL: Final = (
    rb"""(?s)'(?:[^'\\]|\\.|'')*(?:'|\\?\z)|"(?:[^"\\]|\\.|"")*(?:"|\\?\z)|`[^`]*(?:`|\z)"""
    rb"""|--(?:[ \t\r\f\v][^\n]*|\n|\z)|\#[^\n]*|/\*.*?(?:\*/|\z)"""
)
_POSTGRES: Final = (
    rb"""(?s)[eE]'(?:[^'\\]|\\.|'')*(?:'|\\?\z)|'(?:[^']|'')*(?:'|\z)|"(?:[^"]|"")*(?:"|\z)|`[^`]*(?:`|\z)"""
    rb"""|--[^\n]*|/\*|\$(?:[\pL_][\pL\pN_]*)?\$|[\pL_][\pL\pN_$]*"""
)
_MARKS: Final = rb"/\*|\*/"

_CODE: Final = re.compile(
    rb"\s+|\$[0-9]+|0[xX][0-9A-Fa-f]+|[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|[A-Za-z_]+|[^\s]", re.DOTALL
)
_VALUES: Final = frozenset({b"TRUE", b"FALSE", b"NULL"})
_BEFORE_NAMES: Final = frozenset(
    {
        b"SELECT", b"FROM", b"JOIN", b"INTO", b"UPDATE", b"TABLE", b"AS", b"BY", b"ON", b"DISTINCT", b"INDEX", b"VIEW",
        b"COLUMN", b".",
    }
)  # fmt: skip
_COMMENTS: Final = frozenset(b"-/#")


def looks_like_sql(text: str) -> bool:
    """Whether a text may hold SQL: anything but a JSON document, as a query may stand anywhere in a message."""
    return text.lstrip()[:1] not in ("{", "[")


def sanitize_sql(text: str) -> str:
    r"""SQL with `?` for strings, numbers, booleans, NULL and parameters, digits in names included, and no comments.

    What stands in double quotes is kept only where nothing but a name can stand. Databases differ about where a string
    or a comment ends (`'\'`, `#`, `[`): what is a part of one to any of them goes, but for Oracle's `q'[...]'`. Between
    `$a$` stands a string.
    """
    raw, out = text.encode(), bytearray()
    place, before = 0, b""
    for start, end, first in _parts(raw):
        before = _sanitize_code(raw[place:start], out, before)
        if first == ord("`") or (first == ord('"') and before in _BEFORE_NAMES):
            out += raw[start:end]
        elif first not in _COMMENTS:
            out += b"?"
        before, place = bytes((first,)), end
    _sanitize_code(raw[place:], out, before)
    return out.decode()


def _sanitize_code(code: bytes, out: bytearray, before: bytes) -> bytes:
    """Write what is no string and no comment, and return the last word or sign in capitals."""
    for match in _CODE.finditer(code):
        part = match[0]
        if not part.isspace():
            before = part.upper()
            if part[:1].isdigit() or (len(part) > 1 and part[:1] == b"$") or before in _VALUES:
                part = b"?"
        out += part
    return before


def _parts(raw: bytes) -> Iterator[tuple[int, int, int]]:
    """Where strings, quoted names and comments stand, and what each begins with: `?` where readings differ.

    Comments of which some readings know less are comments.
    """
    readings = list(_readings(raw))
    start = end = first = agreeing = 0
    for low, high in merge(*readings, [(len(raw), len(raw))]):
        if low >= end:
            if end:
                yield start, end, first if agreeing == len(readings) or first in _COMMENTS else ord("?")
            start, end, first, agreeing = low, high, raw[low] if high > low else 0, 1
        elif (low, high) == (start, end):
            agreeing += 1
        else:
            first = first if first in _COMMENTS and raw[low] in _COMMENTS else ord("?")
            end, agreeing = max(end, high), len(readings)


def _readings(raw: bytes) -> Iterator[Iterator[Span]]:
    """How databases read a text, as far as that may differ in this one."""
    nested = raw.count(b"/*") > 1
    yield _read(raw, _POSTGRES if nested or b"\\" in raw or b"$" in raw else _STANDARD)
    if nested:
        yield _read(raw, _STANDARD)
    if b"\\" in raw or b"#" in raw or b"--" in raw:
        yield _read(raw, _MYSQL)
    if b"[" in raw:
        yield _read(raw, _BRACKETS)


def _read(raw: bytes, pattern: bytes) -> Iterator[Span]:
    search, place, closes = _compile(pattern).search, 0, True
    while (match := search(raw, place)) is not None:
        start, place = match.span()
        if raw[start] == ord("["):
            closing = raw.find(b"]", place) if closes else -1
            closes = closing >= 0  # if this one is not closed, no later one is
            place = closing + 1 if closes else place
            continue
        if pattern is _POSTGRES:
            if raw[start] == ord("$"):
                place = _end_of_dollars(raw, raw[start:place], place)
            elif raw[start : start + 2] == b"/*":
                place = _end_of_comments(raw, place)
            elif raw[start : start + 2] in (b"e'", b"E'"):
                start += 1
            elif raw[start] not in b"'\"`-":
                continue
        yield start, place


def _end_of_dollars(raw: bytes, quote: bytes, start: int) -> int:
    closing = raw.find(quote, start)
    return len(raw) if closing < 0 else closing + len(quote)


def _end_of_comments(raw: bytes, place: int) -> int:
    """Where a comment ends that may hold others."""
    search, depth = _compile(_MARKS).search, 1
    while depth and (match := search(raw, place)) is not None:
        depth += 1 if match[0] == b"/*" else -1
        place = match.end()
    return len(raw) if depth else place


@cache
def _compile(pattern: bytes) -> re2._Regexp:
    """RE2 does not hold the GIL, however long a string is."""
    import re2

    return re2.compile(pattern)
