"""A disk without room: nothing that was acknowledged is lost, no message is torn, and it goes on when there is room."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sluiceway.component import Status
from sluiceway.errors import RetryableError
from sluiceway.otlp import Signal
from sluiceway.service import Collector
from sluiceway.testing import items
from tests.exporters.file.writing import exporter, largest_file, lines, messages, until


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("this user may not mount anything")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def remount(folder: Path, how: str) -> None:
    """Forbid writing to a file system, or allow it."""
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)


@pytest.mark.parametrize("keys", ["format: json", "format: proto", "format: proto, fsync: always"])
async def test_what_does_not_fit_is_taken_back(tmp_path: Path, keys: str) -> None:
    """Down to the last whole message; a repetition is written once there is room, and only once."""
    path, batches = tmp_path / "a", [items(Signal.TRACES, 10 + n) for n in range(20)]
    async with exporter(f"path: '{path}', {keys}") as file:
        with largest_file(20_000):
            results = await asyncio.gather(*(file.consume(batch) for batch in batches), return_exceptions=True)
        written = [batch for batch, result in zip(batches, results, strict=True) if result is None]
        missing = [batch for batch, result in zip(batches, results, strict=True) if result is not None]
        assert written
        assert missing
        assert {type(result) for result in results} == {type(None), RetryableError}
        assert _payloads(path, keys) == [batch.payload for batch in written]
        for batch in missing:
            await file.consume(batch)
    assert _payloads(path, keys) == [batch.payload for batch in written + missing]


async def test_a_full_disk_goes_on_after_room_is_made(small_disk: Path) -> None:
    """A real one: with `retry_on_failure` nobody notices but the status."""
    path = small_disk / "a"
    (small_disk / "ballast").write_bytes(b"x" * 200_000)
    text = f"""
    receivers: {{feed: {{component: sluiceway.testing:Feeder}}}}
    exporters:
      file: {{path: '{path}', format: proto, retry_on_failure: {{initial_interval: 10ms, max_interval: 50ms}}}}
    service:
      telemetry: {{metrics: {{level: none}}}}
      pipelines: {{traces: {{receivers: [feed], exporters: [file]}}}}
    """
    batches = [items(Signal.TRACES, 40 + n) for n in range(20)]
    async with Collector.from_yaml(text) as collector, asyncio.TaskGroup() as tasks:
        for batch in batches:
            tasks.create_task(collector.component("receiver", "feed").feed(batch))
        await until(lambda: "No space left on device" in collector.status()["exporter:file"].message)
        assert collector.status()["exporter:file"].status is Status.RECOVERABLE_ERROR
        (small_disk / "ballast").unlink()
    assert sorted(messages(path)) == sorted(batch.payload for batch in batches)


async def test_a_read_only_file_system_is_told(small_disk: Path) -> None:
    """Also to root; it goes on once the file system can be written to."""
    remount(small_disk, "ro")
    async with exporter(f"path: '{small_disk}/a'") as file:
        with pytest.raises(RetryableError, match="Read-only file system"):
            await file.consume(items(Signal.TRACES))
        remount(small_disk, "rw")
        await file.consume(items(Signal.TRACES))
    assert len(lines(small_disk / "a")) == 1


def _payloads(path: Path, keys: str) -> list[bytes]:
    return [batch.payload for batch in lines(path)] if "json" in keys else list(messages(path))
