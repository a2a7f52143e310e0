"""Batches on their way: what has become of each of their messages, so that none is sent twice."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

from sluiceway.component import PartialSuccess
from sluiceway.exporters.kafka.messages import Message, Refusal
from sluiceway.otlp import Batch, join

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

__all__ = ["Sending", "Unfinished"]


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


class Unfinished:
    """Batches whose attempt ended before they did: who comes with the same batch again goes on where it was left.

    They are known for as long as anybody has the batch, to send it again; this does not keep it.
    """

    def __init__(self) -> None:
        self._kept: dict[int, tuple[weakref.ref[Batch], list[Sending]]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, batch: Batch, sending: Sending) -> None:
        """Remember how far a batch has come. Two pipelines may send the same batch, each for itself."""
        place = id(batch)
        if place not in self._kept:
            self._kept[place] = weakref.ref(batch, lambda _: self._kept.pop(place, None)), []
        self._kept[place][1].append(sending)

    def take(self, batch: Batch) -> Sending | None:
        """What was kept of just this batch, which is then forgotten."""
        if (found := self._kept.get(id(batch))) is None:
            return None
        sending = found[1].pop()
        if not found[1]:
            del self._kept[id(batch)]
        return sending
