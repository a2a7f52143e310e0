"""A server that goes silent: whoever is told to wait no longer stops waiting, and the connection is not used again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from sluiceway.exporters.timescaledb import UPKEEP_INTERVAL, UPKEEP_LIMIT
from sluiceway.testing import ManualClock
from tests.exporters.timescaledb.bench import Place, eventually, exporter, logs
from tests.exporters.timescaledb.proxy import Proxy

TABLES = [b"BEGIN", b"pg_advisory_xact_lock", b"pg_attribute", b"to_regclass", b"CREATE TABLE", b"SAVEPOINT", b"ATTACH",
          b"COMMIT"]  # fmt: skip
ROWS = [b"BEGIN", b"COPY", b"line 499", b"COMMIT"]
UPKEEP = [b"DELETE FROM", b"BEGIN", b"pg_try_advisory_xact_lock", b"pg_inherits", b"SAVEPOINT", b"ATTACH", b"COMMIT"]


@asynccontextmanager
async def silent(place: Place) -> AsyncIterator[tuple[Proxy, Callable[[bytes], list[int]]]]:
    """A proxy, and how to have it go silent at a statement: the list that comes back is no longer empty then."""
    proxy = Proxy(place.server.port)
    proxy.hangs = True

    def at(moment: bytes) -> list[int]:
        seen: list[int] = []
        proxy.on_request = lambda data: moment in data and not seen and seen.append(1) is None
        return seen

    async with proxy.running():
        yield proxy, at


async def ends(task: asyncio.Task[object]) -> None:
    """Cancel a task, which must end."""
    task.cancel()
    await eventually(task.done, "it waits for an answer")
    with suppress(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("moment", TABLES)
async def test_the_look_at_the_tables_may_be_cancelled(place: Place, moment: bytes) -> None:
    """At each statement, in a transaction or out of one; the next attempt makes the tables."""
    async with silent(place) as (proxy, at), exporter(place, "pool_size: 1", port=proxy.port) as out:
        seen = at(moment)
        task = asyncio.create_task(out.check_backend())
        await eventually(lambda: seen, "it is never said")
        await ends(task)
        await out.consume(logs(3))
    assert place.count() == 3


@pytest.mark.parametrize("moment", ROWS)
async def test_the_writing_of_rows_may_be_cancelled(place: Place, moment: bytes) -> None:
    """At each statement; the batch is stored once on another connection."""
    async with silent(place) as (proxy, at), exporter(place, "pool_size: 1", port=proxy.port) as out:
        await out.check_backend()
        seen, batch = at(moment), logs(500)
        task = asyncio.create_task(out.consume(batch))
        await eventually(lambda: seen, "it is never said")
        await ends(task)
        await out.consume(batch)
    assert place.count() == 500


@pytest.mark.parametrize("moment", UPKEEP)
async def test_the_upkeep_gives_up(place: Place, moment: bytes) -> None:
    """After its time it lets the only connection go, which is cut, and rows are written again."""
    clock = ManualClock()
    async with silent(place) as (proxy, at), exporter(place, "pool_size: 1", port=proxy.port, clock=clock) as out:
        await out.consume(logs(1))
        clock._wall += 3 * 86_400
        seen = at(moment)
        await clock.advance(UPKEEP_INTERVAL)
        await eventually(lambda: seen, "there is no upkeep")
        task = asyncio.create_task(out.consume(logs(3, received=2.0)))
        await clock.advance(UPKEEP_LIMIT - 1)
        assert not task.done()
        await clock.advance(2)
        await eventually(task.done, "the upkeep keeps its connection")
        assert await task is None
    assert place.count() == 4


@pytest.mark.parametrize("moment", UPKEEP)
async def test_a_stop_does_not_wait_for_the_upkeep(place: Place, moment: bytes) -> None:
    """It is cancelled at whatever statement it is."""
    clock = ManualClock()
    async with silent(place) as (proxy, at), exporter(place, port=proxy.port, clock=clock) as out:
        await out.consume(logs(1))
        clock._wall += 3 * 86_400
        seen = at(moment)
        await clock.advance(UPKEEP_INTERVAL)
        await eventually(lambda: seen, "there is no upkeep")
