"""Redis servers, and a cluster of six."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.ports import free_port
from tests.servers import program

__all__ = ["Cluster", "RedisServer", "redis_cluster", "redis_sentinel", "redis_server", "until"]

PATIENCE = 30.0
"""Seconds that anything here may take."""


def until(happens: Callable[[], Any], what: str) -> Any:
    """Wait until something holds, and return it."""
    deadline = time.monotonic() + PATIENCE
    while not (found := happens()):
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
    return found


class RedisServer:
    """One server in a folder of its own; it can be stopped, and started again on the same port."""

    def __init__(self, folder: Path, *options: str, settings: Path | None = None) -> None:
        self.folder = folder
        self.port = free_port()
        self.socket = folder / "redis.sock"
        self._options = options
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """`host:port`."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start, and wait until it listens."""
        path = str(program("redis-server", "redis-server"))
        where = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        if self._settings is None:
            more = [
                "--unixsocket", str(self.socket), "--save", "", "--enable-debug-command", "yes",
                "--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1",
            ]  # fmt: skip
            command = [path, *where, *more, *self._options]
        else:
            command = [path, str(self._settings), "--sentinel", *where]
        with (self.folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        until(self._listens, f"{self.endpoint} does not listen")

    def stop(self, how: signal.Signals = signal.SIGKILL) -> None:
        """End the process, by default without a warning."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.send_signal(signal.SIGCONT)
            self._process.wait(PATIENCE)
            self._process = None

    def resume(self) -> None:
        """Start it, or wake it, unless it runs."""
        if self._process is None:
            self.start()
        os.kill(self.pid, signal.SIGCONT)

    def pause(self) -> None:
        """Let it hang: it accepts connections and says nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def call(self, *arguments: str) -> str:
        """What redis-cli prints."""
        command = [str(program("redis-cli", "redis-tools")), "-p", str(self.port), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE).stdout.strip()

    def info(self, *sections: str) -> dict[str, str]:
        """INFO, by field."""
        lines = (line.partition(":") for line in self.call("INFO", *sections).splitlines())
        return {name: value for name, colon, value in lines if colon}

    def _listens(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0


@contextmanager
def redis_server(folder: Path, *options: str) -> Iterator[RedisServer]:
    """A server that runs as long as the block does."""
    folder.mkdir(parents=True, exist_ok=True)
    server = RedisServer(folder, *options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def redis_sentinel(folder: Path, watched: RedisServer) -> Iterator[RedisServer]:
    """A Sentinel that watches a server."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "sentinel.conf"
    settings.write_text(f"sentinel monitor mymaster 127.0.0.1 {watched.port} 1\n")
    server = RedisServer(folder, settings=settings)
    server.start()
    try:
        yield server
    finally:
        server.stop()


class Cluster:
    """Three primaries with a replica each."""

    def __init__(self, servers: list[RedisServer]) -> None:
        self.servers = servers

    def nodes(self) -> dict[int, list[str]]:
        """The words of CLUSTER NODES by port, as the first server that runs sees them."""
        server = next(server for server in self.servers if server._process is not None)
        lines = (line.split() for line in server.call("CLUSTER", "NODES").splitlines())
        return {int(words[1].partition("@")[0].rpartition(":")[2]): words for words in lines}

    def primaries(self) -> list[RedisServer]:
        """Those that serve slots, in the order of these."""
        nodes = self.nodes()
        serving = [
            server for server in self.servers if "master" in nodes[server.port][2] and len(nodes[server.port]) > 8
        ]
        return sorted(serving, key=lambda server: int(nodes[server.port][8].partition("-")[0]))

    def replicas_of(self, primary: RedisServer) -> list[RedisServer]:
        """Its replicas."""
        nodes = self.nodes()
        return [server for server in self.servers if nodes[server.port][3] == nodes[primary.port][0]]

    def set(self, name: str, value: str) -> None:
        """Change a setting everywhere, until `mend`."""
        for server in self.servers:
            server.call("CONFIG", "SET", name, value)

    def mend(self) -> None:
        """Let all run again, as they were set up, and wait until they are well."""
        for server in self.servers:
            server.resume()
        self.set("cluster-replica-no-failover", "no")
        self.set("cluster-require-full-coverage", "yes")
        until(lambda: all(map(_well, self.servers)), "the cluster is not well again")


@contextmanager
def redis_cluster(folder: Path, *options: str) -> Iterator[Cluster]:
    """A cluster of six on loopback, whose nodes take each other for dead after half a second."""
    with ExitStack() as running:
        servers = []
        for number in range(6):
            inner = ("--cluster-enabled", "yes", "--cluster-node-timeout", "500", "--cluster-port", str(free_port()))
            servers.append(running.enter_context(redis_server(folder / str(number), *inner, *options)))
        cli = str(program("redis-cli", "redis-tools"))
        command = [cli, "--cluster", "create", *(server.endpoint for server in servers)]
        subprocess.run(
            [*command, "--cluster-replicas", "1", "--cluster-yes"], check=True, capture_output=True, timeout=PATIENCE
        )
        cluster = Cluster(servers)
        until(
            lambda: all(server.info()["cluster_enabled"] == "1" and _well(server) for server in servers), "no cluster"
        )
        yield cluster


def _well(server: RedisServer) -> bool:
    """Whether a node knows five others, of which none has failed, and is connected to its primary."""
    told, nodes = server.call("CLUSTER", "INFO"), server.call("CLUSTER", "NODES")
    linked = server.info("replication").get("master_link_status", "up") == "up"
    return linked and "cluster_state:ok" in told and nodes.count("connected") == 6 and "fail" not in nodes
