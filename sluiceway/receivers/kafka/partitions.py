"""The partitions that are ours, on the side of the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from sluiceway.component import Context
from sluiceway.receivers.kafka.claim import Chunk, Claim, News
from sluiceway.receivers.kafka.health import Health
from sluiceway.receivers.kafka.metrics import Figures
from sluiceway.receivers.kafka.offers import Offers
from sluiceway.receivers.kafka.partition import Partition
from sluiceway.receivers.kafka.settings import KafkaReceiverConfig

__all__ = ["Partitions"]


class Partitions:
    """Takes on partitions, gives them what was read of them, and lets go of them. All of it in the event loop."""

    def __init__(
        self,
        config: KafkaReceiverConfig,
        context: Context,
        offers: Offers,
        health: Health,
        figures: Figures,
        news: News,
    ) -> None:
        self._config = config
        self._clock = context.clock
        self._offers = offers
        self._health = health
        self._figures = figures
        self._news = news
        self._tasks: asyncio.TaskGroup | None = None
        self._ours: dict[Claim, Partition] = {}

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Have the partitions' work done by tasks of this group."""
        self._tasks = tasks

    def assigned(self, claims: Iterable[Claim]) -> None:
        """Begin with some partitions."""
        assert self._tasks is not None  # noqa: S101 - nothing is assigned before the start
        early, most = not self._config.message_marking.after, self._config.max_batch_size
        for claim in claims:
            self._figures.assigned(claim)
            self._ours[claim] = Partition(claim, self._offers, self._done, most=most, marks_early=early)
            self._ours[claim].start(self._tasks)

    def deliver(self, claim: Claim, chunks: Sequence[Chunk]) -> None:
        """Take what was read of a partition."""
        self._ours[claim].put(chunks)

    async def leave(self, claims: Sequence[Claim], grace: float, why: str) -> None:
        """Let go of partitions that were revoked or lost; what is under way has the grace to come to its end."""
        gone = [partition for claim in claims if (partition := self._ours.pop(claim, None))]
        await asyncio.gather(*(partition.leave(self._clock, grace) for partition in gone))
        for claim in claims:
            self._health.taken(claim)
            self._figures.over(claim, why)

    def _done(self, claim: Claim, chunk: Chunk) -> None:
        self._figures.done(claim, chunk)
        self._news.tell(claim)
