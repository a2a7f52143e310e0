"""A program in use: its class is entered before the first call and left after the last."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from sluiceway.component import Context, Lifecycle
from sluiceway.processors.python.program import Program

__all__ = ["Life"]


class Life:
    """Enters the class of a program, where that can be entered, in a task of its own, and leaves it in the same."""

    def __init__(self, program: Program, context: Context) -> None:
        self._program = program
        self._context = context
        self._users = 0
        self._unused = asyncio.Event()
        self._ended = asyncio.Event()

    async def begin(self, tasks: asyncio.TaskGroup) -> None:
        """Enter; raise what that raises. Cancelling this gives it up."""
        entered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        living = tasks.create_task(self._live(entered), name=f"{self._program.name} life")
        try:
            await entered
        except asyncio.CancelledError:
            living.cancel()
            raise

    def end(self) -> None:
        """Have it left when no call is under way any more."""
        self._ended.set()

    @contextmanager
    def used(self) -> Iterator[Program]:
        """The program, which is not left meanwhile."""
        self._users += 1
        try:
            yield self._program
        finally:
            self._users -= 1
            self._unused.set()

    async def _live(self, entered: asyncio.Future[None]) -> None:
        instance = self._program.instance
        if not isinstance(instance, Lifecycle):
            entered.set_result(None)
            return
        try:
            async with instance:
                entered.set_result(None)
                await self._ended.wait()
                while self._users:
                    self._unused.clear()
                    await self._unused.wait()
        except Exception as error:
            if entered.done():
                self._context.logger.exception("%s could not be left", self._program.name)
            else:
                entered.set_exception(error)
