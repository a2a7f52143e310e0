"""What a backend refused for good, kept on disk for somebody to look at, mend and replay."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeAlias

from sluiceway.config.exporter import DeadLetters as Settings
from sluiceway.segments import Log, Record
from sluiceway.segments.log import SEGMENT_BYTES
from sluiceway.segments.shelf import is_wanted

__all__ = ["DeadLetters"]

Run: TypeAlias = Callable[[Callable[[], Any]], Awaitable[Any]]
Logger: TypeAlias = "logging.Logger | logging.LoggerAdapter[logging.Logger]"


class DeadLetters:
    """The dead letters of one exporter and signal; `sluiceway queue` lists, shows, replays and purges them.

    They are bounded in bytes: the oldest are forgotten, whole segments at a time, and that is counted. The folder is
    ours from the first letter on, and given to others when they ask for it. `run` does something in a thread.
    """

    def __init__(self, log: Log, settings: Settings, run: Run, logger: Logger) -> None:
        self.buried = 0
        """Items that were put there."""
        self.forgotten = 0
        """Records that had to make room for others."""
        self.logger = logger
        self._log = log
        log.segment_bytes = max(min(SEGMENT_BYTES, settings.max_bytes // 8), 64 * 1024)  # what is forgotten at a time
        self._most = settings.max_bytes
        self._run = run
        self._turn = asyncio.Lock()
        self._is_open = False

    async def bury(self, record: Record) -> bool:
        """Keep a record, and say whether that went well; if not, the reason is logged, and it may be tried again."""
        async with self._turn:
            try:
                return bool(await self._run(partial(self._bury, record)))
            except OSError as error:
                self.logger.error("Dead letters cannot be kept: %s", error)  # noqa: TRY400
                return False

    async def rest(self) -> None:
        """Called now and then: let those have the folder who want it."""
        async with self._turn:
            if self._is_open and is_wanted(self._log.folder):
                await self.close()

    async def close(self) -> None:
        """Leave the folder to others."""
        if self._is_open:
            self._is_open = False
            await self._run(self._log.close)

    def _bury(self, record: Record) -> bool:
        if not self._is_open:
            if is_wanted(self._log.folder):
                return False
            self._log.open()
            self._is_open = True
        try:
            self._log.append([record])
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            self._make_room()
            self._log.append([record])
        self.forgotten += self._log.forget_oldest(self._most)
        self.buried += record.items
        return True

    def _make_room(self) -> None:
        """Forget the oldest segment, and no more: others may fill the disk, and then it is of no use."""
        forgotten = self._log.forget_oldest(self._log.bytes_on_disk - 1)
        self.forgotten += forgotten
        if forgotten:
            self.logger.warning("The disk is full: the %d oldest dead letters were deleted to make room.", forgotten)
