"""One partition on its way through the pipeline: in order, one batch at a time, without regard for the others."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress

from sluiceway.component import Clock
from sluiceway.otlp import Batch, join
from sluiceway.receivers.kafka.claim import Chunk, Claim
from sluiceway.receivers.kafka.offers import Abandoned, Offers

__all__ = ["Partition"]


class Partition:
    """Hands on what was read of a partition, and says in its claim how far that got.

    `done` is called for chunks that are done with. `marks_early` says that a message may be committed once it is here.
    """

    def __init__(
        self, claim: Claim, offers: Offers, done: Callable[[Claim, Chunk], None], *, most: int, marks_early: bool
    ) -> None:
        self.claim = claim
        self._offers = offers
        self._done = done
        self._most = most
        self._marks_early = marks_early
        self._waiting: deque[Chunk] = deque()
        self._arrived = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Begin to hand on what is put."""
        self._task = tasks.create_task(self._run())

    def put(self, chunks: Iterable[Chunk]) -> None:
        """Take what was read behind what was put before."""
        self._waiting.extend(chunks)
        self._arrived.set()
        if self._marks_early and self._waiting:
            self._mark(self._waiting[-1])

    async def leave(self, clock: Clock, grace: float) -> None:
        """Hand on nothing more. What is under way may end within the grace; what is refused or waits is given up.

        What was given up comes again to whoever has the partition next, in this process or another.
        """
        self.claim.is_over = True
        task = self._task
        if task is None or task.done():
            return
        if self._arrived.is_set() and not self.claim.is_refused:
            with suppress(TimeoutError):
                async with clock.timeout(grace):
                    await asyncio.wait([task])
        task.cancel()

    async def _run(self) -> None:
        with suppress(Abandoned):
            while not self.claim.is_over:
                await self._arrived.wait()
                while self._waiting and not self.claim.is_over:
                    await self._settle(self._next())
                self._arrived.clear()

    def _next(self) -> list[Chunk]:
        """The chunks that can go together; they stay where they are until they are done with."""
        first = self._waiting[0]
        chunks, size = [first], first.length
        if first.problem:
            return chunks
        for place in range(1, len(self._waiting)):
            chunk = self._waiting[place]
            size += chunk.length
            if size > self._most or chunk.problem or not _alike(first.batch, chunk.batch):
                break
            chunks.append(chunk)
        return chunks

    async def _settle(self, chunks: list[Chunk]) -> None:
        if chunks[0].problem:
            await self._offers.unreadable(self.claim, chunks[0])
        elif batches := [chunk.batch for chunk in chunks if chunk.batch is not None]:
            await self._offers.settle(self.claim, join(batches))
        for chunk in chunks:
            self._waiting.popleft()
            self.claim.settled += chunk.weight
            if not self._marks_early:
                self._mark(chunk)
            self._done(self.claim, chunk)

    def _mark(self, chunk: Chunk) -> None:
        self.claim.offset, self.claim.epoch = chunk.offset, chunk.epoch


def _alike(left: Batch | None, right: Batch | None) -> bool:
    return left is None or right is None or left.origin.headers == right.origin.headers
