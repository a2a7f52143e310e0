"""What batches take of memory while they wait for the database."""

from __future__ import annotations

import asyncio
import tracemalloc

from tests.exporters.timescaledb.bench import Place, exporter, logs


async def test_no_more_batches_have_rows_than_there_are_connections(place: Place) -> None:
    """Each row repeats its resource, which may be large; one of eight such batches has its rows at a time."""
    async with exporter(place, "pool_size: 1") as out:
        await out.consume(logs(1))
        batches = [logs(100, received=float(n), host="x" * 100_000) for n in range(2, 10)]
        tracemalloc.start()
        try:
            await asyncio.gather(*(out.consume(batch) for batch in batches))
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert place.count() == 801
    assert most < 30_000_000
