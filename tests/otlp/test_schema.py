"""The hand-written schema table says what the official descriptors say."""

from __future__ import annotations

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from sluiceway.otlp.schema import ITEMS, MESSAGES, ROOTS, Field

_IDS = {"trace_id": "trace_id", "span_id": "span_id", "parent_span_id": "span_id"}
_TYPES = {
    value: name.removeprefix("TYPE_").lower() for name, value in vars(FieldDescriptor).items() if "TYPE_" in name[:5]
}


def reachable(descriptor: Descriptor, found: dict[str, Descriptor]) -> dict[str, Descriptor]:
    """All messages below one, by their short names."""
    if descriptor.name not in found:
        found[descriptor.name] = descriptor
        for field in descriptor.fields:
            if field.message_type:
                reachable(field.message_type, found)
    return found


def official(field: FieldDescriptor) -> Field:
    """A field of the official descriptor in the table's words."""
    synthetic = bool(field.containing_oneof and field.containing_oneof.name.startswith("_"))
    return Field(
        field.number,
        field.json_name,
        _IDS.get(field.name, _TYPES[field.type]),
        field.message_type.name if field.message_type else "",
        repeated=field.is_repeated,
        oneof=field.containing_oneof is not None and not synthetic,
        optional=synthetic,
    )


@pytest.fixture(scope="module")
def descriptors() -> dict[str, Descriptor]:
    """The official messages."""
    found: dict[str, Descriptor] = {}
    for root in (TracesData, MetricsData, LogsData):
        reachable(root.DESCRIPTOR, found)
    return found


def test_the_table_has_exactly_the_official_messages(descriptors):
    """No message that can be reached from the three roots is missing, and none is invented."""
    assert set(MESSAGES) == set(descriptors)
    assert ROOTS == ("TracesData", "MetricsData", "LogsData")
    assert set(ITEMS) <= set(descriptors)


@pytest.mark.parametrize("message", sorted(MESSAGES))
def test_every_field_is_as_in_the_official_descriptor(message, descriptors):
    """Number, JSON name, type, nested type, repetition and oneof agree, field by field."""
    assert sorted(MESSAGES[message], key=lambda f: f.number) == sorted(
        map(official, descriptors[message].fields), key=lambda f: f.number
    )
