"""Metrics made in Python, written as OTLP bytes: for receivers and connectors that measure something themselves.

A `MetricsWriter` holds resources, these hold metrics, and metrics hold points. Points are encoded as they come, without
protobuf objects; equal attributes are encoded once. Times are nanoseconds since the Unix epoch, 0 for none.

Texts that are no Unicode (such as the names of files) are repaired, so that whatever a system calls itself can be told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from struct import Struct, pack
from typing import Final, TypeAlias

from sluiceway.otlp.actions import Value
from sluiceway.otlp.anyvalue import encode_value, sized, varint
from sluiceway.otlp.batch import Batch, Origin, Signal

__all__ = [
    "NO_RECORDED_VALUE",
    "Attributes",
    "Exemplar",
    "ExponentialHistogram",
    "Histogram",
    "MetricWriter",
    "MetricsWriter",
    "ResourceWriter",
    "Temporality",
]

Attributes: TypeAlias = Mapping[str, Value]
NO_RECORDED_VALUE: Final = 1
"""The flag of a point that says that its series has ended (`DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK`)."""

_NOTHING: Attributes = {}
_DOUBLE = Struct("<BQBQBd")
_INTEGER = Struct("<BQBQBq")
_TIMES = Struct("<BQBQ")


class Temporality(IntEnum):
    """Whether the points of sums and histograms count from their start, or from the point before."""

    DELTA = 1
    CUMULATIVE = 2


@dataclass(frozen=True, slots=True)
class Exemplar:
    """One measurement behind a point, and the span in which it was made."""

    value: float
    time: int
    trace_id: bytes = b""
    span_id: bytes = b""
    attributes: Attributes = field(default_factory=dict)

    def encode(self) -> bytes:
        """The content of the message `Exemplar`."""
        number = pack("<Bq", 0x31, self.value) if isinstance(self.value, int) else pack("<Bd", 0x19, self.value)
        ids = (sized(0x22, self.span_id) if self.span_id else b"") + (
            sized(0x2A, self.trace_id) if self.trace_id else b""
        )
        return pack("<BQ", 0x11, self.time) + number + ids + encode_attributes(0x3A, self.attributes)


@dataclass(frozen=True, slots=True)
class Histogram:
    """A distribution in buckets: `counts` has one more entry than `bounds`, of which each is included in its bucket."""

    bounds: Sequence[float]
    counts: Sequence[int]
    sum: float | None = None
    min: float | None = None
    max: float | None = None
    count: int | None = None
    """How many values there were; None for the sum of `counts`."""


@dataclass(frozen=True, slots=True)
class ExponentialHistogram:
    """A distribution in buckets whose bounds are powers of 2 ** (2 ** -scale), as OpenTelemetry's data model has it."""

    scale: int
    positive: tuple[int, Sequence[int]] = (0, ())
    """The offset of the first bucket, and the counts from there on."""
    negative: tuple[int, Sequence[int]] = (0, ())
    zero_count: int = 0
    zero_threshold: float = 0.0
    sum: float | None = None
    min: float | None = None
    max: float | None = None
    count: int | None = None


class MetricWriter:
    """One metric, and the points that were added to it."""

    __slots__ = ("_body", "_head", "_points")

    def __init__(self, head: bytes, body: tuple[int, bytes]) -> None:
        self._head = head
        self._body = body
        self._points: list[bytes] = []

    def __len__(self) -> int:
        return len(self._points)

    def add(
        self,
        value: float,
        attributes: Attributes = _NOTHING,
        *,
        time: int,
        start: int = 0,
        flags: int = 0,
        exemplars: Iterable[Exemplar] = (),
    ) -> None:
        """Add a point of a gauge or sum. Ints beyond 64 bits become doubles."""
        if isinstance(value, int) and -(2**63) <= value < 2**63:
            point = _INTEGER.pack(0x11, start, 0x19, time, 0x31, value)
        else:
            point = _DOUBLE.pack(0x11, start, 0x19, time, 0x21, value)
        point += encode_attributes(0x3A, attributes)
        if flags:
            point += b"\x40" + varint(flags)
        if exemplars:
            point += _exemplars(0x2A, exemplars)
        self._append(point)

    def add_histogram(
        self,
        value: Histogram,
        attributes: Attributes = _NOTHING,
        *,
        time: int,
        start: int = 0,
        flags: int = 0,
        exemplars: Iterable[Exemplar] = (),
    ) -> None:
        """Add a point of a histogram."""
        count = sum(value.counts) if value.count is None else value.count
        buckets = len(value.counts)
        point = (
            _TIMES.pack(0x11, start, 0x19, time)
            + pack("<BQ", 0x21, count)
            + _doubles((0x29, value.sum), (0x59, value.min), (0x61, value.max))
            + (sized(0x32, pack(f"<{buckets}Q", *value.counts)) if buckets else b"")
            + (sized(0x3A, pack(f"<{len(value.bounds)}d", *value.bounds)) if value.bounds else b"")
            + encode_attributes(0x4A, attributes)
        )
        self._append(point + _flags(0x50, flags) + _exemplars(0x42, exemplars))

    def add_exponential(
        self,
        value: ExponentialHistogram,
        attributes: Attributes = _NOTHING,
        *,
        time: int,
        start: int = 0,
        flags: int = 0,
        exemplars: Iterable[Exemplar] = (),
    ) -> None:
        """Add a point of an exponential histogram."""
        count = value.count
        if count is None:
            count = sum(value.positive[1]) + sum(value.negative[1]) + value.zero_count
        point = (
            encode_attributes(0x0A, attributes)
            + _TIMES.pack(0x11, start, 0x19, time)
            + pack("<BQ", 0x21, count)
            + _doubles((0x29, value.sum), (0x61, value.min), (0x69, value.max), (0x71, value.zero_threshold or None))
            + b"\x30" + varint(_zigzag(value.scale))
            + pack("<BQ", 0x39, value.zero_count)
            + _buckets(0x42, value.positive)
            + _buckets(0x4A, value.negative)
        )  # fmt: skip
        self._append(point + _flags(0x50, flags) + _exemplars(0x5A, exemplars))

    def add_summary(
        self,
        count: int,
        sum: float,
        quantiles: Iterable[tuple[float, float]],
        attributes: Attributes = _NOTHING,
        *,
        time: int,
        start: int = 0,
        flags: int = 0,
    ) -> None:
        """Add a point of a summary; `quantiles` are pairs of a quantile between 0 and 1 and its value."""
        point = _TIMES.pack(0x11, start, 0x19, time) + pack("<BQBd", 0x21, count, 0x29, sum)
        point += b"".join(sized(0x32, pack("<BdBd", 0x09, quantile, 0x11, value)) for quantile, value in quantiles)
        self._append(point + encode_attributes(0x3A, attributes) + _flags(0x40, flags))

    def encode(self) -> bytes:
        """The content of the message `Metric`."""
        tag, rest = self._body
        return self._head + sized(tag, b"".join(self._points) + rest)

    def _append(self, point: bytes) -> None:
        self._points.append(sized(0x0A, point))


class ResourceWriter:
    """One resource with its metrics. A metric that is asked for again goes on."""

    __slots__ = ("_metrics", "_resource")

    def __init__(self, attributes: Attributes) -> None:
        self._resource = encode_attributes(0x0A, attributes)
        self._metrics: dict[tuple[bytes, tuple[int, bytes]], MetricWriter] = {}

    def gauge(self, name: str, unit: str = "", description: str = "") -> MetricWriter:
        """A metric whose points say how much there is."""
        return self._metric(name, unit, description, 0x2A, b"")

    def sum(
        self,
        name: str,
        unit: str = "",
        description: str = "",
        *,
        monotonic: bool = True,
        temporality: Temporality = Temporality.CUMULATIVE,
    ) -> MetricWriter:
        """A metric whose points add up."""
        rest = bytes((0x10, temporality)) + (b"\x18\x01" if monotonic else b"")
        return self._metric(name, unit, description, 0x3A, rest)

    def histogram(
        self, name: str, unit: str = "", description: str = "", temporality: Temporality = Temporality.CUMULATIVE
    ) -> MetricWriter:
        """A metric whose points are distributions in given buckets."""
        return self._metric(name, unit, description, 0x4A, bytes((0x10, temporality)))

    def exponential(
        self, name: str, unit: str = "", description: str = "", temporality: Temporality = Temporality.CUMULATIVE
    ) -> MetricWriter:
        """A metric whose points are exponential histograms."""
        return self._metric(name, unit, description, 0x52, bytes((0x10, temporality)))

    def summary(self, name: str, unit: str = "", description: str = "") -> MetricWriter:
        """A metric whose points are summaries."""
        return self._metric(name, unit, description, 0x5A, b"")

    @property
    def points(self) -> int:
        """How many points were added."""
        return sum(map(len, self._metrics.values()))

    def encode(self, scope: bytes) -> bytes:
        """The field `resource_metrics` of MetricsData, without metrics that have no points."""
        metrics = b"".join(sized(0x12, metric.encode()) for metric in self._metrics.values() if len(metric))
        return sized(0x0A, sized(0x0A, self._resource) + sized(0x12, scope + metrics))

    def _metric(self, name: str, unit: str, description: str, tag: int, rest: bytes) -> MetricWriter:
        key = (_head(name, unit, description), (tag, rest))
        found = self._metrics.get(key)
        if found is None:
            found = self._metrics[key] = MetricWriter(*key)
        return found


class MetricsWriter:
    """Builds the metrics of one scope, for any number of resources, and makes a batch of them."""

    __slots__ = ("_resources", "_scope")

    def __init__(self, scope: str = "", version: str = "") -> None:
        name = sized(0x0A, _text(scope)) + (sized(0x12, _text(version)) if version else b"")
        self._scope = sized(0x0A, name) if scope else b""
        self._resources: list[ResourceWriter] = []

    def resource(self, attributes: Attributes = _NOTHING) -> ResourceWriter:
        """Begin a resource; one with the same attributes as another is a resource of its own."""
        made = ResourceWriter(attributes)
        self._resources.append(made)
        return made

    @property
    def points(self) -> int:
        """How many points were added."""
        return sum(resource.points for resource in self._resources)

    def encode(self) -> bytes:
        """The message `MetricsData`, without resources that have no points."""
        return b"".join(resource.encode(self._scope) for resource in self._resources if resource.points)

    def batch(self, origin: Origin | None = None) -> Batch:
        """What was written, as a batch."""
        return Batch(Signal.METRICS, self.encode(), self.points, origin or Origin())


def encode_attributes(tag: int, attributes: Attributes) -> bytes:
    """Attributes as the repeated field with this tag; raises `ValueError` for what OTLP cannot hold."""
    if not attributes:
        return b""
    pairs = tuple(attributes.items())
    for _, value in pairs:
        if value.__class__ is not str:  # among others True equals 1, which a cache would take for each other
            return _encode_pairs(tag, pairs)
    return _encode_texts(tag, pairs)


@lru_cache(maxsize=16_384)
def _encode_texts(tag: int, pairs: tuple[tuple[str, Value], ...]) -> bytes:
    return _encode_pairs(tag, pairs)


def _encode_pairs(tag: int, pairs: tuple[tuple[str, Value], ...]) -> bytes:
    return b"".join(sized(tag, sized(0x0A, _text(key)) + sized(0x12, _value(value))) for key, value in pairs)


def _value(value: Value) -> bytes:
    return sized(0x0A, _text(value)) if isinstance(value, str) else encode_value(value)


def _text(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:  # bytes that Python took for text (`surrogateescape`), or lone surrogates
        return text.encode(errors="surrogatepass").decode(errors="replace").encode()


@lru_cache(maxsize=4096)
def _head(name: str, unit: str, description: str) -> bytes:
    fields = ((0x0A, name), (0x12, description), (0x1A, unit))
    return b"".join(sized(tag, _text(text)) for tag, text in fields if text)


def _doubles(*fields: tuple[int, float | None]) -> bytes:
    return b"".join(pack("<Bd", tag, value) for tag, value in fields if value is not None)


def _flags(tag: int, flags: int) -> bytes:
    return bytes((tag,)) + varint(flags) if flags else b""


def _exemplars(tag: int, exemplars: Iterable[Exemplar]) -> bytes:
    return b"".join(sized(tag, exemplar.encode()) for exemplar in exemplars)


def _zigzag(value: int) -> int:
    return value * 2 if value >= 0 else -value * 2 - 1


def _buckets(tag: int, buckets: tuple[int, Sequence[int]]) -> bytes:
    offset, counts = buckets
    if not counts:
        return b""
    return sized(tag, b"\x08" + varint(_zigzag(offset)) + sized(0x12, b"".join(map(varint, counts))))
