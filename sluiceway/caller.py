"""Whether anybody still waits to hear what becomes of a batch.

A receiver that learns that a sender has hung up says so to the `Caller` that was current when it pushed the batch. What
waits further on, for a backend or for room, then ends its wait: the sender has its data and comes again, and it must
not find that meanwhile it was sent on its behalf time and again. It has one attempt in any case: a client that closes
only its own half of a connection still reads the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar

__all__ = ["CALLER", "Caller", "have_gone", "when_gone", "while_waited_for"]


class Caller:
    """One who waits for the outcome of one batch, and may hang up before it is known.

    With `outer`, who calls on behalf of that one: its going is this one's, too.
    """

    __slots__ = ("_is_answered", "_outer", "bells", "has_gone")

    def __init__(self, outer: Caller | None = None) -> None:
        self.has_gone: bool = outer is not None and outer.has_gone
        self.bells: list[Callable[[], None]] = []
        """What is called, once, when the caller hangs up."""
        self._is_answered = False
        self._outer = outer
        if outer is not None:
            outer.bells.append(self.hang_up)

    def hang_up(self) -> None:
        """Wait no longer. Without effect once the outcome is known."""
        if self._is_answered or self.has_gone:
            return
        self.has_gone = True
        for ring in tuple(self.bells):
            ring()

    def answered(self) -> None:
        """The outcome is known. A task that was born during the call and lives on must not take it for abandoned."""
        self._is_answered, self.has_gone = True, False
        if self._outer is not None:
            self._outer.bells.remove(self.hang_up)
            self._outer = None


CALLER: ContextVar[Caller | None] = ContextVar("caller", default=None)
"""On whose behalf the current task works, where that is known."""


def have_gone(callers: Sequence[Caller]) -> bool:
    """Whether all of them have hung up. Where there are none, somebody has taken responsibility and waits for ever."""
    return bool(callers) and all(caller.has_gone for caller in callers)


@contextmanager
def when_gone(callers: Sequence[Caller], act: Callable[[], None]) -> Iterator[None]:
    """Call `act` if the last of some callers hangs up meanwhile; not if they had gone before."""

    def look() -> None:
        if have_gone(callers):
            act()

    for caller in callers:
        caller.bells.append(look)
    try:
        yield
    finally:
        for caller in callers:
            caller.bells.remove(look)


@asynccontextmanager
async def while_waited_for(callers: Sequence[Caller]) -> AsyncIterator[None]:
    """End the block, without an error, if the last of some callers hangs up meanwhile."""
    now = asyncio.get_running_loop().time
    with suppress(TimeoutError):
        async with asyncio.timeout(None) as scope:
            with when_gone(callers, lambda: scope.reschedule(now())):
                yield
