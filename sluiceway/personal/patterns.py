"""One's own patterns: RE2's, with the bytes that every match must hold, so that most texts need not be asked about."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from sluiceway.otlp.selecting import compile_pattern

__all__ = ["Finder", "finder", "required_literal"]


class Match(Protocol):
    """Where something matched."""

    def span(self) -> tuple[int, int]:
        """The first byte and the one behind the last."""


Finder = tuple[bytes, Callable[[bytes], Iterable[Match]]]
"""What every match holds, empty where that is not known; and what finds all matches in bytes."""

_PIECE: Final = re.compile(
    r"(?P<unknown>\\[xpPQCzA0-9])|(?P<escaped>\\[^A-Za-z0-9])|(?P<special>\\[A-Za-z]|\.|\^|\$)"
    r"|(?P<list>\[\^?\]?(?:\\.|\[:\w+:\]|[^\]\\])*\])|(?P<open>\()|(?P<close>\))|(?P<or>\|)"
    r"|(?P<repeat>[*+?]|\{\d+(?:,\d*)?\})|(?P<plain>.)",
    re.DOTALL,
)
_FLAGS: Final = re.compile(r"\(\?[A-Za-z-]+\)")


def finder(pattern: str) -> Finder:
    """Compile a pattern. Raises `ValueError` for what RE2 does not take."""
    return required_literal(pattern), compile_pattern(pattern).finditer


def required_literal(pattern: str) -> bytes:
    """The longest run of characters that stands in every match, as far as it shows at the top of the pattern."""
    if _FLAGS.search(pattern):
        return b""
    return max(_runs(pattern), key=len, default="").encode()


def _runs(pattern: str) -> list[str]:
    runs = [""]
    depth = 0
    for match in _PIECE.finditer(pattern):
        kind, text = match.lastgroup, match.group()
        if kind == "unknown" or (kind == "or" and depth == 0):
            return []
        if kind in ("open", "close"):
            depth += 1 if kind == "open" else -1
        if kind == "repeat" and depth == 0 and text != "+":
            runs[-1] = runs[-1][:-1]
        if depth or kind not in ("plain", "escaped"):
            runs.append("")
        else:
            runs[-1] += text[-1]
    return runs
