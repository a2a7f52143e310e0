"""The data: a `Batch` is one OTLP message in its wire form, valid by construction, and what is known of its arrival."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Self

from sluiceway.otlp import _wire

if TYPE_CHECKING:
    from google.protobuf.message import Message

__all__ = ["Batch", "Limits", "Origin", "Signal", "accept"]


class Signal(Enum):
    """What a batch holds. The value is the name that pipelines have in YAML."""

    TRACES = "traces"
    METRICS = "metrics"
    LOGS = "logs"

    @property
    def items(self) -> str:
        """The noun of the Collector's own metrics: `spans`, `metric_points`, `log_records`."""
        return _NOUNS[self]

    @property
    def code(self) -> int:
        """The number by which the kernel knows the signal."""
        return _CODES[self]


_NOUNS = {Signal.TRACES: "spans", Signal.METRICS: "metric_points", Signal.LOGS: "log_records"}
_CODES = {Signal.TRACES: 0, Signal.METRICS: 1, Signal.LOGS: 2}
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


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may hold. Checked while its bytes are walked, before anything is built from them.

    `items` counts spans, data points or log records; `messages` counts every nested message, so attributes,
    events and links as well.
    """

    items: int = 1_000_000
    messages: int = 8_000_000


@dataclass(frozen=True, slots=True)
class Batch:
    """One OTLP `TracesData`, `MetricsData` or `LogsData` message as bytes, with its number of items.

    Valid by construction: make one by `accept`, by an operation of the kernel, or by `from_proto`.
    """

    signal: Signal
    payload: bytes
    items: int
    origin: Origin = field(default_factory=Origin)

    def with_payload(self, payload: bytes, items: int | None = None) -> Self:
        """The same batch with other bytes, which must come from the kernel."""
        return replace(self, payload=payload, items=self.items if items is None else items)

    def proto(self) -> Message:
        """Parse into the official protobuf object (`TracesData`, ...). Costs microseconds a span: not for hot paths."""
        return _message_type(self.signal).FromString(self.payload)

    @classmethod
    def from_proto(cls, message: Message, origin: Origin | None = None) -> Self:
        """Build a batch from `TracesData`, `MetricsData`, `LogsData` or the export request of the same shape."""
        name = message.DESCRIPTOR.name
        signal = next(s for s in Signal if name.lower().startswith((s.value, f"export{s.value.rstrip('s')}")))
        return accept(signal, message.SerializeToString(), origin)  # type: ignore[return-value]


def accept(signal: Signal, raw: bytes, origin: Origin | None = None, limits: Limits | None = None) -> Batch:
    """Check the whole structure of `raw` once and make a batch of it: the door through which all data comes.

    Raises `DecodeError` for bytes that are not OTLP and `TooLargeError` beyond `limits`. Invalid UTF-8 in a string
    field is repaired with U+FFFD. Unknown fields are kept.
    """
    limits = limits or Limits()
    payload, items = _wire.accept(signal.code, raw, limits.items, limits.messages)
    return Batch(signal, payload, items, origin or Origin())


def _message_type(signal: Signal) -> type[Message]:
    if signal is Signal.TRACES:
        from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

        return TracesData
    if signal is Signal.METRICS:
        from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

        return MetricsData
    from opentelemetry.proto.logs.v1.logs_pb2 import LogsData

    return LogsData
