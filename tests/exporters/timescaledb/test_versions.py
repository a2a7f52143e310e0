"""Other versions of PostgreSQL: the oldest and the newest that people run."""

from __future__ import annotations

import pytest

from sluiceway.otlp import Signal
from sluiceway.testing import items
from tests.exporters.timescaledb.bench import Place, exporter
from tests.servers.postgresql import newest_bin, other_bin, postgres_server

TABLES = {Signal.TRACES: "spans", Signal.LOGS: "logs", Signal.METRICS: "gauges"}


@pytest.mark.parametrize("version", ["12", "17", "newest"])
async def test_every_version_takes_the_rows(version: str) -> None:
    """Of each signal, with row-level security on."""
    bin = newest_bin() if version == "newest" else other_bin(version)
    with postgres_server("password_encryption = 'scram-sha-256'\n", bin) as server:
        server.sql("CREATE ROLE otel LOGIN SUPERUSER PASSWORD 'secret'")
        place = Place(server, "postgres")
        for signal, table in TABLES.items():
            async with exporter(place, "row_level_security: true", signal=signal) as out:
                assert await out.consume(items(signal, 3)) is None
            assert place.count(table) == 3
