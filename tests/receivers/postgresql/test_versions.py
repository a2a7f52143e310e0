"""Versions other than those that every other test runs on."""

from __future__ import annotations

import asyncio

import pytest

from sluiceway.component import Status, SystemClock
from sluiceway.testing import check_metrics
from tests.receivers.postgresql.bench import COMPONENT, EVERYTHING, Bench, access
from tests.receivers.postgresql.conftest import STATEMENTS, prepare
from tests.servers.postgresql import OTHER_VERSIONS, other_bin, postgres_server

EVENTS = "events: {db.server.query_sample: {enabled: true}, db.server.top_query: {enabled: true}}"
SINCE = {14: "postgresql.wal.", 16: "postgresql.io."}
"""Metrics whose views came with a version."""
OF_A_STANDBY = ("postgresql.replication.", "postgresql.standby.", "postgresql.wal.age", "postgresql.wal.lag",
                "postgresql.wal.delay")  # fmt: skip


@pytest.mark.parametrize("version", OTHER_VERSIONS)
async def test_a_version_is_measured_without_a_complaint(version: str) -> None:
    """All that it has is emitted, with statements as events; a role with few rights has a part, and a hint."""
    with postgres_server(STATEMENTS, other_bin(version)) as server:
        prepare(server)
        server.sql("VACUUM orders", database="shop")
        yaml = access(server, f"metrics: {EVERYTHING}, {EVENTS}, top_query_collection: {{collection_interval: 1s}}")
        absent = tuple(prefix for since, prefix in SINCE.items() if int(version) < since)
        may_be_absent = ("timescaledb.", "postgresql.vacuum.running", *OF_A_STANDBY, *absent)
        events: set[str] = set()
        with server.session("shop") as session:
            session.send("BEGIN")
            session.send("LOCK TABLE orders IN ACCESS SHARE MODE")
            async with Bench(yaml, SystemClock()) as bench, asyncio.timeout(30):
                while True:  # servers before 15 count after half a second
                    server.sql("SELECT count(*) FROM orders WHERE id > 5", database="shop")
                    events |= {record.event_name for record in await bench.records()}
                    missing = check_metrics(COMPONENT, bench.sink.batches)
                    if all(name.startswith(may_be_absent) for name in missing) and "db.server.top_query" in events:
                        break
                    await asyncio.sleep(0.05)
            assert bench.status == (Status.OK, "")
        async with Bench(access(server, user="small")) as bench:
            assert "postgresql.commits" in await bench.measure()
        assert 'GRANT pg_monitor TO "small"' in bench.status[1]
