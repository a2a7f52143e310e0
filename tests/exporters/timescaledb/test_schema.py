"""How tables are made and kept: by several at once, by a DBA, in days, under row-level security."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
from pydantic import TypeAdapter, ValidationError
from yaml import safe_load

from sluiceway.errors import RetryableError
from sluiceway.exporters.timescaledb import TimescaleSettings
from sluiceway.exporters.timescaledb.__main__ import script
from sluiceway.exporters.timescaledb.columns import TABLES
from sluiceway.otlp import Signal
from sluiceway.testing import ManualClock, items
from tests.exporters.timescaledb.bench import Place, exporter, logs, upkeep, yaml_of
from tests.exporters.timescaledb.proxy import Proxy
from tests.servers.postgresql import until

HELD = "SELECT 1 FROM pg_locks WHERE relation = 'otel_logs_default'::regclass AND mode = 'AccessShareLock'"
DAYS = "SELECT relname FROM pg_class WHERE relname ~ '^otel_logs_(p\\d+|default)$' AND relkind = 'r' ORDER BY 1"


async def test_several_collectors_may_start_at_once(place: Place) -> None:
    """Of all signals, twice: the tables are made once, and everything is stored."""
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        for number, signal in enumerate([*Signal, *Signal]):
            tasks.create_task(_send(place, signal, number))
    assert place.sql("SELECT version FROM otel_schema_version") == "1"
    assert (place.count("spans"), place.count("logs"), place.count("gauges")) == (6, 6, 6)


async def _send(place: Place, signal: Signal, number: int) -> None:
    async with exporter(place, signal=signal) as out:
        await out.consume(items(signal, 3, service=f"s{number}"))


async def test_tables_of_other_names(place: Place) -> None:
    """In a schema and with a prefix of one's own, beside the others."""
    async with exporter(place, "schema: traces_eu, table_prefix: t_", signal=Signal.TRACES) as out:
        await out.consume(items(Signal.TRACES, 2))
    assert place.sql("SELECT count(*) FROM traces_eu.t_spans") == "2"


@pytest.mark.parametrize("more", [
    "schema: 'a\";b'", "table_prefix: Otel_", "table_prefix: 1a", f"table_prefix: {'a' * 40}",
    "endpoint: 'postgres://otel:hunter2@db/x'", "endpoint: db", "retention: 1h", "database: ''", "username: ''",
    "tls: {server_name_override: other}",
])  # fmt: skip
def test_settings_that_cannot_be_meant(more: str) -> None:
    """Each is refused, without its value where that may hold a password."""
    given = safe_load("{endpoint: 'db:5432', database: d, username: u}") | safe_load(f"{{{more}}}")
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(TimescaleSettings).validate_python(given)
    assert "hunter2" not in str([error["msg"] for error in caught.value.errors()])


async def test_a_dba_makes_the_tables(place: Place) -> None:
    """With `create_schema: false` data waits until the printed SQL was run, and a role that owns nothing may write."""
    access = {"username": "small"}
    async with exporter(place, "create_schema: false", access=access) as out:
        with pytest.raises(RetryableError) as caught:
            await out.consume(logs(5))
        assert "python -m sluiceway.exporters.timescaledb" in caught.value.advice
        place.sql(script([]), "GRANT INSERT ON ALL TABLES IN SCHEMA public TO small",
                  "GRANT SELECT, DELETE ON otel_batches TO small")  # fmt: skip
        await out.consume(logs(5))
    assert place.count() == 5
    assert place.sql(DAYS) == "otel_logs_default"


@pytest.mark.parametrize(("given", "said"), [
    (["--schema", "A"], "argument --schema: 'A' is no name of lower-case letters, digits and underscores"),
    (["--prefix", "a" * 40], f"argument --prefix: '{'a' * 40}' is longer than the 27 letters that the names"),
    (["--reader-role", "x;y"], "argument --reader-role: 'x;y' is no name of"),
])  # fmt: skip
def test_a_name_that_cannot_be_is_told_as_an_option(given: list[str], said: str) -> None:
    """The command ends with the code of a wrong use, and says which option is wrong and why."""
    command = [sys.executable, "-m", "sluiceway.exporters.timescaledb", *given]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert f"error: {said}" in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_tables_may_come_while_they_are_looked_at(place: Place) -> None:
    """Between two questions to the catalogue: what was seen before they came does not count."""
    made: list[str] = []

    def make_tables(data: bytes) -> bool:
        if b"pg_attribute" in data and not made:
            made.append(place.sql(script([]), "GRANT ALL ON ALL TABLES IN SCHEMA public TO otel"))
        return False

    async with Proxy(place.server.port).running() as proxy:
        proxy.on_request = make_tables
        async with exporter(place, "create_schema: false", port=proxy.port) as out:
            assert await out.consume(logs(5)) is None
    assert made
    assert place.count() == 5


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
async def test_every_table_has_its_columns_and_indexes(place: Place, table) -> None:
    """In the order of their declaration; by time, by service and time, by trace."""
    place.sql(script([]))
    relation = f"attrelid = 'otel_{table.name}'::regclass"
    columns = place.sql(f"SELECT attname FROM pg_attribute WHERE {relation} AND attnum > 0 ORDER BY attnum")
    assert columns.splitlines() == [column.name for column in table.columns]
    indexes = place.sql(f"SELECT indexname FROM pg_indexes WHERE tablename = 'otel_{table.name}'").splitlines()
    wanted = {"time", "service"} | ({"name"} if table.signal is Signal.METRICS else {"trace"})
    assert set(indexes) == {f"otel_{table.name}_{word}" for word in wanted}


async def test_days_are_made_ahead_and_dropped(place: Place) -> None:
    """Those of the window and two more; a day later the next is there, and those beyond the retention are gone."""
    clock = ManualClock()
    async with exporter(place, "time_window: {before: 24h}, retention: 48h", clock=clock) as out:
        await out.consume(logs(3))
        assert [name[-4:] for name in place.sql(DAYS).splitlines()] == ["ault", "1112", "1113", "1114", "1115", "1116"]
        await upkeep(clock, 3 * 86_400)
    assert [name[-4:] for name in place.sql(DAYS).splitlines()] == ["ault", "1115", "1116", "1117", "1118", "1119"]
    assert place.count() == 0


@pytest.mark.parametrize("name", ["otel_logs_p20209999", "archive_p20200101"])
async def test_a_partition_of_the_users_own_is_left_alone(place: Place, name: str) -> None:
    """Though its name looks like one of ours: rows are written, and what it holds stays."""
    clock = ManualClock()
    bounds = "FROM ('2020-01-01 00:00:00+00') TO ('2020-02-01 00:00:00+00')"
    async with exporter(place, "retention: 200h", clock=clock) as out:
        await out.check_backend()
        place.sql(f"CREATE TABLE {name} PARTITION OF otel_logs FOR VALUES {bounds}",
                  "INSERT INTO otel_logs (time, body) VALUES ('2020-01-02', 'kept')")  # fmt: skip
        await upkeep(clock)
        await out.consume(logs(1))
    assert place.sql(f"SELECT body FROM {name}") == "kept"


async def test_a_query_that_runs_for_long_holds_nobody_up(place: Place) -> None:
    """Its lock keeps new days from being made for as long, but writing goes on, and the days come later."""
    clock = ManualClock()
    async with exporter(place, "time_window: {before: 24h}", clock=clock) as out:
        await out.consume(logs(3))
        with place.server.session(place.database) as reader:
            reader.send("BEGIN")
            reader.send("LOCK TABLE otel_logs_default IN ACCESS SHARE MODE")
            until(lambda: place.sql(HELD), "the reader has no lock")
            await upkeep(clock, 3 * 86_400)
            await out.consume(logs(3, received=2.0))
            assert "1119" not in place.sql(DAYS)
            assert place.count() == 6
        until(lambda: not place.sql(HELD), "the reader has its lock")
        await upkeep(clock)
    assert "1119" in place.sql(DAYS)


async def test_late_data_goes_to_the_default_partition_and_then(place: Place) -> None:
    """Data of a day that has no partition is not refused; the retention takes it from there."""
    clock = ManualClock()
    async with exporter(place, "time_window: {before: 200h}, retention: 200h", clock=clock) as out:
        await out.consume(logs(3))
        place.sql("DROP TABLE otel_logs_p20231114")
        await out.consume(logs(3, received=2.0))
        assert place.sql("SELECT count(*) FROM otel_logs_default") == "3"
        await upkeep(clock)
        await out.consume(logs(3, received=3.0))
        assert place.count() == 6
        await upkeep(clock, 201 * 3600)
    assert place.count() == 0


async def test_a_reader_sees_its_tenant_only(place: Place) -> None:
    """By the session's setting, without one nothing; the owner sees all. The tables may have been there before.

    Partitions are not for readers, which would pass by the policy.
    """
    role = f"reader_{place.database}"
    async with exporter(place) as out:
        await out.consume(logs(1, tenant_id="acme", received=4.0))
    place.sql("TRUNCATE otel_logs")
    async with exporter(place, f"row_level_security: true, reader_role: {role}") as out:
        with pytest.raises(RetryableError) as caught:
            await out.consume(logs(3, tenant_id="acme"))
    assert f"CREATE ROLE {role} NOLOGIN" in caught.value.advice
    place.sql(f"CREATE ROLE {role} NOLOGIN", f"CREATE ROLE grace_{place.database} LOGIN IN ROLE {role}")
    async with exporter(place, f"row_level_security: true, reader_role: {role}") as out:
        await out.consume(logs(3, tenant_id="acme"))
        await out.consume(logs(4, tenant_id="globex", received=2.0))
        await out.consume(logs(5, received=3.0))
    become = f"SET ROLE grace_{place.database}"
    seen = "SELECT count(*), count(DISTINCT tenant) FROM otel_logs"
    assert place.sql(become, seen) == "0|0"
    assert place.sql(become, "SET sluiceway.tenant = 'acme'", seen) == "3|1"
    assert place.sql(become, "SET sluiceway.tenant = 'globex'", seen) == "4|1"
    assert place.sql(become, "SET sluiceway.tenant = ''", seen) == "0|0"
    for forbidden in ("TABLE otel_logs_default", "TABLE otel_batches", "INSERT INTO otel_logs (time) VALUES (now())"):
        with pytest.raises(AssertionError, match="permission denied"):
            place.sql(become, forbidden)
    assert place.count() == 12


async def test_another_reader_takes_the_place_of_the_former(place: Place) -> None:
    """The role that `reader_role` names now sees its tenant's rows; the one that it named before is let in no more."""
    before, now = f"before_{place.database}", f"now_{place.database}"
    place.sql(f"CREATE ROLE {before}", f"CREATE ROLE {now}")
    for role in (before, now):
        async with exporter(place, f"row_level_security: true, reader_role: {role}") as out:
            await out.consume(logs(3, tenant_id="acme"))
    seen = ("SET sluiceway.tenant = 'acme'", "SELECT count(*) FROM otel_logs")
    assert place.sql(f"SET ROLE {now}", *seen) == "6"
    with pytest.raises(AssertionError, match="permission denied"):
        place.sql(f"SET ROLE {before}", *seen)


async def test_a_table_that_was_dropped_is_made_anew(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """While running and at the start, with its indexes, its partitions and its policy; a line says so."""
    role = f"readers_{place.database}"
    place.sql(f"CREATE ROLE {role}")
    more = f"row_level_security: true, reader_role: {role}"
    async with exporter(place, more) as out:
        await out.consume(logs(1))
        assert not caplog.records
        place.sql("DROP TABLE otel_logs, otel_batches, otel_gauges")
        batch = logs(3, received=2.0, tenant_id="acme")
        with pytest.raises(RetryableError):
            await out.consume(batch)
        await out.consume(batch)
    assert "made anew" in caplog.text
    assert "otel_logs" in caplog.text
    assert place.sql(f"SET ROLE {role}", "SET sluiceway.tenant = 'acme'", "SELECT count(*) FROM otel_logs") == "3"
    assert place.sql("SELECT count(*) FROM pg_indexes WHERE tablename IN ('otel_logs', 'otel_gauges')") == "6"
    assert "otel_logs_p20231114" in place.sql(DAYS)
    place.sql("DROP TABLE otel_logs, otel_spans_default")
    async with exporter(place, more) as out:
        await out.consume(logs(2, received=3.0))
    assert place.count() == 2
    assert place.sql("SELECT to_regclass('otel_spans_default') IS NOT NULL") == "t"


async def test_a_table_that_was_renamed_is_not_made_anew(place: Place) -> None:
    """A new one would have no indexes, as these names are taken: data waits, and the status says by what."""
    async with exporter(place) as out:
        await out.consume(logs(1))
        place.sql("ALTER TABLE otel_logs RENAME TO archive")
        for _ in range(2):
            with pytest.raises(RetryableError) as caught:
                await out.consume(logs(1, received=2.0))
    assert "archive has its indexes" in caught.value.advice


async def test_the_tenant_is_the_attribute_that_the_settings_name(place: Place) -> None:
    """Any resource attribute."""
    async with exporter(place, "tenant_attribute: customer.id") as out:
        await out.consume(logs(1, customer_id="acme", tenant_id="no"))
    assert place.sql("SELECT tenant FROM otel_logs") == "acme"


def test_the_settings_hide_the_password(place: Place) -> None:
    """Printing them shows none."""
    settings = TypeAdapter(TimescaleSettings).validate_python(safe_load(yaml_of(place)))
    assert "secret" not in repr(settings)
