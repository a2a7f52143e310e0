"""Files of OTLP/JSON are followed: lines become the batches that they were."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sluiceway.component import Context, Kind
from sluiceway.errors import RefusedError
from sluiceway.exporters.file import COMPONENT as EXPORTER
from sluiceway.exporters.file import FileExporter
from sluiceway.otlp import Batch, Signal
from sluiceway.receivers.otlp_json_file import COMPONENT, OtlpJsonFileReceiver
from sluiceway.registry import find
from sluiceway.service import Collector
from sluiceway.testing import ManualClock, MemorySink, items, settings
from tests.receivers.file.reading import line, payloads, write
from tests.receivers.records import until


def receiver(keys: str, sink: MemorySink, *signals: Signal, **context: Any) -> OtlpJsonFileReceiver:
    """A receiver in front of a sink, of all signals unless told otherwise."""
    config = settings(COMPONENT, f"receivers: {{otlp_json_file: {{poll_interval: 10ms, {keys}}}}}")
    made = Context("otlp_json_file", Kind.RECEIVER, frozenset(signals or Signal), **context)
    return OtlpJsonFileReceiver(config, made, sink)


def spans(count: int) -> Batch:
    """A batch of spans."""
    return items(Signal.TRACES, count)


async def test_lines_become_batches(tmp_path: Path) -> None:
    """Of all signals, as they are written, behind what was there at the start."""
    sink, path = MemorySink(), tmp_path / "a.json"
    write(path, line(spans(7)))
    async with receiver(f"include: '{path}'", sink):
        write(path, *(line(items(signal, 2)) for signal in Signal))
        await until(lambda: len(sink.batches) == 3)
        write(tmp_path / "b.json", line(spans(1)))
    assert [(batch.signal, batch.payload) for batch in sink.batches] == [
        (signal, items(signal, 2).payload) for signal in Signal
    ]


async def test_what_the_exporter_puts_aside_is_read_to_its_end(tmp_path: Path) -> None:
    """While it is written: every batch comes once, in its order."""
    sink, batches = MemorySink(), [spans(1000 + n) for n in range(30)]
    config = settings(EXPORTER, f"exporters: {{file: {{path: '{tmp_path}/a.json', rotation: {{max_megabytes: 1}}}}}}")
    async with receiver(f"include: '{tmp_path}/a*.json', start_at: beginning", sink):
        async with FileExporter(config, Context("file", Kind.EXPORTER, frozenset({Signal.TRACES}))) as file:
            for batch in batches:
                await file.consume(batch)
        await until(lambda: len(sink.batches) >= 30)
    assert sorted(payloads(sink.batches)) == sorted(payloads(batches))


async def test_a_line_waits_for_its_end(tmp_path: Path) -> None:
    """Half of it is not damaged; one that is whole is taken after a while without an end, and only once."""
    sink, path, whole = MemorySink(), tmp_path / "a.json", line(spans(3))
    write(path, line(spans(1)), whole[:100])
    async with receiver(f"include: '{path}', start_at: beginning, force_flush_period: 20ms", sink):
        await until(lambda: sink.items == 1)
        write(path, whole[100:-1])
        await until(lambda: sink.items == 4)
        write(path, b"\n", line(spans(2)))
        await until(lambda: sink.items == 6)
    assert len(sink.batches) == 3


async def test_half_a_line_of_a_file_that_is_gone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Is counted once it cannot become whole any more, as when the file was emptied."""
    sink, path = MemorySink(), tmp_path / "a.json"
    write(path, line(spans(1)), line(spans(2))[:100])
    async with receiver(f"include: '{path}', start_at: beginning", sink):
        await until(lambda: sink.items == 1)
        assert not caplog.records
        path.write_bytes(b"")
        await until(lambda: caplog.records)
        write(path, line(spans(3)))
        await until(lambda: sink.items == 4)
    (record,) = caplog.records
    assert record.args == (str(path), 100, len(line(spans(1))), "the file ends before the record does")


async def test_a_damaged_line_costs_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And a long one comes whole."""
    sink, path, large = MemorySink(), tmp_path / "a.json", spans(9000)
    write(path, b"no JSON\n", line(large), b'{"resourceSpans": 7}\n', line(spans(1)))
    async with receiver(f"include: '{path}', start_at: beginning", sink):
        await until(lambda: sink.items == 9001)
    assert payloads(sink.batches) == payloads([large, spans(1)])
    assert [record.args[2] for record in caplog.records if record.args] == [0, 8 + len(line(large))]


async def test_what_is_refused_is_sent_again(tmp_path: Path) -> None:
    """Nothing is passed over."""
    sink, clock, path = MemorySink(), ManualClock(), tmp_path / "a.json"
    write(path, *(line(spans(n)) for n in (1, 2, 3)))
    sink.error = RefusedError("full")
    async with receiver(f"include: '{path}', start_at: beginning", sink, clock=clock):
        await until(lambda: sink.calls)
        sink.error = None
        await clock.advance(1)
        await until(lambda: len(sink.batches) == 3)
    assert [batch.items for batch in sink.batches] == [1, 2, 3]


async def test_what_nobody_takes_is_passed_over(tmp_path: Path) -> None:
    """A receiver may serve one signal of a file of all."""
    sink, path = MemorySink(), tmp_path / "a.json"
    write(path, *(line(items(signal, 2)) for signal in Signal))
    async with receiver(f"include: '{path}', start_at: beginning", sink, Signal.LOGS):
        await until(lambda: sink.items == 2)
    assert [batch.signal for batch in sink.batches] == [Signal.LOGS]


async def test_a_file_is_replayed_again_and_again(tmp_path: Path) -> None:
    """With `replay_file`."""
    sink, path = MemorySink(), tmp_path / "a.json"
    write(path, line(spans(1)), line(spans(2)))
    async with receiver(f"include: '{path}', replay_file: true", sink):
        await until(lambda: len(sink.batches) >= 6)
    assert [batch.items for batch in sink.batches][:6] == [1, 2] * 3


CONFIG = """
extensions: {{file_storage: {{directory: '{folder}/storage'}}}}
receivers: {{otlpjsonfile: {{include: '{folder}/*.json', storage: file_storage, poll_interval: 10ms}}}}
exporters: {{memory: {{component: sluiceway.testing:MemorySink}}}}
service:
  extensions: [file_storage]
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    traces: {{receivers: [otlpjsonfile], exporters: [memory]}}
    logs: {{receivers: [otlpjsonfile], exporters: [memory]}}
"""


@asynccontextmanager
async def collector(folder: Path):
    """A collector that follows files, by the Collector's name of the receiver, and its sink."""
    async with Collector.from_yaml(CONFIG.format(folder=folder)) as running:
        yield running.component("exporter", "memory")


async def test_a_restart_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """With a storage."""
    path = tmp_path / "a.json"
    async with collector(tmp_path) as sink:
        write(path, line(spans(1)))
        await until(lambda: sink.items == 1)
    write(path, line(spans(2)))
    async with collector(tmp_path) as sink:
        await until(lambda: sink.items == 2)


def test_the_collectors_name() -> None:
    """Is an alias."""
    assert find(Kind.RECEIVER, "otlpjsonfile") is COMPONENT
