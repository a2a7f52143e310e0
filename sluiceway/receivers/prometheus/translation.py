"""From a target's samples to OTLP, by the rules of the Collector's receiver.

The specification: https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Final

from sluiceway.otlp.anyvalue import sized
from sluiceway.otlp.metrics import Exemplar as Point
from sluiceway.otlp.metrics import ExponentialHistogram, MetricWriter, encode_attributes
from sluiceway.receivers.prometheus._series import Reading, Series, Whole, histograms, numbers, summaries
from sluiceway.receivers.prometheus.exposition import Exemplar, Labels, Metadata

__all__ = ["Encoded", "Translation"]

_SUFFIXES: Final = ("_bucket", "_count", "_sum", "_total", "_info", "_created")
_INSTANCE: Final = frozenset({"__name__", "job", "instance", "__scheme__", "__metrics_path__"})
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


class _Metric:
    """One metric of a scope: the series of its points, or its distributions by their attributes."""

    def __init__(self, name: str, kind: str, metadata: Metadata, scope: _Scope) -> None:
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


class _Scope:
    """One scope of a resource."""

    def __init__(self, head: bytes, schema_url: str, resource: _Resource) -> None:
        self.head = head
        self.tail = sized(0x1A, schema_url.encode()) if schema_url else b""
        self.resource = resource
        self.metrics: dict[tuple[str, str], _Metric] = {}


class _Resource:
    """What a job's instance is, and what `target_info` says of it."""

    def __init__(self, job: str, instance: str, scheme: str) -> None:
        self.attributes = _resource(job, instance, scheme)
        self.infos: list[tuple[Series, Labels]] = []
        self.scopes: dict[tuple[tuple[str, str], ...], _Scope] = {}

    def head(self, number: int) -> bytes:
        """The field `resource`, with what is told in this scrape."""
        attributes = dict(self.attributes)
        for series, told in self.infos:
            if series.seen == number:
                attributes |= {name: value for name, value in told.items() if name not in attributes}
        return sized(0x0A, encode_attributes(0x0A, attributes))


@dataclass(slots=True)
class Encoded:
    """A scrape in OTLP: of each resource its own field and those of its scopes, by job and instance."""

    resources: dict[tuple[str, str], tuple[bytes, bytes]] = field(default_factory=dict)
    points: int = 0

    def beside(self, other: Encoded) -> bytes:
        """The message MetricsData, with what another has of the same resources in these."""
        keys = dict.fromkeys((*self.resources, *other.resources))
        parts = ([found for one in (self, other) if (found := one.resources.get(key))] for key in keys)
        return b"".join(sized(0x0A, part[0][0] + b"".join([scopes for _, scopes in part])) for part in parts)


class Translation:
    """All series of one target, and what they are in OTLP. One scrape at a time, each with a number of its own."""

    def __init__(self, job: str, instance: str, scheme: str, scope: tuple[str, str], *, trim: bool = False) -> None:
        self.metadata: dict[str, Metadata] = {}
        self.stale_metadata = False
        self._trim = trim
        self._own = (job, instance, scheme)
        self._scope = scope
        self._resources: dict[tuple[str, str], _Resource] = {}
        self._series: dict[tuple[tuple[str, str], ...], Series] = {}
        self._asked: set[str] = set()

    @property
    def crowded(self) -> bool:
        """Whether most of what is known of metrics is about those that are no longer there."""
        return len(self.metadata) + len(self._asked) > 4 * len(self._series) + 1_000

    def prune(self, named: set[str]) -> None:
        """Forget what was said of other metrics than these."""
        self.metadata = {name: known for name, known in self.metadata.items() if name in named}
        self._asked = {dict(key)["__name__"] for key in self._series}

    def forget(self) -> None:
        """Forget all series: their types are no longer what they were."""
        self._resources.clear()
        self._series.clear()
        self._asked.clear()
        self.stale_metadata = False

    def describe(self, word: str, name: str, text: str) -> None:
        """Note what a comment says of a metric: its `TYPE`, `HELP` or `UNIT`."""
        known = self.metadata.setdefault(name, Metadata())
        match word:
            case "TYPE":
                kind = "unknown" if text == "untyped" else text
                if kind != known.type and not self._asked.isdisjoint((name, *(name + end for end in _SUFFIXES))):
                    self.stale_metadata = True
                known.type = kind
            case "HELP":
                known.help = text
            case "UNIT":
                known.unit = text

    def place(self, labels: Labels, *, native: bool = False) -> tuple[Series, bool]:
        """The series with these labels, and whether it is new."""
        identity = (*sorted(labels.items()), ("", "native")) if native else tuple(sorted(labels.items()))
        found = self._series.get(identity)
        if found is not None:
            return found, False
        made = self._series[identity] = self._make(dict(labels), native=native)
        made.keys.append(identity)
        return made, True

    def encode(self, reading: Reading, now: int, *, keep: bool = False) -> tuple[Encoded, list[Series]]:
        """The scrape in OTLP, and the series that are gone.

        Series that are not in `reading` end with a point without value, and are forgotten unless they are to be kept.
        """
        number, encoded = reading.number, Encoded()
        for key, resource in self._resources.items():
            scopes = []
            for scope in resource.scopes.values():
                written = [metric.encode(number, now, self._name) for metric in scope.metrics.values()]
                count = sum(count for _, count in written)
                encoded.points += count
                if count:
                    content = scope.head + b"".join([content for content, _ in written]) + scope.tail
                    scopes.append(sized(0x12, content))
            if scopes:
                encoded.resources[key] = (resource.head(number), b"".join(scopes))
        alike = keep or reading.kept - reading.repeated == len(self._series)
        return encoded, [] if alike else self._drop(number)

    def _drop(self, number: int) -> list[Series]:
        dropped = [series for series in self._series.values() if series.seen != number]
        for series in dropped:
            del self._series[series.keys[0]]
        for metric in {id(series.metric): series.metric for series in dropped if series.metric}.values():
            _shrink(metric, number)
        for key, resource in list(self._resources.items()):
            resource.infos = [info for info in resource.infos if info[0].seen == number]
            if not resource.scopes and not resource.infos:
                del self._resources[key]
        return dropped

    def _name(self, name: str, metadata: Metadata) -> str:
        return _trimmed(name, metadata) if self._trim else name

    def _make(self, labels: Labels, *, native: bool) -> Series:
        name = labels["__name__"]
        job, instance, scheme = self._own
        key = (labels.get("job", ""), labels.get("instance", ""))
        key = key if all(key) else (job, instance)
        resource = self._resources.get(key)
        if resource is None:
            resource = self._resources[key] = _Resource(*key, scheme)
        if name == "target_info":
            series = Series()
            resource.infos.append((series, {n: v for n, v in labels.items() if n not in _INSTANCE}))
            return series
        scope = self._scope_of(labels, resource)
        metadata, family, kind = self._family(name)
        if kind == "gaugehistogram":
            return Series()  # OTLP has nothing for it; the Collector leaves it out, too
        if native:
            kind = "exponential"
        metric = scope.metrics.get((family, kind))
        if metric is None:
            metric = scope.metrics[family, kind] = _Metric(family, kind, metadata, scope)
        return _series_in(metric, name, labels)

    def _scope_of(self, labels: Labels, resource: _Resource) -> _Scope:
        """Take the labels of the scope out of `labels`, and find it."""
        told = {}
        if "otel_scope_name" in labels:
            told = {name: labels.pop(name) for name in list(labels) if name.startswith("otel_scope_")}
        key = tuple(sorted(told.items()))
        scope = resource.scopes.get(key)
        if scope is None:
            own = ("", "") if told else self._scope
            name, version = told.pop("otel_scope_name", own[0]), told.pop("otel_scope_version", own[1])
            url = told.pop("otel_scope_schema_url", "")
            attributes = {name.removeprefix("otel_scope_"): value for name, value in told.items()}
            texts = b"".join(sized(tag, text.encode()) for tag, text in ((0x0A, name), (0x12, version)) if text)
            head = sized(0x0A, texts + encode_attributes(0x1A, attributes))
            scope = resource.scopes[key] = _Scope(head, url, resource)
        return scope

    def _family(self, name: str) -> tuple[Metadata, str, str]:
        """What is known of a sample's metric, the name that it has in OTLP, and its type."""
        self._asked.add(name)
        if (known := self.metadata.get(name)) is not None:
            return known, name, known.type
        for suffix in _SUFFIXES:
            if name.endswith(suffix) and (known := self.metadata.get(name.removesuffix(suffix))) is not None:
                family = name.removesuffix(suffix)
                if known.type == "counter":
                    return known, f"{family}_total" if suffix == "_created" else name, known.type
                if known.type in ("histogram", "summary", "info", "gaugehistogram"):
                    return known, family, known.type
                return known, name, known.type
        total = f"{name.removesuffix('_created')}_total"
        if name.endswith("_created") and (known := self.metadata.get(total)) is not None and known.type == "counter":
            return known, total, known.type  # as protobuf names it
        return Metadata(), name, "unknown"


def _series_in(metric: _Metric, name: str, labels: Labels) -> Series:
    """A new series of a metric: a point of its own, or a part of a distribution."""
    bound = {"histogram": "le", "summary": "quantile"}.get(metric.kind, "")
    kept = {name: value for name, value in sorted(labels.items()) if value and name not in _INSTANCE and name != bound}
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


def _part(metric: _Metric, whole: Whole, name: str, bound: str | None) -> Series:
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


def _shrink(metric: _Metric, number: int) -> None:
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


def _trimmed(name: str, metadata: Metadata) -> str:
    """A name without the suffixes of its type and unit."""
    if metadata.type == "counter":
        name = name.removesuffix("_total")
    return name.removesuffix(f"_{metadata.unit}") if metadata.unit else name


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


def _exponential(metric: _Metric, writer: MetricWriter, number: int, now: int) -> None:
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
