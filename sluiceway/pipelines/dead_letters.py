"""What a backend refused for good, kept on disk for somebody to look at, mend and replay."""

from __future__ import annotations

from sluiceway.component import Context
from sluiceway.config.exporter import DeadLetters as Settings
from sluiceway.segments import Log, Record

__all__ = ["DeadLetters"]


class DeadLetters:
    """The dead letters of one exporter and signal; `sluiceway queue` lists, shows, replays and purges them.

    They are bounded in bytes: the oldest are forgotten, whole segments at a time, and that is counted. The
    folder is ours only while something is put there. Used by one thread at a time.
    """

    def __init__(self, log: Log, settings: Settings, context: Context) -> None:
        self.buried = 0
        """Items that were put there."""
        self.forgotten = 0
        """Records that had to make room for others."""
        self._log = log
        self._settings = settings
        self._context = context
        self._is_open = False
        self._is_fresh = False

    def bury(self, record: Record) -> bool:
        """Keep a record, and say whether that went well; if not, the reason is logged."""
        try:
            if not self._is_open:
                self._log.open()
                self._is_open = True
            self._log.append([record])
            self.forgotten += self._log.forget_oldest(self._settings.max_bytes)
        except OSError as error:
            self._context.logger.error("Dead letters cannot be kept: %s", error)  # noqa: TRY400
            return False
        self.buried += record.items
        self._is_fresh = True
        return True

    def rest(self) -> None:
        """Called now and then: leave the folder to others when nothing was put there since the last time."""
        if not self._is_fresh:
            self.close()
        self._is_fresh = False

    def close(self) -> None:
        """Leave the folder to others."""
        if self._is_open:
            self._log.close()
            self._is_open = False
