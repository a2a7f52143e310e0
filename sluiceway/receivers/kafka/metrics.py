"""The receiver's own metrics: the Collector's where it has them, and ours of commits, rebalances and pauses."""

from __future__ import annotations

from collections import Counter
from functools import partial

from sluiceway.component import Context
from sluiceway.receivers.kafka.claim import Chunk, Claim
from sluiceway.telemetry import AttributeValue, Histogram, Scope

__all__ = ["Figures"]


class Figures:
    """Counts what happens; `commits` in the thread that reads, all else in the event loop."""

    def __init__(self, context: Context, *, delays: bool) -> None:
        self._context = context
        self._delays = delays
        self._claims: dict[Claim, _Partition] = {}
        self.commits: Counter[str] = Counter()
        """Commits by outcome."""
        self.rebalances: Counter[str] = Counter()
        """Partitions that were assigned, revoked and lost."""
        scope, id = context.telemetry, context.id
        text = "Offsets written to the brokers, by outcome."
        for outcome in ("success", "failure"):
            scope.counter(
                "sluiceway_kafka_receiver_commits", partial(self.commits.__getitem__, outcome), "{offset}", text,
                receiver=id, outcome=outcome,
            )  # fmt: skip
        text = "Partitions that the group gave to this member, took from it, or gave away when it was not heard of."
        for event in ("assigned", "revoked", "lost"):
            scope.counter(
                "sluiceway_kafka_receiver_rebalanced_partitions", partial(self.rebalances.__getitem__, event),
                "{partition}", text, receiver=id, event=event,
            )  # fmt: skip
        for name, text, events in (
            ("start", "Number of started partitions", ("assigned",)),
            ("close", "Number of finished partitions", ("revoked", "lost")),
        ):
            read = partial(lambda names: sum(self.rebalances[event] for event in names), events)
            scope.counter(f"otelcol_kafka_receiver_partition_{name}", read, "1", text, receiver=id)
        text = "Partitions of which nothing is fetched, as enough of them waits for the pipeline."
        scope.gauge("sluiceway_kafka_receiver_paused_partitions", self._paused, "{partition}", text, receiver=id)
        text = "Bytes that wait for the pipeline or are under way in it."
        scope.gauge("sluiceway_kafka_receiver_held_bytes", self._held, "By", text, receiver=id)

    def assigned(self, claim: Claim) -> None:
        """A partition is ours."""
        self.rebalances["assigned"] += 1
        self._claims[claim] = _Partition(claim, self._context, delays=self._delays)

    def over(self, claim: Claim, why: str) -> None:
        """A partition is ours no longer, as it was `revoked` or `lost`."""
        self.rebalances[why] += 1
        if (partition := self._claims.pop(claim, None)) is not None:
            partition.scope.close()

    def done(self, claim: Claim, chunk: Chunk) -> None:
        """A chunk is done with."""
        if (partition := self._claims.get(claim)) is None:
            return
        outcome = "failure" if chunk.problem else "success"
        partition.records[outcome] += chunk.messages
        partition.bytes[outcome] += chunk.size
        partition.unreadable += bool(chunk.problem)
        if partition.delay is not None:
            partition.delay.record(max(chunk.delay, 0.0))

    def _paused(self) -> int:
        return sum(claim.is_paused for claim in self._claims)

    def _held(self) -> int:
        return sum(claim.held for claim in self._claims)


class _Partition:
    """The counts of one partition."""

    def __init__(self, claim: Claim, context: Context, *, delays: bool) -> None:
        self.records: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        self.unreadable = 0
        self.delay: Histogram | None = None
        names: dict[str, AttributeValue] = {"receiver": context.id, "topic": claim.topic, "partition": claim.partition}
        scope = self.scope = Scope(context.telemetry.metrics, context.telemetry.level)
        for outcome in ("success", "failure"):
            read = partial(self.records.__getitem__, outcome)
            text = "The number of received records."
            scope.counter("otelcol_kafka_receiver_records", read, "1", text, outcome=outcome, **names)
            read = partial(self.bytes.__getitem__, outcome)
            text = "The uncompressed size in bytes of received records seen by the client."
            scope.counter("otelcol_kafka_receiver_bytes_uncompressed", read, "By", text, outcome=outcome, **names)
        text = f"Number of {claim.signal.items.replace('_', ' ')} failed to be unmarshaled"
        name = f"otelcol_kafka_receiver_unmarshal_failed_{claim.signal.items}"
        scope.counter(name, lambda: self.unreadable, "1", text, **names)
        text = "Current message offset"
        scope.gauge("otelcol_kafka_receiver_current_offset", lambda: max(claim.offset - 1, 0), "1", text, **names)
        scope.gauge("otelcol_kafka_receiver_offset_lag", lambda: claim.lag, "1", "Current offset lag", **names)
        if delays:
            text = "The time in seconds between producing and receiving a batch of records."
            self.delay = scope.histogram("otelcol_kafka_receiver_records_delay", "s", text, **names)
