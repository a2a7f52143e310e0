"""Rows as the kernel makes them of bytes, held against rows made of protobuf objects."""

from __future__ import annotations

import math
import struct
from contextlib import suppress
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    Gauge,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, TracesData

from sluiceway.errors import DecodeError
from sluiceway.exporters.timescaledb._rows import Layout, SizeError, rows
from sluiceway.exporters.timescaledb.columns import tables_of
from sluiceway.otlp import Batch, Signal, accept
from sluiceway.testing import items
from tests.exporters.timescaledb.naive_rows import expected, read_copy
from tests.otlp.strategies import checked, field, payload, payloads

NOW = 1_700_000_000_000_000_000
WINDOW = (NOW - 10**15, NOW + 10**12, NOW)
LARGEST, MOST = 1 << 20, 1 << 30


def same(one: object, other: object) -> bool:
    """Equal, where NaN equals itself and floats are compared bit by bit, but for the sign of zero in JSON."""
    if isinstance(one, float) and isinstance(other, float):
        return struct.pack("d", one + 0) == struct.pack("d", other + 0) or (math.isnan(one) and math.isnan(other))
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


@checked
@given(payloads(), st.sampled_from(["tenant.id", "a", "service.name"]))
def test_rows_are_those_of_the_official_objects(wire, tenant):
    """For any message: the same rows in the same tables, and each item without a row is one that holds a NUL."""
    signal, raw = wire
    batch = accept(signal, raw)
    tables = tables_of(signal, tenant)
    sheets, mask, clamped, nuls, sizes = rows(Layout(tables), signal.code, batch.payload, *WINDOW, LARGEST, MOST)
    wanted, left_out = expected(batch, tables, *WINDOW)
    assert [i for i, bad in enumerate(mask or b"") if bad] == left_out
    assert (nuls, sizes) == (len(left_out), 0)
    assert clamped == sum("time" in dict(row["overflow"] or ()) for table in wanted for row in table)
    for table, (data, count), want in zip(tables, sheets, wanted, strict=True):
        assert count == len(want)
        for got, row in zip(read_copy(data, table), want, strict=True):
            for name, value in row.items():
                if name == "bucket_counts" or name.endswith(("_counts", "bounds", "quantiles", "_values")):
                    assert same(got[name] or [], value or []), name
                else:
                    assert same(got[name], value), name


def attributes(*values: AnyValue) -> list[object]:
    """What values of attributes are in the row of a span, as JSON reads them."""
    span = Span(attributes=[KeyValue(key=str(n), value=value) for n, value in enumerate(values)])
    batch = Batch.from_proto(TracesData(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=[span])])]))
    tables = tables_of(Signal.TRACES)
    ((data, _),), *_ = rows(Layout(tables), 0, batch.payload, *WINDOW, LARGEST, MOST)
    return [value for _, value in read_copy(data, tables[0])[0]["attributes"]]


@checked
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_every_double_comes_back(numbers):
    """JSON has each in so many digits that it reads as the same double, and tells it from an integer."""
    found = attributes(*(AnyValue(double_value=number) for number in numbers))
    assert all(isinstance(number, float) for number in found)
    assert found == numbers


@checked
@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_every_integer_comes_back(numbers):
    """To the last digit."""
    assert attributes(*(AnyValue(int_value=number) for number in numbers)) == numbers


@checked
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=1))
def test_every_text_comes_back(texts):
    """Control characters, quotes and whatever stands beyond them."""
    assert attributes(*(AnyValue(string_value=text) for text in texts)) == texts


@pytest.mark.parametrize("signal", Signal)
def test_bytes_that_were_never_accepted_are_refused_safely(signal):
    """Nothing beyond the end is read, whatever the lengths say; the answer is an error or rows, never a crash."""
    layout = Layout(tables_of(signal))
    for seed in range(40):
        raw = payload(Random(seed), signal)
        for cut in range(len(raw)):
            with suppress(ValueError, DecodeError):
                rows(layout, signal.code, raw[:cut], *WINDOW, LARGEST, MOST)


def test_a_size_limit_leaves_items_out():
    """An item with a larger text or document is marked, and only that one."""
    spans = [Span(name="x" * size) for size in (10, 2000, 20)]
    batch = Batch.from_proto(TracesData(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=spans)])]))
    ((_, count),), mask, _, nuls, sizes = rows(Layout(tables_of(Signal.TRACES)), 0, batch.payload, *WINDOW, 1000, MOST)
    assert (count, mask, nuls, sizes) == (2, b"\0\1\0", 0, 1)


def test_columns_stand_in_the_order_of_their_sections():
    """What the kernel could not encode once for all items is refused when the layout is made."""
    table = tables_of(Signal.LOGS)[0]
    with pytest.raises(ValueError, match="stands behind"):
        Layout([replace(table, columns=table.columns[::-1])])


def test_rows_that_take_too_much_are_an_error():
    """Items are small and their resource is large: what would be repeated has a bound."""
    batch = items(Signal.LOGS, 100)
    with pytest.raises(SizeError):
        rows(Layout(tables_of(Signal.LOGS)), 2, batch.payload, *WINDOW, LARGEST, 10_000)


def test_the_rows_of_all_tables_have_one_bound():
    """Points of several kinds take no more together than those of one."""
    points = [NumberDataPoint(attributes=[KeyValue(key="k", value=AnyValue(string_value="x" * 1000))])] * 10
    metrics = [Metric(gauge=Gauge(data_points=points)), Metric(sum=Sum(data_points=points))]
    message = MetricsData(resource_metrics=[ResourceMetrics(scope_metrics=[ScopeMetrics(metrics=metrics)])])
    raw, layout = message.SerializeToString(), Layout(tables_of(Signal.METRICS))
    sheets, *_ = rows(layout, 1, raw, *WINDOW, LARGEST, MOST)
    sizes = [len(data) for data, count in sheets if count]
    assert len(sizes) == 2
    with pytest.raises(SizeError):
        rows(layout, 1, raw, *WINDOW, LARGEST, max(sizes))


def test_a_resource_beyond_the_bound_rejects_its_items():
    """Each row would repeat it."""
    batch = items(Signal.LOGS, 3, service="x" * 300_000)
    _, mask, _, _, sizes = rows(Layout(tables_of(Signal.LOGS)), 2, batch.payload, *WINDOW, LARGEST, MOST)
    assert (mask, sizes) == (b"\1\1\1", 3)


def test_a_message_in_very_many_pieces_costs_no_more_than_its_bytes():
    """A resource in 200,000 pieces, which protobuf merges, is put together once."""
    raw = field(1, 2, field(1, 2, field(2, 0, b"\0")) * 200_000 + items(Signal.LOGS, 1).payload[3:])
    batch = accept(Signal.LOGS, raw)
    (_, count), *_ = rows(Layout(tables_of(Signal.LOGS)), 2, batch.payload, *WINDOW, LARGEST, MOST)[0]
    assert count == batch.items
