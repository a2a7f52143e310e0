"""What the official parser says of some bytes, and the few rules in which Sluiceway is stricter or milder.

Stricter: a known field with the wrong wire type, ids of a wrong length, and field number 0 inside unknown groups are
refused. Milder: text that is not UTF-8 is repaired. To see past that, the official parser is given the same schema
with `bytes` in place of `string`.
"""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError as OfficialError
from google.protobuf.message import Message
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from sluiceway.otlp import Signal

__all__ = ["items_in", "repaired", "verdict"]

_ROOTS = {
    Signal.TRACES: "trace.v1.TracesData",
    Signal.METRICS: "metrics.v1.MetricsData",
    Signal.LOGS: "logs.v1.LogsData",
}
_WIRES = {
    FieldDescriptor.TYPE_DOUBLE: 1,
    FieldDescriptor.TYPE_FIXED64: 1,
    FieldDescriptor.TYPE_SFIXED64: 1,
    FieldDescriptor.TYPE_FIXED32: 5,
    FieldDescriptor.TYPE_STRING: 2,
    FieldDescriptor.TYPE_BYTES: 2,
    FieldDescriptor.TYPE_MESSAGE: 2,
}
_IDS = {"trace_id": (0, 16), "span_id": (0, 8), "parent_span_id": (0, 8)}


def _without_text() -> tuple[dict[Signal, type[Message]], set[str]]:
    pool = descriptor_pool.DescriptorPool()
    texts: set[str] = set()

    def soften(message: descriptor_pb2.DescriptorProto, name: str) -> None:
        for field in message.field:
            if field.type == FieldDescriptor.TYPE_STRING:
                field.type = FieldDescriptor.TYPE_BYTES
                texts.add(f"{name}.{field.name}")
        for nested in message.nested_type:
            soften(nested, f"{name}.{nested.name}")

    for module in (common_pb2, resource_pb2, trace_pb2, metrics_pb2, logs_pb2):
        file = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        for message in file.message_type:
            soften(message, f"{file.package}.{message.name}")
        pool.Add(file)
    roots = {s: pool.FindMessageTypeByName(f"opentelemetry.proto.{name}") for s, name in _ROOTS.items()}
    return {signal: message_factory.GetMessageClass(root) for signal, root in roots.items()}, texts


_MILD, _TEXTS = _without_text()


def verdict(signal: Signal, raw: bytes) -> Message | None:
    """The parsed message, with bytes for texts, or None for bytes that have to be refused."""
    try:
        message = _MILD[signal].FromString(raw)
    except OfficialError:
        return None
    return None if _is_refused(message.DESCRIPTOR, raw) else message


def items_in(message: Message) -> int:
    """The spans, log records or data points of a parsed message."""
    count = 0
    for entry in getattr(message, message.DESCRIPTOR.fields[0].name):
        for scope in getattr(entry, entry.DESCRIPTOR.fields_by_number[2].name):
            children = getattr(scope, scope.DESCRIPTOR.fields_by_number[2].name)
            count += sum(map(_points, children)) if scope.DESCRIPTOR.name == "ScopeMetrics" else len(children)
    return count


def repaired(message: Message) -> Message:
    """The message with every text made UTF-8 as `bytes.decode` does it, in place."""
    for field, value in message.ListFields():
        if field.message_type:
            for nested in value if field.is_repeated else (value,):
                repaired(nested)
        elif field.full_name in _TEXTS and field.is_repeated:
            value[:] = [text.decode("utf-8", "replace").encode() for text in value]
        elif field.full_name in _TEXTS:
            setattr(message, field.name, value.decode("utf-8", "replace").encode())
    return message


def _points(metric: Message) -> int:
    data = metric.WhichOneof("data")
    return len(getattr(metric, data).data_points) if data else 0


def _is_refused(descriptor: Descriptor, raw: bytes) -> bool:
    for number, wire, content in _fields(raw):
        field = descriptor.fields_by_number.get(number)
        if number == 0:
            return True
        if field is None:
            continue
        expected = _WIRES.get(field.type, 0)
        packed = field.is_repeated and expected != 2 and wire == 2
        if wire != expected and not packed:
            return True
        if len(content) not in _IDS.get(field.name, (len(content),)):
            return True
        if field.message_type and _is_refused(field.message_type, content):
            return True
    return False


def _fields(raw: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The fields of a message that the official parser has taken, those inside groups as well, without their nesting.

    Fields in groups are given number -1, or 0 where that is theirs.
    """
    at = depth = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        number, wire = tag >> 3, tag & 7
        start = at
        if wire == 0:
            _, at = _varint(raw, at)
        elif wire == 2:
            size, start = _varint(raw, at)
            at = start + size
        else:
            at += {1: 8, 5: 4}.get(wire, 0)
        yield (number if depth == 0 or number == 0 else -1), wire, raw[start:at]
        depth += {3: 1, 4: -1}.get(wire, 0)


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at
