"""Entries as OTLP bytes, against the official protobuf package."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData

from sluiceway.otlp import Signal, accept
from sluiceway.stanza import Entry, encode

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | TEXTS | st.binary()
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4))
MAPS = st.dictionaries(TEXTS, VALUES, max_size=5)


def value_of(value: Any) -> AnyValue:
    """A value as protobuf has it."""
    result = AnyValue()
    match value:
        case str():
            result.string_value = value
        case bool():
            result.bool_value = value
        case int():
            result.int_value = value
        case float():
            result.double_value = value
        case bytes():
            result.bytes_value = value
        case list():
            result.array_value.SetInParent()
            result.array_value.values.extend(map(value_of, value))
        case dict():
            result.kvlist_value.SetInParent()
            result.kvlist_value.values.extend(pairs(value))
    return result


def pairs(values: dict[str, Any]) -> list[KeyValue]:
    """A map as protobuf has it."""
    return [KeyValue(key=key, value=value_of(value)) for key, value in values.items()]


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    """Any entry that OTLP can hold."""
    entry = Entry(
        draw(VALUES), draw(st.integers(0, 2**64 - 1)), draw(MAPS), {"a": draw(st.sampled_from([1, True, 1.0]))}
    )
    entry.time = draw(st.integers(0, 2**64 - 1))
    entry.severity = draw(st.integers(0, 24))
    entry.severity_text, entry.event_name, entry.scope = draw(TEXTS), draw(TEXTS), draw(st.sampled_from(["", "s"]))
    entry.trace_id, entry.span_id = draw(st.sampled_from([b"", b"t" * 16])), draw(st.sampled_from([b"", b"s" * 8]))
    entry.flags = draw(st.integers(0, 2**32 - 1))
    return entry


@settings(max_examples=150, deadline=None)
@given(st.lists(entries(), max_size=6))
def test_encoding_is_that_of_protobuf(given_entries: list[Entry]) -> None:
    """What is written reads as the same record by protobuf, below its own resource and scope, in order."""
    raw = encode(given_entries, "else")
    left = list(given_entries)
    for resource in LogsData.FromString(raw).resource_logs:
        for scope in resource.scope_logs:
            for record in scope.log_records:
                entry = next(
                    entry for entry in left
                    if list(resource.resource.attributes) == pairs(entry.resource)
                    and scope.scope.name == (entry.scope or "else")
                )  # fmt: skip
                left.remove(entry)
                assert (record.time_unix_nano, record.observed_time_unix_nano) == (entry.time, entry.observed)
                assert (record.severity_number, record.severity_text) == (entry.severity, entry.severity_text)
                assert record.HasField("body") is (entry.body is not None)
                assert record.body.SerializeToString() == value_of(entry.body).SerializeToString()
                assert list(record.attributes) == pairs(entry.attributes)
                assert (record.trace_id, record.span_id) == (entry.trace_id, entry.span_id)
                assert (record.flags, record.event_name) == (entry.flags, entry.event_name)
    assert left == []
    if given_entries:
        assert accept(Signal.LOGS, raw).items == len(given_entries)


def test_equal_resources_are_written_once() -> None:
    """Entries whose resources are the same, or equal, share one; values of another type make another."""
    shared = {"a": 1}
    made = [Entry("x", 1, {}, resource) for resource in (shared, {"a": 1}, shared, {"a": True})]
    assert len(LogsData.FromString(encode(made)).resource_logs) == 2


def nested(depth: int, kind: type) -> Any:
    """So many lists or maps in each other."""
    value: Any = "end"
    for _ in range(depth):
        value = [value] if kind is list else {"k": value}
    return value


def test_nothing_in_an_entry_makes_it_fail() -> None:
    """Values that OTLP cannot hold are written as text, cut or left out, and the result is always accepted."""
    hostile = [
        "\ud800", "\ud83d\ude00", float("nan"), float("inf"), 2**64, 10**6000, {1: 2, None: "\udfff"}, {"\ud800": 1},
        nested(1000, list), nested(1000, dict), nested(24, dict), object, bytearray(b"x"), (1, 2), "\0" * 300,
    ]  # fmt: skip
    made = []
    for value in hostile:
        entry = Entry(value, -1, {"k": value}, {"r": value})
        entry.time, entry.severity, entry.trace_id, entry.flags = 2**70, 99, b"short", -1
        made.append(entry)
    raw = encode(made)
    assert accept(Signal.LOGS, raw).items == len(hostile)
    bodies = [
        record.body for r in LogsData.FromString(raw).resource_logs for s in r.scope_logs for record in s.log_records
    ]
    assert [body.string_value for body in bodies[:3]] == ["�", "😀", "NaN"]
    assert bodies[4].string_value == str(2**64)
    assert bodies[5].string_value == hex(10**6000)
