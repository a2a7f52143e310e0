"""From a text to tokens, by the rules of OTTL's grammar."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple

from sluiceway.ottl.errors import OttlError

__all__ = ["Kind", "Token", "tokens"]


class Kind(StrEnum):
    """The kinds of token, named as one would name them to a person."""

    BYTES = "bytes"
    FLOAT = "a number"
    INT = "an integer"
    STRING = "a text"
    COMPARISON = "a comparison"
    MATH = "an operator"
    EQUAL = "="
    PUNCTUATION = "punctuation"
    NAME = "a name"
    END = "the end"


class Token(NamedTuple):
    """A piece of the text and the column where it begins, counting from one."""

    kind: Kind
    text: str
    column: int


_RULES = (
    (Kind.BYTES, r"0x[a-fA-F0-9]+"),
    (Kind.FLOAT, r"[-+]?\d*\.\d+(?:[eE][-+]?\d+)?"),
    (Kind.INT, r"[-+]?\d+"),
    (Kind.STRING, r'"(?:\\.|[^\\"])*"'),
    (Kind.COMPARISON, r"==|!=|>=|<=|>|<"),
    (Kind.MATH, r"[-+*/]"),
    (Kind.EQUAL, r"="),
    (Kind.PUNCTUATION, r"[(){}:,.\[\]]"),
    (Kind.NAME, r"[A-Za-z][A-Za-z0-9_]*"),
)
_TOKEN = re.compile(rf"\s*(?:{'|'.join(f'(?P<{kind.name}>{rule})' for kind, rule in _RULES)})", re.ASCII | re.DOTALL)
_KINDS = {kind.name: kind for kind, _ in _RULES}


def tokens(text: str) -> tuple[Token, ...]:
    """Cut a text into tokens, the last of them the END. Raises `OttlError`."""
    found = []
    place, end = 0, len(text.rstrip())
    while place < end:
        match = _TOKEN.match(text, place)
        if match is None or match.lastgroup is None:
            raise _unexpected(text, place + len(text[place:]) - len(text[place:].lstrip()))
        found.append(Token(_KINDS[match.lastgroup], match[match.lastgroup], match.start(match.lastgroup) + 1))
        place = match.end()
    found.append(Token(Kind.END, "", len(text) + 1))
    return tuple(found)


def _unexpected(text: str, place: int) -> OttlError:
    what = "a text that has no end" if text[place] == '"' else f"unexpected {text[place]!r}"
    return OttlError(what, place + 1)
