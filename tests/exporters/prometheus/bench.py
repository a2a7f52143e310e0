"""An exporter built from YAML, what it is sent, and what a scraper reads there."""

from __future__ import annotations

import logging
import textwrap
from collections.abc import Iterable
from contextlib import AsyncExitStack
from typing import Any, Self

import aiohttp
import yaml
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric, MetricsData

from sluiceway.component import Context, Kind, PartialSuccess
from sluiceway.exporters.prometheus import COMPONENT, PrometheusExporter
from sluiceway.otlp import Batch, Signal
from sluiceway.otlp.anyvalue import read_varint
from sluiceway.prometheus.families import Format
from sluiceway.receivers.prometheus.protobuf import _message
from sluiceway.telemetry import Scope
from sluiceway.telemetry.metrics import Metrics
from sluiceway.testing import ManualClock, settings

__all__ = ["CUMULATIVE", "DELTA", "SECOND", "START", "Shop", "attributes", "families", "histogram", "number", "payload"]

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
CUMULATIVE, DELTA = 2, 1


def any_value(value: Any) -> AnyValue:
    """A Python value as OTLP has it."""
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case bytes():
            return AnyValue(bytes_value=value)
        case list():
            return AnyValue(array_value=ArrayValue(values=[any_value(item) for item in value]))
        case dict():
            return AnyValue(kvlist_value=KeyValueList(values=attributes(value)))
        case _:
            return AnyValue(string_value=value)


def attributes(values: dict[str, Any]) -> list[KeyValue]:
    """Attributes, in the order given."""
    return [KeyValue(key=key, value=any_value(value)) for key, value in values.items()]


def number(
    name: str, value: float, labels: dict[str, Any] | None = None, *, sum: int = 0, monotonic: bool = True,
    time: int = START, start: int = 0, **about: Any,
) -> Metric:  # fmt: skip
    """A gauge with one point, or a sum of this temporality."""
    metric = Metric(name=name, **about)
    data = metric.sum if sum else metric.gauge
    if sum:
        metric.sum.aggregation_temporality, metric.sum.is_monotonic = sum, monotonic
    point = data.data_points.add(time_unix_nano=time, start_time_unix_nano=start, attributes=attributes(labels or {}))
    setattr(point, "as_int" if isinstance(value, int) else "as_double", value)
    return metric


def histogram(
    name: str, counts: list[int], bounds: list[float], total: float, labels: dict[str, Any] | None = None, *,
    temporality: int = CUMULATIVE, time: int = START, start: int = 0, **about: Any,
) -> Metric:  # fmt: skip
    """A histogram with one point."""
    metric = Metric(name=name, **about)
    metric.histogram.aggregation_temporality = temporality
    metric.histogram.data_points.add(
        time_unix_nano=time, start_time_unix_nano=start, attributes=attributes(labels or {}), count=sum(counts),
        sum=total, bucket_counts=counts, explicit_bounds=bounds,
    )  # fmt: skip
    return metric


def payload(
    metrics: Iterable[Metric], resource: dict[str, Any] | None = None, scope: dict[str, Any] | None = None
) -> MetricsData:
    """Metrics of one resource and scope: `name`, `version`, `schema_url`, and attributes."""
    data, told = MetricsData(), dict(scope or {})
    entry = data.resource_metrics.add()
    entry.resource.attributes.extend(attributes(resource or {}))
    inner = entry.scope_metrics.add(schema_url=told.pop("schema_url", ""))
    inner.scope.name, inner.scope.version = told.pop("name", ""), told.pop("version", "")
    inner.scope.attributes.extend(attributes(told))
    inner.metrics.extend(metrics)
    return data


class Shop:
    """A running exporter and its scraper."""

    def __init__(self, text: str = "", *, kept: dict[str, Any] | None = None, extensions: Any = None) -> None:
        given = {"endpoint": "127.0.0.1:0"} | (yaml.safe_load(textwrap.dedent(text)) or {})
        self.clock = ManualClock()
        self.metrics = Metrics()
        self.log: list[str] = []
        logger = logging.getLogger(f"prometheus.{id(self)}")
        handler = logging.Handler()
        handler.emit = lambda record: self.log.append(record.getMessage())  # type: ignore[method-assign]
        logger.addHandler(handler)
        context = Context(
            "prometheus", Kind.EXPORTER, frozenset({Signal.METRICS}), clock=self.clock, logger=logger,
            telemetry=Scope(self.metrics), kept={} if kept is None else kept,
            extension=(extensions or {}).__getitem__,
        )  # fmt: skip
        self.exporter: PrometheusExporter = COMPONENT.create(
            settings(COMPONENT, yaml.safe_dump({"exporters": {"prometheus": given}})), context
        )

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.exporter)
            self.session = await stack.enter_async_context(aiohttp.ClientSession())
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def send(
        self, *metrics: Metric, resource: dict[str, Any] | None = None, scope: dict[str, Any] | None = None
    ) -> PartialSuccess | None:
        """Have the exporter consume metrics of one resource."""
        return await self.exporter.consume(Batch.from_proto(payload(metrics, resource, scope)))

    @property
    def url(self) -> str:
        """Where metrics are shown."""
        return f"http://127.0.0.1:{self.exporter.port}/metrics"

    async def get(self, accept: str = "", **headers: str) -> bytes:
        """A page as a scraper gets it."""
        async with self.session.get(self.url, headers={"Accept": accept, **headers}) as answer:
            assert answer.status == 200
            return await answer.read()

    async def text(self, accept: str = "") -> str:
        """The page in text."""
        return (await self.get(accept)).decode()

    async def samples(self, accept: str = "") -> list[str]:
        """The lines of the text that are no comments."""
        return [line for line in (await self.text(accept)).splitlines() if not line.startswith("#")]

    def counted(self, outcome: str) -> float:
        """How many points were special in this way."""
        return self.metrics.read("sluiceway_prometheus_points", outcome=outcome)


def families(page: bytes) -> dict[str, Any]:
    """The messages of a page in protobuf, by name."""
    found, at, kind = {}, 0, _message()
    while at < len(page):
        size, at = read_varint(page, at)
        family = kind.FromString(page[at : at + size])
        assert family.name not in found
        found[family.name] = family
        at += size
    return found


OPENMETRICS = "application/openmetrics-text; version=1.0.0"
PROTOBUF = Format.PROTOBUF.content_type
