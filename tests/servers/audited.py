"""A real PostgreSQL with pgaudit, which writes its log in all three formats."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.ports import free_port
from tests.servers import program

_BIN = "/usr/lib/postgresql/15/bin"
_CONFIG = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{folder}'
shared_preload_libraries = 'pgaudit'
pgaudit.log = 'read, write, ddl, role'
log_destination = 'stderr,csvlog,jsonlog'
logging_collector = on
log_directory = '{folder}'
log_filename = 'log'
log_line_prefix = '{prefix}'
log_connections = on
log_disconnections = on
log_timezone = 'UTC'
fsync = off
"""
_RULES = """
local all postgres trust
host all postgres 127.0.0.1/32 trust
host all mallory 127.0.0.1/32 reject
host postgres all 127.0.0.1/32 scram-sha-256
"""
DEBIAN = "%m [%p] %q%u@%d "
"""The beginning of each text line as Debian has it; PostgreSQL itself leaves user and database out."""


@dataclass(frozen=True)
class Audited:
    """A running server. Its logs are `log` (text), `log.csv` and `log.json` in the folder."""

    folder: Path
    port: int

    async def run(self, sql: str, *, user: str = "postgres", password: str = "", database: str = "postgres") -> None:
        """Have psql do something as a user; whether it succeeds does not matter."""
        process = await asyncio.create_subprocess_exec(
            f"{_BIN}/psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", user, "-d", database, "-c", sql, "-w",
            env={"PGPASSWORD": password, "PGSSLMODE": "disable"}, stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        await process.wait()


@asynccontextmanager
async def audited(prefix: str = DEBIAN) -> AsyncIterator[Audited]:
    """Start the server, in a folder of its own. Strangers are let into the database postgres alone, mallory nowhere."""
    program("postgres", "postgresql-15", f"{_BIN}/postgres")
    program("pgaudit.control", "postgresql-15-pgaudit", "/usr/share/postgresql/15/extension/pgaudit.control")
    folder, port = Path(tempfile.mkdtemp(prefix="audited-", dir="/tmp")), free_port()
    who = {}
    if os.geteuid() == 0:  # which PostgreSQL refuses
        account = pwd.getpwnam("postgres")
        os.chown(folder, account.pw_uid, account.pw_gid)
        who = {"user": account.pw_uid, "group": account.pw_gid}
    try:
        made = await asyncio.create_subprocess_exec(
            f"{_BIN}/initdb", "-D", str(folder / "data"), "-U", "postgres", "-A", "trust", "-N",
            stdout=asyncio.subprocess.DEVNULL, cwd=folder, **who,
        )  # fmt: skip
        assert await made.wait() == 0
        (folder / "data/postgresql.conf").write_text(_CONFIG.format(folder=folder, port=port, prefix=prefix))
        (folder / "data/pg_hba.conf").write_text(_RULES)
        server = await asyncio.create_subprocess_exec(
            f"{_BIN}/postgres", "-D", str(folder / "data"), stderr=asyncio.subprocess.DEVNULL, cwd=folder, **who
        )
        try:
            async with asyncio.timeout(30):
                await _answers(port)
            yield Audited(folder, port)
        finally:
            server.terminate()
            await server.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _answers(port: int) -> None:
    while True:
        ready = await asyncio.create_subprocess_exec(
            f"{_BIN}/pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-d", "postgres"
        )
        if await ready.wait() == 0:
            return
        await asyncio.sleep(0.05)
