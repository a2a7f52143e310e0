"""Names of keys with `*` and `?`: which of many lists one key is in, in a time that hardly grows with the lists."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from sluiceway.otlp.selecting import compile_pattern

if TYPE_CHECKING:
    import re2

__all__ = ["Globs"]

_TOGETHER: Final = 100
"""So many globs are tried as one expression first."""


class Globs:
    """Lists of globs, of any case. One without a dot stands for the last part of a key as well as for the whole.

    So `authorization` stands for `http.request.header.authorization`, and `user.*` for what begins with `user.`.
    """

    def __init__(self, lists: Sequence[Iterable[str]]) -> None:
        self._names: dict[str, list[int]] = {}
        patterns: list[tuple[int, str]] = []
        for number, globs in enumerate(lists):
            for glob in globs:
                if "*" in glob or "?" in glob:
                    patterns.append((number, _expression(glob)))
                else:
                    self._names.setdefault(glob.lower(), []).append(number)
        chunks = (patterns[place : place + _TOGETHER] for place in range(0, len(patterns), _TOGETHER))
        self._chunks = [_compile(chunk) for chunk in chunks]

    def matching(self, key: str) -> Iterator[int]:
        """The places of the lists that a key is in; one may come several times."""
        key = key.lower()
        yield from self._names.get(key, ())
        last = key.rpartition(".")[2]
        if last != key:
            yield from self._names.get(last, ())
        text = key.encode()
        for together, each in self._chunks:
            if together.fullmatch(text):
                yield from (number for number, pattern in each if pattern.fullmatch(text))


def _compile(chunk: Sequence[tuple[int, str]]) -> tuple[re2._Regexp, list[tuple[int, re2._Regexp]]]:
    """In RE2, which takes a time that grows with the key alone, however many stars there are."""
    together = compile_pattern("(?s)" + "|".join(f"(?:{expression})" for _, expression in chunk))
    return together, [(number, compile_pattern(f"(?s){expression}")) for number, expression in chunk]


def _expression(glob: str) -> str:
    parts = re.split(r"(\*+|\?)", glob.lower())
    expression = "".join(".*" if part.startswith("*") else "." if part == "?" else re.escape(part) for part in parts)
    return expression if "." in glob else rf"(?:.*\.)?(?:{expression})"
