"""One measurement under way: where a scraper puts what it reads."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TypeAlias

from sluiceway.otlp.actions import Value
from sluiceway.otlp.metrics import Attributes, Histogram, MetricsWriter, MetricWriter, ResourceWriter
from sluiceway.scraping.declared import (
    Metric,
    MetricSetting,
    MetricSettings,
    ResourceAttribute,
    ResourceSettings,
)
from sluiceway.stanza import Entry

__all__ = ["Recorder", "Scrape"]

_NOTHING: Attributes = {}
_SEVERITIES = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
_Key: TypeAlias = "tuple[Metric, tuple[tuple[str, object], ...]]"
_COMBINE: Mapping[str, Callable[[list[float]], float]] = {
    "sum": sum,
    "avg": lambda values: sum(values) / len(values),
    "min": min,
    "max": max,
}


class Recorder:
    """Takes the points of one resource. What is switched off is passed over."""

    __slots__ = ("_kept", "_metrics", "_resource", "_scrape", "_together", "_writer")

    def __init__(self, scrape: Scrape, resource: dict[str, Value] | None, writer: ResourceWriter | None) -> None:
        self._scrape = scrape
        self._resource = resource
        self._writer = writer
        self._metrics: dict[str, MetricWriter | None] = {}
        self._kept: dict[str, tuple[str, ...]] = {}
        self._together: dict[_Key, tuple[list[float], list[int]]] = {}

    def record(
        self, metric: Metric, value: float | Histogram, attributes: Attributes = _NOTHING, *, start: int = 0
    ) -> None:
        """Add a point. `start` is since when a sum counts, in ns since the epoch; left out, the scraper's start.

        The value is made an int or a float, as the metric was declared.
        """
        try:
            writer = self._metrics[metric.name]
        except KeyError:
            writer = self._metrics[metric.name] = self._open(metric)
        if writer is None:
            return
        if metric.name in self._kept:
            kept = tuple((key, attributes[key]) for key in self._kept[metric.name] if key in attributes)
            values, starts = self._together.setdefault((metric, kept), ([], []))
            values.append(value)  # type: ignore[arg-type]  # no histogram comes here
            starts.append(start or self._scrape.start)
        else:
            self._write(writer, metric, value, attributes, start)

    def event(
        self, name: str, body: str, attributes: Attributes = _NOTHING, *, time: int = 0, severity: int = 9
    ) -> None:
        """Add a log record: something that happened, in pipelines for logs.

        `time` is ns since the epoch, 0 for when it was found; `severity` is OpenTelemetry's number.
        """
        if self._resource is not None:
            scrape = self._scrape
            entry = Entry(body, scrape.time, dict(attributes), self._resource)
            entry.event_name, entry.time, entry.scope = name, time or scrape.time, scrape.scope
            entry.severity, entry.severity_text = severity, _SEVERITIES[(severity - 1) // 4]
            scrape.events.append(entry)

    def _open(self, metric: Metric) -> MetricWriter | None:
        if self._writer is None or not self._scrape.metrics.enables(metric):
            return None
        chosen = self._scrape.metrics.get(metric.name)
        if chosen is not None and chosen.attributes is not None and metric.instrument != "histogram":
            self._kept[metric.name] = chosen.attributes
        names = (metric.name, metric.unit, metric.description)
        match metric.instrument:
            case "gauge":
                return self._writer.gauge(*names)
            case "histogram":
                return self._writer.histogram(*names)
            case instrument:
                return self._writer.sum(*names, monotonic=instrument == "counter")

    def _write(
        self, writer: MetricWriter, metric: Metric, value: float | Histogram, attributes: Attributes, start: int
    ) -> None:
        scrape = self._scrape
        if isinstance(value, Histogram):
            writer.add_histogram(value, attributes, time=scrape.time, start=start or scrape.start)
        elif metric.instrument == "gauge":
            writer.add(metric.value(value), attributes, time=scrape.time)
        else:
            writer.add(metric.value(value), attributes, time=scrape.time, start=start or scrape.start)

    def finish(self) -> None:
        """Write the points that were to become one."""
        for (metric, attributes), (values, starts) in self._together.items():
            writer = self._metrics[metric.name]
            assert writer is not None  # noqa: S101 - only what is switched on is kept here
            strategy = _strategy(metric, self._scrape.metrics[metric.name])
            self._write(writer, metric, _COMBINE[strategy](values), dict(attributes), min(starts))  # type: ignore[arg-type]
        self._together.clear()


class Scrape:
    """What one scraper reads in one measurement. All its points have the same time.

    `time` and `start` are ns since the epoch. A scraper that raises loses what it recorded; one that could read only a
    part says so by `problem`, and keeps the rest.
    """

    def __init__(
        self,
        time: int,
        start: int,
        metrics: MetricSettings | None = None,
        resource: ResourceSettings | None = None,
        *,
        declared: Mapping[str, ResourceAttribute] | None = None,
        scope: str = "",
        version: str = "",
    ) -> None:
        self.time = time
        self.start = start
        self.metrics = metrics or MetricSettings()
        self.scope = scope
        self.events: list[Entry] = []
        self.problems: list[str] = []
        self._resource_settings = resource or ResourceSettings()
        self._declared = declared or {}
        self._writer = MetricsWriter(scope, version)
        self._recorders: list[Recorder] = []
        self._plain: Recorder | None = None

    def resource(self, attributes: Attributes, *, on: Collection[str] = ()) -> Recorder:
        """Begin a resource. Of its attributes, those that tell it from its like may be `on` unless switched off."""
        kept = self._resource_settings.apply(attributes, self._declared, on)
        recorder = Recorder(self, kept, None if kept is None else self._writer.resource(kept))
        self._recorders.append(recorder)
        return recorder

    def record(
        self, metric: Metric, value: float | Histogram, attributes: Attributes = _NOTHING, *, start: int = 0
    ) -> None:
        """Add a point to the resource without attributes; see `Recorder.record`."""
        self._without().record(metric, value, attributes, start=start)

    def event(
        self, name: str, body: str, attributes: Attributes = _NOTHING, *, time: int = 0, severity: int = 9
    ) -> None:
        """Add a log record to the resource without attributes; see `Recorder.event`."""
        self._without().event(name, body, attributes, time=time, severity=severity)

    def problem(self, text: str) -> None:
        """Say what could not be read, and why; a text that is the same each time is logged once."""
        self.problems.append(text)

    def _without(self) -> Recorder:
        if self._plain is None:
            self._plain = self.resource(_NOTHING)
        return self._plain

    def finish(self) -> tuple[bytes, int]:
        """What was recorded, as `MetricsData`, and its number of points."""
        for recorder in self._recorders:
            recorder.finish()
        return self._writer.encode(), self._writer.points


def _strategy(metric: Metric, chosen: MetricSetting) -> str:
    return chosen.aggregation_strategy or ("avg" if metric.instrument == "gauge" else "sum")
