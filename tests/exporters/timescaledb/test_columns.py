"""Rows as the kernel makes them of bytes, held against rows made of protobuf objects."""

from __future__ import annotations

import math
import struct

from hypothesis import given
from hypothesis import strategies as st

from sluiceway.exporters.timescaledb._rows import Layout, rows
from sluiceway.exporters.timescaledb.columns import tables_of
from sluiceway.otlp import accept
from tests.exporters.timescaledb.naive_rows import expected, read_copy
from tests.otlp.strategies import checked, payloads

NOW = 1_700_000_000_000_000_000
WINDOW = (NOW - 10**15, NOW + 10**12, NOW)
LARGEST = 1 << 20


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
    sheets, mask, clamped, nuls, sizes = rows(Layout(tables), signal.code, batch.payload, *WINDOW, LARGEST)
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
