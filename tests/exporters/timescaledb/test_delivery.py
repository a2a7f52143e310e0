"""Once each: lost acknowledgements, cancellations, and what the database answers."""

from __future__ import annotations

import asyncio
import re
import signal as signals
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from sluiceway.errors import PermanentError, RetryableError
from sluiceway.exporters.timescaledb import COMPONENT
from sluiceway.exporters.timescaledb.keys import Keys
from sluiceway.otlp import Batch, Signal, join, split
from sluiceway.telemetry import Metrics, Scope
from sluiceway.testing import ManualClock
from tests.exporters.backends import make
from tests.exporters.timescaledb.bench import NOW, Place, eventually, exporter, logs, text, upkeep, yaml_of
from tests.exporters.timescaledb.proxy import Proxy
from tests.servers.postgresql import postgres_server, until

COUNTED = ("moved_times", "known_batches")
SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sluiceway'"


async def test_a_batch_whose_acknowledgement_was_lost_is_stored_once(place: Place) -> None:
    """The server commits, its answer never comes, the batch is sent again: the rows are there once."""
    async with Proxy(place.server.port).running() as proxy, exporter(place, port=proxy.port) as out:
        await out.consume(logs(1))
        proxy.on_request = lambda data: b"COMMIT\0" in data
        batch = logs(500, received=2.0)
        with pytest.raises(RetryableError) as caught:
            await out.consume(batch)
        assert caught.value.code == "UNAVAILABLE"
        assert place.count() == 501
        proxy.on_request = lambda _: False
        assert await out.consume(batch) is None
    assert place.count() == 501
    assert place.sql("SELECT sum(rows) FROM otel_batches") == "501"


@pytest.mark.parametrize("moment", [b"BEGIN", b"COPY", b"line 499", b"COMMIT\0"])
async def test_a_connection_may_be_lost_at_any_moment(place: Place, moment: bytes) -> None:
    """Whatever was under way, sending again ends with each row once."""
    async with Proxy(place.server.port).running() as proxy, exporter(place, port=proxy.port) as out:
        await out.consume(logs(1))
        proxy.on_request = lambda data: moment in data
        batch = logs(500, received=2.0)
        with pytest.raises(RetryableError):
            await out.consume(batch)
        proxy.on_request = lambda _: False
        await out.consume(batch)
    assert place.count() == 501


async def test_the_same_bytes_from_two_arrivals_are_two_batches(place: Place) -> None:
    """Honest repetitions are stored, whether they have a time of arrival or not."""
    async with exporter(place) as out:
        for received in (1.0, 2.0, 0.0, 0.0):
            await out.consume(logs(10, received=received))
    assert place.count() == 40


def joined(*names: bytes, **bad: LogRecord) -> Batch:
    """Ten records of each name as a queue on disk joins them, with a bad one at the end of some."""
    batches = [logs(10, received=2.0, service_name=name.decode(), bad=bad.get(name.decode())) for name in names]
    whole = join(batches)
    return replace(whole, origin=replace(whole.origin, names=tuple((name * 12, 10) for name in names)))


async def test_what_a_queue_on_disk_sends_again_after_a_crash_is_known(place: Place) -> None:
    """By the names of its requests, however they are joined the next time."""
    async with exporter(place) as out:
        await out.consume(joined(b"a", b"b"))
    async with exporter(place) as out:
        await out.consume(joined(b"b", b"c", b"a", b"d"))
        await out.consume(joined(b"c"))
        await out.consume(joined(b"d", b"c"))
    assert place.count() == 40
    assert place.sql("SELECT count(DISTINCT service_name) FROM otel_logs") == "4"


async def test_what_was_stored_before_a_crash_is_not_stored_again_beside_a_bad_row(place: Place) -> None:
    """The rest is divided, by names that stay the same, until the bad row stands alone."""
    async with exporter(place) as out:
        await out.consume(joined(b"a", b"b"))
    place.sql("ALTER TABLE otel_logs ADD CHECK (body IS DISTINCT FROM 'bad')")
    async with exporter(place) as out:
        for _ in range(2):
            partial = await out.consume(joined(b"b", b"c", b"d", b"a", c=LogRecord(body=text("bad"))))
            assert partial is not None
            assert (partial.rejected, partial.batch.items) == (1, 1)
            assert place.count() == 39


async def test_what_was_rejected_before_a_crash_is_told_again(place: Place) -> None:
    """The crash may have come before it was among the dead letters; once, whatever it is joined with."""
    nul = LogRecord(body=text("a\0"))
    for names in ((b"a",), (b"a", b"b")):
        async with exporter(place) as out:
            partial = await out.consume(joined(*names, a=nul))
        assert partial is not None
        assert (partial.rejected, partial.batch.items) == (1, 1)
    assert place.count() == 19


async def test_pieces_that_are_alike_are_all_stored(place: Place) -> None:
    """A batch of equal records may be cut into equal pieces, which arrived at the same time."""
    same = LogRecord(time_unix_nano=NOW * 10**9, body=text("again"))
    batch = logs(0)
    message = batch.proto()
    message.resource_logs[0].scope_logs[0].log_records.extend([same] * 400)
    pieces = split(Batch.from_proto(message, batch.origin), items=100)
    assert len({piece.payload for piece in pieces}) == 1
    async with exporter(place) as out:
        await out.consume(logs(1))
        await asyncio.gather(*(out.consume(piece) for piece in pieces))
    assert place.count() == 401


async def test_a_part_that_was_stored_is_known_when_the_other_failed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that is written in parts is there once, wherever it broke off."""
    monkeypatch.setattr("sluiceway.exporters.timescaledb.part.MOST", 60_000)
    commits: list[int] = []
    async with Proxy(place.server.port).running() as proxy, exporter(place, port=proxy.port) as out:
        await out.consume(logs(1))
        proxy.on_request = lambda data: b"COMMIT\0" in data and commits.append(1) is None and len(commits) == 1
        batch = logs(500, received=2.0)
        with pytest.raises(RetryableError):
            await out.consume(batch)
        assert 1 < place.count() < 501
        await out.consume(batch)
    assert place.count() == 501


async def test_what_was_moved_and_what_was_known_is_counted(place: Place) -> None:
    """Once each: a batch that comes again counts as known, and nothing of it as moved a second time."""
    metrics, batch = Metrics(), logs(10, bad=LogRecord(time_unix_nano=1))
    async with (
        Proxy(place.server.port).running() as proxy,
        exporter(place, port=proxy.port, telemetry=Scope(metrics)) as out,
    ):
        await out.consume(batch)
        proxy.on_request = lambda data: b"COMMIT\0" in data
        again = logs(10, received=2.0)
        with pytest.raises(RetryableError):
            await out.consume(again)
        proxy.on_request = lambda _: False
        await out.consume(again)
    found = {name: metrics.read(f"sluiceway_timescaledb_{name}", exporter="timescaledb") for name in COUNTED}
    assert found == {"moved_times": 1, "known_batches": 1}


async def test_a_unix_socket(place: Place) -> None:
    """It is named as for the receiver, and needs no TLS."""
    text = yaml_of(place).replace(place.server.endpoint, place.server.socket_endpoint)
    text = text.replace("tls: {insecure: true}", "transport: unix")
    async with make(COMPONENT, text, signals=frozenset({Signal.LOGS})) as out:
        await out.consume(logs(3))
    assert place.count() == 3


async def test_without_a_window_no_keys_are_kept(place: Place) -> None:
    """`idempotency_window: 0s` writes no key, and a batch that comes again is stored again."""
    async with exporter(place, "idempotency_window: 0s") as out:
        await out.consume(logs(10))
        await out.consume(logs(10))
    assert (place.count(), place.count("batches")) == (20, 0)


async def test_keys_are_forgotten_after_the_window(place: Place) -> None:
    """By the upkeep, on the context's clock; those of the window stay."""
    clock = ManualClock()
    async with exporter(place, "idempotency_window: 1h", clock=clock) as out:
        await out.consume(logs(1))
        place.sql("INSERT INTO otel_batches VALUES ('old', now() - interval '2 hours', 1)")
        await upkeep(clock)
    assert place.sql("SELECT key = 'old' FROM otel_batches") == "f"


def test_a_repetition_has_the_key_of_what_failed() -> None:
    """Nothing else has it: not what succeeded, nor what is under way beside it, nor what was refused for good."""
    keys, batch, used = Keys(), logs(1), []

    def deliver(error: Exception | None = None) -> None:
        with suppress(RetryableError, PermanentError), keys.of(batch) as key:
            used.append(key)
            if error is not None:
                raise error

    for error in (RetryableError("x"), RetryableError("x"), None, None, PermanentError("x"), None):
        deliver(error)
    assert used[0] == used[1] == used[2]
    assert len(set(used[2:])) == 4
    with keys.of(batch) as one, keys.of(batch) as other:
        assert one != other


async def test_connections_are_few_and_kept(place: Place) -> None:
    """`pool_size` at most, none that was not closed."""
    async with exporter(place, "pool_size: 2") as out:
        await asyncio.gather(*(out.consume(logs(10, received=float(n))) for n in range(1, 9)))
        assert place.sql(SESSIONS) == "2"
    until(lambda: place.sql(SESSIONS) == "0", "sessions are left")
    assert place.count() == 80


async def test_a_cancelled_export_cuts_its_connection(place: Place) -> None:
    """The next one gets a clean one, and nothing of the cancelled one is there."""
    async with exporter(place, "pool_size: 1") as out:
        await out.consume(logs(1))
        place.sql("ALTER TABLE otel_logs ADD CHECK (pg_sleep(0.02) IS NOT NULL)")
        task = asyncio.create_task(out.consume(logs(500, received=2.0)))
        query = "SELECT query FROM pg_stat_activity WHERE application_name = 'sluiceway'"
        await eventually(lambda: "COPY" in place.sql(query), "nothing is copied")
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()
        until(lambda: place.sql(SESSIONS) == "0", "the connection was kept")
        await out.consume(logs(3, received=3.0))
    assert place.count() == 4


async def test_a_server_that_goes_and_comes_back() -> None:
    """While it is away batches may come again; when it is back they are stored."""
    with postgres_server() as server:
        server.sql("CREATE ROLE otel LOGIN SUPERUSER PASSWORD 'secret'")
        place = Place(server, "postgres")
        async with exporter(place) as out:
            await out.consume(logs(1))
            server.stop(signals.SIGQUIT)
            for _ in range(2):
                with pytest.raises(RetryableError) as caught:
                    await out.consume(logs(5, received=2.0))
                assert caught.value.code == "UNAVAILABLE"
            server.start()
            await out.consume(logs(5, received=2.0))
        assert place.count() == 6


@pytest.mark.parametrize(("key", "value", "code", "advice"), [
    ("password", "wrong", "UNAUTHENTICATED", "check 'username', 'password', 'tls' and pg_hba.conf"),
    ("database", "nowhere", "NOT_FOUND", "create the database"),
    ("username", "small", "PERMISSION_DENIED", "grant the role"),
])  # fmt: skip
async def test_an_operators_mistake_holds_the_data(place: Place, key: str, value: str, code: str, advice: str) -> None:
    """The error may be retried and says what to do, without the password."""
    place.sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    async with exporter(place, access={key: value}) as out:
        with pytest.raises(RetryableError) as caught:
            await out.consume(logs(1))
    assert caught.value.code == code
    assert advice in caught.value.advice
    assert "secret" not in str(caught.value)
    assert "wrong" not in str(caught.value)


@pytest.mark.parametrize(
    "state", ["08006", "40001", "40P01", "53200", "57014", "57P01", "55P03", "58030", "XX000", "25006"]
)
async def test_what_may_pass_is_tried_again(place: Place, state: str) -> None:
    """A trigger that raises the state stands for the server; afterwards the same batch is stored."""
    async with exporter(place) as out:
        await out.consume(logs(1))
        place.sql(
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN RAISE 'x' USING ERRCODE = '{state}'; END $$",
            "CREATE TRIGGER fail BEFORE INSERT ON otel_logs FOR EACH STATEMENT EXECUTE FUNCTION fail()",
        )
        with pytest.raises(RetryableError):
            await out.consume(logs(5, received=2.0))
        place.sql("DROP TRIGGER fail ON otel_logs")
        await out.consume(logs(5, received=2.0))
    assert place.count() == 6


CHANGES = {
    "ALTER TABLE otel_logs DROP COLUMN severity_text": (
        "ADD COLUMN severity_text text",
        "ALTER TABLE otel_logs ADD COLUMN severity_text text",
    ),
    "ALTER TABLE otel_logs RENAME COLUMN body TO message": (
        "has no column body",
        "ALTER TABLE otel_logs RENAME message TO body",
    ),
    "ALTER TABLE otel_logs ALTER COLUMN flags TYPE integer": (
        "flags is integer and must be bigint",
        "ALTER TABLE otel_logs ALTER COLUMN flags TYPE bigint",
    ),
    "ALTER TABLE otel_logs RENAME TO elsewhere": ("is missing", "ALTER TABLE elsewhere RENAME TO otel_logs"),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_by_hand_holds_the_data_until_it_is_mended(place: Place, change: str) -> None:
    """The status names the column; nothing is rejected, and after the mending the batch is stored."""
    said, mending = CHANGES[change]
    async with exporter(place) as out:
        await out.consume(logs(1))
        place.sql(change)
        with pytest.raises(RetryableError):
            await out.consume(logs(5, received=2.0))
        with pytest.raises(RetryableError) as caught:
            await out.consume(logs(5, received=2.0))
        assert said in caught.value.advice
        place.sql(mending)
        await out.consume(logs(5, received=2.0))
    assert place.count() == 6


TYPES = {
    "a document becomes a text": "attributes TYPE text",
    "a whole number becomes a double": "flags TYPE double precision",
    "a whole number becomes a time": "flags TYPE timestamptz USING to_timestamp(flags)",
    "bytes become a text": "trace_id TYPE text USING encode(trace_id, 'hex')",
}


@pytest.mark.parametrize("change", TYPES.values(), ids=TYPES)
async def test_no_row_is_written_into_a_column_that_has_another_type(place: Place, change: str) -> None:
    """PostgreSQL would take the bytes as garbage; the very next batch after the change waits, and says why."""
    async with exporter(place) as out:
        await out.consume(logs(1))
        place.sql(f"ALTER TABLE otel_logs ALTER COLUMN {change}")
        for received in (2.0, 3.0):
            with pytest.raises(RetryableError) as caught:
                await out.consume(logs(1, received=received))
            assert re.search(r"is (text|double precision|timestamp with time zone) and must be", caught.value.advice)
    assert place.count() == 1


async def test_a_column_that_was_dropped_and_added_with_another_type(place: Place) -> None:
    """The same, though nothing had to be rewritten for it."""
    async with exporter(place) as out:
        await out.consume(logs(1))
        place.sql("ALTER TABLE otel_logs DROP COLUMN attributes, ADD COLUMN attributes text")
        with pytest.raises(RetryableError) as caught:
            await out.consume(logs(1, received=2.0))
    assert "attributes is text and must be jsonb" in caught.value.advice
    assert place.count() == 1


@pytest.mark.parametrize("window", ["24h", "0s"])
async def test_no_type_changes_while_rows_are_written(place: Place, window: str) -> None:
    """Whoever changes one between the look at the tables and the rows waits until these are committed."""
    altering: list[Future[str]] = []
    waits = "SELECT 1 FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'"

    def alter(data: bytes) -> bool:
        if b"COPY" in data and b"otel_logs" in data and not altering:
            change = "ALTER TABLE otel_logs ALTER COLUMN attributes TYPE text"
            altering.append(threads.submit(place.sql, change))
            until(lambda: place.sql(waits), "nobody waits")
        return False

    with ThreadPoolExecutor() as threads:
        async with (
            Proxy(place.server.port).running() as proxy,
            exporter(place, f"idempotency_window: {window}", port=proxy.port) as out,
        ):
            await out.consume(logs(1))
            proxy.on_request = alter
            batch = logs(1, received=2.0)
            message = batch.proto()
            message.resource_logs[0].scope_logs[0].log_records[0].attributes.add(key="k").value.string_value = "v"
            await out.consume(Batch.from_proto(message, batch.origin))
        altering[0].result()
    assert place.sql("SELECT attributes FROM otel_logs WHERE attributes IS NOT NULL") == '{"k": "v"}'


async def test_a_column_of_the_users_own_disturbs_nothing(place: Place) -> None:
    """Added while running: the next batch is stored at once."""
    async with exporter(place) as out:
        await out.consume(logs(1))
        place.sql("ALTER TABLE otel_logs ADD COLUMN team text DEFAULT 'sre'")
        assert await out.consume(logs(1, received=2.0)) is None
    assert place.count() == 2


async def test_a_column_that_nobody_fills_is_named(place: Place) -> None:
    """One that must not be NULL and has no default would refuse every row."""
    async with exporter(place) as out:
        await out.consume(logs(1))
    place.sql("TRUNCATE otel_logs", "ALTER TABLE otel_logs ADD COLUMN team text NOT NULL")
    async with exporter(place) as out:
        with pytest.raises(RetryableError) as caught:
            await out.consume(logs(1, received=3.0))
    assert "team must not be NOT NULL" in caught.value.advice
