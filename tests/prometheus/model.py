"""What the store is meant to do, in plain Python over protobuf objects: slow, and easy to believe."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData
from prometheus_client.utils import floatToGoString

from sluiceway.prometheus.families import Family
from sluiceway.prometheus.labels import text_of
from sluiceway.prometheus.translation import Rules, Translation
from tests.otlp.strategies import field as wire_field
from tests.otlp.strategies import varint

__all__ = ["Labels", "Model", "read_page", "scrambled"]

Labels = tuple[tuple[str, str], ...]
_KINDS = {"gauge": 5, "sum": 7, "histogram": 9, "exponential_histogram": 10, "summary": 11}
_LINE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)")
_PAIR = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)",?')
_UNESCAPED = {r"\\": "\\", r"\n": "\n", r"\"": '"'}
_WHOLE = 2**64


@dataclass
class Stream:
    """What has been counted of one place's deltas: times from which nothing has come, and the end."""

    free: list[tuple[int, int]] = field(default_factory=list)
    end: int | None = None

    def is_new(self, start: int, time: int) -> bool:
        start = 0 if start > time else start
        if self.end is None or time > self.end:
            self.free.append((self.end or 0, start))
            self.end = time
            return True
        if start in (0, time):
            return False
        for at, (low, high) in enumerate(self.free):
            if low <= start and time <= high:
                self.free[at : at + 1] = [(low, start), (time, high)]
                return True
        return False


@dataclass
class Series:
    """The value that is shown, and whose it is."""

    owner: Any = None
    time: int = 0
    value: Any = None
    kind: str = ""
    adds_up: bool = False


@dataclass
class Model:
    """Takes batches, and says what a page shows."""

    rules: Rules = field(default_factory=Rules)
    outcome: dict[str, int] = field(default_factory=dict)
    series: dict[tuple[str, Labels], Series] = field(default_factory=dict)
    streams: dict[Any, Stream] = field(default_factory=dict)
    targets: dict[Any, tuple[Any, Labels]] = field(default_factory=dict)
    metrics: dict[Any, str | int] = field(default_factory=dict)
    records: list[Family] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.names = Translation(self.rules)
        self.names.target_family()

    def open_family(self, record: Family) -> int:
        self.records.append(record)
        return len(self.records) - 1

    def add(self, data: MetricsData, wall: int) -> dict[str, int]:
        self.outcome = {}
        for resource in data.resource_metrics:
            pairs = texts(resource.resource.attributes)
            own, identity, told = self.names.resource(pairs)
            if told:
                self.targets[identity] = (pairs, labels_of(self.names, told, {}, None))
            for scope in resource.scope_metrics:
                about = (scope.scope.name.encode(), scope.scope.version.encode(), scope.schema_url.encode())
                scope_pairs = texts(scope.scope.attributes)
                extra = own | self.names.scope(*about, scope_pairs)
                for metric in scope.metrics:
                    origin = (tuple(sorted(pairs.items())), about, tuple(sorted(scope_pairs.items())))
                    self.add_metric(metric, origin, extra, wall)
        return self.outcome

    def note(self, what: str) -> None:
        self.outcome[what] = self.outcome.get(what, 0) + 1

    def add_metric(self, metric: Any, origin: Any, extra: dict[bytes, bytes], wall: int) -> None:
        kind = metric.WhichOneof("data")
        if kind is None:
            return
        data = getattr(metric, kind)
        temporality = getattr(data, "aggregation_temporality", 2)
        counter = kind == "sum" and data.is_monotonic
        identity = (metric.name, metric.unit, kind, temporality, counter)
        wrong = temporality not in (1, 2) or (kind == "sum" and temporality == 1 and not counter)
        if identity not in self.metrics and not wrong:
            texts_ = (metric.name.encode(), metric.unit.encode(), metric.description.encode())
            self.metrics[identity] = self.names.family(self, *texts_, _KINDS[kind], counter, False)
        for point in data.data_points:
            number = -2 if wrong else self.metrics[identity]
            if not isinstance(number, int) or number < 0:
                self.note({-1: "conflict", -2: "unsupported", -3: "nameless"}[int(number)])
                continue
            keys = canonical(point.attributes)
            stream = (identity, origin, keys)
            reserved = {"histogram": b"le", "exponential_histogram": b"le", "summary": b"quantile"}.get(kind)
            pairs = sorted(texts(point.attributes).items())
            place = (self.records[number].name, self.labels(pairs, extra, reserved))
            if point.flags & 1:
                if stream in self.streams:
                    self.end(place, stream, point.time_unix_nano)
                continue
            value = read(kind, point, delta=temporality == 1)
            if value is None:
                self.note("malformed")
                continue
            self.streams.setdefault(stream, Stream())
            self.apply(place, stream, kind, point, value, delta=temporality == 1, wall=wall)

    def end(self, place: Any, stream: Any, time: int) -> None:
        series = self.series[place]
        if series.value is not None and 0 < time < series.time:
            self.note("late")
            return
        del self.streams[stream]
        if place not in [self.place_of[other] for other in self.streams]:
            del self.series[place]
        elif series.owner == stream:
            series.owner = None
            series.value = series.value if series.adds_up else None

    place_of: dict[Any, Any] = field(default_factory=dict)

    def apply(self, place: Any, stream: Any, kind: str, point: Any, value: Any, *, delta: bool, wall: int) -> None:
        self.place_of[stream] = place
        series = self.series.setdefault(place, Series())
        time = point.time_unix_nano or wall
        if delta and not self.streams[stream].is_new(point.start_time_unix_nano, time):
            self.note("duplicate")
            return
        if series.owner != stream:
            if series.owner is not None:
                self.note("collision")
            if delta or series.value is None or time >= series.time:
                series.owner = stream
        if not delta and series.value is not None and time < series.time:
            self.note("late")
            return
        summed = add(series.value, value) if delta and series.adds_up and series.kind == kind else None
        if summed is None:
            series.value, series.time = value, time
        else:
            series.value, series.time = summed, max(series.time, time)
        series.kind, series.adds_up = kind, delta

    def labels(self, pairs: Any, extra: dict[bytes, bytes], reserved: bytes | None) -> Labels:
        return labels_of(self.names, pairs, self.names.constant | extra, reserved)

    def page(self) -> dict[tuple[str, Labels], float]:
        shown = {("target_info", labels): 1.0 for _, labels in self.targets.values()}
        for (name, labels), series in self.series.items():
            if series.value is not None:
                for suffix, extra, number in samples(series.kind, series.value):
                    shown[name + suffix, tuple(sorted({**dict(labels), **extra}.items()))] = number
        return shown


def labels_of(names: Translation, pairs: Any, own: dict[bytes, bytes], reserved: bytes | None) -> Labels:
    """The labels of some attributes beside our own."""
    found: dict[bytes, bytes] = {}
    for key, text in pairs:
        if text:
            name = names.label(key)
            while name in own or name == reserved:
                name = b"exported_" + name
            found[name] = found[name] + b";" + text if name in found else text
    return tuple(sorted((name.decode(), value.decode()) for name, value in (found | own).items()))


def texts(attributes: Any) -> dict[bytes, bytes]:
    """Attributes as texts; of a repeated one the first counts."""
    found: dict[bytes, bytes] = {}
    for attribute in attributes:
        found.setdefault(attribute.key.encode(), text_of(attribute.value.SerializeToString()))
    return found


def canonical(attributes: Any) -> Any:
    found: dict[str, bytes] = {}
    for attribute in attributes:
        found.setdefault(attribute.key, attribute.value.SerializeToString(deterministic=True))
    return tuple(sorted(found.items()))


def read(kind: str, point: Any, *, delta: bool) -> Any:
    """A point's value, or None where it makes no sense."""
    if kind in ("gauge", "sum"):
        which = point.WhichOneof("value")
        value = getattr(point, which) if which else None
        return None if value is None or (delta and not 0 <= value < math.inf) else value
    total = point.sum if kind == "summary" or point.HasField("sum") else None
    if delta and total is not None and not math.isfinite(total):
        return None
    if kind == "histogram":
        return read_buckets(point, total)
    if kind == "summary":
        quantiles: dict[float, float] = {}
        for quantile in point.quantile_values:
            if not 0 <= quantile.quantile <= 1:
                return None
            quantiles[quantile.quantile] = quantile.value
        return (point.count, total, dict(sorted(quantiles.items())))
    return read_exponential(point, total)


def read_buckets(point: Any, total: float | None) -> Any:
    counts, bounds = list(point.bucket_counts), list(point.explicit_bounds)
    if not counts and not bounds:
        counts = [point.count]
    rising = all(low < high for low, high in pairwise(bounds))
    if len(counts) != len(bounds) + 1 or not rising or any(map(math.isnan, bounds)):
        return None
    if bounds and bounds[-1] == math.inf:
        bounds.pop()
        counts[-2:] = [counts[-2] + counts[-1]]
    return (sum(counts) % _WHOLE, total, bounds, [count % _WHOLE for count in counts])


def read_exponential(point: Any, total: float | None) -> Any:
    if not -4 <= point.scale <= 20 or not 0 <= point.zero_threshold < math.inf:
        return None
    scale, sides = min(point.scale, 8), []
    for buckets in (point.positive, point.negative):
        side: dict[int, int] = {}
        for at, count in enumerate(buckets.bucket_counts):
            if count:
                index = (buckets.offset + at) >> (point.scale - scale)
                side[index] = side.get(index, 0) + count
        if side and not -(2**24) < min(side) < 2**24:
            return None
        sides.append(side)
    count = point.zero_count + sum(sum(side.values()) for side in sides)
    return (count, total, scale, sides, point.zero_count, point.zero_threshold)


def add(old: Any, new: Any) -> Any:
    """Both together; None where they do not go together."""
    if isinstance(old, int) and isinstance(new, int) and old + new < 2**63:
        return old + new
    if isinstance(old, int | float):
        return float(old) + float(new)
    total = None if old[1] is None or new[1] is None else old[1] + new[1]
    if len(old) == 4:
        if old[2] != new[2]:
            return None
        return (old[0] + new[0], total, old[2], [a + b for a, b in zip(old[3], new[3], strict=True)])
    scale = min(old[2], new[2])
    sides = [joined(a, b, old[2] - scale, new[2] - scale) for a, b in zip(old[3], new[3], strict=True)]
    return (old[0] + new[0], total, scale, sides, old[4] + new[4], max(old[5], new[5]))


def joined(old: dict[int, int], new: dict[int, int], old_shift: int, new_shift: int) -> dict[int, int]:
    found: dict[int, int] = {}
    for side, shift in ((old, old_shift), (new, new_shift)):
        for index, count in side.items():
            found[index >> shift] = found.get(index >> shift, 0) + count
    return found


def samples(kind: str, value: Any) -> Iterator[tuple[str, dict[str, str], float]]:
    """The samples of one value: suffix, further labels, number."""
    if kind in ("gauge", "sum"):
        yield "", {}, float(value)
        return
    count, total, *rest = value
    yield "_count", {}, float(count)
    if total is not None:
        yield "_sum", {}, total
    if kind == "summary":
        for quantile, number in rest[0].items():
            yield "", {"quantile": text(quantile)}, number
    elif kind == "histogram":
        below = 0
        for bound, number in zip([*rest[0], math.inf], rest[1], strict=True):
            below = (below + number) % _WHOLE
            yield "_bucket", {"le": text(bound)}, float(below)
    else:
        for bound, number in classic(*rest).items():
            yield "_bucket", {"le": text(bound)}, float(number)
        yield "_bucket", {"le": "+Inf"}, float(count)


def classic(scale: int, sides: list[dict[int, int]], zeros: int, threshold: float) -> dict[float, int]:
    """Cumulative counts at the edges of buckets, joined to powers of two."""
    shift = max(scale, 0)
    coarse = [joined(side, {}, shift, 0) for side in sides]
    base = 2.0 ** (2 ** -(scale - shift))
    parts = [(base**at, base ** (at + 1), count) for at, count in coarse[0].items()]
    parts += [(-(base ** (at + 1)), -(base**at), count) for at, count in coarse[1].items()]
    edges = {edge for low, high, _ in parts for edge in (low, high)}
    if zeros:
        parts.append((-threshold, threshold, zeros))
        edges.add(threshold)
    return {edge: sum(count for _, high, count in parts if high <= edge) for edge in sorted(edges) if edge < math.inf}


def text(number: float) -> str:
    """As Go writes it."""
    sign = "-" if number < 0 else ""
    return sign + floatToGoString(abs(number)).removesuffix(".0")


def read_page(page: bytes) -> dict[tuple[str, Labels], float]:
    """The samples of a page in text, each of which may come once only."""
    found: dict[tuple[str, Labels], float] = {}
    for line in page.decode().split("\n"):
        if line and not line.startswith("#"):
            match = _LINE.fullmatch(line)
            assert match, line
            name, labels, number = match.groups()
            pairs = tuple(sorted((key, unescaped(value)) for key, value in _PAIR.findall(labels or "")))
            assert "".join(m.group() for m in _PAIR.finditer(labels or "")) == (labels or "")
            key = (name, pairs)
            assert key not in found, line
            found[key] = float(number)
    return found


def unescaped(value: str) -> str:
    return re.sub(r'\\[\\n"]', lambda match: _UNESCAPED[match.group()], value)


def scrambled(message: Message, random: Random) -> bytes:
    """A message in another of its wire forms: fields in any order, parts apart, and fields that nobody knows."""
    if message.DESCRIPTOR.name == "AnyValue":
        return message.SerializeToString(deterministic=True)
    queues: list[list[bytes]] = []
    oneof: list[bytes] = []
    for descriptor, value in message.ListFields():
        written = list(_written(descriptor, value, random))
        if descriptor.containing_oneof is not None:
            oneof += written
        else:
            queues.append(written)
    queues.append(oneof)
    if random.random() < 0.2:
        queues.append([wire_field(99, 0, varint(7))])
    out = b""
    while queues := [queue for queue in queues if queue]:
        out += random.choice(queues).pop(0)
    return out


def _written(descriptor: FieldDescriptor, value: Any, random: Random) -> Iterator[bytes]:
    number = descriptor.number
    if descriptor.message_type is None:
        plain = type(descriptor_holder(descriptor))()
        if descriptor.is_repeated:
            getattr(plain, descriptor.name).extend(value)
        else:
            setattr(plain, descriptor.name, value)
        yield plain.SerializeToString()
        return
    for item in value if descriptor.is_repeated else [value]:
        pieces = [item]
        if not descriptor.is_repeated and random.random() < 0.3 and descriptor.message_type.name != "AnyValue":
            pieces = list(_halves(item))
        for piece in pieces:
            yield wire_field(number, 2, scrambled(piece, random), random.choice([0, 0, 0, 1]))


def descriptor_holder(descriptor: FieldDescriptor) -> Message:
    from google.protobuf.message_factory import GetMessageClass

    holder: Message = GetMessageClass(descriptor.containing_type)()
    return holder


def _halves(message: Message) -> Iterator[Message]:
    first, second = type(message)(), type(message)()
    for at, (descriptor, value) in enumerate(message.ListFields()):
        half = (first, second)[at % 2]
        if descriptor.is_repeated or descriptor.message_type:
            getattr(half, descriptor.name).MergeFrom(value)
        else:
            setattr(half, descriptor.name, value)
    yield first
    yield second
