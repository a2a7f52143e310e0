"""Metrics of one target, their points in OTLP, and how these are grouped by scope and resource."""

from __future__ import annotations

import math
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any, Final

from sluiceway.otlp.anyvalue import sized
from sluiceway.otlp.metrics import Exemplar as Point
from sluiceway.otlp.metrics import ExponentialHistogram, MetricWriter, encode_attributes
from sluiceway.receivers.prometheus._series import Series, Whole, histograms, numbers, summaries
from sluiceway.receivers.prometheus.exposition import Exemplar, Labels, Metadata

__all__ = ["INSTANCE", "Metric", "Resource", "Scope", "series_in", "shrink"]

INSTANCE: Final = frozenset({"__name__", "job", "instance", "__scheme__", "__metrics_path__"})
"""Labels that are no attributes of points: they make the metric and the resource."""
_KINDS: Final = {
    "counter": (0x3A, b"\x10\x02\x18\x01"),
    "info": (0x3A, b"\x10\x02"),
    "stateset": (0x3A, b"\x10\x02"),
    "histogram": (0x4A, b"\x10\x02"),
    "exponential": (0x52, b"\x10\x02"),
    "summary": (0x5A, b""),
}
"""The field of `Metric` that a type becomes, and what stands in it beside points. All others are gauges."""
_GAUGE: Final = (0x2A, b"")
_TAIL: Final = {"histogram": 0x4A, "summary": 0x3A, "exponential": 0x0A}
"""The tag of attributes in points of a type; 0x3A in numbers."""


class Metric:
    """One metric of a scope: the series of its points, or its distributions by their attributes."""

    def __init__(self, name: str, kind: str, metadata: Metadata, scope: Scope) -> None:
        self.name = name
        self.kind = kind
        self.metadata = metadata
        self.scope = scope
        self.points: list[Any] = []
        self.wholes: dict[bytes, Whole] = {}
        self.created: dict[bytes, Series] = {}
        """When the series of a counter began, by their attributes."""
        self.attributes: dict[bytes, Labels] = {}
        """Those of native histograms, as they are encoded and as they are."""

    def encode(self, number: int, now: int, trim: Callable[[str, Metadata], str]) -> tuple[bytes, int]:
        """The field `metrics` of a scope, and how many points it has."""
        tag, rest = _KINDS.get(self.kind, _GAUGE)
        texts = ((0x0A, trim(self.name, self.metadata)), (0x12, self.metadata.help), (0x1A, self.metadata.unit))
        head = b"".join(sized(place, text.encode()) for place, text in texts if text)
        if self.kind == "exponential":
            writer = MetricWriter(head, (tag, rest))
            _exponential(self, writer, number, now)
            return (sized(0x12, writer.encode()), len(writer)) if len(writer) else (b"", 0)
        if self.kind == "histogram":
            content, count = histograms(self.points, number, now, _exemplar)
        elif self.kind == "summary":
            content, count = summaries(self.points, number, now, _exemplar)
        else:
            content, count = numbers(self.points, number, now, _exemplar, self.created)
        return (sized(0x12, head + sized(tag, content + rest)), count) if count else (b"", 0)


class Scope:
    """One scope of a resource."""

    def __init__(self, head: bytes, schema_url: str, resource: Resource) -> None:
        self.head = head
        self.tail = sized(0x1A, schema_url.encode()) if schema_url else b""
        self.resource = resource
        self.metrics: dict[tuple[str, str], Metric] = {}


class Resource:
    """What a job's instance is, and what `target_info` says of it."""

    def __init__(self, job: str, instance: str, scheme: str) -> None:
        self.attributes = _resource(job, instance, scheme)
        self.infos: list[tuple[Series, Labels]] = []
        self.scopes: dict[tuple[tuple[str, str], ...], Scope] = {}

    def head(self, number: int) -> bytes:
        """The field `resource`, with what is told in this scrape."""
        attributes = dict(self.attributes)
        for series, told in self.infos:
            if series.seen == number:
                attributes |= {name: value for name, value in told.items() if name not in attributes}
        return sized(0x0A, encode_attributes(0x0A, attributes))


def series_in(metric: Metric, name: str, labels: Labels) -> Series:
    """A new series of a metric: a point of its own, or a part of a distribution."""
    bound = {"histogram": "le", "summary": "quantile"}.get(metric.kind, "")
    kept = {name: value for name, value in sorted(labels.items()) if value and name not in INSTANCE and name != bound}
    tail = encode_attributes(_TAIL.get(metric.kind, 0x3A), kept)
    if metric.kind in ("counter", "exponential") and name.endswith("_created") and name != metric.name:
        series = metric.created[tail] = Series()
        series.metric = metric
        return series
    if metric.kind == "exponential":
        metric.attributes[tail] = kept
    if metric.kind not in ("histogram", "summary"):
        series = Series(tail, metric.kind in ("counter", "info", "stateset", "exponential"))
        series.metric = metric
        metric.points.append(series)
        return series
    whole = metric.wholes.get(tail)
    if whole is None:
        whole = metric.wholes[tail] = Whole(tail)
        metric.points.append(whole)
    return _part(metric, whole, name, labels.get(bound))


def _part(metric: Metric, whole: Whole, name: str, bound: str | None) -> Series:
    series = Series(b"", False, whole)
    series.metric = metric
    end = name.removeprefix(metric.name)
    if end == "_count":
        whole.count = series
    elif end == "_sum":
        whole.sum = series
    elif end == "_created":
        whole.created = series
    elif bound is not None and (end == "_bucket" if metric.kind == "histogram" else not end):
        try:
            series.bound = float(bound)
        except ValueError:
            return series
        if not math.isnan(series.bound):
            whole.put(series)
    return series


def shrink(metric: Metric, number: int) -> None:
    """Leave out what is no longer there."""
    if metric.kind in ("histogram", "summary"):
        for whole in metric.points:
            whole.parts = [part for part in whole.parts if part.seen == number]
        metric.points = [whole for whole in metric.points if whole.count is not None and whole.count.seen == number]
        metric.wholes = {whole.tail: whole for whole in metric.points}
    else:
        metric.points = [series for series in metric.points if series.seen == number]
        metric.created = {tail: series for tail, series in metric.created.items() if series.seen == number}
        metric.attributes = {
            series.tail: metric.attributes[series.tail] for series in metric.points if metric.attributes
        }
    if not metric.points and not metric.created:
        scope = metric.scope
        scope.metrics.pop((metric.name, metric.kind), None)
        if not scope.metrics:
            resource = scope.resource
            resource.scopes = {key: known for key, known in resource.scopes.items() if known is not scope}


def _exemplar(tag: int, exemplar: Exemplar) -> bytes:
    """One exemplar; labels that hold ids of a trace become these."""
    return sized(tag, _point(exemplar).encode())


def _point(exemplar: Exemplar) -> Point:
    labels = dict(exemplar.labels)
    ids = {name: _hexadecimal(labels.pop(name, ""), size) for name, size in (("trace_id", 16), ("span_id", 8))}
    return Point(float(exemplar.value), exemplar.time or 0, ids["trace_id"], ids["span_id"], labels)


def _hexadecimal(text: str, size: int) -> bytes:
    try:
        read = bytes.fromhex(text)
    except ValueError:
        return b""
    return read.rjust(size, b"\0") if 0 < len(read) <= size else b""


def _exponential(metric: Metric, writer: MetricWriter, number: int, now: int) -> None:
    """Write the points of native histograms, as `numbers` has it."""
    for series in metric.points:
        value: ExponentialHistogram | None = series.native
        attributes = metric.attributes[series.tail]
        if series.seen == number and value is not None:
            count = float(value.count or 0)
            if not series.start or count < series.last:
                series.start = series.time
            began = metric.created.get(series.tail)
            if began is not None and began.seen == number:
                series.start = int(began.value * 1e3) * 1_000_000
            series.last, series.live = count, not series.timed
            exemplars = [_point(exemplar) for exemplar in series.exemplar or ()]
            writer.add_exponential(value, attributes, time=series.time, start=series.start, exemplars=exemplars)
        elif series.live:
            series.live = False
            writer.add_exponential(ExponentialHistogram(0), attributes, time=now, start=series.start, flags=1)


def _resource(job: str, instance: str, scheme: str) -> Labels:
    """The resource's attributes; a host that only this machine knows by that name is none."""
    host, colon, port = instance.rpartition(":")
    if not colon or not port.isdigit():
        host, port = instance, ""
    host = host.removeprefix("[").removesuffix("]")
    attributes = {"service.name": job, "service.instance.id": instance}
    if _tells(host):
        attributes["server.address"] = host
    return attributes | {"server.port": port, "url.scheme": scheme}


def _tells(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return host not in ("", "localhost")
    return not (address.is_loopback or address.is_unspecified)
