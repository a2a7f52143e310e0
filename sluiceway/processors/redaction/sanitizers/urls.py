"""Paths with their variable parts taken out, so that the same route reads the same."""

from __future__ import annotations

import re
from itertools import pairwise

__all__ = ["cluster_url"]

_MOST_SEGMENTS = 10
_SEPARATORS = "-_. "
_WORDS = re.compile(rf"[^{_SEPARATORS}]+|[{_SEPARATORS}]+")
_VOWELS = frozenset("aeiouyAEIOUY")
_MOST_CONSONANTS = 5
_MOST_VOWELS = 4


def cluster_url(path: str) -> str:
    """The path with each segment that is no word replaced by `*`; without a query, a fragment, or what is very deep.

    A segment stays where it is made of words: letters, with `-`, `_`, `.` and blanks between them, and perhaps one
    other character in the second place (`v2`). Whether letters are a word is judged by how vowels, consonants and
    capitals alternate, where the Collector asks a model.
    """
    for mark in "?&#":
        path = path.partition(mark)[0]
    segments = path.split("/", _MOST_SEGMENTS)[:_MOST_SEGMENTS]
    return "/".join(segment if not segment or _is_words(segment) else "*" for segment in segments)


def _is_words(segment: str) -> bool:
    plain = segment[:1] + segment[2:] if len(segment) > 1 and not _is_plain(segment[1]) else segment
    if not all(map(_is_plain, plain)):
        return False
    return all(_is_word(match[0]) for match in _WORDS.finditer(segment) if match[0][0] not in _SEPARATORS)


def _is_plain(character: str) -> bool:
    return character in _SEPARATORS or (character.isascii() and character.isalpha())


def _is_word(letters: str) -> bool:
    turns = sum(a.islower() and b.isupper() for a, b in pairwise(letters))
    if turns * 3 > len(letters):
        return False
    return (
        _longest_run(letters, vowels=False) <= _MOST_CONSONANTS and _longest_run(letters, vowels=True) <= _MOST_VOWELS
    )


def _longest_run(letters: str, *, vowels: bool) -> int:
    longest = run = 0
    for letter in letters:
        run = run + 1 if (letter in _VOWELS) is vowels else 0
        longest = max(longest, run)
    return longest
