"""How much a `batch` processor holds, and how much it may."""

from __future__ import annotations

import asyncio

from sluiceway.otlp import Batch

__all__ = ["Room"]


class Room:
    """A bound on items and bytes. Those who wait for room are woken whenever some has become free."""

    def __init__(self, max_items: int, max_bytes: int) -> None:
        self.items = 0
        self.bytes = 0
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._freed = asyncio.Event()

    def fits(self, batch: Batch) -> bool:
        """Say whether the batch may be taken; an empty room takes any, or it would never pass."""
        return self.items == 0 or (
            self.items + batch.items <= self._max_items and self.bytes + len(batch.payload) <= self._max_bytes
        )

    def take(self, batch: Batch) -> None:
        """Count a batch in."""
        self.items += batch.items
        self.bytes += len(batch.payload)

    def release(self, batch: Batch) -> None:
        """Count a batch out."""
        self.items -= batch.items
        self.bytes -= len(batch.payload)
        self._freed.set()

    async def wait_for(self, batch: Batch) -> None:
        """Return when the batch fits, without having taken it. First come is not first served."""
        while not self.fits(batch):
            self._freed.clear()
            await self._freed.wait()
