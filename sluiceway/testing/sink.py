"""A consumer that keeps what it is given."""

from __future__ import annotations

import asyncio

from sluiceway.component import PartialSuccess
from sluiceway.otlp import Batch

__all__ = ["MemorySink"]


class MemorySink:
    """A consumer that keeps what it is given. Set `error` to have it refuse, `gate` to have it hang."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.error: BaseException | None = None
        self.partial: PartialSuccess | None = None
        self.gate: asyncio.Event | None = None
        self.calls = 0

    @property
    def items(self) -> int:
        """Items taken so far."""
        return sum(batch.items for batch in self.batches)

    async def consume(self, batch: Batch) -> PartialSuccess | None:
        """Keep the batch, after the gate and unless an error is set."""
        self.calls += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.batches.append(batch)
        return self.partial
