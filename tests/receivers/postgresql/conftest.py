"""The servers that these tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.postgresql import PostgresServer, debian_bin, newest_bin, postgres_server, postgres_standby

STATEMENTS = "shared_preload_libraries = 'pg_stat_statements'\npassword_encryption = 'scram-sha-256'\n"


def prepare(server: PostgresServer) -> None:
    """Make a role that may see everything and one that may not, and a database with a table and a function."""
    server.sql(
        "CREATE ROLE otel LOGIN PASSWORD 'secret'", "GRANT pg_monitor TO otel",
        "CREATE ROLE small LOGIN PASSWORD 'secret'",
        "CREATE EXTENSION pg_stat_statements", "CREATE DATABASE shop",
    )  # fmt: skip
    server.sql(
        "CREATE TABLE orders (id int PRIMARY KEY, note text)",
        "INSERT INTO orders SELECT i, '' FROM generate_series(1, 1000) i",
        "CREATE FUNCTION answer() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 42; END'", "SELECT answer()",
        database="shop",
    )  # fmt: skip


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    """Debian's server, with a role that may see everything and one that may not, and a database with a table."""
    with postgres_server(STATEMENTS, debian_bin()) as running:
        prepare(running)
        yield running


@pytest.fixture(scope="session")
def newest() -> Iterator[PostgresServer]:
    """The same of version 18."""
    with postgres_server(STATEMENTS, newest_bin()) as running:
        prepare(running)
        yield running


@pytest.fixture(scope="session")
def standby(server: PostgresServer) -> Iterator[PostgresServer]:
    """A server that follows Debian's."""
    with postgres_standby(server) as running:
        yield running
