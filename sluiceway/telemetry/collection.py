"""What the OpenTelemetry SDK makes of our own metrics: instruments, a resource, and points at one moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import sluiceway
from sluiceway.telemetry.metrics import AttributeValue, Distribution, Family, Metrics

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Observation
    from opentelemetry.sdk.metrics.export import HistogramDataPoint, Metric, MetricsData

__all__ = ["Collection"]


class Collection:
    """The SDK's view of `metrics`. Making one imports the SDK.

    Counters and gauges are observable instruments of a `MeterProvider`. Distributions were already put in buckets
    where they were recorded, at a twentieth of the cost, and join the SDK's points as they are.
    """

    def __init__(self, metrics: Metrics, resource: Mapping[str, str]) -> None:
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        from opentelemetry.sdk.resources import Resource

        self.resource = resource
        self._metrics = metrics
        self._started = time.time_ns()
        self._observed: set[str] = set()
        self._reader = InMemoryMetricReader()
        self._provider = MeterProvider([self._reader], Resource(dict(resource)), shutdown_on_exit=False)
        self._meter = self._provider.get_meter("sluiceway", sluiceway.__version__)

    def collect(self) -> MetricsData | None:
        """Read every metric now. Call it on the event loop: components are read without locks."""
        families = self._metrics.families()
        for family in families:
            self._observe(family)
        data = self._reader.get_metrics_data()
        distributions = [self._distribution(family) for family in families if family.type == "histogram"]
        if data is None or not distributions:
            return data
        first, *others = data.resource_metrics
        scope, *scopes = first.scope_metrics
        scope = replace(scope, metrics=[*scope.metrics, *distributions])
        return replace(data, resource_metrics=[replace(first, scope_metrics=[scope, *scopes]), *others])

    def close(self) -> None:
        """Let go of the instruments."""
        self._provider.shutdown()

    def _observe(self, family: Family) -> None:
        if family.name in self._observed or family.type == "histogram":
            return
        self._observed.add(family.name)
        meter = self._meter
        create = {
            "counter": meter.create_observable_counter,
            "updown": meter.create_observable_up_down_counter,
            "gauge": meter.create_observable_gauge,
        }[family.type]
        create(family.name, [_observations(family)], family.unit, family.description)

    def _distribution(self, family: Family) -> Metric:
        from opentelemetry.sdk.metrics.export import AggregationTemporality, Histogram, Metric

        points = [self._point(attributes, distribution) for attributes, distribution in family.distributions()]
        histogram = Histogram(points, AggregationTemporality.CUMULATIVE)
        return Metric(family.name, family.description, family.unit, histogram)

    def _point(self, attributes: dict[str, AttributeValue], distribution: Distribution) -> HistogramDataPoint:
        from opentelemetry.sdk.metrics.export import HistogramDataPoint

        return HistogramDataPoint(
            attributes, self._started, time.time_ns(), distribution.count, distribution.total,
            tuple(distribution.buckets), distribution.bounds, distribution.lowest, distribution.highest,
        )  # fmt: skip


def _observations(family: Family) -> Callable[[CallbackOptions], Iterable[Observation]]:
    from opentelemetry.metrics import Observation

    def observe(_options: CallbackOptions) -> Iterable[Observation]:
        return [Observation(value, attributes) for attributes, value in family.values()]

    return observe
