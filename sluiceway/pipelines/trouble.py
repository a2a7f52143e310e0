"""What is wrong with a queue's disk, as it is told: in the status, and in a log that a flapping disk does not flood."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from sluiceway.component import Context, Status

__all__ = ["Trouble", "cause_of", "left_alone"]

QUIET: Final = 60.0
"""Seconds in which the same trouble is not logged again."""
SHOWN: Final = 3


class Trouble:
    """The trouble that there is now, in the name of the queue whose turn it is."""

    def __init__(self) -> None:
        self.text = ""
        self._context: Context
        self._logged = ""
        self._quiet_until = 0.0

    def tell_to(self, context: Context) -> None:
        """Another queue speaks from now on, and begins with what there is."""
        self._context = context
        if self.text:
            context.report(Status.RECOVERABLE_ERROR, self.text)

    def say(self, text: str) -> None:
        """Report what is wrong, or by an empty text that nothing is any more."""
        if text == self.text:
            return
        clock = self._context.clock
        if text and (text != self._logged or clock.now() >= self._quiet_until):
            self._context.logger.error(text)
            self._logged, self._quiet_until = text, clock.now() + QUIET
        self._context.report(Status.RECOVERABLE_ERROR if text else Status.OK, text)
        self.text = text

    @contextmanager
    def unexpected(self) -> Iterator[None]:
        """Have what nobody expected logged, so that the work goes on."""
        try:
            yield
        except Exception:
            self._context.logger.exception("The queue on disk has failed.")


def cause_of(error: Exception) -> str:
    """What went wrong, and where that is known, without the number that the system gives it."""
    if not isinstance(error, OSError):
        return type(error).__name__
    return f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"


def left_alone(files: Sequence[str]) -> str:
    """What is said of files that cannot be read; nothing where there are none."""
    if not files:
        return ""
    more = f"; and {len(files) - SHOWN} more files" if len(files) > SHOWN else ""
    return f"left alone on disk, as they cannot be read: {'; '.join(files[:SHOWN])}{more}"
