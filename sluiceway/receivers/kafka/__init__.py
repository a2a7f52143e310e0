"""placeholder

```yaml
receivers:
  kafka:
    brokers: [localhost:9092]
```
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from sluiceway.component import Component, Consumer, Context, Kind, Stability
from sluiceway.kafka import KafkaConnection
from sluiceway.receivers.kafka.assignment import Assignment
from sluiceway.receivers.kafka.claim import News
from sluiceway.receivers.kafka.health import Health
from sluiceway.receivers.kafka.lookout import Lookout
from sluiceway.receivers.kafka.member import Member
from sluiceway.receivers.kafka.metrics import Figures
from sluiceway.receivers.kafka.offers import Offers
from sluiceway.receivers.kafka.partitions import Partitions
from sluiceway.receivers.kafka.settings import KafkaReceiverConfig
from sluiceway.receivers.kafka.topics import Topics

__all__ = ["COMPONENT", "KafkaReceiver", "KafkaReceiverConfig"]


class KafkaReceiver:
    """The receiver: a thread that reads, and tasks of the event loop that hand on what it has read."""

    def __init__(self, config: KafkaReceiverConfig, context: Context, next: Consumer) -> None:
        self._config = config
        self._context = context
        self._connection = KafkaConnection(config, context)
        self._news = News()
        self._health = Health(context)
        self._figures = Figures(context, delays=config.telemetry.metrics.kafka_receiver_records_delay.enabled)
        offers = Offers(config, context, next, self._health, self._news)
        self._partitions = Partitions(config, context, offers, self._health, self._figures, self._news)
        self._member: Member | None = None

    async def __aenter__(self) -> Self:
        """Begin to read; raises `ConfigError` for settings and files that cannot be used."""
        member = self._join(asyncio.get_running_loop())
        member.start()
        tasks = self._tasks = asyncio.TaskGroup()
        await tasks.__aenter__()
        self._partitions.start(tasks)
        self._member = member
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let what is under way end, commit and leave the group; what is not committed is read by others."""
        member, self._member = self._member, None
        if member is None:
            return
        try:
            await member.stop()
        finally:
            await self._tasks.__aexit__(None, None, None)

    def _join(self, loop: asyncio.AbstractEventLoop) -> Member:
        config, context, health = self._config, self._context, self._health
        lookout = Lookout(
            config, Topics(config, context.signals), self._connection, context.clock,
            cluster=lambda trouble: loop.call_soon_threadsafe(health.cluster, trouble),
            group=lambda trouble: loop.call_soon_threadsafe(health.group, trouble),
        )  # fmt: skip
        assignment = Assignment(config, self._partitions, self._news, loop, context)
        return Member(config, self._connection, lookout, assignment, self._news, self._figures, context)


COMPONENT = Component(
    type="kafka",
    kind=Kind.RECEIVER,
    config=KafkaReceiverConfig,
    create=KafkaReceiver,
    stability=Stability.BETA,
)
