"""What remote write makes of OTLP metrics, in plain Python over protobuf objects: the encoder's other opinion."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from sluiceway.exporters.prometheus_remote_write.series import SeriesNames
from tests.exporters.prometheus_remote_write.reading import STALE, Labels, Read, bits

__all__ = ["Model"]

_TAGS = {"gauge": 0x2A, "sum": 0x3A, "histogram": 0x4A, "exponential_histogram": 0x52, "summary": 0x5A}
_NAN = 0x7FF8000000000001
AHEAD = 600 * 10**9


def value_bits(value: float) -> int:
    """As the encoder writes a double: one NaN for all."""
    return _NAN if value != value else bits(value)


@dataclass
class Sample:
    """A sample, and the point that it comes from."""

    time: int
    start: int
    value: Any
    point: tuple[int, int]
    """Its time in nanoseconds, and its number in the batch: the greater is the newer one."""


@dataclass
class Model:
    """One batch at a time, without deltas."""

    names: SeriesNames
    second: bool
    now: int
    known: dict[Labels, tuple[int, str, str, bool]] = field(default_factory=dict)
    """Type, help, unit of each series' metric, and whether it has native histograms."""
    groups: dict[Labels, list[Labels]] = field(default_factory=dict)
    told: dict[Labels, int] = field(default_factory=dict)

    def encode(self, message: Any) -> tuple[dict[Labels, Read], Counter[str], list[bool]]:
        """Each series by its labels; why points are left out; which points are not."""
        self.samples: dict[Labels, list[Sample]] = {}
        self.exemplars: dict[Labels, list[Any]] = {}
        self.info: set[Labels] = set()
        self.rejected: Counter[str] = Counter()
        self.carried: list[bool] = []
        for resource in message.resource_metrics:
            self.latest = 0
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    kind = metric.WhichOneof("data")
                    for point in getattr(metric, kind).data_points if kind else ():
                        self._point(resource.resource, scope, metric, kind, point)
            if self.latest:
                self._tell(resource.resource)
        self._settle()
        return {key: self._read(key) for key, samples in self.samples.items() if samples}, self.rejected, self.carried

    def _settle(self) -> None:
        """At one time the newest sample stays; points that have lost one with another value lose all."""
        lost = set()
        for samples in self.samples.values():
            samples.sort(key=lambda one: (one.time, one.point))
            newest = {one.time: one for one in samples}
            lost |= {one.point for one in samples if one.value != newest[one.time].value}
        for _, number in lost:
            self.carried[number] = False
            self.rejected["duplicate"] += 1
        for key, samples in self.samples.items():
            self.samples[key] = list({one.time: one for one in samples if one.point not in lost}.values())

    def _read(self, key: Labels) -> Read:
        number, text, unit, native = self.known[key]
        told = [(one.time, one.start if self.second else 0, one.value) for one in self.samples[key]]
        return Read(
            key, [] if native else told, told if native else [], self.exemplars.get(key, []),
            (number, text, unit) if self.second else None,
        )  # fmt: skip

    def _point(self, resource: Any, scope: Any, metric: Any, kind: str, point: Any) -> None:
        reason = _judged(metric, kind, point, self.now)
        answer = None
        if reason is None:
            answer = self._describe(resource, scope, metric, kind, point.attributes, _bounds(kind, point))
            reason = "name" if answer is None else None
        if answer is not None and any(self._is_taken(key, answer[2]) for key in answer[1]):
            reason = "type"
        self.carried.append(reason is None)
        if reason is not None:
            self.rejected[reason] += 1
            return
        self.latest = max(self.latest, point.time_unix_nano)
        base, parts, metadata = answer
        time, stale = point.time_unix_nano // 1_000_000, point.flags & 1
        this = point.time_unix_nano, len(self.carried) - 1
        counts = kind in ("histogram", "summary", "exponential_histogram") or (
            kind == "sum" and metric.sum.is_monotonic
        )
        start = max(point.start_time_unix_nano // 1_000_000, 1) if counts and point.start_time_unix_nano else 0
        if stale:
            whole = kind == "histogram" and not point.explicit_bounds
            for key in (
                [one for one in self.groups[base] if _kind(self.known[one]) == _kind(metadata)] if whole else parts
            ):
                end = (0, STALE, 0, 1e-128, 0, (), ()) if metadata[3] else STALE
                self._add(key, metadata, Sample(time, 0, end, this))
            return
        for key, value in zip(parts, _values(kind, point), strict=True):
            if value is not None:
                self._add(key, metadata, Sample(time, start, value, this))
        if counts and kind != "summary":
            self._exemplars(kind, parts, point, time)

    def _is_taken(self, key: Labels, metadata: Any) -> bool:
        return bool(self.samples.get(key)) and _kind(self.known[key]) != _kind(metadata)

    def _describe(self, resource: Any, scope: Any, metric: Any, kind: str, attributes: Any, values: Any) -> Any:
        from opentelemetry.proto.common.v1.common_pb2 import KeyValueList

        answer = self.names.describe(
            _bytes(resource), _bytes(scope.scope), scope.schema_url.encode(),
            (metric.name.encode(), metric.unit.encode(), metric.description.encode()),
            _TAGS[kind], kind == "sum" and metric.sum.is_monotonic, _bytes(KeyValueList(values=attributes)), values,
        )  # fmt: skip
        return None if answer is None else self._noted(answer, native=kind == "exponential_histogram")

    def _noted(self, answer: Any, *, native: bool) -> Any:
        base, (number, _, text, unit), parts = answer
        base, metadata = _pairs(base), (number, text.decode(), unit.decode(), native)
        keys = [_pairs(part) for part in parts]
        for key in keys:
            self.known.setdefault(key, metadata)
            group = self.groups.setdefault(base, [])
            if key not in group:
                group.append(key)
        return base, keys, metadata

    def _add(self, key: Labels, metadata: Any, sample: Sample) -> None:
        if not self.samples.get(key):
            self.known[key] = metadata
        self.samples.setdefault(key, []).append(sample)

    def _exemplars(self, kind: str, parts: Any, point: Any, time: int) -> None:
        from opentelemetry.proto.common.v1.common_pb2 import KeyValueList

        for exemplar in point.exemplars:
            which = exemplar.WhichOneof("value")
            if which is None:
                continue
            value = float(getattr(exemplar, which))
            place = 0
            if kind == "histogram":
                place = sum(1 for bound in point.explicit_bounds if not value <= bound)
            ids = {n: i.hex() for n, i in (("span_id", exemplar.span_id), ("trace_id", exemplar.trace_id)) if any(i)}
            labels = tuple(sorted(ids.items()))
            if exemplar.filtered_attributes:
                raw = _bytes(KeyValueList(values=exemplar.filtered_attributes))
                labels = _pairs(self.names.label_exemplar(raw, exemplar.trace_id, exemplar.span_id))
            when = exemplar.time_unix_nano // 1_000_000 if exemplar.time_unix_nano else time
            self.exemplars.setdefault(parts[place], []).append((when, value_bits(value), labels))

    def _tell(self, resource: Any) -> None:
        answer = self.names.describe(_bytes(resource), b"", b"", (b"", b"", b""), 0, False, b"", ())
        if answer is None:
            return
        _, (key,), metadata = self._noted(answer, native=False)
        time = self.latest // 1_000_000
        before = self.told.get(key, 0)
        if key in self.info:
            self.told[key] = max(time, before)
            self.samples[key][0].time = self.told[key]
        elif key not in self.samples and not (before and before - 3_600_000 <= time < before + 30_000):
            self.told[key] = time
            self.info.add(key)
            self._add(key, metadata, Sample(time, 0, bits(1.0), (0, -1)))


def _kind(metadata: tuple[int, str, str, bool]) -> Any:
    number, _, unit, native = metadata
    return number, unit, native


def _bytes(message: Any) -> bytes:
    return bytes(message.SerializeToString())


def _pairs(flat: tuple[bytes, ...]) -> Labels:
    texts = [text.decode() for text in flat]
    return tuple(zip(texts[::2], texts[1::2], strict=True))


def _bounds(kind: str, point: Any) -> tuple[float, ...]:
    if kind == "histogram":
        return tuple(point.explicit_bounds)
    return tuple(quantile.quantile for quantile in point.quantile_values) if kind == "summary" else ()


def _judged(metric: Any, kind: str, point: Any, now: int) -> str | None:
    """Why a point is left out; changes one that is not to the form that it has in Prometheus."""
    if not point.time_unix_nano:
        return "no time"
    if point.time_unix_nano > now + AHEAD:
        return "future"
    if kind not in ("gauge", "summary"):
        temporality = getattr(metric, kind).aggregation_temporality
        if temporality != 2:
            return "delta" if temporality == 1 else "temporality"
    if kind == "exponential_histogram" and point.scale < -4:
        return "scale"
    if kind in ("gauge", "sum") and point.WhichOneof("value") is None and not point.flags & 1:
        return "no value"
    if kind == "histogram" and not _prepare_buckets(point):
        return "buckets"
    if kind == "exponential_histogram" and not _prepare_exponential(point):
        return "buckets"
    if kind == "summary" and not _prepare_quantiles(point):
        return "quantiles"
    return None


def _prepare_buckets(point: Any) -> bool:
    bounds, counts = list(point.explicit_bounds), list(point.bucket_counts)
    if not counts and point.flags & 1:
        counts = [0] * (len(bounds) + 1)
    if not counts and not bounds:
        counts = [point.count]
    if len(counts) != len(bounds) + 1 or any(not left < right for left, right in pairwise(bounds)):
        return False
    if any(bound != bound for bound in bounds) or sum(counts) >= 2**64:
        return False
    if bounds and bounds[-1] == math.inf:
        bounds.pop()
        counts[-2:] = [sum(counts[-2:])]
    point.explicit_bounds[:], point.bucket_counts[:] = bounds, counts
    point.count = sum(counts)
    return True


def _prepare_exponential(point: Any) -> bool:
    if point.scale > 20 or not 0 <= point.zero_threshold < math.inf:
        return False
    for side in (point.positive, point.negative):
        indices = [index - 1 for index in _coarse(side, max(point.scale - 8, 0))]
        most = 1100 * 2 ** min(point.scale, 8) if point.scale >= 0 else (1100 >> -point.scale) + 1
        if any(not -most <= index < most for index in indices):
            return False
    count = point.zero_count + sum(point.positive.bucket_counts) + sum(point.negative.bucket_counts)
    if count >= 2**64:
        return False
    point.count = count
    return True


def _prepare_quantiles(point: Any) -> bool:
    found = {one.quantile: one.value for one in point.quantile_values}
    if any(not 0 <= quantile <= 1 for quantile in found):
        return False
    del point.quantile_values[:]
    for quantile in sorted(found):
        point.quantile_values.add(quantile=quantile, value=found[quantile])
    return True


def _values(kind: str, point: Any) -> list[Any]:
    """The value of each part of a point; None for one that it does not have."""
    match kind:
        case "gauge" | "sum":
            return [value_bits(float(getattr(point, point.WhichOneof("value"))))]
        case "histogram":
            below, buckets = 0, []
            for count in point.bucket_counts[: len(point.explicit_bounds)]:
                below += count
                buckets.append(bits(float(below)))
            total = value_bits(point.sum) if point.HasField("sum") else None
            return [*buckets, bits(float(point.count)), total, bits(float(point.count))]
        case "summary":
            quantiles = [value_bits(quantile.value) for quantile in point.quantile_values]
            return [*quantiles, value_bits(point.sum), bits(float(point.count))]
    shift = max(point.scale - 8, 0)
    sides = (
        tuple(sorted(found.items())) for side in (point.positive, point.negative) for found in [_coarse(side, shift)]
    )
    threshold = point.zero_threshold if point.zero_threshold > 0 else 1e-128
    return [(point.count, bits(point.sum), min(point.scale, 8), threshold, point.zero_count, *sides)]


def _coarse(side: Any, shift: int) -> dict[int, int]:
    found: Counter[int] = Counter()
    for place, count in enumerate(side.bucket_counts):
        found[((side.offset + place) >> shift) + 1] += count
    return {index: count for index, count in found.items() if count}
