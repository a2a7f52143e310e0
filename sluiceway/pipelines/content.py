"""How much a queue on disk holds, and what metrics say of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sluiceway.pipelines.dead_letters import DeadLetters
from sluiceway.segments import Log
from sluiceway.segments.log import Position
from sluiceway.telemetry import Scope

__all__ = ["Content", "Kept", "publish"]


class Kept(NamedTuple):
    """Where a request is on the disk, how much it is, and since when, on the monotonic clock."""

    position: Position
    items: int
    bytes: int
    since: float
    shares: tuple[tuple[str, int], ...]


@dataclass(slots=True)
class Content:
    """How much there is; `shares` has the items by pipeline."""

    requests: int = 0
    items: int = 0
    bytes: int = 0
    shares: dict[str, int] = field(default_factory=dict)

    def add(self, requests: int, items: int, bytes: int, shares: Sequence[tuple[str, int]]) -> None:
        """More of it, or less where the numbers are negative."""
        self.requests += requests
        self.items += items
        self.bytes += bytes
        for pipeline, number in shares:
            self.shares[pipeline] = self.shares.get(pipeline, 0) + number


def publish(
    scope: Scope, names: Mapping[str, str], log: Log, content: Callable[[], Content],
    letters: Callable[[], DeadLetters | None], capacity: int,
) -> None:  # fmt: skip
    """Make metrics of what is on disk; `capacity` is in bytes of telemetry."""
    gauges: tuple[tuple[str, Callable[[], float], str, str], ...] = (
        ("storage_size", lambda: content().bytes, "By", "Bytes of telemetry that a queue on disk holds."),
        ("storage_capacity", lambda: capacity, "By", "What it takes at most."),
        ("disk_bytes", lambda: log.bytes_on_disk, "By", "Bytes of its files, also of what is done."),
        ("segments", lambda: log.segments, "{file}", "Files of a queue on disk."),
    )
    for name, read, unit, text in gauges:
        scope.gauge(f"sluiceway_exporter_queue_{name}", read, unit, text, **names)

    def buried() -> int:
        found = letters()
        return found.buried if found is not None else 0

    def forgotten() -> int:
        found = letters()
        return found.forgotten if found is not None else 0

    text = "Dead letters that were deleted to make room for others."
    counters: tuple[tuple[str, Callable[[], float], str, str], ...] = (
        ("queue_damaged_bytes", lambda: log.damaged_bytes, "By", "Bytes on disk that were no records."),
        ("dead_letter_items", buried, "{item}", "Items that were put to the dead letters."),
        ("dead_letters_forgotten", forgotten, "{record}", text),
    )
    for name, read, unit, text in counters:
        scope.counter(f"sluiceway_exporter_{name}", read, unit, text, **names)
