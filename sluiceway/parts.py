"""One component of several parts, each of which has a state of its own."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from sluiceway.component import Context, Status

__all__ = ["Parts"]


class Parts:
    """Gives the parts of a component contexts of their own: the component is well when all of them are.

    Of the parts that are not, the state is the worst one's, and the message has all of theirs.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._states: list[tuple[Status, str]] = []

    def part(self) -> Context:
        """The context of one more part."""
        self._states.append((Status.OK, ""))
        return replace(self._context, report=partial(self._report, len(self._states) - 1))

    def _report(self, place: int, status: Status, message: str = "") -> None:
        self._states[place] = (status, message)
        ill = [state for state in self._states if state[0] is not Status.OK]
        told = "; ".join(dict.fromkeys(text for _, text in ill or self._states if text))
        worst = max((state for state, _ in ill), key=_RANKS.index, default=Status.OK)
        self._context.report(worst, told)


_RANKS = (Status.OK, Status.RECOVERABLE_ERROR, Status.PERMANENT_ERROR, Status.FATAL_ERROR)
