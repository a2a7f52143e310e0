"""The data: a `Batch` is one OTLP message in its wire form, valid by construction, and what is known of its arrival.

Beside it stand the operations on whole batches: `accept`, `join`, `split`, `take`, `pick`, `sample`, `resources`,
`partition`, `identities`, `group_resources`, `keep_resources`, `by_trace`. None builds an object per item, none changes
its arguments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from hashlib import blake2b
from types import MappingProxyType
from typing import TYPE_CHECKING, Self

from sluiceway.otlp import _resources, _split, _wire

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from opentelemetry.trace import SpanContext

__all__ = [
    "Batch",
    "Limits",
    "Origin",
    "Signal",
    "accept",
    "by_trace",
    "causes_of",
    "group_resources",
    "identities",
    "join",
    "keep_resources",
    "partition",
    "pick",
    "repaired_texts",
    "resources",
    "sample",
    "split",
    "take",
]


class Signal(Enum):
    """What a batch holds. The value is the name that pipelines have in YAML."""

    TRACES = "traces"
    METRICS = "metrics"
    LOGS = "logs"

    @property
    def items(self) -> str:
        """The noun of the Collector's own metrics: `spans`, `metric_points`, `log_records`."""
        return _NOUNS[self._value_]

    @property
    def unit(self) -> str:
        """The unit of the Collector's own metrics: `{span}`, `{datapoint}`, `{record}`."""
        return _ITEM_UNITS[self._value_]

    @property
    def code(self) -> int:
        """The number by which the kernel knows the signal."""
        return _CODES[self._value_]

    @property
    def service(self) -> str:
        """The full name of the gRPC service that takes the signal by its method `Export`."""
        return _SERVICES[self._value_]


_NOUNS = {"traces": "spans", "metrics": "metric_points", "logs": "log_records"}
_ITEM_UNITS = {"traces": "{span}", "metrics": "{datapoint}", "logs": "{record}"}
_CODES = {"traces": 0, "metrics": 1, "logs": 2}
_SERVICES = {
    "traces": "opentelemetry.proto.collector.trace.v1.TraceService",
    "metrics": "opentelemetry.proto.collector.metrics.v1.MetricsService",
    "logs": "opentelemetry.proto.collector.logs.v1.LogsService",
}
_SIGNALS = {
    "TracesData": Signal.TRACES,
    "MetricsData": Signal.METRICS,
    "LogsData": Signal.LOGS,
    "ExportTraceServiceRequest": Signal.TRACES,
    "ExportMetricsServiceRequest": Signal.METRICS,
    "ExportLogsServiceRequest": Signal.LOGS,
}
_WHOLE = 2**32
_NO_LIMITS = (2**63, 2**63, 2**63)
_NOTHING: Mapping[str, str] = MappingProxyType({})
_NO_HEADERS: Mapping[str, tuple[str, ...]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Origin:
    """How a batch arrived.

    `received` is seconds on the monotonic clock. `peer` is the sender's address. `subject` is who the sender was
    proved to be by an authenticator, `auth` what that authenticator says of them (`auth.<name>` of `from_context`).
    `headers` holds the request's headers by lower-case name, only where the receiver was told `include_metadata`.
    """

    received: float = 0.0
    peer: str = ""
    transport: str = ""
    subject: str | None = None
    auth: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _NO_HEADERS)
    causes: tuple[SpanContext, ...] = ()
    """The spans that led to the batch, where traces of our own are recorded: one parent, or several that were joined.

    One that is not valid says that the batch is telemetry of our own, of which there are to be no traces.
    """
    names: tuple[tuple[bytes, int], ...] = ()
    """The requests of a queue on disk that the batch is made of: a name that no other has, also after a restart, and
    the items of each, in the order in which they stand. Where they do not add up, the batch is a part of them."""


MAX_CAUSES = 128
"""How many spans a joined batch remembers: as many as a span may have links."""


def causes_of(origins: Sequence[Origin]) -> tuple[SpanContext, ...]:
    """The causes of what is joined of batches with these origins.

    Of our own telemetry and that of others the others' counts.
    """
    if not any(origin.causes for origin in origins):
        return ()
    found = {(c.trace_id, c.span_id): c for origin in origins for c in origin.causes if c.is_valid}
    if found:
        return tuple(found.values())[:MAX_CAUSES]
    return origins[0].causes if all(origin.causes for origin in origins) else ()


_UNKNOWN = Origin()


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may hold. Checked while its bytes are walked, before anything is built from them.

    `items` counts spans, data points or log records; `messages` counts every nested message, so attributes, events and
    links as well, and repeated texts; `entries` bounds what components gather whole: the resource entries of the
    request, and the attributes of each single span, record, point, resource, scope or map.

    They are absolute, not a share of the bytes: compressed, padding is free. Honest telemetry has a nested message for
    every 15 bytes or so, so 20 MiB hold about 1.2 million, and the densest that can be called honest twice that.
    """

    items: int = 1_000_000
    messages: int = 3_000_000
    entries: int = 100_000


_LIMITS = Limits()


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Batch:
    """One OTLP `TracesData`, `MetricsData` or `LogsData` message as bytes, with its number of items.

    Valid by construction: make one by `accept`, by an operation of the kernel, or by `from_proto`.
    """

    signal: Signal
    payload: bytes
    items: int
    origin: Origin = _UNKNOWN

    def with_payload(self, payload: bytes, items: int | None = None) -> Self:
        """The same batch with other bytes, which must come from the kernel."""
        return type(self)(self.signal, payload, self.items if items is None else items, self.origin)

    def proto(self) -> Message:
        """Parse into the official protobuf object (`TracesData`, ...). Costs microseconds a span: not for hot paths."""
        return _message_type(self.signal).FromString(self.payload)

    @classmethod
    def from_proto(cls, message: Message, origin: Origin | None = None) -> Self:
        """Build a batch from `TracesData`, `MetricsData`, `LogsData` or the export request of the same shape."""
        signal = _SIGNALS.get(message.DESCRIPTOR.name)
        if signal is None:
            msg = f"{message.DESCRIPTOR.full_name} is no OTLP message of traces, metrics or logs"
            raise TypeError(msg)
        return cls(signal, *_wire.accept(signal.code, message.SerializeToString(), *_NO_LIMITS), origin or _UNKNOWN)


def accept(signal: Signal, raw: bytes, origin: Origin | None = None, limits: Limits | None = None) -> Batch:
    """Check the whole structure of `raw` once and make a batch of it: the door through which all data comes.

    Raises `DecodeError` for bytes that are not OTLP and `TooLargeError` beyond `limits`. Invalid UTF-8 in a string
    field is repaired with U+FFFD. Unknown fields are kept.
    """
    limits = limits or _LIMITS
    payload, items = _wire.accept(signal.code, raw, limits.items, limits.messages, limits.entries)
    return Batch(signal, payload, items, origin or _UNKNOWN)


def repaired_texts() -> int:
    """How many string fields `accept` has repaired since the process began."""
    return _wire.repaired_texts()


def join(batches: Sequence[Batch]) -> Batch:
    """One batch with all items of at least one batch of the same signal, in order; its origin is that of the first."""
    first = batches[0]
    if len(batches) == 1:
        return first
    if any(batch.signal is not first.signal for batch in batches):
        raise ValueError("only batches of one signal can be joined")
    return first.with_payload(b"".join(batch.payload for batch in batches), sum(batch.items for batch in batches))


def split(batch: Batch, items: int = 0, size: int = 0) -> list[Batch]:
    """Batches of at most so many items and bytes each (0: no limit) that together hold what `batch` holds, in order.

    Resource, scope and metric headers are repeated; the data points of one metric may come to lie in several batches.
    A single item that is larger than `size` is a batch of its own. The same object comes back where nothing is split.
    """
    if (not items or batch.items <= items) and (not size or len(batch.payload) <= size):
        return [batch]
    pieces = _split.split(batch.signal.code, batch.payload, items, size)
    return [batch] if len(pieces) == 1 else [batch.with_payload(*piece) for piece in pieces]


def take(batch: Batch, items: int) -> Batch:
    """The batch with only its first `items`; itself where it holds no more."""
    if items >= batch.items:
        return batch
    return batch.with_payload(*_split.take(batch.signal.code, batch.payload, items))


def pick(batch: Batch, mask: bytes) -> Batch:
    """The batch with only those items whose byte in `mask`, which has one for each, is not zero."""
    return batch.with_payload(*_split.pick(batch.signal.code, batch.payload, mask))


def sample(batch: Batch, share: float, start: float = 0.5) -> Batch:
    """The batch with about a share of its items; itself where `share` is one or more.

    Spans and log records with a trace id are kept or left out by a hash of it, so that traces stay whole: whatever is
    kept at a share is kept at any larger one. Other items are taken evenly, the first where `start` and the shares add
    up to a whole: a random `start` makes the mean exact for small batches too.
    """
    if share >= 1 or not batch.items:
        return batch
    return batch.with_payload(
        *_split.sample(batch.signal.code, batch.payload, int(max(share, 0) * _WHOLE), int(start * _WHOLE))
    )


def resources(batch: Batch, keys: Sequence[str]) -> list[tuple[int, tuple[bytes | None, ...]]]:
    """For each resource entry, in order: its items and, for each key, that attribute's encoded `AnyValue` or None."""
    return _resources.resources(batch.signal.code, batch.payload, [key.encode() for key in keys])


def partition(batch: Batch, key: str) -> list[tuple[bytes | None, Batch]]:
    """The batch by the encoded `AnyValue` (None: absent) of a resource attribute, in the order of first appearance."""
    return [
        (value, batch if payload is batch.payload else batch.with_payload(payload, items))
        for value, payload, items in _resources.partition(batch.signal.code, batch.payload, key.encode())
    ]


def by_trace(batch: Batch) -> list[tuple[bytes, Batch]]:
    """The batch as one batch for each trace, with its id (empty for items without one), in the order of the ids.

    Resource and scope headers are repeated. Metrics belong to no trace, and stay one batch.
    """
    return [
        (trace, batch if payload is batch.payload else batch.with_payload(payload, items))
        for trace, payload, items in _split.by_trace(batch.signal.code, batch.payload)
    ]


def identities(batch: Batch) -> list[bytes]:
    """For each resource entry, in order, 16 bytes that are the same for the same attributes in any order."""
    return [
        blake2b(b"".join(sorted(attributes)), digest_size=16).digest()
        for attributes in _resources.attributes(batch.signal.code, batch.payload)
    ]


def group_resources(batch: Batch, groups: Sequence[int], number: int) -> list[Batch]:
    """The batch as `number` batches (at least one); `groups` has for each resource entry the place of its own."""
    return [
        batch.with_payload(*part)
        for part in _resources.group_resources(batch.signal.code, batch.payload, groups, number)
    ]


def keep_resources(batch: Batch, mask: Sequence[bool] | bytes) -> Batch:
    """The batch with only those resource entries whose place in `mask` (one flag an entry) is true."""
    return batch.with_payload(*_resources.keep_resources(batch.signal.code, batch.payload, mask))


def _message_type(signal: Signal) -> type[Message]:
    if signal is Signal.TRACES:
        from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

        return TracesData
    if signal is Signal.METRICS:
        from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

        return MetricsData
    from opentelemetry.proto.logs.v1.logs_pb2 import LogsData

    return LogsData
