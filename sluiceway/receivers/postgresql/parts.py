"""What is asked is made of parts: each a query, the metrics that need it, and how its rows are recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sluiceway.receivers.postgresql.connection import Row
from sluiceway.scraping import Metric, Recorder

__all__ = ["Facts", "Part"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a server says of itself."""

    version: int
    """Such as 150018 for 15.18."""
    standby: bool
    user: str
    monitor: bool
    """Whether the role sees what other roles do, as pg_monitor lets it."""
    max_connections: int

    @property
    def major(self) -> int:
        """The version as it is spoken of."""
        return self.version // 10_000


@dataclass(frozen=True, slots=True)
class Part:
    """One query. It is not asked when none of its metrics is on."""

    metrics: tuple[Metric, ...]
    query: Callable[[Facts], str]
    """The query for a server; empty when that has nothing of the kind."""
    record: Callable[[Recorder, Sequence[Row]], None]
