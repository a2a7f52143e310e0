"""A folder that we may not write to, before a program without root's right to write everywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession

from sluiceway.otlp import Signal
from sluiceway.testing import items
from tests.exporters.file.writing import lines, until
from tests.ports import free_port
from tests.servers import program

CONFIG = """
receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:{port}'}}}}}}}}
exporters: {{file: {{path: '{folder}/a'}}}}
extensions: {{health_check: {{endpoint: '127.0.0.1:{health}'}}}}
service:
  extensions: [health_check]
  telemetry: {{metrics: {{level: none}}}}
  pipelines: {{traces: {{receivers: [otlp], exporters: [file]}}}}
"""


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder that its owner may only read."""
    folder = tmp_path / "folder"
    folder.mkdir(0o555)
    yield folder
    folder.chmod(0o755)


def without_privileges(*command: str) -> list[str]:
    """A command that permissions count for, whoever runs it."""
    if os.geteuid() != 0:
        return list(command)
    rights = "-dac_override,-dac_read_search"
    return [str(program("setpriv", "util-linux")), f"--inh-caps={rights}", f"--bounding-set={rights}", "--", *command]


@asynccontextmanager
async def running(folder: Path, config: str) -> AsyncIterator[None]:
    """The program, once it says that it is ready."""
    (folder / "config.yaml").write_text(config)
    command = without_privileges(sys.executable, "-m", "sluiceway", "run", "--config", str(folder / "config.yaml"))
    with (folder / "log").open("w") as log, subprocess.Popen(command, stderr=log) as process:  # noqa: ASYNC220 - it runs beside us
        try:
            await until(lambda: "Everything is ready" in (folder / "log").read_text())
            yield
        finally:
            process.terminate()


async def test_permissions_that_are_missing_are_told(tmp_path: Path, read_only: Path) -> None:
    """It starts all the same and its health says why; the sender is told to come again, and it goes on once it may."""
    port, health, batch = free_port(), free_port(), items(Signal.TRACES)
    config = CONFIG.format(port=port, health=health, folder=read_only)
    async with running(tmp_path, config), ClientSession() as session:

        async def post() -> int:
            headers = {"Content-Type": "application/x-protobuf"}
            url = f"http://127.0.0.1:{port}/v1/traces"
            async with session.post(url, data=batch.payload, headers=headers) as answer:
                return answer.status

        async def told() -> str:
            async with session.get(f"http://127.0.0.1:{health}/") as answer:
                return await answer.text()

        text = f"cannot write {read_only}/a: Permission denied"
        await until(lambda: text in (tmp_path / "log").read_text())
        assert text in await told()
        assert await post() == 503
        assert text in await told()
        os.chmod(read_only, 0o755)  # noqa: PTH101
        assert await post() == 200
        assert text not in await told()
    assert [written.payload for written in lines(read_only / "a")] == [batch.payload]
