"""A batch as plain objects: spans, log records and data points whose attributes read and write the bytes.

```python
def enrich(batch):
    for span in batch.spans:
        if span.attributes.get("http.route") == "/pay":
            span.attributes["team"] = "payments"
        if span.name.startswith("health"):
            span.drop()
```

Nothing is decoded that is not touched, and what does not change keeps its bytes, fields that are not known included.
Times are nanoseconds, ids hexadecimal digits. Views are for the call only: afterwards they raise. What you assign is
copied. Arrays and maps that you *read* may be edited in place; what became of them is written when the call is over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Self

from sluiceway.otlp import columns
from sluiceway.otlp._view import (
    KINDS,
    AboveField,
    AnyField,
    AttributesOf,
    AttributesView,
    BelowField,
    DataField,
    Draft,
    Found,
    IdField,
    IntField,
    ManyOf,
    NumberField,
    NumbersField,
    OneOf,
    OptionalRealField,
    Part,
    RealField,
    SpanOfTime,
    SumFlagField,
    TextField,
    TypeField,
    View,
)
from sluiceway.otlp.actions import Value
from sluiceway.otlp.batch import Batch, Origin, Signal

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

__all__ = [
    "Attributes", "BatchView", "Buckets", "Event", "Exemplar", "ExponentialHistogramPoint", "Found", "HistogramPoint",
    "Item", "Link", "LogRecord", "Metric", "NumberPoint", "Point", "Quantile", "Resource", "Scope", "Span", "Status",
    "SummaryPoint", "edit",
]  # fmt: skip

_RESOURCE, _SCOPE, _METRIC, _ITEM = 1, 2, 3, 5


class Attributes(AttributesView, MutableMapping[str, Found]):  # type: ignore[misc]  # what is set may be more than Found
    """Attributes by key, as a dictionary has them. Of several with one key the first counts; setting it removes others.

    Values are strings, booleans, integers, floats, bytes, lists and dictionaries; None where a value is empty. What
    `keys`, `values` and `items` give is a snapshot, so attributes may be changed while one goes through it.
    """

    __slots__ = ()

    __hash__ = None  # type: ignore[assignment]  # as that of a dictionary

    def __eq__(self, other: object) -> bool:
        return Mapping.__eq__(self, other)

    def __ior__(self, more: Mapping[str, Value]) -> Self:
        self.update(more)  # type: ignore[arg-type]  # as above
        return self

    def __repr__(self) -> str:
        return f"Attributes({self.copy()!r})"


class Resource(Part):
    """What a group of items comes from. A change holds for all items under it; `drop` takes them all out."""

    __slots__ = ()

    attributes = AttributesOf(1, Attributes, inside=1)
    dropped_attributes_count = IntField(2, "uint32", inside=1)
    schema_url = TextField(3)
    scopes: BelowField[Scope] = BelowField(_SCOPE)
    items: BelowField[Item] = BelowField(_ITEM)


class Scope(Part):
    """The instrumentation that made a group of items. A change holds for all items under it."""

    __slots__ = ()

    name = TextField(1, inside=1)
    version = TextField(2, inside=1)
    attributes = AttributesOf(3, Attributes, inside=1)
    dropped_attributes_count = IntField(4, "uint32", inside=1)
    schema_url = TextField(3)
    resource: AboveField[Resource] = AboveField(_RESOURCE)
    metrics: BelowField[Metric] = BelowField(_METRIC)
    items: BelowField[Item] = BelowField(_ITEM)


class Item(Part):
    """What all of `Span`, `LogRecord` and `Point` have."""

    __slots__ = ()

    attributes: AttributesOf[Attributes]
    flags: IntField
    resource: AboveField[Resource] = AboveField(_RESOURCE)
    scope: AboveField[Scope] = AboveField(_SCOPE)


class Event(Part):
    """Something that happened during a span."""

    __slots__ = ()

    time = IntField(1, "fixed64")
    name = TextField(2)
    attributes = AttributesOf(3, Attributes)
    dropped_attributes_count = IntField(4, "uint32")


class Link(Part):
    """Another span that a span is connected with."""

    __slots__ = ()

    trace_id = IdField(1, 16)
    span_id = IdField(2, 8)
    trace_state = TextField(3)
    attributes = AttributesOf(4, Attributes)
    dropped_attributes_count = IntField(5, "uint32")
    flags = IntField(6, "fixed32")


class Status(View):
    """How a span ended: `code` is 0 for unset, 1 for ok, 2 for an error."""

    __slots__ = ()

    message = TextField(2)
    code = IntField(3, "enum")


class Span(Item):
    """One operation. `kind` is 1 internal, 2 server, 3 client, 4 producer, 5 consumer; `duration` is nanoseconds."""

    __slots__ = ()

    trace_id = IdField(1, 16)
    span_id = IdField(2, 8)
    trace_state = TextField(3)
    parent_span_id = IdField(4, 8)
    name = TextField(5)
    kind = IntField(6, "enum")
    start_time = IntField(7, "fixed64")
    end_time = IntField(8, "fixed64")
    duration = SpanOfTime(start_time, end_time)
    attributes = AttributesOf(9, Attributes)
    dropped_attributes_count = IntField(10, "uint32")
    events = ManyOf(11, Event)
    dropped_events_count = IntField(12, "uint32")
    links = ManyOf(13, Link)
    dropped_links_count = IntField(14, "uint32")
    status = OneOf(15, Status)
    flags = IntField(16, "fixed32")


class LogRecord(Item):
    """One log record. `body` is a text, or any value that an attribute can have."""

    __slots__ = ()

    time = IntField(1, "fixed64")
    observed_time = IntField(11, "fixed64")
    severity_number = IntField(2, "enum")
    severity_text = TextField(3)
    body = AnyField(5)
    attributes = AttributesOf(6, Attributes)
    dropped_attributes_count = IntField(7, "uint32")
    flags = IntField(8, "fixed32")
    trace_id = IdField(9, 16)
    span_id = IdField(10, 8)
    event_name = TextField(12)


class Exemplar(Part):
    """A single measurement that went into a point."""

    __slots__ = ()

    time = IntField(2, "fixed64")
    value = NumberField(6, 3)
    span_id = IdField(4, 8)
    trace_id = IdField(5, 16)
    attributes = AttributesOf(7, Attributes)


class Metric(Part):
    """A metric with its points. `drop` takes all of them out."""

    __slots__ = ()

    name = TextField(1)
    description = TextField(2)
    unit = TextField(3)
    metadata = AttributesOf(12, Attributes)
    temporality = DataField(2)
    """1 for delta, 2 for cumulative, 0 for neither."""
    points: BelowField[Point] = BelowField(_ITEM)
    scope: AboveField[Scope] = AboveField(_SCOPE)
    resource: AboveField[Resource] = AboveField(_RESOURCE)
    type = TypeField()
    """`gauge`, `sum`, `histogram`, `exponential_histogram` or `summary`; None where it has no data."""
    monotonic = SumFlagField(3)
    """Whether a sum only grows; False for all others."""


class Point(Item):
    """A data point of a metric: see the classes of points for what each has besides."""

    __slots__ = ()

    start_time = IntField(2, "fixed64")
    time = IntField(3, "fixed64")
    metric: AboveField[Metric] = AboveField(_METRIC)
    exemplars: ManyOf[Exemplar]


class NumberPoint(Point):
    """A point of a gauge or sum: `value` is an int, a float, or None."""

    __slots__ = ()

    value = NumberField(6, 4)
    exemplars = ManyOf(5, Exemplar)
    attributes = AttributesOf(7, Attributes)
    flags = IntField(8, "uint32")


class HistogramPoint(Point):
    """A point of a histogram with explicit bounds."""

    __slots__ = ()

    count = IntField(4, "fixed64")
    sum = OptionalRealField(5)
    min = OptionalRealField(11)
    max = OptionalRealField(12)
    bucket_counts: NumbersField[int] = NumbersField(6, "fixed64")
    explicit_bounds: NumbersField[float] = NumbersField(7, "double")
    exemplars = ManyOf(8, Exemplar)
    attributes = AttributesOf(9, Attributes)
    flags = IntField(10, "uint32")


class Buckets(View):
    """One side of an exponential histogram."""

    __slots__ = ()

    offset = IntField(1, "sint32")
    bucket_counts: NumbersField[int] = NumbersField(2, "uint64")


class ExponentialHistogramPoint(Point):
    """A point of an exponential histogram."""

    __slots__ = ()

    attributes = AttributesOf(1, Attributes)
    count = IntField(4, "fixed64")
    sum = OptionalRealField(5)
    min = OptionalRealField(12)
    max = OptionalRealField(13)
    scale = IntField(6, "sint32")
    zero_count = IntField(7, "fixed64")
    zero_threshold = RealField(14)
    positive = OneOf(8, Buckets)
    negative = OneOf(9, Buckets)
    flags = IntField(10, "uint32")
    exemplars = ManyOf(11, Exemplar)


class Quantile(View):
    """A value of a summary at a quantile."""

    __slots__ = ()

    quantile = RealField(1)
    value = RealField(2)


class SummaryPoint(Point):
    """A point of a summary. It has no exemplars."""

    __slots__ = ()

    count = IntField(4, "fixed64")
    sum = RealField(5)
    quantiles = ManyOf(6, Quantile)
    attributes = AttributesOf(7, Attributes)
    flags = IntField(8, "uint32")


_CLASSES: Final[tuple[type[View], ...]] = tuple(globals()[name] for name in KINDS)


class BatchView:
    """A batch while a function works on it.

    `spans`, `logs` and `points` are empty where the batch holds another signal, so that one function can serve all.
    """

    __slots__ = ("_batch", "_draft")

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._draft = Draft(batch.signal.code, batch.payload, _CLASSES)

    def __len__(self) -> int:
        """How many items are still there."""
        return len(self._draft)

    @property
    def signal(self) -> Signal:
        """What the batch holds."""
        return self._batch.signal

    @property
    def origin(self) -> Origin:
        """How it arrived: the sender's address, headers that were asked for, who the sender was proved to be."""
        return self._batch.origin

    @property
    def items(self) -> Sequence[Item]:
        """All spans, log records or points that are still there."""
        return self._views(_ITEM)

    @property
    def spans(self) -> Sequence[Span]:
        """The spans of a batch of traces."""
        return self._views(_ITEM) if self.signal is Signal.TRACES else ()

    @property
    def logs(self) -> Sequence[LogRecord]:
        """The records of a batch of logs."""
        return self._views(_ITEM) if self.signal is Signal.LOGS else ()

    @property
    def points(self) -> Sequence[Point]:
        """The data points of a batch of metrics."""
        return self._views(_ITEM) if self.signal is Signal.METRICS else ()

    @property
    def metrics(self) -> Sequence[Metric]:
        """The metrics of a batch of metrics."""
        return self._views(_METRIC)

    @property
    def scopes(self) -> Sequence[Scope]:
        """The scopes, each with its items."""
        return self._views(_SCOPE)

    @property
    def resources(self) -> Sequence[Resource]:
        """The resources, each with its scopes."""
        return self._views(_RESOURCE)

    def columns(self, *paths: str) -> dict[str, np.ndarray[Any, Any]]:
        """Numpy arrays by path, with one value for each item: int64, float64 (NaN where there is none), bool or object.

        `name`, `duration`, `status.code`, `attributes.http.route`, `resource.attributes.k8s.pod.name`, `service.name`,
        `metric.name` and so on. Raises `ValueError` for a path that no item can have.
        """
        return {path: columns.array(columns.read(self._draft, _CLASSES, path)) for path in paths}

    def values(self, path: str) -> list[object]:
        """A column as a plain list, as `columns` takes its path; None where an item has no value."""
        return columns.read(self._draft, _CLASSES, path)

    def frame(self, *paths: str) -> pl.DataFrame:
        """The same as a polars data frame."""
        import polars as pl

        return pl.DataFrame({path: columns.read(self._draft, _CLASSES, path) for path in paths}, strict=False)

    def set(self, path: str, values: object, where: object = None) -> None:
        """Set a field or attribute of the items: one value for all, or an array, list or series with one for each.

        None and NaN leave an item as it is. With `where`, only the items for which it is true are touched.
        """
        columns.write(self._draft, _CLASSES, path, values, where)

    def keep(self, mask: object) -> None:
        """Drop the items for which `mask`, an array, list or series of booleans, is false."""
        self._draft.keep(columns.mask_of(mask, len(self._draft)))

    def close(self) -> None:
        """Make all views raise from now on."""
        self._draft.close()

    def finish(self) -> Batch:
        """Close, and return the batch with all changes; the same one where there are none."""
        payload, items = self._draft.finish()
        return self._batch if payload is self._batch.payload else self._batch.with_payload(payload, items)

    def _views(self, part: int) -> Sequence[Any]:
        return self._draft.views(part)


def edit(batch: Batch, function: Callable[[BatchView], object]) -> Batch:
    """Have a function work on a batch; return what became of it."""
    view = BatchView(batch)
    try:
        function(view)
        return view.finish()
    finally:
        view.close()
