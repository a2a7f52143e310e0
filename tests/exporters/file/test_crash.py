"""The real program is killed: what was acknowledged is in the file."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from sluiceway.otlp import Signal, accept
from sluiceway.testing import items
from tests.exporters.file.writing import files, messages, until
from tests.ports import free_port

CONFIG = """
receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:{port}'}}}}}}}}
exporters: {{file: {{path: '{path}', format: proto, fsync: always, {keys}}}}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines: {{traces: {{receivers: [otlp], exporters: [file]}}}}
"""


@pytest.mark.parametrize("keys", ["compression: none", "compression: none, rotation: {max_megabytes: 1}"])
async def test_what_was_acknowledged_is_in_the_file(tmp_path: Path, keys: str) -> None:
    """With `fsync: always`, by `kill -9` at any time; what comes after a restart can be read, too."""
    path, port = tmp_path / "out", free_port()
    (tmp_path / "config.yaml").write_text(CONFIG.format(port=port, path=path, keys=keys))
    acknowledged: list[bytes] = []
    for run in range(3):
        before = len(acknowledged)
        command = [sys.executable, "-m", "sluiceway", "run", "--config", str(tmp_path / "config.yaml")]
        with (tmp_path / "log").open("w") as log, subprocess.Popen(command, stderr=log) as program:  # noqa: ASYNC220 - it runs beside us
            await until(lambda: "Everything is ready" in (tmp_path / "log").read_text())
            sending = [asyncio.create_task(_send(port, run * 1000 + n * 100, acknowledged)) for n in range(8)]
            await until(lambda before=before: len(acknowledged) >= before + 60)
            program.send_signal(signal.SIGKILL)
            await asyncio.gather(*sending)
        whole = [found for file in files(tmp_path, "out*") for found in _whole(file)]
        expected = acknowledged if "rotation" in keys else acknowledged[before:]
        assert set(expected) <= set(whole)
        assert len(set(whole)) == len(whole)
        assert all(accept(Signal.TRACES, message).items for message in whole)


async def _send(port: int, number: int, acknowledged: list[bytes]) -> None:
    """Post batches until the connection breaks, and note those that were acknowledged."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with suppress(OSError, EOFError):
        while True:
            number += 1
            payload = items(Signal.TRACES, 20, service=f"service-{number}").payload
            head = "POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-protobuf\r\nContent-Length: "
            writer.write(f"{head}{len(payload)}\r\n\r\n".encode() + payload)
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            assert answer.startswith(b"http/1.1 200")
            (size,) = re.findall(rb"\r\ncontent-length: *(\d+)", answer)
            await reader.readexactly(int(size))
            acknowledged.append(payload)
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


def _whole(path: Path) -> list[bytes]:
    """The messages that are whole; only the last one may not be."""
    data = path.read_bytes()
    at = 0
    while at + 4 <= len(data) and (end := at + 4 + int.from_bytes(data[at : at + 4], "big")) <= len(data):
        at = end
    path.with_name(f"copy of {path.name}").write_bytes(data[:at])
    return list(messages(path.with_name(f"copy of {path.name}")))
