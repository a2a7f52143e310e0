"""Connections: how they are made and kept, and what happens when a server is away, slow or broken."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from pathlib import Path

import pytest
import trustme

from sluiceway.component import Status, SystemClock
from sluiceway.errors import ConfigError
from sluiceway.receivers.postgresql.connection import Access, Link, Refused
from tests.receivers.postgresql.bench import Bench, access, settings, values
from tests.servers.postgresql import PostgresServer, postgres_server, until

OURS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'sluiceway' ORDER BY 1"


async def test_connections_are_kept(server: PostgresServer) -> None:
    """Measuring again opens no new session: the server sees the same processes, each read-only and with a limit."""
    async with Bench(access(server)) as bench:
        await bench.measure()
        before = server.sql(OURS)
        await bench.measure()
        assert server.sql(OURS) == before
        assert len(before.splitlines()) == 2
    assert server.sql(OURS) == ""


async def test_a_pool_without_idle_connections_closes_them(server: PostgresServer) -> None:
    """`max_idle: 0` leaves no session behind between measurements."""
    async with Bench(access(server, "connection_pool: {max_idle: 0}")) as bench:
        await bench.measure()
        until(lambda: server.sql(OURS) == "", "sessions are left")


async def test_a_server_that_goes_and_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    """One error is logged however often it is asked for, and one message when it is back."""
    caplog.set_level(logging.INFO, "postgresql-test")
    with postgres_server() as server:
        server.sql("CREATE ROLE otel LOGIN PASSWORD 'secret'", "GRANT pg_monitor TO otel")
        async with Bench(access(server)) as bench:
            assert "postgresql.commits" in await bench.measure()
            server.stop(signal.SIGQUIT)
            for _ in range(3):
                assert await bench.measure() == {}
            assert bench.status[0] is Status.RECOVERABLE_ERROR
            assert server.endpoint in bench.status[1]
            server.start()
            assert "postgresql.commits" in await bench.measure()
            assert bench.status == (Status.OK, "")
    assert [record.message for record in caplog.records] == ["Error scraping metrics", "Scraping works again"]


async def test_a_restart_between_measurements_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    """A connection that was kept and is dead by now is replaced without a word."""
    with postgres_server() as server:
        server.sql("CREATE ROLE otel LOGIN PASSWORD 'secret'", "GRANT pg_monitor TO otel")
        async with Bench(access(server)) as bench:
            await bench.measure()
            server.stop()
            server.start()
            assert "postgresql.commits" in await bench.measure()
    assert caplog.records == []


async def test_one_broken_database_leaves_the_others(server: PostgresServer) -> None:
    """A database that lets nobody in is named; the rest is measured."""
    server.sql("CREATE DATABASE broken", "ALTER DATABASE broken CONNECTION LIMIT 0")
    try:
        async with Bench(access(server)) as bench:
            found = await bench.measure()
    finally:
        server.sql("DROP DATABASE broken")
    names = "postgresql.database.name"
    assert set(values(found, "postgresql.table.count", names)) == {"postgres", "shop"}
    assert "broken" in values(found, "postgresql.db_size", names)
    assert bench.status[0] is Status.OK
    assert "database broken: too many connections" in bench.status[1]


async def test_a_slow_query_costs_itself(server: PostgresServer) -> None:
    """What outlasts `query_timeout` is given up by the server."""
    chosen = settings(access(server, "query_timeout: 200ms"))
    where = Access("127.0.0.1", server.port, "otel", chosen.password, None, chosen.query_timeout)
    link = Link("shop", where, SystemClock())
    with pytest.raises(Refused, match="statement timeout"):
        await link.ask("SELECT pg_sleep(20)")
    with pytest.raises(Refused, match="read-only"):
        await link.ask("CREATE TABLE x (id int)")
    assert len(await link.ask("SELECT 1")) == 1
    await link.close()


async def test_a_server_that_says_nothing_is_given_up() -> None:
    """Who accepts and is silent holds a measurement up for `query_timeout` and a little more, and no longer."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        yaml = f"{{endpoint: '127.0.0.1:{port}', username: a, password: b, tls: {{insecure: true}}, query_timeout: 1s}}"
        async with Bench(yaml) as bench:
            measuring = asyncio.ensure_future(bench.measure())
            while not measuring.done():
                await bench.clock.advance(1)
            assert measuring.result() == {}
    assert "no answer in 3s" in bench.status[1]


async def test_nonsense_is_no_postgresql() -> None:
    """Who answers in another protocol is an error that says so, and no crash."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" + b"\xff" * 10_000)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yaml = f"{{endpoint: '127.0.0.1:{port}', username: a, password: b, tls: {{insecure: true}}}}"
        async with Bench(yaml, SystemClock()) as bench:
            assert await asyncio.wait_for(bench.measure(), 20) == {}
    assert bench.status[0] is Status.RECOVERABLE_ERROR


async def test_a_wrong_password_is_told_without_it(server: PostgresServer) -> None:
    """The server's own words say that the password is wrong; the password is in none of ours."""
    async with Bench(access(server).replace("secret", "wrongword")) as bench:
        assert await bench.measure() == {}
    assert "password authentication failed" in bench.status[1]
    assert "wrongword" not in bench.status[1]


async def test_a_unix_socket(server: PostgresServer) -> None:
    """`transport: unix` takes the folder of the socket and the port."""
    yaml = f"{{endpoint: '{server.socket_endpoint}', transport: unix, username: otel, password: secret}}"
    async with Bench(yaml) as bench:
        assert "postgresql.commits" in await bench.measure()


async def test_tls(tmp_path: Path) -> None:
    """TLS is on without settings and takes any certificate; checked, it takes only those of the authority."""
    authority, other = trustme.CA(), trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    with postgres_server(
        "ssl = on\nssl_cert_file = 'server.pem'\nssl_key_file = 'server.key'\n", tls=certificate
    ) as server:
        server.sql("CREATE ROLE otel LOGIN PASSWORD 'secret'", "GRANT pg_monitor TO otel")
        for name, ca in (("good", authority), ("bad", other)):
            ca.cert_pem.write_to_path(tmp_path / name)
        async with Bench(access(server, tls="{}")) as bench:
            assert "postgresql.commits" in await bench.measure()
            used = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'otel'"
            assert server.sql(used) == "t"
        checked = "{{insecure_skip_verify: false, ca_file: {}}}"
        async with Bench(access(server, tls=checked.format(tmp_path / "good"))) as bench:
            assert "postgresql.commits" in await bench.measure()
        async with Bench(access(server, tls=checked.format(tmp_path / "bad"))) as bench:
            assert await bench.measure() == {}
            assert "certificate verify failed" in bench.status[1]


@pytest.mark.parametrize(("yaml", "text"), [
    ("{password: b}", "username"),
    ("{username: '', password: b}", "invalid config: missing username"),
    ("{username: a, password: ''}", "invalid config: missing password"),
    ("{username: a, password: b, endpoint: localhost}", "invalid config: 'endpoint' must be in the form"),
    ("{username: a, password: b, transport: udp}", "transport"),
    ("{username: a, password: b, metrics: {postgresql.nothing: {}}}", "postgresql.nothing"),
])  # fmt: skip
def test_what_is_wrong_is_told_at_load(yaml: str, text: str) -> None:
    """Settings that cannot work are refused before anything starts."""
    with pytest.raises(ConfigError, match=text):
        settings(yaml)
