"""The receiver with real files: lines, names, pressure, and what each setting does."""

import os
from pathlib import Path

from sluiceway.component import Context, Kind
from sluiceway.errors import RefusedError
from sluiceway.receivers.file_log import COMPONENT, FileLogReceiver
from sluiceway.testing import ManualClock, MemorySink, settings
from tests.receivers.records import attributes, bodies, records, until


def receiver(yaml, sink, **context) -> FileLogReceiver:
    """A receiver in front of a sink."""
    config = settings(COMPONENT, f"receivers: {{file_log: {{{yaml}}}}}")
    return FileLogReceiver(config, Context("file_log", Kind.RECEIVER, **context), sink)


def append(path: Path, *lines: str) -> None:
    """Write lines to a log."""
    with path.open("a") as file:
        file.writelines(f"{line}\n" for line in lines)


async def test_lines_become_records(tmp_path: Path) -> None:
    """The body is the line without blanks around it, the file's name an attribute; empty lines are none."""
    sink, log = MemorySink(), tmp_path / "app.log"
    append(log, "one", "", "  two\t", "three\r")
    async with receiver(f"include: ['{tmp_path}/*.log'], start_at: beginning", sink):
        await until(lambda: sink.items == 3)
        append(log, "four")
        await until(lambda: sink.items == 4)
    assert bodies(sink.batches) == ["one", "two", "three", "four"]
    first = next(records(sink.batches))
    assert attributes(first) == {"log.file.name": "app.log"}
    assert first.time_unix_nano == 0
    assert first.observed_time_unix_nano > 0


async def test_a_renamed_file_is_read_to_its_end(tmp_path: Path) -> None:
    """What is written to it under a name that no pattern knows arrives, and the new file is read from its start."""
    sink, log = MemorySink(), tmp_path / "app.log"
    append(log, "one")
    async with receiver(f"include: ['{log}'], start_at: beginning, poll_interval: 20ms", sink):
        await until(lambda: sink.items == 1)
        with log.open("a") as old:
            log.rename(tmp_path / "app.log.1")
            append(log, "three")
            old.write("two\n")
        await until(lambda: sink.items == 3)
    assert sorted(bodies(sink.batches)) == ["one", "three", "two"]


async def test_a_truncated_file_is_read_anew_and_its_copy_not_again(tmp_path: Path) -> None:
    """Of a copy that is among the files only what was not read of the original is read."""
    sink, log = MemorySink(), tmp_path / "app.log"
    append(log, *(f"old {number}" for number in range(100)))
    async with receiver(f"include: ['{log}*'], start_at: beginning, poll_interval: 20ms", sink):
        await until(lambda: sink.items == 100)
        append(log, "unread")
        (tmp_path / "app.log.1").write_bytes(log.read_bytes())
        os.truncate(log, 0)
        append(log, *(f"new {number}" for number in range(200)))
        await until(lambda: sink.items >= 301)
    assert sorted(bodies(sink.batches)) == sorted(
        [*(f"old {n}" for n in range(100)), "unread", *(f"new {n}" for n in range(200))]
    )


async def test_what_is_refused_is_sent_again(tmp_path: Path) -> None:
    """Nothing is lost while the pipeline refuses, and nothing comes twice."""
    sink, log, clock = MemorySink(), tmp_path / "app.log", ManualClock()
    append(log, *(f"line {number}" for number in range(5000)))
    sink.error = RefusedError("full")
    async with receiver(f"include: ['{log}'], start_at: beginning", sink, clock=clock):
        await until(lambda: sink.calls)
        sink.error = None
        await clock.advance(1)
        await until(lambda: sink.items == 5000)
    assert bodies(sink.batches) == [f"line {number}" for number in range(5000)]
