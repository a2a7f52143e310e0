"""A disk that reports errors: what may be lost is told, for as long as it is so, and nothing torn is left behind."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from sluiceway.component import Status
from sluiceway.errors import RetryableError
from sluiceway.otlp import Signal
from sluiceway.service import Collector
from sluiceway.testing import ManualClock, items
from sluiceway.testing.clock import settle
from tests.exporters.file.writing import exporter, files, largest_file, messages, until

CONFIG = """
receivers: {{feed: {{component: sluiceway.testing:Feeder}}}}
exporters: {{file: {{path: '{path}', fsync: interval, flush_interval: 5s}}}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    traces: {{receivers: [feed], exporters: [file]}}
    logs: {{receivers: [feed], exporters: [file]}}
"""


@pytest.fixture
def failures(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often calls are still to fail, by their names."""
    left = {"fdatasync": 0, "ftruncate": 0}

    def failing(name: str) -> None:
        real = getattr(os, name)

        def call(*arguments: int) -> None:
            if left[name]:
                left[name] -= 1
                raise OSError(errno.EIO, "Input/output error")
            real(*arguments)

        monkeypatch.setattr(os, name, call)

    for name in left:
        failing(name)
    return left


async def test_what_the_disk_lost_is_told_until_it_takes_something(tmp_path: Path, failures: dict[str, int]) -> None:
    """Neither a batch that is written says that all is well, nor a failure of another kind that is over."""
    path, clock = tmp_path / "a", ManualClock()
    async with Collector.from_yaml(CONFIG.format(path=path), clock=clock) as collector:
        feed = collector.component("receiver", "feed").feed

        def told() -> bool:
            status = collector.status()["exporter:file"]
            return status.status is Status.RECOVERABLE_ERROR and "not on the disk" in status.message

        await feed(items(Signal.TRACES))
        failures["fdatasync"] = 1
        await clock.advance(5)
        await until(told)
        await clock.advance(5)  # there is nothing to bring to the disk
        for signal in (Signal.TRACES, Signal.LOGS):
            with largest_file(path.stat().st_size), pytest.raises(RetryableError):
                await feed(items(signal))
            await feed(items(signal))
        await settle()
        assert told()
        await clock.advance(5)
        await until(lambda: collector.status()["exporter:file"].status is Status.OK)


async def test_a_loss_at_the_end_is_logged(
    tmp_path: Path, failures: dict[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody asks for a status any more."""
    async with exporter(f"path: '{tmp_path}/a', fsync: interval") as file:
        await file.consume(items(Signal.TRACES))
        failures["fdatasync"] = 1
    assert [record.getMessage() for record in caplog.records] == [
        f"Not on the disk: cannot write {tmp_path}/a: Input/output error; what was acknowledged lately may be lost"
    ]


async def test_a_loss_in_a_file_that_is_put_aside_refuses_no_batch(
    tmp_path: Path, failures: dict[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    """What is lost was acknowledged before; the next batch goes to the new file."""
    async with exporter(
        f"path: '{tmp_path}/a', fsync: interval, format: proto, rotation: {{max_megabytes: 1}}"
    ) as file:
        await file.consume(items(Signal.TRACES, 6000))
        failures["fdatasync"] = 1
        await file.consume(items(Signal.TRACES, 6000))
    assert len(files(tmp_path)) == 2
    assert "Not on the disk" in caplog.text


async def test_what_could_not_be_taken_back_is_when_the_file_is_closed(
    tmp_path: Path, failures: dict[str, int]
) -> None:
    """A failed write whose rest could not be cut off leaves no half message behind."""
    batch, path = items(Signal.TRACES), tmp_path / "a"
    async with exporter(f"path: '{path}', format: proto") as file:
        await file.consume(batch)
        failures["ftruncate"] = 1
        with largest_file(path.stat().st_size + 20), pytest.raises(RetryableError):
            await file.consume(batch)
    assert list(messages(path)) == [batch.payload]


async def test_what_could_not_be_taken_back_is_before_the_next_message(
    tmp_path: Path, failures: dict[str, int]
) -> None:
    """However often that fails."""
    batch = items(Signal.TRACES, service="x")
    keys = "format: proto, group_by: {enabled: true, resource_attribute: service.name}"
    path = tmp_path / "x"
    async with exporter(f"path: '{tmp_path}/*', {keys}") as file:
        await file.consume(batch)
        failures["ftruncate"] = 9
        with largest_file(path.stat().st_size + 20), pytest.raises(RetryableError):
            await file.consume(batch)
        with pytest.raises(RetryableError):
            await file.consume(batch)
        failures["ftruncate"] = 0
        await file.consume(batch)
    assert list(messages(path)) == [batch.payload] * 2
