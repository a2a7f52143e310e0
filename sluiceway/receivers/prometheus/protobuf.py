"""Prometheus' protobuf format: messages `io.prometheus.client.MetricFamily`, each with its length in front.

The schema is built here from its fields that matter; those left out are skipped.
https://github.com/prometheus/client_model/blob/master/io/prometheus/client/metrics.proto
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Final, NamedTuple

from sluiceway.otlp.anyvalue import read_varint
from sluiceway.otlp.metrics import ExponentialHistogram
from sluiceway.receivers.prometheus.exposition import Exemplar, ExpositionError

__all__ = ["Sample", "families", "kind_of", "samples"]

_PACKAGE: Final = "io.prometheus.client"
_TYPES: Final = ("counter", "gauge", "summary", "unknown", "histogram", "gaugehistogram")
_LATEST: Final = 2**63 // 1_000_000_000
"""Seconds since the epoch that can be told in nanoseconds: until 2262."""
_MAX_BUCKETS: Final = 16_384
"""Buckets of one native histogram, with the empty ones between them."""

_SCHEMA: Final = {
    "LabelPair": "name=1:string value=2:string",
    "Gauge": "value=1:double",
    "Timestamp": "seconds=1:int64 nanos=2:int32",
    "Exemplar": "*label=1:LabelPair value=2:double timestamp=3:Timestamp",
    "Counter": "value=1:double exemplar=2:Exemplar created_timestamp=3:Timestamp",
    "Quantile": "quantile=1:double value=2:double",
    "Summary": "sample_count=1:uint64 sample_sum=2:double *quantile=3:Quantile created_timestamp=4:Timestamp",
    "Untyped": "value=1:double",
    "Bucket": "cumulative_count=1:uint64 upper_bound=2:double exemplar=3:Exemplar cumulative_count_float=4:double",
    "BucketSpan": "offset=1:sint32 length=2:uint32",
    "Histogram": "sample_count=1:uint64 sample_sum=2:double *bucket=3:Bucket sample_count_float=4:double"
    " schema=5:sint32 zero_threshold=6:double zero_count=7:uint64 zero_count_float=8:double *negative_span=9:BucketSpan"
    " *negative_delta=10:sint64 *negative_count=11:double *positive_span=12:BucketSpan *positive_delta=13:sint64"
    " *positive_count=14:double created_timestamp=15:Timestamp *exemplars=16:Exemplar",
    "Metric": "*label=1:LabelPair gauge=2:Gauge counter=3:Counter summary=4:Summary untyped=5:Untyped"
    " timestamp_ms=6:int64 histogram=7:Histogram",
    "MetricFamily": "name=1:string help=2:string type=3:int32 *metric=4:Metric unit=5:string",
}


class Sample(NamedTuple):
    """One sample: its labels with the name first, its value, its time in nanoseconds, and what else it has.

    `native` is the histogram that it is, or whose beginning it says. `counted` is false for what is no sample in
    Prometheus either: when something began.
    """

    key: tuple[tuple[str, str], ...]
    value: float
    time: int | None = None
    exemplar: Any = None
    native: ExponentialHistogram | None = None
    counted: bool = True


@cache
def _message() -> Any:
    """The class of the message `MetricFamily`."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="metrics.proto", package=_PACKAGE, syntax="proto2")
    for name, fields in _SCHEMA.items():
        message = file.message_type.add(name=name)
        for text in fields.split():
            field, _, kind = text.partition(":")
            field, _, number = field.partition("=")
            label = kinds.LABEL_REPEATED if field.startswith("*") else kinds.LABEL_OPTIONAL
            made = message.field.add(name=field.removeprefix("*"), number=int(number), label=label)
            if kind in _SCHEMA:
                made.type, made.type_name = kinds.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
            else:
                made.type = getattr(kinds, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.MetricFamily"))


def families(body: bytes) -> Iterator[Any]:
    """The messages of a body. Raises `ExpositionError` where they cannot be read."""
    from google.protobuf.message import DecodeError

    at = 0
    while at < len(body):
        try:
            size, at = read_varint(body, at)
            message = _message().FromString(body[at : at + size])
        except (DecodeError, ValueError) as error:
            raise ExpositionError(f"cannot read the protobuf format: {error}") from None
        at += size
        if at > len(body):
            raise ExpositionError("cannot read the protobuf format: a message is cut off")
        yield message


def kind_of(family: Any) -> str:
    """A family's type, by the word that text formats have for it."""
    return _TYPES[family.type] if 0 <= family.type < len(_TYPES) else "unknown"


def samples(family: Any) -> Iterator[Sample]:
    """The samples of a family, under the names that they have in text formats."""
    for metric in family.metric:
        labels = tuple((pair.name, pair.value) for pair in metric.label)
        if len(dict(labels)) < len(labels):
            raise ExpositionError(f"label names of {ascii(family.name)[:100]} are not unique")
        time = metric.timestamp_ms * 1_000_000 if metric.timestamp_ms > 0 else None
        yield from _samples(family.name, kind_of(family), labels, metric, time)


def _samples(name: str, kind: str, labels: Any, metric: Any, time: int | None) -> Iterator[Sample]:
    key = (("__name__", name), *labels)
    match kind:
        case "counter":
            yield Sample(key, metric.counter.value, time, _exemplar(metric.counter))
            yield from _created(name.removesuffix("_total"), labels, metric.counter)
        case "gauge":
            yield Sample(key, metric.gauge.value, time)
        case "unknown":
            yield Sample(key, metric.untyped.value, time)
        case "summary":
            summary = metric.summary
            for part in summary.quantile:
                yield Sample((*key, ("quantile", _text(part.quantile))), part.value, time)
            yield Sample((("__name__", f"{name}_sum"), *labels), summary.sample_sum, time)
            yield Sample((("__name__", f"{name}_count"), *labels), float(summary.sample_count), time)
            yield from _created(name, labels, summary)
        case _:
            yield from _histogram(name, key, labels, metric.histogram, time)


def _histogram(name: str, key: Any, labels: Any, histogram: Any, time: int | None) -> Iterator[Sample]:
    native = _native(histogram) if _is_native(histogram) else None
    if native is not None:
        exemplars = [_read_exemplar(one) for one in histogram.exemplars]
        exemplars = exemplars or [found for part in histogram.bucket if (found := _exemplar(part)) is not None]
        yield Sample(key, 0.0, time, exemplars, native)
    else:
        count = float(histogram.sample_count_float or histogram.sample_count)
        for part in histogram.bucket:
            value = float(part.cumulative_count_float or part.cumulative_count)
            bucket = (("__name__", f"{name}_bucket"), *labels, ("le", _text(part.upper_bound)))
            yield Sample(bucket, value, time, _exemplar(part))
        if not any(part.upper_bound == float("inf") for part in histogram.bucket):
            yield Sample((("__name__", f"{name}_bucket"), *labels, ("le", "+Inf")), count, time)
        yield Sample((("__name__", f"{name}_sum"), *labels), histogram.sample_sum, time)
        yield Sample((("__name__", f"{name}_count"), *labels), count, time)
    yield from _created(name, labels, histogram, native)


def _is_native(histogram: Any) -> bool:
    return bool(
        histogram.positive_span or histogram.negative_span or histogram.zero_threshold > 0 or histogram.zero_count
    )


def _native(histogram: Any) -> ExponentialHistogram:
    if not -4 <= histogram.schema <= 8:
        raise ExpositionError(f"native histograms of schema {histogram.schema} are not supported")
    return ExponentialHistogram(
        histogram.schema,
        _buckets(histogram.positive_span, histogram.positive_delta, histogram.positive_count),
        _buckets(histogram.negative_span, histogram.negative_delta, histogram.negative_count),
        int(histogram.zero_count_float or histogram.zero_count),
        histogram.zero_threshold,
        histogram.sample_sum,
        count=int(histogram.sample_count_float or histogram.sample_count),
    )


def _buckets(spans: Any, deltas: Any, counts: Any) -> tuple[int, list[int]]:
    """The offset of the first bucket, and all from there on; Prometheus counts them by their upper bounds."""
    if not spans:
        return 0, []
    size = sum(span.length for span in spans) + sum(span.offset for span in spans[1:])
    if not 0 <= size <= _MAX_BUCKETS or any(span.offset < 0 for span in spans[1:]):
        raise ExpositionError("a native histogram has too many buckets")
    written, value, given = [], 0, iter(deltas or counts)
    for index, span in enumerate(spans):
        written += [0] * (span.offset if index else 0)
        for _ in range(span.length):
            step = next(given, None)
            if step is None:
                raise ExpositionError("a native histogram has fewer buckets than it says")
            value = value + step if deltas else int(step)
            if not 0 <= value < 2**63:
                raise ExpositionError("a native histogram has a negative bucket")
            written.append(value)
    return spans[0].offset - 1, written


def _created(name: str, labels: Any, message: Any, native: ExponentialHistogram | None = None) -> Iterator[Sample]:
    if message.HasField("created_timestamp"):
        began = message.created_timestamp
        if not 0 <= began.seconds < _LATEST:
            raise ExpositionError(f"a created timestamp is out of range: {began.seconds} s")
        key = (("__name__", f"{name}_created"), *labels)
        yield Sample(key, began.seconds + began.nanos / 1e9, native=native, counted=False)


def _exemplar(message: Any) -> Exemplar | None:
    return _read_exemplar(message.exemplar) if message.HasField("exemplar") else None


def _read_exemplar(exemplar: Any) -> Exemplar:
    labels = {pair.name: pair.value for pair in exemplar.label}
    when = exemplar.timestamp
    is_told = exemplar.HasField("timestamp") and 0 <= when.seconds < _LATEST
    time = when.seconds * 1_000_000_000 + when.nanos if is_told else None
    return Exemplar(labels, exemplar.value, time)


def _text(value: float) -> str:
    """A bound as text formats have it, such as `0.5`, `1.0` and `+Inf`."""
    return {float("inf"): "+Inf", float("-inf"): "-Inf"}.get(value) or repr(value)
