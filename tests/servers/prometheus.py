"""Prometheus and its exporter of a machine's metrics, as Debian has them."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.ports import free_port
from tests.servers import program

__all__ = ["PrometheusServer", "node_exporter", "prometheus_server"]

PATIENCE = 30.0
"""Seconds that anything here may take."""


def fetch(url: str) -> bytes:
    """What a URL gives."""
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        return bytes(answer.read())


def wait_for(url: str) -> None:
    """Wait until a URL answers."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            fetch(url)
        except (OSError, urllib.error.URLError):
            assert time.monotonic() < deadline, url
            time.sleep(0.02)
        else:
            return


@contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended afterwards."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


class PrometheusServer:
    """A server that scrapes by a configuration of its own."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.endpoint = f"127.0.0.1:{port}"

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The result of an instant query: `metric` and `value` of each series."""
        answer = json.loads(fetch(f"{self.url}/api/v1/query?query={quote(expression)}"))
        return list(answer["data"]["result"])


@contextmanager
def prometheus_server(
    folder: Path,
    configuration: str,
    *features: str,
    native: bool = True,
    flags: tuple[str, ...] = (),
    port: int | None = None,
    binary: str | None = None,
) -> Iterator[PrometheusServer]:
    """A server with this configuration, ready to answer; killed at the end, so that its data is as after a crash.

    One that takes `native` histograms asks for protobuf.
    """
    path, port = binary or str(program("prometheus", "prometheus")), port or free_port()
    (folder / "prometheus.yml").write_text(configuration)
    with running(
        path, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=" + ",".join([*features, *(["native-histograms"] if native else [])]), *flags,
    ):  # fmt: skip
        server = PrometheusServer(port)
        wait_for(f"{server.url}/-/ready")
        yield server


@contextmanager
def node_exporter() -> Iterator[str]:
    """The exporter; gives its `host:port`."""
    path, endpoint = str(program("prometheus-node-exporter", "prometheus-node-exporter")), f"127.0.0.1:{free_port()}"
    with running(path, f"--web.listen-address={endpoint}"):
        wait_for(f"http://{endpoint}/metrics")
        yield endpoint
