"""What an exporter remembers of batches that come again."""

from __future__ import annotations

import weakref
from typing import Generic, TypeVar

from sluiceway.otlp import Batch

__all__ = ["Unfinished"]

T = TypeVar("T")


class Unfinished(Generic[T]):
    """Batches whose attempt ended before they did: who comes with the same batch again goes on where it was left.

    The same batch is the same object, not one with the same bytes: a request with many items that are alike may be cut
    into pieces that are alike, and each must be delivered. A batch is known for as long as anybody has it, to send it
    again; this does not keep it. Two pipelines may send the same batch, each for itself.
    """

    def __init__(self) -> None:
        self._kept: dict[int, tuple[weakref.ref[Batch], list[T]]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, batch: Batch, state: T) -> None:
        """Remember how far a batch has come."""
        place = id(batch)
        if place not in self._kept:
            self._kept[place] = weakref.ref(batch, lambda _: self._kept.pop(place, None)), []
        self._kept[place][1].append(state)

    def take(self, batch: Batch) -> T | None:
        """What was kept of just this batch, which is then forgotten."""
        if (found := self._kept.get(id(batch))) is None:
            return None
        state = found[1].pop()
        if not found[1]:
            del self._kept[id(batch)]
        return state
