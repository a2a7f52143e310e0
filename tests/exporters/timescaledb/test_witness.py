"""Refusals that come for every row are the table's fault, and cost none of them."""

from __future__ import annotations

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from sluiceway.errors import PermanentError, RetryableError
from sluiceway.exporters.timescaledb._rows import Layout, row, rows
from sluiceway.exporters.timescaledb.columns import tables_of
from sluiceway.otlp import Signal
from sluiceway.testing import items
from tests.exporters.timescaledb.bench import NOW, Place, eventually, exporter, logs, text
from tests.exporters.timescaledb.naive_rows import read_copy
from tests.exporters.timescaledb.test_pipeline import WINDOW, send, wrapped

FAIL = """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no: %', NEW.body; END $$;
          CREATE TRIGGER refuse BEFORE INSERT ON otel_logs FOR EACH ROW EXECUTE FUNCTION refuse()"""
LOGS = "ALTER TABLE otel_logs"
FOREIGN = "CONSTRAINT known FOREIGN KEY (service_name) REFERENCES services DEFERRABLE INITIALLY DEFERRED"
CLOSED = {
    "a column that must not be NULL": (
        "TRUNCATE otel_logs; ALTER TABLE otel_logs ADD COLUMN team text NOT NULL",
        "team must not be NOT NULL without a default",
        f"{LOGS} DROP COLUMN team",
    ),
    "a default that was taken away": (
        f"{LOGS} ADD COLUMN team text NOT NULL DEFAULT 'x'; {LOGS} ALTER team DROP DEFAULT",
        "team must not be NOT NULL without a default",
        f"{LOGS} DROP COLUMN team",
    ),
    "a constraint that nothing passes": (
        f"{LOGS} ADD CONSTRAINT shut CHECK (body = 'other') NOT VALID",
        "CheckViolationError, constraint shut (SQLSTATE 23514)",
        f"{LOGS} DROP CONSTRAINT shut",
    ),
    "a trigger that lets nothing in": (
        FAIL, "RaiseError (SQLSTATE P0001)", "DROP TRIGGER refuse ON otel_logs",
    ),
    "a computed column that cannot be computed": (
        f"{LOGS} ADD COLUMN size int GENERATED ALWAYS AS (length(body) / (length(body) - length(body))) STORED",
        "DivisionByZeroError (SQLSTATE 22012)",
        f"{LOGS} DROP COLUMN size",
    ),
    "a key of another table that is checked at the end": (
        f"CREATE TABLE services (name text PRIMARY KEY); {LOGS} ADD {FOREIGN}",
        "ForeignKeyViolationError, constraint known (SQLSTATE 23503)",
        f"{LOGS} DROP CONSTRAINT known",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "said", "mending"), CLOSED.values(), ids=CLOSED)
@pytest.mark.parametrize("number", [1, 500])
async def test_a_table_that_takes_nothing_holds_the_data(
    place: Place, number: int, change: str, said: str, mending: str
) -> None:
    """Not one row is given up, the status names what refuses them, and after the mending all are stored."""
    async with exporter(place) as out:
        await out.consume(logs(1))
        place.sql("TRUNCATE otel_logs", change)
        batch = logs(number, received=2.0)
        for _ in range(2):
            with pytest.raises(RetryableError) as caught:
                await out.consume(batch)
            assert said in caught.value.advice
            assert "line" not in str(caught.value)
        place.sql(mending)
        assert await out.consume(batch) is None
    assert place.count() == number


async def test_a_table_that_never_took_a_row_holds_the_data(place: Place) -> None:
    """A constraint that was there at the start is as good a reason to wait."""
    async with exporter(place) as out:
        await out.consume(items(Signal.LOGS, 0))
    place.sql(CLOSED["a constraint that nothing passes"][0])
    async with exporter(place) as out:
        for batch in (logs(500, received=2.0), logs(1, received=3.0)):
            with pytest.raises(RetryableError):
                await out.consume(batch)


async def test_a_new_rule_that_only_some_rows_break_costs_only_them(place: Place) -> None:
    """The row that was taken before is refused now, but others are not: what is refused alone is given up.

    Not at once, where nothing speaks for it, but when the table has taken another row.
    """
    async with exporter(place) as out:
        await out.consume(logs(1, service_name="debug"))
        place.sql(f"{LOGS} ADD CHECK (service_name <> 'debug') NOT VALID")
        bad = logs(1, service_name="debug", received=2.0)
        with pytest.raises(RetryableError):
            await out.consume(bad)
        await out.consume(logs(1, received=3.0))
        with pytest.raises(PermanentError):
            await out.consume(bad)


async def test_the_first_batch_of_all_may_have_a_bad_row(place: Place) -> None:
    """Others of the batch show that the table takes rows."""
    async with exporter(place) as out:
        await out.consume(items(Signal.LOGS, 0))
    place.sql(f"{LOGS} ADD CHECK (body <> 'bad')")
    async with exporter(place) as out:
        with pytest.raises(PermanentError):
            await out.consume(logs(bad=LogRecord(time_unix_nano=NOW * 10**9, body=text("bad"))))


async def test_what_is_there_already_is_bad_data(place: Place) -> None:
    """A unique index of the user's refuses a row whatever others are, so nothing waits for it."""
    async with exporter(place) as out:
        await out.consume(logs(1))
        place.sql("CREATE UNIQUE INDEX ON otel_logs_default (body)", f"{LOGS} ADD CHECK (body <> 'bad')")
        place.sql("UPDATE otel_logs SET time = time - interval '20 years'")
        bad = logs(1, received=2.0, bad=LogRecord(time_unix_nano=NOW * 10**9, body=text("bad")))
        with pytest.raises(PermanentError):
            await out.consume(bad)


async def test_nothing_reaches_the_dead_letters_through_the_queue(place: Place) -> None:
    """However many batches come while the table takes nothing: no halves, no drops, all stored in the end."""
    async with exporter(place) as out:
        await out.consume(logs(1))
    place.sql("DELETE FROM otel_logs", f"{LOGS} ADD CONSTRAINT shut CHECK (false)")
    quick = "retry_on_failure: {initial_interval: 10ms, max_interval: 50ms}"
    statuses: list = []
    async with wrapped(place, f"{WINDOW}, {quick}", statuses) as whole:
        accounts = [await send(whole, logs(50, received=float(n))) for n in range(2, 30)]
        await eventually(lambda: statuses, "nothing is said")
        assert "constraint shut" in statuses[-1][1]
        place.sql(f"{LOGS} DROP CONSTRAINT shut")
        await eventually(lambda: sum(each.delivered for each in accounts) == 28 * 50, "it is not delivered")
    assert place.count() == 28 * 50


def test_a_row_is_cut_out_of_a_copy() -> None:
    """Each of them, whole; there is none behind the last."""
    batch, tables = items(Signal.LOGS, 5), tables_of(Signal.LOGS)
    ((data, _),), *_ = rows(Layout(tables), 2, batch.payload, 0, 2**63, NOW * 10**9, 1 << 20, 1 << 30)
    cut = [read_copy(row(data, number), tables[0]) for number in range(5)]
    assert [each for one in cut for each in one] == read_copy(data, tables[0])
    for number in (5, 1000):
        with pytest.raises(IndexError):
            row(data, number)
