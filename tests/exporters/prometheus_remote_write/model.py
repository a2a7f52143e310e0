"""What remote write makes of OTLP metrics, in plain Python over protobuf objects: the encoder's other opinion."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from sluiceway.exporters.prometheus_remote_write.series import SeriesNames
from tests.exporters.prometheus_remote_write.reading import STALE, Labels, Read, bits

__all__ = ["Model"]

_TAGS = {"gauge": 0x2A, "sum": 0x3A, "histogram": 0x4A, "exponential_histogram": 0x52, "summary": 0x5A}
_NAN = 0x7FF8000000000001


def value_bits(value: float) -> int:
    """As the encoder writes a double: one NaN for all."""
    return _NAN if value != value else bits(value)


@dataclass
class Model:
    """One batch at a time, without deltas."""

    names: SeriesNames
    second: bool
    known: dict[tuple[Labels, bool], tuple[int, str, str]] = field(default_factory=dict)
    groups: dict[Labels, list[tuple[Labels, bool]]] = field(default_factory=dict)
    told: dict[Labels, int] = field(default_factory=dict)

    def encode(self, message: Any) -> tuple[dict[tuple[Labels, bool], Read], Counter[str], list[bool]]:
        """Each series, by its labels and whether it has histograms; why points are left out; which points are not."""
        self.series: dict[tuple[Labels, bool], Read] = {}
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
        for series in self.series.values():
            series.samples = _settled(series.samples)
            series.histograms = _settled(series.histograms)
        return self.series, self.rejected, self.carried

    def _point(self, resource: Any, scope: Any, metric: Any, kind: str, point: Any) -> None:
        reason = _judged(metric, kind, point)
        answer = None
        if reason is None:
            answer = self._describe(resource, scope, metric, kind, point.attributes, _bounds(kind, point))
            reason = None if answer else "name"
        self.carried.append(reason is None)
        if reason is not None:
            self.rejected[reason] += 1
            return
        self.latest = max(self.latest, point.time_unix_nano)
        base, parts = answer
        time, stale = point.time_unix_nano // 1_000_000, point.flags & 1
        counts = kind in ("histogram", "summary", "exponential_histogram") or (
            kind == "sum" and metric.sum.is_monotonic
        )
        start = max(point.start_time_unix_nano // 1_000_000, 1) if counts and point.start_time_unix_nano else 0
        if stale:
            whole = kind == "histogram" and not point.explicit_bounds
            ended = [key for key in self.groups[base] if not key[1]] if whole else parts
            for key in ended:
                end = (0, STALE, 0, 1e-128, 0, (), ()) if key[1] else STALE
                self._add(key, time, 0, end)
            return
        for key, value in zip(parts, _values(kind, point), strict=True):
            if value is not None:
                self._add(key, time, start, value)
        if counts and kind != "summary":
            self._exemplars(kind, parts, point, time)

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
        base = _pairs(base)
        keys = [(_pairs(part), native) for part in parts]
        for key in keys:
            self.known.setdefault(key, (number, text.decode(), unit.decode()))
            group = self.groups.setdefault(base, [])
            if key not in group:
                group.append(key)
        return base, keys

    def _add(self, key: tuple[Labels, bool], time: int, start: int, value: Any) -> None:
        series = self._read(key)
        (series.histograms if key[1] else series.samples).append((time, start if self.second else 0, value))

    def _read(self, key: tuple[Labels, bool]) -> Read:
        made = Read(key[0], metadata=self.known[key] if self.second else None)
        return self.series.setdefault(key, made)

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
            ids = {n: i.hex() for n, i in (("span_id", exemplar.span_id), ("trace_id", exemplar.trace_id)) if i}
            labels = tuple(sorted(ids.items()))
            if exemplar.filtered_attributes:
                raw = _bytes(KeyValueList(values=exemplar.filtered_attributes))
                labels = _pairs(self.names.label_exemplar(raw, exemplar.trace_id, exemplar.span_id))
            when = exemplar.time_unix_nano // 1_000_000 if exemplar.time_unix_nano else time
            self._read(parts[place]).exemplars.append((when, value_bits(value), labels))

    def _tell(self, resource: Any) -> None:
        answer = self.names.describe(_bytes(resource), b"", b"", (b"", b"", b""), 0, False, b"", ())
        if answer is None:
            return
        _, (key,) = self._noted(answer, native=False)
        time = self.latest // 1_000_000
        before = self.told.get(key[0], 0)
        if key in self.series:
            self.told[key[0]] = max(time, before)
            self.series[key].samples[:] = [(self.told[key[0]], 0, bits(1.0))]
        elif not before or not before - 3_600_000 <= time < before + 30_000:
            self.told[key[0]] = time
            self._read(key).samples[:] = [(time, 0, bits(1.0))]


def _bytes(message: Any) -> bytes:
    return bytes(message.SerializeToString())


def _pairs(flat: tuple[bytes, ...]) -> Labels:
    texts = [text.decode() for text in flat]
    return tuple(zip(texts[::2], texts[1::2], strict=True))


def _bounds(kind: str, point: Any) -> tuple[float, ...]:
    if kind == "histogram":
        return tuple(point.explicit_bounds)
    return tuple(quantile.quantile for quantile in point.quantile_values) if kind == "summary" else ()


def _judged(metric: Any, kind: str, point: Any) -> str | None:
    stale = point.flags & 1
    if not point.time_unix_nano:
        return "no time"
    if kind in ("gauge", "sum") and point.WhichOneof("value") is None and not stale:
        return "no value"
    if kind == "histogram":
        bounds, counts = list(point.explicit_bounds), len(point.bucket_counts)
        fits = counts == len(bounds) + 1 or (stale and not counts) or (not counts and not bounds)
        if not fits or any(not left < right for left, right in pairwise(bounds)):
            return "buckets"
    if kind == "exponential_histogram" and point.scale < -4:
        return "scale"
    if kind not in ("gauge", "summary"):
        temporality = getattr(metric, kind).aggregation_temporality
        if temporality != 2:
            return "delta" if temporality == 1 else "temporality"
    return None


def _values(kind: str, point: Any) -> list[Any]:
    """The value of each part of a point; None for one that it does not have."""
    match kind:
        case "gauge" | "sum":
            return [value_bits(float(getattr(point, point.WhichOneof("value"))))]
        case "histogram":
            below, buckets = 0, []
            for count in point.bucket_counts[: len(point.explicit_bounds)]:
                below += count
                buckets.append(bits(float(below % 2**64)))
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


def _settled(samples: list[Any]) -> list[Any]:
    kept: list[Any] = []
    for sample in sorted(samples, key=lambda one: one[0]):
        if not kept or (kept[-1][0], kept[-1][2]) != (sample[0], sample[2]):
            kept.append(sample)
    return kept
