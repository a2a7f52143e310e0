"""Files with the exporter: what a start does to them, what is taken back, what is noticed."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import threading
from pathlib import Path

import pytest

from sluiceway.component import Status, StatusEntry
from sluiceway.config.compression import zstd_module
from sluiceway.errors import RetryableError
from sluiceway.otlp import Signal, accept
from sluiceway.otlp.json import encode
from sluiceway.service import Collector
from sluiceway.testing import ManualClock, items
from tests.exporters.file.writing import exporter, lines, messages, until

CONFIG = """
receivers: {{feed: {{component: sluiceway.testing:Feeder}}}}
exporters: {{file: {{path: '{path}', {keys}}}}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    traces: {{receivers: [feed], exporters: [file]}}
    logs: {{receivers: [feed], exporters: [file]}}
"""


def status(collector: Collector) -> StatusEntry:
    """What is said of the exporter."""
    return collector.status()["exporter:file"]


async def test_a_batch_is_a_line(tmp_path: Path) -> None:
    """Of OTLP/JSON, in the order in which batches came."""
    path = tmp_path / "a.json"
    async with exporter(f"path: '{path}'") as file:
        for count in (1, 2, 3):
            await file.consume(items(Signal.TRACES, count))
    assert [batch.payload for batch in lines(path)] == [items(Signal.TRACES, count).payload for count in (1, 2, 3)]


async def test_a_start_empties_the_file_and_a_reload_does_not(tmp_path: Path) -> None:
    """A reload that changes the exporter goes on in the same file, though the old one has it open at first."""
    path = tmp_path / "a.json"
    path.write_text("{}\n")
    text = CONFIG.format(path=path, keys="")
    async with Collector.from_yaml(text) as collector:
        assert path.stat().st_size == 0
        feeder = collector.component("receiver", "feed")
        await asyncio.gather(feeder.feed(items(Signal.TRACES)), feeder.feed(items(Signal.LOGS)))
        changed = Collector.from_yaml(CONFIG.format(path=path, keys="fsync: always")).config
        await collector.reload(changed)
        await feeder.feed(items(Signal.TRACES))
        assert path.read_bytes().count(b"\n") == 3


async def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    """As `/dev/stdout` is one in a container; without a reader nothing is taken."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    async with exporter(f"path: '{path}', fsync: always") as file:
        with pytest.raises(RetryableError, match="nobody reads"):
            await file.consume(items(Signal.TRACES))
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        await file.consume(items(Signal.TRACES))
        assert os.read(reader, 20).startswith(b'{"resourceSpans"')
        os.close(reader)
        with pytest.raises(RetryableError, match="Broken pipe"):
            await file.consume(items(Signal.TRACES))


@pytest.mark.parametrize("keys", ["append: true", "rotation: {}"])
async def test_half_a_line_costs_itself(tmp_path: Path, keys: str) -> None:
    """What a crash left behind is kept, and parted from what comes then."""
    path = tmp_path / "a.json"
    path.write_bytes(b'{}\n{"resourceSp')
    async with exporter(f"path: '{path}', {keys}") as file:
        await file.consume(items(Signal.TRACES))
    assert path.read_bytes().startswith(b'{}\n{"resourceSp\n{"resourceSpans"')


@pytest.mark.parametrize("keys", ["format: proto", "format: proto, compression: zstd", "compression: zstd"])
async def test_half_a_message_is_cut_off(tmp_path: Path, caplog: pytest.LogCaptureFixture, keys: str) -> None:
    """A message whose length says more than there is would hide all that comes behind it."""
    path, batch = tmp_path / "a", items(Signal.TRACES)
    for _ in range(2):
        async with exporter(f"path: '{path}', append: true, {keys}") as file:
            await file.consume(batch)
        with path.open("ab") as torn:
            torn.write(b"\0\0\1\0half")
    async with exporter(f"path: '{path}', append: true, {keys}") as file:
        await file.consume(batch)
    unpack = zstd_module().decompress if "zstd" in keys else bytes
    one = batch.payload if "proto" in keys else encode(batch.signal, batch.payload)
    assert [unpack(message) for message in messages(path)] == [one] * 3
    assert [record.args for record in caplog.records] == [(8,), (8,)]


async def test_zeros_at_the_end_are_cut_off(tmp_path: Path) -> None:
    """As a power cut leaves them: they are no file of something else, to which nothing would ever be written again."""
    path, batch = tmp_path / "a", items(Signal.TRACES)
    for _ in range(2):
        async with exporter(f"path: '{path}', append: true, format: proto") as file:
            await file.consume(batch)
        with path.open("ab") as torn:
            torn.write(bytes(3 << 20))
    async with exporter(f"path: '{path}', append: true, format: proto") as file:
        await file.consume(batch)
    assert list(messages(path)) == [batch.payload] * 3


async def test_a_batch_without_items_is_no_message(tmp_path: Path) -> None:
    """Its length would be that of no message."""
    async with exporter(f"path: '{tmp_path}/a', format: proto") as file:
        await file.consume(accept(Signal.TRACES, b""))
    assert (tmp_path / "a").read_bytes() == b""


async def test_the_disk_knows_the_directories_that_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `fsync`: a file is of no use after a power cut whose directory has no name."""
    synced, sync = [], os.fsync

    def noted(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    async with exporter(f"path: '{tmp_path}/b/c/a', create_directory: true, fsync: always") as file:
        await file.consume(items(Signal.TRACES))
    assert synced == [f"{tmp_path}", f"{tmp_path}/b", f"{tmp_path}/b/c"]


async def test_a_file_of_something_else_is_not_touched(tmp_path: Path) -> None:
    """What is no file of messages is not cut, even if it was named by mistake."""
    path = tmp_path / "a"
    path.write_text("root:x:0:0:root:/root:/bin/bash\n")
    async with exporter(f"path: '{path}', append: true, format: proto") as file:
        with pytest.raises(RetryableError, match="it holds something else than such messages"):
            await file.consume(items(Signal.TRACES))
    assert path.read_text().startswith("root:")


async def test_a_file_that_was_taken_away_is_made_anew(tmp_path: Path) -> None:
    """Renamed as logrotate does, or deleted together with its folder."""
    path = tmp_path / "sub" / "a.json"
    async with exporter(f"path: '{path}', create_directory: true") as file:
        await file.consume(items(Signal.TRACES, 1))
        path.rename(tmp_path / "a.json.1")
        await file.consume(items(Signal.TRACES, 2))
        assert [batch.items for batch in lines(path)] == [2]
        path.unlink()
        path.parent.rmdir()
        await file.consume(items(Signal.TRACES, 3))
    assert [batch.items for batch in lines(path)] == [3]
    assert [batch.items for batch in lines(tmp_path / "a.json.1")] == [1]


async def test_a_truncated_file_goes_on_at_its_end(tmp_path: Path) -> None:
    """As `copytruncate` leaves it: no hole is made."""
    path = tmp_path / "a.json"
    async with exporter(f"path: '{path}'") as file:
        await file.consume(items(Signal.TRACES, 1))
        os.truncate(path, 0)
        await file.consume(items(Signal.TRACES, 2))
    assert [batch.items for batch in lines(path)] == [2]


async def test_what_keeps_it_from_writing_is_in_the_status(tmp_path: Path) -> None:
    """It starts all the same, says what to do, and is well again when the cause is gone, without any batch."""
    path, clock = tmp_path / "missing" / "a", ManualClock()
    async with Collector.from_yaml(CONFIG.format(path=path, keys=""), clock=clock) as collector:
        await until(lambda: "does not exist: create it, or set create_directory" in status(collector).message)
        assert status(collector).status is Status.RECOVERABLE_ERROR
        path.parent.mkdir()
        async with asyncio.timeout(20):
            while status(collector).status is not Status.OK:
                await clock.advance(10)
                await asyncio.sleep(0.01)
    async with exporter(f"path: '{tmp_path}'") as file:
        with pytest.raises(RetryableError, match="is a directory: name a file in it"):
            await file.consume(items(Signal.TRACES))


async def test_the_cause_stands_in_the_status_of_a_collector(tmp_path: Path) -> None:
    """The text that names the file, and not only the kind of the error."""
    path = tmp_path / "missing" / "a"
    async with Collector.from_yaml(CONFIG.format(path=path, keys="")) as collector:
        feeder = collector.component("receiver", "feed")
        with pytest.raises(RetryableError):
            await feeder.feed(items(Signal.TRACES))
        assert status(collector).status is Status.RECOVERABLE_ERROR
        assert "create_directory" in status(collector).message
        path.parent.mkdir()
        await feeder.feed(items(Signal.TRACES))
        await feeder.feed(items(Signal.LOGS))
        assert status(collector).status is Status.OK


async def test_a_system_that_allows_no_files_is_told() -> None:
    """Not even to root."""
    async with exporter("path: /sys/kernel/a.json") as file:
        with pytest.raises(RetryableError, match=r"cannot write /sys/kernel/a\.json"):
            await file.consume(items(Signal.TRACES))


async def test_nobody_else_writes_to_the_file(tmp_path: Path) -> None:
    """A file that another process has locked is neither emptied nor written to, until it is free."""
    path = tmp_path / "a.json"
    with path.open("w") as other:
        other.write("of another process\n")
        other.flush()
        fcntl.flock(other, fcntl.LOCK_EX)
        async with exporter(f"path: '{path}'") as file:
            with pytest.raises(RetryableError, match="another process or exporter writes to"):
                await file.consume(items(Signal.TRACES))
            assert path.read_text() == "of another process\n"
            fcntl.flock(other, fcntl.LOCK_UN)
            await file.consume(items(Signal.TRACES, 2))
    assert [batch.items for batch in lines(path)] == [2]


async def test_what_waits_is_brought_to_the_disk_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `fsync: always` many writers share the disk's time; each returns after it."""
    path, calls, sync = tmp_path / "a", 0, os.fdatasync

    def counted(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        sync(descriptor)

    monkeypatch.setattr(os, "fdatasync", counted)
    async with exporter(f"path: '{path}', format: proto, fsync: always") as file:
        await asyncio.gather(*(file.consume(items(Signal.TRACES, 1 + n % 3)) for n in range(100)))
        assert 1 <= calls <= 3
        assert len(list(messages(path))) == 100


async def test_what_the_disk_does_not_take_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the disk costs nobody's data, and a repetition makes no second copy."""
    path, sync = tmp_path / "a", os.fdatasync

    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    async with exporter(f"path: '{path}', format: proto, fsync: always") as file:
        await file.consume(items(Signal.TRACES, 1))
        monkeypatch.setattr(os, "fdatasync", fail)
        with pytest.raises(RetryableError, match="Input/output error"):
            await file.consume(items(Signal.TRACES, 2))
        monkeypatch.setattr(os, "fdatasync", sync)
        await file.consume(items(Signal.TRACES, 2))
    assert list(messages(path)) == [items(Signal.TRACES, count).payload for count in (1, 2)]


async def test_the_disk_has_everything_after_the_interval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `fsync: interval`, and only where something was written."""
    clock, calls = ManualClock(), 0

    def counted(descriptor: int) -> None:
        nonlocal calls
        calls += 1

    monkeypatch.setattr(os, "fdatasync", counted)
    async with exporter(f"path: '{tmp_path}/a', fsync: interval, flush_interval: 5s", clock=clock) as file:
        await file.consume(items(Signal.TRACES))
        assert calls == 0
        await clock.advance(5)
        await until(lambda: calls == 1)
        await clock.advance(5)
        await clock.advance(5)
    assert calls == 1


async def test_a_cancelled_batch_that_was_not_begun_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is being written is waited for, so that nobody is told of an end that may still change."""
    path, go, write = tmp_path / "a", threading.Event(), os.writev

    def slow(descriptor: int, parts: list[bytes]) -> int:
        go.wait(20)
        return write(descriptor, parts)

    monkeypatch.setattr(os, "writev", slow)
    async with exporter(f"path: '{path}', format: proto") as file:
        begun = asyncio.create_task(file.consume(items(Signal.TRACES, 1)))
        await asyncio.sleep(0)
        waiting = asyncio.create_task(file.consume(items(Signal.TRACES, 2)))
        await asyncio.sleep(0)
        waiting.cancel()
        begun.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not begun.done()
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await begun
    assert list(messages(path)) == [items(Signal.TRACES, 1).payload]
