"""OTLP messages as bytes, made field by field from the official descriptors, for property tests and the fuzz target.

Every field of every message occurs, fields stand in any order, a singular message may come twice and a oneof in two
members, numbers come packed or one by one, unknown fields of every wire type stand anywhere, lengths are sometimes
longer than they need be, and anything may be empty.
"""

from __future__ import annotations

import struct
from random import Random
from typing import TypeAlias

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import settings
from hypothesis import strategies as st
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from sluiceway.otlp import Signal

__all__ = ["OFFICIAL", "Wire", "checked", "field", "payload", "payloads", "shape", "varint"]

OFFICIAL: dict[Signal, type[Message]] = {
    Signal.TRACES: TracesData,
    Signal.METRICS: MetricsData,
    Signal.LOGS: LogsData,
}

checked = settings(max_examples=150, deadline=None, derandomize=True, database=None)
"""How property tests run: the same examples every time."""

Wire: TypeAlias = tuple[Signal, bytes]

_SPINE = {
    "ResourceSpans", "ScopeSpans", "Span", "ResourceMetrics", "ScopeMetrics", "Metric", "ResourceLogs", "ScopeLogs",
    "LogRecord", "Gauge", "Sum", "Histogram", "ExponentialHistogram", "Summary", "NumberDataPoint",
    "HistogramDataPoint", "ExponentialHistogramDataPoint", "SummaryDataPoint",
}  # fmt: skip
_TEXTS = ["", "a", "http.method", "GET /api", "naïve", "日本", "🦆", "x" * 130, 'quote " \\ \n\t\x01', "service.name"]
_BROKEN = [
    b"\xff",
    b"ok\xe2\x82",
    b"\xed\xa0\x80tail",
    b"\xf0\x9f\xa6",
    b"a\xc0\xafb",
    b"\xf4\x90\x80\x80",
    b"12345678\x80",
]
_DOUBLES = [0.0, -0.0, 1.0, -2.5, 1e300, 5e-324, 0.1, float("inf"), float("-inf"), 123456789012345680.0]
_SIGNED = [0, 1, -1, 127, 128, 2**31 - 1, -(2**31)]
_UNSIGNED = [0, 1, 127, 128, 2**32 - 1]
_LONG = [0, 1, 300, 2**31, 2**53 + 1, 2**63 - 1, 1_700_000_000_000_000_000]
_IDS = {"trace_id": 16, "span_id": 8, "parent_span_id": 8}


def varint(value: int) -> bytes:
    """A number in base 128, negative ones in ten bytes."""
    value &= 2**64 - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, wire: int, content: bytes, spare: int = 0) -> bytes:
    """One field; with `spare` a length is written in so many bytes more than it needs."""
    if wire != 2:
        return varint(number << 3 | wire) + content
    length = varint(len(content))
    if spare:
        length = length[:-1] + bytes([length[-1] | 0x80]) + b"\x80" * (spare - 1) + b"\x00"
    return varint(number << 3 | wire) + length + content


def payload(random: Random, signal: Signal, broken_text: bool = False) -> bytes:
    """The bytes of one `TracesData`, `MetricsData` or `LogsData`; with `broken_text` some texts are not UTF-8."""
    return _Writer(random, broken_text).message(OFFICIAL[signal].DESCRIPTOR, 0)


def payloads(signal: Signal | None = None, *, broken_text: bool = False) -> st.SearchStrategy[Wire]:
    """Pairs of a signal and the bytes of a message."""
    signals = st.sampled_from(Signal) if signal is None else st.just(signal)
    return st.builds(
        lambda chosen, seed: (chosen, payload(Random(seed), chosen, broken_text)), signals, st.integers(0, 2**32)
    )


class _Writer:
    def __init__(self, random: Random, broken_text: bool) -> None:
        self.random = random
        self.broken_text = broken_text

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def message(self, descriptor: Descriptor, depth: int) -> bytes:
        if self.chance(0.07):
            return b""
        fields = [part for chosen in self.chosen(descriptor, depth) for part in self.written(chosen, depth)]
        if self.chance(0.15):
            fields.append(self.unknown())
        if self.chance(0.5):
            self.random.shuffle(fields)
        return b"".join(fields)

    def chosen(self, descriptor: Descriptor, depth: int) -> list[FieldDescriptor]:
        plain = [f for f in descriptor.fields if f.containing_oneof is None and self.wanted(f, depth)]
        for group in descriptor.oneofs:
            members = [f for f in group.fields if depth < 9 or f.message_type is None]
            plain += self.random.sample(members, min(len(members), self.random.choices([0, 1, 2], [1, 8, 1])[0]))
        return plain

    def wanted(self, descriptor: FieldDescriptor, depth: int) -> bool:
        if descriptor.message_type is None:
            return self.chance(0.5)
        if descriptor.message_type.name in _SPINE:
            return True
        return depth < 9 and self.chance(0.5)

    def written(self, descriptor: FieldDescriptor, depth: int) -> list[bytes]:
        if descriptor.is_repeated:
            return self.repeated(descriptor, depth)
        times = 2 if self.chance(0.08) else 1
        return [self.one(descriptor, depth) for _ in range(times)]

    def repeated(self, descriptor: FieldDescriptor, depth: int) -> list[bytes]:
        count = self.random.choices([0, 1, 2, 3], [1, 4, 3, 1])[0]
        if descriptor.message_type or descriptor.type == FieldDescriptor.TYPE_STRING or self.chance(0.4):
            return [self.one(descriptor, depth) for _ in range(count)]
        return [field(descriptor.number, 2, b"".join(self.scalar(descriptor)[1] for _ in range(count)))]

    def one(self, descriptor: FieldDescriptor, depth: int) -> bytes:
        spare = 1 if self.chance(0.02) else 0
        if descriptor.message_type:
            return field(descriptor.number, 2, self.message(descriptor.message_type, depth + 1), spare)
        wire, content = self.scalar(descriptor)
        return field(descriptor.number, wire, content, spare)

    def scalar(self, descriptor: FieldDescriptor) -> tuple[int, bytes]:
        pick = self.random.choice
        match descriptor.type:
            case FieldDescriptor.TYPE_STRING:
                return 2, pick(_BROKEN) if self.broken_text and self.chance(0.3) else pick(_TEXTS).encode()
            case FieldDescriptor.TYPE_BYTES:
                size = _IDS.get(descriptor.name, self.random.randrange(5)) if self.chance(0.9) else 0
                return 2, self.random.randbytes(size)
            case FieldDescriptor.TYPE_DOUBLE:
                return 1, struct.pack("<d", pick(_DOUBLES))
            case FieldDescriptor.TYPE_FIXED64 | FieldDescriptor.TYPE_SFIXED64:
                return 1, struct.pack("<Q", pick(_LONG))
            case FieldDescriptor.TYPE_FIXED32:
                return 5, struct.pack("<I", pick(_UNSIGNED))
            case FieldDescriptor.TYPE_BOOL:
                return 0, pick([b"\x00", b"\x01"])
            case FieldDescriptor.TYPE_UINT32:
                return 0, varint(pick(_UNSIGNED))
            case FieldDescriptor.TYPE_UINT64 | FieldDescriptor.TYPE_INT64:
                return 0, varint(pick(_LONG + _SIGNED))
            case FieldDescriptor.TYPE_SINT32:
                value = pick(_SIGNED)
                return 0, varint(value * 2 if value >= 0 else -value * 2 - 1)
        return 0, varint(pick(_SIGNED))

    def unknown(self) -> bytes:
        number = self.random.choice([17, 99, 1000, 2**29 - 1])
        inner = self.random.choice([b"", field(1, 0, b"\x05"), field(3, 2, b"abc")])
        return self.random.choice(
            [
                field(number, 0, varint(2**64 - 1)),
                field(number, 1, b"12345678"),
                field(number, 2, b"\x00\xff"),
                field(number, 5, b"1234"),
                field(number, 3, inner + field(number, 4, b"")),
            ]
        )


def shape(signal: Signal, raw: bytes) -> list[tuple[bytes, ...]]:
    """The items of a message, each with the headers above it, and whatever has no items: what splitting must conserve.

    A row holds the resource entry, the scope, of metrics the metric, each without its children, then the item.
    """
    message = OFFICIAL[signal].FromString(raw)
    rows: list[tuple[bytes, ...]] = []
    _rows(message, [], rows)
    return rows


def _rows(message: Message, above: list[bytes], rows: list[tuple[bytes, ...]]) -> None:
    for child in list(_children(message)):
        grandchildren = list(_children(child))
        if not grandchildren:
            rows.append((*above, child.SerializeToString(deterministic=True)))
            continue
        _rows(child, [*above, _header(child)], rows)


def _children(message: Message) -> list[Message]:
    if message.DESCRIPTOR.name == "Metric":
        data = message.WhichOneof("data")
        return list(getattr(message, data).data_points) if data else []
    first = (
        [f.name for f in message.DESCRIPTOR.fields if f.is_repeated and f.message_type.name in _SPINE]
        if (message.DESCRIPTOR.name.endswith("Data") or message.DESCRIPTOR.name.startswith(("Resource", "Scope")))
        else []
    )
    return list(getattr(message, first[0])) if first else []


def _header(message: Message) -> bytes:
    copy = type(message)()
    copy.CopyFrom(message)
    if copy.DESCRIPTOR.name == "Metric":
        getattr(copy, copy.WhichOneof("data")).ClearField("data_points")
    else:
        for f in copy.DESCRIPTOR.fields:
            if f.message_type and f.message_type.name in _SPINE:
                copy.ClearField(f.name)
    return copy.SerializeToString(deterministic=True)
