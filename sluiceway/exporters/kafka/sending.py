"""Batches on their way: what has become of each of their messages, so that none is sent twice."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

from sluiceway.component import PartialSuccess
from sluiceway.exporters.kafka.messages import Message, Refusal
from sluiceway.otlp import Batch, join

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

__all__ = ["Sending"]


class Sending:
    """One batch on its way."""

    def __init__(self, messages: Iterable[Message], refusals: Iterable[Refusal]) -> None:
        self.unsent = deque(messages)
        """Messages that are to be handed to librdkafka."""
        self.topic = self.unsent[0].topic if self.unsent else ""
        """The topic of the first, for what is said of all."""
        self.on_the_way = 0
        """Messages that librdkafka has."""
        self.failed: list[tuple[Message, KafkaError]] = []
        """Messages that can be sent again."""
        self.too_large: list[Message] = []
        """Messages that are to be sent in halves."""
        self.refused: list[tuple[Message, str]] = []
        """Messages that brokers will never take, and why."""
        self.refusals = list(refusals)
        """What cannot be sent."""
        self.changed = asyncio.Event()
        """Set when there is something to do."""

    @property
    def is_settled(self) -> bool:
        """Whether nothing is on its way, or to be sent, in this attempt."""
        return not (self.unsent or self.on_the_way or self.too_large)

    def begin(self) -> None:
        """Begin an attempt: what failed in the one before is sent again."""
        self.unsent.extend(message for message, _ in self.failed)
        self.failed.clear()

    def outcome(self, batch: Batch) -> PartialSuccess | None:
        """What to say once all messages of the batch are delivered or refused."""
        refusals = [*self.refusals, *(Refusal(message.content(batch), reason) for message, reason in self.refused)]
        if not refusals:
            return None
        reasons = list(dict.fromkeys(refusal.reason for refusal in refusals))
        more = f" (and {len(reasons) - 1} other reasons)" if len(reasons) > 1 else ""
        refused = join([refusal.batch for refusal in refusals])
        return PartialSuccess(refused.items, reasons[0] + more, refused)
