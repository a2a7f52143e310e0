"""How requests that wait in a queue become larger ones.

`Natural` needs no settings: a request goes at once when no other is under way, and what arrives meanwhile goes as one
request the moment that export ends. A request of few bytes costs as much as one of many, so after a small one the next
small one keeps a distance of some milliseconds. `Timed` is the Collector's `sending_queue::batch`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Final

from sluiceway.config.exporter import QueueBatch, Sizer
from sluiceway.otlp import Batch, split
from sluiceway.pipelines.request import join_requests
from sluiceway.pipelines.waiting import Element, Lane, cut

__all__ = ["DISTANCE", "NATURAL_BYTES", "NATURAL_ITEMS", "PATIENCE", "WORTHWHILE_BYTES", "Natural", "Timed"]

NATURAL_ITEMS: Final = 8192
NATURAL_BYTES: Final = 2 * 1024 * 1024
PATIENCE: Final = 0.1
"""Seconds that natural batching waits for an export to end, so that one that hangs does not hold up the rest."""
WORTHWHILE_BYTES: Final = 64 * 1024
"""A request of so many bytes goes without regard to the one before: the costs of a request no longer matter."""
DISTANCE: Final = 0.005
"""Seconds from the start of an export to that of the next, as long as less than `WORTHWHILE_BYTES` wait."""


class Natural:
    """Joins what waits for an export to end, up to 8192 items or 2 MiB, and never beyond.

    `distance` is for senders who do not wait for the result: those who do would be held up by it, one after the other.
    `headers` are those that the exporter reads: what differs in them is not joined, or they would be lost.
    """

    def __init__(self, distance: float = DISTANCE, headers: Iterable[str] = ()) -> None:
        self._distance = distance
        self._headers = tuple(map(str.lower, headers))

    def key(self, batch: Batch) -> Hashable:
        """All batches share one lane, but for those whose headers the exporter reads."""
        return _values(batch, self._headers)

    def is_ready(self, lane: Lane) -> bool:
        """A whole request waits, or nothing is under way and what waits is worth a request."""
        if lane.in_flight:
            return lane.items >= NATURAL_ITEMS or lane.bytes >= NATURAL_BYTES
        return lane.bytes >= WORTHWHILE_BYTES

    def due(self, lane: Lane) -> float:
        """The distance to the last export is kept, where none is under way any more."""
        return lane.elements[0].arrived + PATIENCE if lane.in_flight else lane.began + self._distance

    def take(self, lane: Lane) -> Element:
        """As many elements as fit into one request; the first is never cut."""
        taken = [lane.pop()]
        items, size = taken[0].request.batch.items, len(taken[0].request.batch.payload)
        while lane.elements:
            batch = lane.elements[0].request.batch
            items += batch.items
            size += len(batch.payload)
            if items > NATURAL_ITEMS or size > NATURAL_BYTES:
                break
            taken.append(lane.pop())
        return _merge(taken)


class Timed:
    """The Collector's batching: at least `min_size`, at most `max_size`, nothing later than `flush_timeout`."""

    def __init__(self, settings: QueueBatch, sizer: Sizer) -> None:
        self._flush_timeout = settings.flush_timeout
        self._min = settings.min_size
        self._max = settings.max_size
        self._by_items = sizer == "items"
        self._headers = tuple(map(str.lower, settings.partition.metadata_keys))

    def key(self, batch: Batch) -> Hashable:
        """The values of the headers that keep batches apart."""
        return _values(batch, self._headers)

    def is_ready(self, lane: Lane) -> bool:
        """Enough waits."""
        return (lane.items if self._by_items else lane.bytes) >= self._min

    def due(self, lane: Lane) -> float:
        """The oldest has waited for as long as it may."""
        return lane.elements[0].arrived + self._flush_timeout

    def take(self, lane: Lane) -> Element:
        """Elements up to the maximum, or the minimum where there is no maximum; the last one may be cut."""
        taken = [lane.pop()]
        size = self._size(taken[0])
        while lane.elements and size < (self._max or self._min):
            taken.append(lane.pop())
            size += self._size(taken[-1])
        element = _merge(taken)
        if not 0 < self._max < size:
            return element
        batch = element.request.batch
        pieces = split(batch, items=self._max) if self._by_items else split(batch, size=self._max)
        first, *rest = cut(element, pieces)
        for piece in rest:
            piece.arrived = taken[-1].arrived
        lane.put_back(rest)
        return first

    def _size(self, element: Element) -> int:
        batch = element.request.batch
        return batch.items if self._by_items else len(batch.payload)


def _values(batch: Batch, headers: tuple[str, ...]) -> Hashable:
    """The values of headers; an absent one is None, an empty one is not."""
    return tuple(map(batch.origin.headers.get, headers)) if headers else None


def _merge(elements: list[Element]) -> Element:
    if len(elements) == 1:
        return elements[0]
    request = join_requests([element.request for element in elements])
    return Element(request, [pair for element in elements for pair in element.tickets], elements[0].arrived)
