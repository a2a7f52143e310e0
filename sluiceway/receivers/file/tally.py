"""What became of the records of files: counted, and where they are damaged logged with where they stand."""

from __future__ import annotations

from typing import Final

from sluiceway.component import Context
from sluiceway.escape import escape

__all__ = ["Tally"]

_LOGGED: Final = 20


class Tally:
    """Counts what was read, what is damaged, and what nobody takes. Used by one thread at a time."""

    def __init__(self, context: Context) -> None:
        self.records = 0
        self.damaged = 0
        self.skipped = 0
        self._logger = context.logger
        scope, name = context.telemetry, "sluiceway_receiver_file"
        scope.counter(
            f"{name}_records", lambda: self.records, "{record}",
            "Records that were read from files.", receiver=context.id,
        )  # fmt: skip
        scope.counter(
            f"{name}_damaged_records", lambda: self.damaged, "{record}",
            "Records, or runs of bytes, that could not be read and were passed over.", receiver=context.id,
        )  # fmt: skip
        scope.counter(
            f"{name}_skipped_records", lambda: self.skipped, "{record}",
            "Records of signals that no pipeline takes from here.", receiver=context.id,
        )  # fmt: skip

    def damage(self, path: str, offset: int, size: int, reason: str) -> None:
        """Count a damaged record, and tell it unless there were many."""
        self.damaged += 1
        if self.damaged <= _LOGGED:
            text = "%s: %d bytes at offset %d are damaged and passed over: %s"
            self._logger.warning(text, escape(path), size, offset, reason)
        if self.damaged == _LOGGED:
            self._logger.warning("Further damaged records are counted and not logged")

    def skip(self) -> None:
        """Count a record of a signal that no pipeline takes."""
        self.skipped += 1
        if self.skipped == 1:
            self._logger.info("Records of other signals than those of the pipelines are passed over and counted")
