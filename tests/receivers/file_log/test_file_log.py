"""The receiver with real files: lines, names, pressure, and what each setting does."""

import asyncio
import os
import shutil
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sluiceway.component import Context, Kind, Status
from sluiceway.config.load import load
from sluiceway.config.model import Config
from sluiceway.errors import ConfigError, RefusedError
from sluiceway.extensions.file_storage import COMPONENT as STORAGE
from sluiceway.extensions.file_storage import FileStorage
from sluiceway.receivers.file_log import COMPONENT, FileLogReceiver
from sluiceway.registry import find
from sluiceway.service import Collector
from sluiceway.testing import ManualClock, MemorySink, settings
from tests.receivers.records import attributes, bodies, records, until

CONTAINER = "{type: container, format: containerd, add_metadata_from_filepath: false}"


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


async def test_it_says_that_no_file_matches(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Once, in the log and in the status, until there is one."""
    sink, statuses = MemorySink(), []
    keys = f"include: '{tmp_path}/*.log', start_at: beginning, poll_interval: 10ms"
    async with receiver(keys, sink, report=lambda status, message="": statuses.append((status, message))):
        assert statuses == [(Status.OK, "no files match the configured criteria")]
        append(tmp_path / "a.log", "one")
        await until(lambda: sink.items == 1)
    assert statuses[1:] == [(Status.OK, "")]
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [statuses[0][1]]


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


CONFIG = """
extensions:
  file_storage: {{directory: '{folder}/storage'}}
receivers:
  file_log: {{include: ['{folder}/log/*'], storage: file_storage, poll_interval: 20ms, {more}}}
exporters:
  memory: {{component: sluiceway.testing:MemorySink}}
service:
  extensions: [file_storage]
  telemetry: {{metrics: {{level: none}}}}
  pipelines: {{logs: {{receivers: [file_log], exporters: [memory]}}}}
"""


@asynccontextmanager
async def collector(folder: Path, more: str = "start_at: beginning"):
    """A collector that reads a folder's files, and its sink."""
    (folder / "log").mkdir(exist_ok=True)
    async with Collector.from_yaml(CONFIG.format(folder=folder, more=more)) as running:
        yield running.component("exporter", "memory")


async def test_a_restart_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """With a storage, whatever `start_at` says, and files that came meanwhile are read from their beginning."""
    log = tmp_path / "log" / "a"
    async with collector(tmp_path, "start_at: end") as sink:
        append(log, "one")
        await until(lambda: sink.items == 1)
    append(log, "two")
    append(tmp_path / "log" / "b", "three")
    async with collector(tmp_path, "start_at: end") as sink:
        await until(lambda: sink.items >= 2)
    assert sorted(bodies(sink.batches)) == ["three", "two"]


async def test_a_file_that_was_renamed_out_of_the_pattern_meanwhile_is_read_to_its_end(tmp_path: Path) -> None:
    """It is looked for in its folder, by its inode."""
    log, more = tmp_path / "log" / "a.log", "start_at: beginning, exclude: ['/**/*.1']"
    async with collector(tmp_path, more) as sink:
        append(log, "one")
        await until(lambda: sink.items == 1)
    append(log, "two")
    log.rename(tmp_path / "log" / "a.log.1")
    append(log, "three")
    async with collector(tmp_path, more) as sink:
        await until(lambda: sink.items >= 2)
    assert sorted(bodies(sink.batches)) == ["three", "two"]


async def test_what_an_operator_keeps_is_read_again_after_a_kill(tmp_path: Path) -> None:
    """The position that is stored stays in front of lines that wait for others, though those behind were delivered."""
    log = tmp_path / "log" / "a"
    more = """start_at: beginning, operators: [{type: recombine, combine_field: body, force_flush_period: 1h,
        is_first_entry: 'body startsWith "-"', if: 'not (body startsWith "x")'}]"""
    async with collector(tmp_path, more) as sink:
        append(log, "-1", "a", "-2", "b", "x")
        await until(lambda: sink.items == 2)
        shutil.copytree(tmp_path / "storage", tmp_path / "killed")  # what a kill would leave behind
    shutil.rmtree(tmp_path / "storage")
    (tmp_path / "killed").rename(tmp_path / "storage")
    async with collector(tmp_path, more) as again:
        await until(lambda: again.items)
    assert bodies(sink.batches)[:2] == ["-1\na", "x"]
    assert bodies(again.batches) == ["x", "-2\nb"]


async def test_what_was_in_front_of_a_stop_comes_once(tmp_path: Path) -> None:
    """A stop delivers what waits for others, and notes that."""
    log, more = tmp_path / "log" / "a", f"start_at: beginning, operators: [{CONTAINER}]"
    line = "2026-11-26T11:14:40.1Z stdout {} {}"
    async with collector(tmp_path, more) as sink:
        append(log, line.format("F", "one"), line.format("P", "two"))
        await until(lambda: sink.items == 1)
    assert bodies(sink.batches) == ["one", "two"]
    async with collector(tmp_path, more) as sink:
        append(log, line.format("F", "three"))
        await until(lambda: sink.items)
    assert bodies(sink.batches) == ["three"]


async def test_a_stop_waits_for_the_batch_under_way(tmp_path: Path) -> None:
    """It is taken while the receiver stops, and noted, so that it does not come again."""
    log = tmp_path / "log" / "a"
    async with collector(tmp_path) as sink:
        sink.gate = asyncio.Event()
        append(log, "one")
        await until(lambda: sink.calls)
        asyncio.get_running_loop().call_later(0.1, sink.gate.set)
    assert bodies(sink.batches) == ["one"]
    async with collector(tmp_path) as sink:
        append(log, "two")
        await until(lambda: sink.items)
    assert bodies(sink.batches) == ["two"]


async def test_a_store_that_cannot_be_written_does_not_stop_reading(tmp_path: Path) -> None:
    """The status says so while it lasts; what could not be noted is noted later."""
    log, reports, sink = tmp_path / "a", [], MemorySink()
    log.touch()
    config = settings(STORAGE, f"extensions: {{file_storage: {{directory: '{tmp_path}/s'}}}}")
    storage = FileStorage(config, Context("file_storage", Kind.EXTENSION))
    made = receiver(
        f"include: ['{log}'], start_at: beginning, poll_interval: 10ms, storage: file_storage", sink,
        extension=lambda _: storage, report=lambda status, message="": reports.append((status, message)),
    )  # fmt: skip
    async with storage, made:
        database = made._checkpoints._client
        database._connection.execute("PRAGMA max_page_count = 1")
        database._connection.execute("PRAGMA query_only = 1")
        append(log, "one")
        await until(lambda: sink.items == 1 and reports)
        assert reports[0][0] is Status.RECOVERABLE_ERROR
        database._connection.execute("PRAGMA query_only = 0")
        database._connection.execute("PRAGMA max_page_count = 1000")
        await until(lambda: len(reports) == 2)
        assert b'"offset": 4' in (await database.items())["1"]
    assert reports[1:] == [(Status.OK, "")]


async def test_a_file_is_deleted_when_the_pipeline_has_it(tmp_path: Path) -> None:
    """And not before: also its last line, which has no end."""
    sink, log, clock = MemorySink(), tmp_path / "a", ManualClock()
    log.write_text("one\ntwo")
    sink.error = RefusedError("full")
    async with receiver(f"include: ['{log}'], start_at: beginning, delete_after_read: true", sink, clock=clock):
        await until(lambda: sink.calls)
        assert log.exists()
        sink.error = None
        async with asyncio.timeout(10):
            while log.exists():
                await clock.advance(0.5)
                await asyncio.sleep(0.01)
    assert bodies(sink.batches) == ["one", "two"]


@pytest.mark.parametrize("key", ["filelog", "file_log"])
def test_both_names_are_known(key) -> None:
    """The Collector's old name and its new one."""
    assert find(Kind.RECEIVER, key) is COMPONENT


def test_include_is_needed() -> None:
    """Without it nothing would be read."""
    with pytest.raises(ConfigError, match="include"):
        settings(COMPONENT, "receivers: {file_log: {}}")


async def test_each_line_has_attributes_and_a_resource_of_its_own(tmp_path: Path) -> None:
    """What an expression gives for one line does not appear on others."""
    sink, log = MemorySink(), tmp_path / "a"
    append(log, "one", "two")
    named = "attributes: {which: 'EXPR(body)', fixed: a}, resource: {which: 'EXPR(body)', fixed: r}"
    async with receiver(f"include: ['{log}'], start_at: beginning, {named}", sink):
        await until(lambda: sink.items == 2)
    assert [attributes(record) for record in records(sink.batches)] == [
        {"log.file.name": "a", "which": which, "fixed": "a"} for which in ("one", "two")
    ]
    resources = [attributes(found.resource) for batch in sink.batches for found in batch.proto().resource_logs]
    assert resources == [{"which": which, "fixed": "r"} for which in ("one", "two")]


async def test_only_the_file_that_was_read_is_deleted(tmp_path: Path) -> None:
    """Not the one that has its name by then; and all that were read, however few may be open."""
    sink, log, clock = MemorySink(), tmp_path / "a.log", ManualClock()
    log.write_text("old\n")
    sink.gate = asyncio.Event()
    keys = f"include: ['{tmp_path}/*.log'], start_at: beginning, delete_after_read: true, max_concurrent_files: 3"
    async with receiver(keys, sink, clock=clock):
        await until(lambda: sink.calls)
        log.rename(tmp_path / "a.old")
        log.write_text("new\n")
        sink.gate.set()
        for number in range(10):
            (tmp_path / f"{number}.log").write_text(f"{number}\n")
        async with asyncio.timeout(10):
            while list(tmp_path.glob("*.log")):  # noqa: ASYNC240
                await clock.advance(0.5)
                await asyncio.sleep(0.01)
    assert sorted(bodies(sink.batches)) == sorted(["old", "new", *map(str, range(10))])


@pytest.mark.parametrize("start_at", ["beginning", "end"])
async def test_a_reload_loses_nothing_and_repeats_nothing(tmp_path: Path, start_at: str) -> None:
    """What was read is known to the receiver that takes the place of the one before, without a storage too."""

    def config(more: str) -> Config:
        return load(
            [
                f"""yaml:
receivers: {{file_log: {{include: '{tmp_path}/*.log', start_at: {start_at}, poll_interval: 20ms{more}}}}}
exporters: {{memory: {{component: 'sluiceway.testing:MemorySink'}}}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines: {{logs: {{receivers: [file_log], exporters: [memory]}}}}
"""
            ]
        )

    log = tmp_path / "a.log"
    append(log, "old")
    async with Collector(config("")) as collector:
        sink = collector.component("exporter", "memory")
        append(log, "one", "two")
        await until(lambda: sink.items == (3 if start_at == "beginning" else 2))
        sink.error = RefusedError("full")
        append(log, "three")
        await until(lambda: sink.calls > sink.items)
        sink.error = None
        await collector.reload(config(", attributes: {x: y}"))
        append(log, "four")
        await until(lambda: "four" in bodies(sink.batches))
    expected = ["one", "two", "three", "four"]
    assert bodies(sink.batches) == (["old", *expected] if start_at == "beginning" else expected)
