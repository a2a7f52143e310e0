"""The two ends of a pipeline under test: a sink that keeps what it is given, and a feeder that pushes.

```yaml
receivers:
  feed: {component: sluiceway.testing:Feeder}
exporters:
  memory: {component: sluiceway.testing:MemorySink}
```

`collector.component("receiver", "feed")` and `collector.component("exporter", "memory")` give the objects.
"""

from __future__ import annotations

import asyncio

from sluiceway.component import Consumer, PartialSuccess
from sluiceway.otlp import Batch

__all__ = ["Feeder", "MemorySink"]


class Feeder:
    """A receiver that takes its data from a test: `await feeder.feed(batch)`."""

    def __init__(self) -> None:
        self._next: asyncio.Future[Consumer] | None = None

    async def receive(self, next: Consumer) -> None:
        """Wait for batches as long as the collector runs."""
        self._ready().set_result(next)
        await asyncio.Event().wait()

    async def feed(self, batch: Batch) -> None:
        """Push a batch into the pipelines; return when it is safe, or raise what a receiver is told."""
        await (await asyncio.shield(self._ready())).consume(batch)

    def _ready(self) -> asyncio.Future[Consumer]:
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        return self._next


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
