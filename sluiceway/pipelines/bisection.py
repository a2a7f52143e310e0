"""Taking apart what a backend refuses for good, so that one bad item, or a size, costs nobody else's data."""

from __future__ import annotations

from itertools import accumulate
from typing import Final

from sluiceway.errors import PermanentError
from sluiceway.otlp import join, split
from sluiceway.pipelines.request import Request
from sluiceway.pipelines.waiting import Element, cut

__all__ = ["ABOUT_DATA", "ALLOWANCE", "Bisection"]

ABOUT_DATA: Final = frozenset({"INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"})
"""Codes of permanent errors that speak of the data or of its size; what is left of it may be taken."""

ALLOWANCE: Final = 64.0
"""Sends beyond one a request that a backend sees at most while it takes nothing."""

_COST: Final = 2.0
_EARNED: Final = 0.1


class Bisection:
    """Says which refused requests are to be sent in halves, and halves them.

    One bad item among n is found by 2·log2(n) more sends, and all others are delivered. Dividing costs two sends of an
    allowance; a half that is taken pays two back, a whole request a tenth of one. So the search for one bad item pays
    for itself, while a backend that refuses whatever it is sent soon sees each request once.

    With `whole_senders` a cut goes between the requests of two senders only: who waits for the result learns one for
    all that they sent, and would otherwise send again what was delivered.
    """

    def __init__(self, *, whole_senders: bool = False) -> None:
        self._whole_senders = whole_senders
        self.divided = 0
        self._allowance = ALLOWANCE

    def applies(self, request: Request, error: Exception) -> bool:
        """Whether a request that ended with this error is to be divided."""
        return (
            isinstance(error, PermanentError)
            and error.code in ABOUT_DATA
            and (len(request.shares) if self._whole_senders else request.batch.items) > 1
            and self._allowance >= _COST
        )

    def divide(self, element: Element) -> list[Element]:
        """The two halves of an element, in order; together they hold what it held."""
        self.divided += 1
        self._allowance -= _COST
        first, *rest = split(element.request.batch, items=self._border(element.request))
        return cut(element, [first, join(rest)])

    def _border(self, request: Request) -> int:
        """How many items the first half gets."""
        half = (request.batch.items + 1) // 2
        if not self._whole_senders:
            return half
        *borders, _ = accumulate(items for _, items in request.shares)
        return min(borders, key=lambda border: abs(border - half))

    def taken(self, *, half: bool) -> None:
        """Learn that the backend has taken a request, or one half of one."""
        self._allowance = min(self._allowance + (_COST if half else _EARNED), ALLOWANCE)
