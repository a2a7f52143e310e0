"""What one signal needs: its tables, and the rows of its batches."""

from __future__ import annotations

import asyncio
import logging
from typing import Final, NamedTuple

from sluiceway.component import Context, PartialSuccess
from sluiceway.exporters.timescaledb._rows import Layout, SizeError, rows
from sluiceway.exporters.timescaledb.columns import tables_of
from sluiceway.exporters.timescaledb.schema import Schema
from sluiceway.exporters.timescaledb.settings import TimescaleSettings
from sluiceway.exporters.timescaledb.witness import Witness
from sluiceway.otlp import Batch, Signal, pick

__all__ = ["Part", "Rows"]

LARGE: Final = 128 * 1024
"""Bytes of a batch above which its rows are made in a thread."""
MOST: Final = 32 * 1024 * 1024
"""Bytes of rows that are made at a time; a batch with more is written in parts, as small items may have a large
resource."""
MOST_OF_ONE: Final = 256 * 1024 * 1024
"""The same of a single item, which cannot be parted."""

_SECOND: Final = 1_000_000_000


class Rows(NamedTuple):
    """A batch as COPY data for each table with its rows, and what has no row."""

    sheets: list[tuple[bytes, int]]
    mask: bytes | None
    moved: int
    nuls: int
    too_large: int

    def rejection(self, batch: Batch) -> PartialSuccess | None:
        """The items that PostgreSQL would not take."""
        if self.mask is None:
            return None
        said = [(self.nuls, "with a NUL in a text or a key"), (self.too_large, "with a value beyond max_value_size")]
        text = ", ".join(f"{count} {what}" for count, what in said if count)
        return PartialSuccess(self.nuls + self.too_large, f"PostgreSQL does not take {text}", pick(batch, self.mask))


class Part:
    """The tables of one signal."""

    def __init__(self, settings: TimescaleSettings, signal: Signal, context: Context) -> None:
        self.settings = settings
        self._clock = context.clock
        self.logger: logging.Logger | logging.LoggerAdapter[logging.Logger] = context.logger
        self.tables = tables_of(signal, settings.tenant_attribute)
        self.schema = Schema(settings, self.tables, context.logger)
        self.witness = Witness(settings)
        self._layout = Layout(self.tables)

    async def rows(self, batch: Batch) -> Rows | None:
        """The batch as rows, None where they take too much; of a large one in a thread, as the kernel needs no GIL."""
        now, window = self._clock.time_ns(), self.settings.time_window
        low, high = max(now - int(window.before * _SECOND), 0), now + int(window.after * _SECOND)
        most = MOST if batch.items > 1 else MOST_OF_ONE
        given = (self._layout, batch.signal.code, batch.payload, low, high, now, self.settings.max_value_size, most)
        try:
            return Rows(*(await asyncio.to_thread(rows, *given) if len(batch.payload) > LARGE else rows(*given)))
        except SizeError:
            return None
