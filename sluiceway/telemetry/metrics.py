"""The own metrics of components: counted where things happen, read when somebody looks.

A component keeps plain numbers and tells its `Scope` how to read them, so that counting costs an addition. `Metrics`
holds all series of the process; the exporters of `sluiceway.telemetry` ask it for them.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from sluiceway.telemetry.tracing import Tracing

__all__ = ["AttributeValue", "Distribution", "Family", "Histogram", "Level", "Metrics", "Scope"]

MAX_SERIES = 2000
"""How many series one metric may have; what comes later is summed into one that says `otel.metric.overflow`."""

BOUNDS = (0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000)
"""The upper bounds of a histogram's buckets, as OpenTelemetry's SDKs have them by default."""

BOUNDS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
BOUNDS_BYTES = tuple(128 << n for n in range(18))

AttributeValue: TypeAlias = str | bool | int
Attributes: TypeAlias = tuple[tuple[str, AttributeValue], ...]
Kind: TypeAlias = Literal["counter", "gauge", "updown", "histogram"]
_OVERFLOW: Attributes = (("otel.metric.overflow", "true"),)
_log = logging.getLogger(__name__)


class Level(IntEnum):
    """`service::telemetry::metrics::level`: how much is told."""

    NONE = 0
    BASIC = 1
    NORMAL = 2
    DETAILED = 3


_DETAILED = frozenset({
    "otelcol_exporter_enqueue_size",
    "otelcol_exporter_enqueue_size_bytes",
    "otelcol_exporter_queue_batch_send_size",
    "otelcol_exporter_queue_batch_send_size_bytes",
    "otelcol_processor_batch_batch_send_size_bytes",
    "otelcol_processor_internal_duration",
})  # fmt: skip


def level_of(name: str) -> Level:
    """The lowest level at which the metric called `name` is shown; the Collector's rules."""
    if name in _DETAILED or name.startswith(("http.", "rpc.")):
        return Level.DETAILED
    return Level.NORMAL if name.startswith("otelcol_processor_batch_") else Level.BASIC


class Histogram(Protocol):
    """Something to record single values in."""

    def record(self, value: float) -> None:
        """Count one value."""


class Distribution:
    """A histogram with fixed bounds: a value equal to a bound counts below it."""

    __slots__ = ("bounds", "buckets", "highest", "lowest", "total")

    def __init__(self, bounds: tuple[float, ...] = BOUNDS) -> None:
        self.bounds = bounds
        self.buckets = [0] * (len(bounds) + 1)
        self.total: float = 0
        self.lowest = float("inf")
        self.highest = float("-inf")

    @property
    def count(self) -> int:
        """How many values were recorded."""
        return sum(self.buckets)

    def record(self, value: float) -> None:
        """Count one value."""
        self.buckets[bisect_left(self.bounds, value)] += 1
        self.total += value
        self.lowest = min(self.lowest, value)
        self.highest = max(self.highest, value)


class _Ignored:
    def record(self, value: float) -> None:
        pass


@dataclass(slots=True)
class _Series:
    readers: list[Callable[[], float]] = field(default_factory=list)
    closed: float = 0
    distribution: Distribution | None = None

    def read(self) -> float:
        return self.closed + sum(read() for read in self.readers)


@dataclass(slots=True)
class Family:
    """All series of one name."""

    name: str
    type: Kind
    unit: str
    description: str
    series: dict[Attributes, _Series] = field(default_factory=dict)

    def at(self, attributes: Mapping[str, AttributeValue]) -> _Series:
        """The series with these attributes, opened on first use; the overflow series when there are too many."""
        key = tuple(sorted(attributes.items()))
        if key not in self.series and len(self.series) >= MAX_SERIES - 1:
            key = _OVERFLOW
        return self.series.setdefault(key, _Series())

    def values(self) -> Iterator[tuple[dict[str, AttributeValue], float]]:
        """Attributes and value of each series now; one whose reading fails is left out, and logged."""
        for attributes, series in tuple(self.series.items()):
            if not series.readers and self.type != "counter":
                continue
            try:
                value = series.read()
            except Exception:  # noqa: BLE001 - one broken component must not hide the metrics of all
                _log.exception("Reading own metric failed", extra={"metric": self.name})
            else:
                yield dict(attributes), value

    def distributions(self) -> Iterator[tuple[dict[str, AttributeValue], Distribution]]:
        """Attributes and histogram of each series."""
        for attributes, series in tuple(self.series.items()):
            if series.distribution is not None:
                yield dict(attributes), series.distribution


class Metrics:
    """The own metrics of one collector. They outlive components and reloads."""

    def __init__(self, level: Level = Level.NORMAL, dropped: tuple[str, ...] = ()) -> None:
        self.level = level
        self.dropped = dropped
        """Patterns (`*`, `?`) of names that are not shown."""
        self._families: dict[str, Family] = {}

    def families(self) -> list[Family]:
        """The metrics to show at the current level."""
        return [
            family
            for family in tuple(self._families.values())
            if level_of(family.name) <= self.level
            and not any(fnmatchcase(family.name, pattern) for pattern in self.dropped)
        ]

    def family(self, name: str, kind: Kind, unit: str, description: str) -> Family:
        """The metric called `name`, opened on first use. Raises `ValueError` when it is of another type."""
        family = self._families.setdefault(name, Family(name, kind, unit, description))
        if family.type != kind:
            raise ValueError(f"own metric {name} is a {family.type}, not a {kind}")
        return family

    def read(self, name: str, **attributes: AttributeValue) -> float:
        """The sum over all series of `name` that carry `attributes`, zero when there are none: for tests, summaries."""
        family = self._families.get(name)
        wanted = attributes.items()
        return sum(value for have, value in family.values() if wanted <= have.items()) if family else 0


class Scope:
    """The own metrics of one component. Values are read when somebody looks, so counting costs an addition.

    Several series of the same name and attributes are summed, and a counter keeps its last value after `close`, so
    that it never goes backwards when a reload replaces the component. Attributes must come from a bounded set.
    """

    def __init__(
        self, metrics: Metrics | None = None, level: Level | None = None, tracing: Tracing | None = None
    ) -> None:
        self.metrics = metrics if metrics is not None else Metrics()
        self.level = self.metrics.level if level is None else level
        self.tracing = tracing
        """Where the component's spans go, or None when no traces of our own are wanted."""
        self._opened: list[tuple[Family, _Series, Callable[[], float]]] = []

    @property
    def detailed(self) -> bool:
        """Whether metrics of level `detailed` are wanted, such as error attributes."""
        return self.level >= Level.DETAILED

    def counter(
        self, name: str, read: Callable[[], float], unit: str = "", description: str = "", **attributes: AttributeValue
    ) -> None:
        """A sum that only grows."""
        self._open(self.metrics.family(name, "counter", unit, description), read, attributes)

    def gauge(
        self, name: str, read: Callable[[], float], unit: str = "", description: str = "", **attributes: AttributeValue
    ) -> None:
        """A value that goes up and down and cannot be added up."""
        self._open(self.metrics.family(name, "gauge", unit, description), read, attributes)

    def updown(
        self, name: str, read: Callable[[], float], unit: str = "", description: str = "", **attributes: AttributeValue
    ) -> None:
        """A number of things that are there now: a sum that goes up and down."""
        self._open(self.metrics.family(name, "updown", unit, description), read, attributes)

    def histogram(self, name: str, unit: str = "", description: str = "", **attributes: AttributeValue) -> Histogram:
        """A distribution. At a level that does not show it, recording does nothing."""
        if level_of(name) > self.level:
            return _Ignored()
        series = self.metrics.family(name, "histogram", unit, description).at(attributes)
        if series.distribution is None:
            series.distribution = Distribution({"s": BOUNDS_SECONDS, "By": BOUNDS_BYTES}.get(unit, BOUNDS))
        return series.distribution

    def close(self) -> None:
        """Take the component's gauges away and freeze its counters. Closing again does nothing."""
        for family, series, read in self._opened:
            if family.type == "counter":
                series.closed += read()
            series.readers.remove(read)
        self._opened.clear()

    def _open(self, family: Family, read: Callable[[], float], attributes: Mapping[str, AttributeValue]) -> None:
        series = family.at(attributes)
        series.readers.append(read)
        self._opened.append((family, series, read))
