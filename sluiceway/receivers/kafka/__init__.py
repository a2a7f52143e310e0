"""Reads telemetry from Apache Kafka as a member of a consumer group: as many collectors as you like share the topics.

Every signal has its topics: `otlp_spans`, `otlp_metrics` and `otlp_logs` unless `traces::topics` and so on say
otherwise; those of signals that no pipeline wants are not read. A message is an export request, or for logs one
record. It is never changed, except that headers which are asked for become resource attributes.

**An offset is committed only after the pipeline has answered** for the message and for all before it in its partition.
When the process dies, what was not committed is read again by the next: nothing is lost, and what was under way since
the last commit may come twice. This differs from the Collector, which by default (`message_marking::after: false`)
commits what it has merely read. An exporter with a queue in memory answers at once, and its queue dies with the
process: for delivery from the broker to the backend, have the exporter wait (`sending_queue::wait_for_result: true`).

Partitions never wait for each other. Within one the order is kept: what has arrived is joined up to `max_batch_size`
and handed on, one batch at a time. A partition is paused while enough of it is held (`max_held_size`) or the pipeline
refuses; heartbeats go on meanwhile, so a slow pipeline costs no membership.

| What happens | What follows |
| --- | --- |
| the pipeline refuses for now | the same messages are offered again, without an end; others go on |
| the pipeline refuses for good | the items are dropped and counted (`on_permanent_error: false`: the partition waits) |
| a batch is too large for the pipeline | it goes in halves; a single item that is too large is dropped and counted |
| a message cannot be read | it is dropped and counted as one item (`on_permanent_error: false`: the partition waits) |
| a message has no value | it is passed over |
| a partition is taken from us | what is under way has 10s to end, and is committed; others read the rest |
| the collector stops | the same, and the member leaves; it waits up to 5s for brokers and for a rebalance under way |
| the files of `tls` have changed (`reload_interval`) | as above, and the member joins again with the new ones |
| the group gave us up for dead | what is under way is given up, and read again by whoever has the partition |
| no broker, wrong password, missing permission or topic | the status says so; reading begins once it is mended |
| the process is killed | others read on from the last commit, `session_timeout` later |
| the topic was deleted or cut off before it was read | reading goes on where `initial_offset` says; the rest is lost |
| a topic is made anew within a second of its end | it may be begun where the last commit of the old one was |

With `initial_offset: latest` the end is committed as soon as a partition is ours for the first time, so that a crash
before the first message skips nothing. Partitions and topics that come while the receiver runs are read from their
beginning (which the Collector skips), those that came while no member ran from their end.

With `tls::reload_interval`, changed certificates are taken over by a new consumer, once the old one has committed and
left the group; others may read its partitions meanwhile. Files that cannot be used change nothing, and the log says so.

```yaml
receivers:
  kafka:
    brokers: [kafka-1.example.com:9092]
    group_id: collectors
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
