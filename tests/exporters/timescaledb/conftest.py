"""The servers that these tests share."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from tests.exporters.timescaledb.bench import Place
from tests.servers.postgresql import PostgresServer, debian_bin, postgres_server

_NUMBERS = count()


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    """Debian's server, with a role that may log in and make tables."""
    with postgres_server(bin=debian_bin()) as running:
        running.sql("CREATE ROLE otel LOGIN PASSWORD 'secret'", "CREATE ROLE small LOGIN PASSWORD 'secret'")
        yield running


@pytest.fixture
def place(server: PostgresServer) -> Place:
    """A database of the test's own, which the role `otel` owns."""
    name = f"telemetry_{next(_NUMBERS)}"
    server.sql(f"CREATE DATABASE {name} OWNER otel")
    return Place(server, name)
