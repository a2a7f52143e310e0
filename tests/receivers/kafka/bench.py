"""The receiver `kafka` from YAML, against a broker, before a sink in memory."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from sluiceway.component import ALL_SIGNALS, Context, Kind, Reason, Status
from sluiceway.config.decode import decode
from sluiceway.config.parse import parse
from sluiceway.otlp import Batch, Signal
from sluiceway.receivers.kafka import COMPONENT, KafkaReceiverConfig
from sluiceway.telemetry import Metrics, Scope
from sluiceway.testing import MemorySink
from tests.receivers.records import until
from tests.servers.kafka import KafkaBroker

__all__ = ["Bench", "from_start", "reading", "settings", "until"]


def settings(yaml: str) -> KafkaReceiverConfig:
    """What YAML gives."""
    made: KafkaReceiverConfig = decode(COMPONENT.config, parse(yaml, "kafka.yaml"))
    return made


class Bench:
    """A receiver with all that it says."""

    def __init__(self, yaml: str, signals: frozenset[Signal] = ALL_SIGNALS) -> None:
        self.sink = MemorySink()
        self.dropped: Counter[Reason] = Counter()
        self.statuses: list[tuple[Status, str]] = []
        self.metrics = Metrics()
        context = Context(
            "kafka",
            Kind.RECEIVER,
            signals,
            logger=logging.getLogger("kafka-test"),
            telemetry=Scope(self.metrics),
            drop=self._drop,
            report=lambda status, text="": self.statuses.append((status, text)),
        )
        self.receiver: Any = COMPONENT.create(settings(yaml), context, self.sink)

    @property
    def items(self) -> int:
        """Items taken by the pipeline."""
        return self.sink.items

    @property
    def batches(self) -> list[Batch]:
        """Batches taken by the pipeline."""
        return self.sink.batches

    @property
    def status(self) -> tuple[Status, str]:
        """What was reported last."""
        return self.statuses[-1] if self.statuses else (Status.OK, "")

    def says(self, status: Status, text: str) -> Callable[[], bool]:
        """Whether that is the status now."""
        return lambda: self.status[0] is status and text in self.status[1]

    def _drop(self, items: int, reason: Reason, **_: object) -> None:
        self.dropped[reason] += items


@asynccontextmanager
async def reading(yaml: str, signals: frozenset[Signal] = ALL_SIGNALS) -> AsyncIterator[Bench]:
    """A receiver that reads."""
    bench = Bench(yaml, signals)
    async with asyncio.timeout(90), bench.receiver:
        yield bench


def from_start(broker: KafkaBroker, name: str, rest: str) -> str:
    """Settings of a receiver whose group is new and that reads all there is."""
    return f"{{brokers: ['{broker.bootstrap}'], group_id: {name}, initial_offset: earliest, {rest}}}"
