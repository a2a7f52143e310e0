"""A program in use: its class is entered before the first call and left after the last."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager

from sluiceway.component import Lifecycle
from sluiceway.processors.python.program import Program

__all__ = ["Life"]


class Life:
    """Enters the class of a program, where that can be entered, in a task of its own, and leaves it in the same."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._users = 0
        self._unused = asyncio.Event()
        self._ended = asyncio.Event()

    async def begin(self, tasks: asyncio.TaskGroup) -> None:
        """Enter; raise what that raises."""
        entered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        tasks.create_task(self._live(entered), name=f"{self._program.name} life")
        await entered

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
        async with AsyncExitStack() as stack:
            try:
                if isinstance(self._program.instance, Lifecycle):
                    await stack.enter_async_context(self._program.instance)
            except Exception as error:  # noqa: BLE001 - told to whoever began it
                entered.set_exception(error)
                return
            entered.set_result(None)
            await self._ended.wait()
            while self._users:
                self._unused.clear()
                await self._unused.wait()
