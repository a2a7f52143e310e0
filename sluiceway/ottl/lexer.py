"""From a text to tokens, by the rules of OTTL's grammar."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

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


@dataclass(frozen=True, slots=True)
class Token:
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
_TOKEN = re.compile("|".join(f"(?P<{kind.name}>{pattern})" for kind, pattern in _RULES), re.ASCII | re.DOTALL)
_SPACE = re.compile(r"\s*")


def tokens(text: str) -> Iterator[Token]:
    """Yield the tokens of a text, the last of them the END. Raises `OttlError`."""
    place = 0
    while True:
        found = _SPACE.match(text, place)
        place = found.end() if found else place
        if place == len(text):
            break
        match = _TOKEN.match(text, place)
        if match is None or match.lastgroup is None:
            what = "a text that has no end" if text[place] == '"' else f"unexpected {text[place]!r}"
            raise OttlError(what, place + 1)
        yield Token(Kind[match.lastgroup], match[0], place + 1)
        place = match.end()
    yield Token(Kind.END, "", len(text) + 1)
