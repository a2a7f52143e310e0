"""What is written in pieces: each row once, whatever comes between, and no item refused but the bad ones."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from sluiceway.component import PartialSuccess
from sluiceway.errors import PermanentError, RetryableError
from sluiceway.exporters.timescaledb import SOUGHT
from sluiceway.otlp import Batch, join
from tests.exporters.timescaledb.bench import NOW, Place, eventually, exporter, logs, text
from tests.exporters.timescaledb.proxy import Proxy
from tests.exporters.timescaledb.test_pipeline import WINDOW, send, wrapped

BAD = LogRecord(time_unix_nano=NOW * 10**9, body=text("bad"))
NUL = LogRecord(time_unix_nano=NOW * 10**9, body=text("\0"))
RULE = "ALTER TABLE otel_logs ADD CONSTRAINT rule CHECK (body IS DISTINCT FROM 'bad')"
LIFT = "ALTER TABLE otel_logs DROP CONSTRAINT rule"
WITHOUT = "SELECT count(*), count(DISTINCT (service_name, body)) FROM otel_logs"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of about 100 rows."""
    monkeypatch.setattr("sluiceway.exporters.timescaledb.part.MOST", 20_000)


async def prepare(place: Place, *statements: str) -> None:
    """Make the tables, of which one has taken a row, and change them."""
    async with exporter(place) as out:
        await out.consume(logs(1))
    place.sql("TRUNCATE otel_logs, otel_batches", *statements)


def named(*parts: Batch) -> Batch:
    """What a queue on disk joins: each part is a request that has the name of its service."""
    names = tuple((services(part)[0].encode() * 12, part.items) for part in parts)
    whole = join(parts)
    return replace(whole, origin=replace(whole.origin, names=names))


def services(batch: Batch) -> list[str]:
    """The service of each resource."""
    return [entry.resource.attributes[0].value.string_value for entry in batch.proto().resource_logs]


def bodies(partial: PartialSuccess | None) -> list[str]:
    """What was rejected."""
    if partial is None or partial.batch is None:
        return []
    assert partial.rejected == partial.batch.items
    scopes = [scope for entry in partial.batch.proto().resource_logs for scope in entry.scope_logs]
    return [record.body.string_value for scope in scopes for record in scope.log_records]


@pytest.mark.usefixtures("small")
async def test_a_bad_row_of_a_batch_in_pieces_is_refused_alone(place: Place) -> None:
    """The exporter finds it itself: whoever divides the whole batch would have stored again what is stored."""
    await prepare(place, RULE)
    async with exporter(place) as out:
        partial = await out.consume(logs(500, bad=BAD))
    assert bodies(partial) == ["bad"]
    assert "CheckViolationError, constraint rule" in partial.message
    assert place.sql(WITHOUT) == "499|499"


@pytest.mark.usefixtures("small")
async def test_a_bad_row_of_a_batch_in_pieces_through_the_queue(place: Place) -> None:
    """Every other row is there once, and the sums agree."""
    await prepare(place, RULE)
    async with wrapped(place, WINDOW) as whole:
        account = await send(whole, logs(500, bad=BAD))
        await eventually(lambda: account.delivered + account.dropped.total() == 500, "the queue holds on")
    assert (account.delivered, dict(account.dropped)) == (499, {"rejected": 1})
    assert place.sql(WITHOUT) == "499|499"


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("mended", [False, True])
@pytest.mark.parametrize("broken", range(1, 12, 2))
async def test_a_bad_row_of_a_batch_that_breaks_off(place: Place, broken: int, mended: bool) -> None:
    """Whichever acknowledgement is lost, and though a piece that was refused whole would be taken the next time."""
    await prepare(place, RULE)
    commits: list[int] = []
    async with Proxy(place.server.port).running() as proxy, exporter(place, port=proxy.port) as out:
        await out.check_backend()
        proxy.on_request = lambda data: b"COMMIT\0" in data and commits.append(1) is None and len(commits) == broken
        batch, partial = logs(500, bad=BAD), None
        try:
            partial = await out.consume(batch)
        except RetryableError:
            if mended:
                place.sql(LIFT)
            partial = await out.consume(batch)
    lifted = mended and len(commits) >= broken
    assert bodies(partial) == ([] if lifted else ["bad"])
    assert place.sql(WITHOUT) == ("500|500" if lifted else "499|499")


@pytest.mark.usefixtures("small")
async def test_a_batch_in_pieces_that_is_cancelled(place: Place) -> None:
    """What was stored is known when it comes again."""
    await prepare(place, RULE)
    async with Proxy(place.server.port).running() as proxy, exporter(place, port=proxy.port) as out:
        await out.check_backend()
        commits: list[int] = []
        proxy.on_request = lambda data: bool(b"COMMIT\0" in data and commits.append(1))
        batch = logs(500, bad=BAD)
        task = asyncio.create_task(out.consume(batch))
        await eventually(lambda: len(commits) > 3, "nothing is stored")
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert bodies(await out.consume(batch)) == ["bad"]
    assert place.sql(WITHOUT) == "499|499"


@pytest.mark.usefixtures("small")
async def test_a_batch_in_pieces_after_a_crash(place: Place) -> None:
    """A queue on disk sends its requests again, joined otherwise, and the rule that refused a row is lifted."""
    a, b, c = (logs(200, service_name=name, bad=BAD if name == "b" else None) for name in "abc")
    await prepare(place, RULE)
    async with Proxy(place.server.port).running() as proxy, exporter(place, port=proxy.port) as out:
        await out.check_backend()
        commits: list[int] = []
        proxy.on_request = lambda data: b"COMMIT\0" in data and commits.append(1) is None and len(commits) == 4
        with pytest.raises(RetryableError):
            await out.consume(named(a, b))
    place.sql(LIFT)
    async with exporter(place) as out:
        assert await out.consume(named(c, b)) is None
        assert await out.consume(named(a)) is None
    assert place.sql(WITHOUT) == "600|600"


async def test_a_bad_row_beside_what_is_stored_already(place: Place) -> None:
    """A queue on disk joined both after a crash: what is stored is not stored again by dividing the whole."""
    await prepare(place, RULE)
    async with exporter(place) as out:
        await out.consume(named(logs(200, service_name="a")))
        whole = named(logs(200, service_name="a"), logs(200, service_name="b", bad=BAD))
        assert bodies(await out.consume(whole)) == ["bad"]
    assert place.sql(WITHOUT) == "399|399"


@pytest.mark.usefixtures("small")
async def test_a_request_that_is_stored_in_part_is_completed_beside_others(place: Place) -> None:
    """Its name alone, which the database has as well, does not say that all of it is there."""
    await prepare(place, RULE)
    few, many = logs(50, service_name="a"), logs(300, service_name="b", bad=BAD)
    async with Proxy(place.server.port).running() as proxy, exporter(place, port=proxy.port) as out:
        await out.check_backend()
        proxy.on_request = lambda data: b"COMMIT\0" in data
        with pytest.raises(RetryableError):
            await out.consume(named(many))
    assert 0 < place.count() < 300
    async with exporter(place) as out:
        await out.consume(named(few, many))
    assert place.sql(WITHOUT) == "349|349"


async def test_what_was_rejected_beside_what_is_stored_is_told(place: Place) -> None:
    """Of what is new, and once more of what is stored: nobody knows whether the process that ended has told it."""
    a, b = (logs(20, service_name=name, bad=NUL) for name in "ab")
    async with exporter(place) as out:
        await out.consume(named(a))
        partial = await out.consume(named(b, a))
        assert sorted(services(partial.batch)) == ["a", "b"]
        assert bodies(await out.consume(named(a, b))) == ["\0", "\0"]
    assert place.count() == 38


@pytest.mark.usefixtures("small")
async def test_a_table_that_takes_nothing_holds_a_batch_in_pieces(place: Place) -> None:
    """No row is given up, and after the mending each is there once."""
    await prepare(place)
    async with exporter(place) as out:
        place.sql("ALTER TABLE otel_logs ADD CONSTRAINT shut CHECK (false)")
        batch = logs(500)
        for _ in range(2):
            with pytest.raises(RetryableError) as caught:
                await out.consume(batch)
            assert "constraint shut" in caught.value.advice
        place.sql("ALTER TABLE otel_logs DROP CONSTRAINT shut")
        assert await out.consume(batch) is None
    assert place.sql(WITHOUT) == "500|500"


@pytest.mark.usefixtures("small")
async def test_a_batch_in_pieces_with_many_bad_rows_ends(place: Place) -> None:
    """After so many that were found one by one, a piece is refused as it is: the statements have a bound."""
    await prepare(place, RULE)
    copies: list[int] = []
    async with Proxy(place.server.port).running() as proxy, exporter(place, port=proxy.port) as out:
        await out.consume(logs(1))
        proxy.on_request = lambda data: bool(b"COPY" in data and copies.append(1))
        partial = await out.consume(join([logs(300), logs(0).with_payload(logs(2, bad=BAD).payload * 300, 600)]))
    stored = int(place.sql("SELECT count(*) FROM otel_logs WHERE body LIKE 'line%'")) - 1
    assert partial.rejected == 900 - stored
    assert bodies(partial).count("bad") == 300
    assert stored >= 300 + SOUGHT
    assert len(copies) < 20 * SOUGHT


async def test_a_batch_that_fits_is_left_to_the_queue_to_divide(place: Place) -> None:
    """Nothing of it is stored, so it may be cut anywhere."""
    await prepare(place, RULE)
    async with exporter(place) as out:
        with pytest.raises(PermanentError):
            await out.consume(logs(500, bad=BAD))
    assert place.count() == place.count("batches") == 0
