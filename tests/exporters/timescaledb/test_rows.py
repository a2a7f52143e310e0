"""What is stored, read back from a real PostgreSQL."""

from __future__ import annotations

import pytest

from sluiceway.otlp import Signal
from sluiceway.testing import ManualClock, items
from tests.exporters.timescaledb.bench import Place, exporter

TABLES = {Signal.TRACES: "spans", Signal.LOGS: "logs", Signal.METRICS: "gauges"}


@pytest.mark.parametrize("signal", Signal)
async def test_a_batch_becomes_rows(place: Place, signal: Signal) -> None:
    """Each item is a row with its time, its service and its attributes."""
    async with exporter(place, signal=signal) as out:
        assert await out.consume(items(signal, 3)) is None
    found = place.sql(
        f"SELECT time = '2023-11-14 22:13:20+00', service_name, attributes->>'n' FROM otel_{TABLES[signal]} ORDER BY 3"
    )
    assert found.splitlines() == ["t|cart|0", "t|cart|1", "t|cart|2"]


async def test_a_number_that_the_kernel_does_not_take_is_no_large_row(place: Place) -> None:
    """A fault of ours, such as a clock before the epoch, is not told as a fault of the data."""
    async with exporter(place, clock=ManualClock(wall=-1e6)) as out:
        with pytest.raises(OverflowError):
            await out.consume(items(Signal.LOGS, 1))
