"""What characters become before detectors look: a table of all code points, made from Python's own Unicode data."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Final

__all__ = ["fold_character", "folded_pages"]

_DROPPED: Final = 0
_UNCHANGED: Final = 1
_CODE_POINTS: Final = 0x110000
_RANGES: Final = ((0x80, 0x3400), (0xA000, 0xAC00), (0xF900, 0x20000), (0x2F800, 0x2FA20), (0xE0000, 0xE1000))
"""All but ideographs, Hangul syllables, private use and what is not assigned: these stay as they are."""
_UNSEEN: Final = frozenset("\u115f\u1160\u3164\uffa0\u2800")
"""Letters and a symbol that show nothing."""
_ALIKE: Final = {"\u3002": ".", "\uff61": ".", "\u2212": "-", "\u2019": "'"}
_DASH, _SPACES, _MARKS = "Pd", ("Zs", "Zl", "Zp", "Cc"), ("Mn", "Me", "Cf")


def fold_character(character: str) -> str:
    """What one character becomes: nothing where it is not seen, ASCII where it only looks different."""
    if character in _UNSEEN:
        return ""
    return "".join(_fold(part) for part in unicodedata.normalize("NFKC", character))


def _is_plain(character: str) -> bool:
    """Whether a character is surely itself when folded: most letters, and what Unicode has not assigned."""
    category = unicodedata.category(character)
    if category == "Lo":
        return character not in _UNSEEN and not unicodedata.decomposition(character)
    return category in ("Cn", "Co", "Cs")


def _fold(character: str) -> str:
    if character.isascii():
        return character
    if character in _ALIKE:
        return _ALIKE[character]
    category = unicodedata.category(character)
    if category in _MARKS:
        return ""
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if category == _DASH:
        return "-"
    if category in _SPACES or category[0] in "PS":
        return " "
    return character


def folded_pages() -> tuple[list[tuple[int, ...]], bytes]:
    """The table in pages of 256 code points, and the texts that its entries point into: a place << 8 | a size.

    Entries that are not of this form: 0 for what is dropped, 1 for what stays.
    """
    texts = bytearray(b" ")
    places: dict[bytes, int] = {}
    unchanged: tuple[int, ...] = (_UNCHANGED,) * 256
    pages: list[tuple[int, ...]] = [unchanged] * (_CODE_POINTS >> 8)
    for start, stop in _RANGES:
        for first in range(start & ~255, stop, 256):
            pages[first >> 8] = tuple(_entries(range(first, first + 256), texts, places))
    return pages, bytes(texts)


def _entries(code_points: range, texts: bytearray, places: dict[bytes, int]) -> Iterator[int]:
    for code_point in code_points:
        character = chr(code_point)
        folded = character if _is_plain(character) else fold_character(character)
        if folded == character:
            yield _UNCHANGED
        elif not folded:
            yield _DROPPED
        else:
            text = folded.encode()
            if text not in places:
                places[text] = len(texts)
                texts += text
            yield places[text] << 8 | len(text)
