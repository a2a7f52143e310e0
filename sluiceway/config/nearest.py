"""What somebody may have meant who wrote a word that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["nearest"]


def nearest(word: str, valid: Iterable[str]) -> str:
    """Suggest the nearest valid word, or nothing when none is near."""
    folded = {_fold(name): name for name in sorted(valid)}
    close = difflib.get_close_matches(_fold(word[:100]), folded, n=1, cutoff=0.55)
    return f'; did you mean "{folded[close[0]]}"?' if close else ""


def _fold(word: str) -> str:
    return word.casefold().replace("-", "_")
