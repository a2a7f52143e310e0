"""A real MLflow tracking server on SQLite, as `pip install mlflow` gives it.

MLflow needs some 90 distributions and so is no part of the extra `test`: tests that need it are skipped without it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port

__all__ = ["MlflowServer", "mlflow_server"]

PATIENCE = 90.0
"""Seconds that the start may take."""


class MlflowServer:
    """A running server."""

    def __init__(self, port: int) -> None:
        self.uri = f"http://127.0.0.1:{port}"

    def ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """What the REST API answers to a POST."""
        request = urllib.request.Request(
            f"{self.uri}/api/2.0/mlflow/{path}", json.dumps(body).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def experiment(self, name: str) -> str:
        """Make an experiment; its id."""
        return self.ask("experiments/create", {"name": name})["experiment_id"]

    def run(self, experiment: str, name: str, start: int, **metrics: float) -> str:
        """Start a run at a time in ms, with metrics; its id."""
        body = {"experiment_id": experiment, "run_name": name, "start_time": start}
        run: str = self.ask("runs/create", body)["run"]["info"]["run_id"]
        for key, value in metrics.items():
            self.log(run, key, value)
        return run

    def log(self, run: str, key: str, value: float, step: int = 0) -> None:
        """Log a metric of a run."""
        self.ask("runs/log-metric", {"run_id": run, "key": key, "value": value, "timestamp": 1 + step, "step": step})

    def end(self, run: str, status: str, at: int) -> None:
        """End a run at a time in ms."""
        self.ask("runs/update", {"run_id": run, "status": status, "end_time": at})


@contextmanager
def mlflow_server(folder: Path) -> Iterator[MlflowServer]:
    """A server that runs as long as the block does."""
    program = shutil.which("mlflow")
    if program is None:
        pytest.skip("mlflow is not installed (pip install mlflow)")
    port = free_port()
    command = [
        program, "server", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination",
        str(folder / "artifacts"), "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
    ]  # fmt: skip
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "mlflow.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **quiet}, stdout=log, stderr=log, start_new_session=True
        )
    try:
        _wait(port, process)
        yield MlflowServer(port)
    finally:
        os.killpg(process.pid, signal.SIGTERM)  # it has workers
        process.wait(30)


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        assert process.poll() is None, "mlflow has ended"
        assert time.monotonic() < deadline, "mlflow does not answer"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
