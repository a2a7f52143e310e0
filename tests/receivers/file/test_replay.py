"""What the exporter wrote comes back as it was: a replay of files."""

from __future__ import annotations

import asyncio
import gzip
import os
import tracemalloc
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sluiceway.component import Context, Kind, Status
from sluiceway.config.compression import compressor
from sluiceway.errors import ConfigError, PermanentError, RefusedError
from sluiceway.exporters.file import COMPONENT as EXPORTER
from sluiceway.exporters.file import FileExporter
from sluiceway.otlp import Batch, Signal
from sluiceway.otlp.json import encode
from sluiceway.service import Collector
from sluiceway.testing import ManualClock, MemorySink, items, settings
from sluiceway.testing.clock import settle
from tests.receivers.file.reading import line, payloads, receiver, sized, write
from tests.receivers.records import until


@pytest.mark.parametrize("look", ["auto", "told"])
@pytest.mark.parametrize("compression", ["none", "zstd"])
@pytest.mark.parametrize("format", ["json", "proto"])
@pytest.mark.parametrize("signal", Signal)
async def test_every_format_comes_back(
    tmp_path: Path, signal: Signal, format: str, compression: str, look: str
) -> None:
    """The same batches, byte for byte, in their order, of every signal, and whether it is told what they are or not."""
    keys, batches = f"format: {format}, compression: {compression}", [items(signal, n) for n in (1, 2000, 3, 300)]
    config = settings(EXPORTER, f"exporters: {{file: {{path: '{tmp_path}/a', {keys}}}}}")
    async with FileExporter(config, Context("file", Kind.EXPORTER, frozenset({signal}))) as file:
        for batch in batches:
            await file.consume(batch)
    sink = MemorySink()
    async with receiver(f"path: '{tmp_path}/a'" + (f", {keys}" if look == "told" else ""), sink, signal):
        await until(lambda: sink.items == 2304)
    assert payloads(sink.batches) == payloads(batches)
    assert {batch.signal for batch in sink.batches} == {signal}


@pytest.mark.parametrize(("keys", "what"), [
    ("path: '{}'", "there is no file {}"),
    ("path: '{}/a'", "there is no file {}/a"),
    ("include: ['{}/a', '{}/b*']", "no file matches {}/a {}/b*"),
])  # fmt: skip
async def test_a_replay_of_nothing_is_told(tmp_path: Path, keys: str, what: str) -> None:
    """Whoever asked for a replay has to know that there was none: no file, or a folder."""
    statuses: list[tuple[Status, str]] = []
    config = keys.replace("{}", str(tmp_path))
    async with receiver(config, MemorySink(), report=lambda status, text="": statuses.append((status, text))):
        await until(lambda: statuses and statuses[-1][0] is Status.RECOVERABLE_ERROR)
    assert statuses[-1][1] == f"{what.replace('{}', str(tmp_path))}, so nothing was read"


async def test_a_file_that_is_put_aside_while_it_is_read_was_read(tmp_path: Path) -> None:
    """What counts is that it was there when reading began."""
    statuses: list[tuple[Status, str]] = []
    write(tmp_path / "a", line(items(Signal.TRACES, 3)))
    sink = MemorySink()
    async with receiver(f"path: '{tmp_path}/a'", sink, report=lambda status, text="": statuses.append((status, text))):
        (tmp_path / "a").rename(tmp_path / "b")
        await until(lambda: statuses)
    assert sink.items == 3
    assert statuses == [(Status.OK, "everything was read: 1 records, 0 of them damaged")]


async def test_what_was_not_read_is_told(tmp_path: Path) -> None:
    """That everything was read is never said of files that cannot be read, or that were emptied meanwhile."""
    sink, clock, statuses = MemorySink(), ManualClock(), []
    batch = items(Signal.TRACES, 2000)
    write(tmp_path / "a", *[line(batch)] * 10)
    (tmp_path / "b").write_bytes(compressor("zstd")(line(batch)))
    sink.error = RefusedError("full")
    keys = f"include: '{tmp_path}/*'"
    async with receiver(keys, sink, clock=clock, report=lambda status, text="": statuses.append((status, text))):
        await until(lambda: sink.calls)
        (tmp_path / "a").write_bytes(b"")
        sink.error = None
        await clock.advance(1)
        await until(lambda: statuses and "records" in statuses[-1][1])
    read = len(sink.batches)
    assert 0 < read < 10
    assert statuses[-1][0] is Status.RECOVERABLE_ERROR
    assert f"not everything was read: 2 files not to their ends; {read} records, 0 of them damaged" in statuses[-1][1]


async def test_rotated_files_are_read_in_the_order_of_their_age(tmp_path: Path) -> None:
    """Each to its end before the next; it says when it has read everything."""
    batches = [items(Signal.TRACES, 2000 + n) for n in range(20)]
    config = settings(EXPORTER, f"exporters: {{file: {{path: '{tmp_path}/a.json', rotation: {{max_megabytes: 1}}}}}}")
    async with FileExporter(config, Context("file", Kind.EXPORTER, frozenset({Signal.TRACES}))) as file:
        for batch in batches:
            await file.consume(batch)
    sink, statuses = MemorySink(), []
    keys = f"include: '{tmp_path}/a*.json'"
    async with receiver(keys, sink, report=lambda status, message="": statuses.append((status, message))):
        await until(lambda: statuses)
    assert payloads(sink.batches) == payloads(batches)
    assert statuses == [(Status.OK, "everything was read: 20 records, 0 of them damaged")]
    assert len(os.listdir(tmp_path)) > 2  # noqa: PTH208


async def test_what_is_refused_is_sent_again(tmp_path: Path) -> None:
    """As often as it takes; nothing is passed over and nothing comes twice."""
    batches, sink, clock = [items(Signal.TRACES, n + 1) for n in range(50)], MemorySink(), ManualClock()
    write(tmp_path / "a", sized(*payloads(batches)))
    sink.error = RefusedError("full")
    async with receiver(f"path: '{tmp_path}/a'", sink, clock=clock):
        await until(lambda: sink.calls == 1)
        await clock.advance(1)
        await until(lambda: sink.calls == 2)
        sink.error = None
        await clock.advance(1)
        await until(lambda: len(sink.batches) == 50)
    assert payloads(sink.batches) == payloads(batches)


async def test_what_is_refused_for_good_is_counted(tmp_path: Path) -> None:
    """And reading goes on."""
    sink, drops = MemorySink(), []
    write(tmp_path / "a", line(items(Signal.TRACES, 3)))
    sink.error = PermanentError("no")
    async with receiver(f"path: '{tmp_path}/a'", sink, drop=lambda items, reason, **_: drops.append((items, reason))):
        await until(lambda: drops)
    assert drops == [(3, "permanent_error")]


async def test_lines_say_which_signal_they_hold(tmp_path: Path) -> None:
    """One receiver for several signals; what no pipeline takes is passed over."""
    sink = MemorySink()
    write(tmp_path / "a", *(line(items(signal, 2)) for signal in Signal), b"{}\n\n", b'{"resourceSpans": []}\n')
    write(tmp_path / "a", b'{"x": 1, "resourceLogs": [{"scopeLogs": [{"logRecords": [{}]}]}]}\n')
    async with receiver(f"path: '{tmp_path}/a', format: json", sink, Signal.LOGS, Signal.TRACES):
        await until(lambda: sink.items == 5)
    assert [(batch.signal, batch.items) for batch in sink.batches] == [
        (Signal.TRACES, 2), (Signal.LOGS, 2), (Signal.LOGS, 1)
    ]  # fmt: skip


def test_what_does_not_say_its_signal_belongs_to_one() -> None:
    """Only JSON does."""
    for keys in ("path: a", "path: a, format: proto"):
        with pytest.raises(ConfigError, match="set `format: json`, or use a receiver for each signal"):
            receiver(keys, MemorySink(), Signal.LOGS, Signal.TRACES)
    for keys in ("", "path: a, include: b"):
        with pytest.raises(ConfigError, match="exactly one of `path` and `include` must be set"):
            receiver(keys, MemorySink())


async def test_with_follow_it_goes_on(tmp_path: Path) -> None:
    """In files that grow, that are put aside, and that come later."""
    sink, path = MemorySink(), tmp_path / "a.json"
    write(path, line(items(Signal.TRACES, 1)))
    async with receiver(f"include: '{tmp_path}/*.json', follow: true, poll_interval: 10ms", sink):
        await until(lambda: sink.items == 1)
        write(path, line(items(Signal.TRACES, 2))[:20])
        write(path, line(items(Signal.TRACES, 2))[20:])
        await until(lambda: sink.items == 3)
        path.rename(tmp_path / "a-1.json")
        write(path, line(items(Signal.TRACES, 3)))
        await until(lambda: sink.items == 6)
        path.write_bytes(b"")
        write(path, line(items(Signal.TRACES, 4)))
        await until(lambda: sink.items == 10)
    assert [batch.items for batch in sink.batches] == [1, 2, 3, 4]


async def test_a_path_is_no_pattern(tmp_path: Path) -> None:
    """Whatever its name."""
    sink = MemorySink()
    write(tmp_path / "a[1]{x}*.json", line(items(Signal.TRACES)))
    async with receiver(f"path: '{tmp_path}/a[1]{{x}}*.json'", sink):
        await until(lambda: sink.items == 1)


async def test_files_that_are_compressed_as_a_whole(tmp_path: Path) -> None:
    """Gzip is read; zstd is told."""
    sink, statuses = MemorySink(), []
    (tmp_path / "a.gz").write_bytes(gzip.compress(line(items(Signal.TRACES, 2)) * 3))
    (tmp_path / "b.zst").write_bytes(compressor("zstd")(line(items(Signal.TRACES))))
    keys = f"include: '{tmp_path}/*'"
    async with receiver(keys, sink, report=lambda status, message="": statuses.append((status, message))):
        await until(lambda: sink.items == 6)
        await until(lambda: statuses)
    assert "it is compressed as a whole: decompress it by `zstd -d` first" in statuses[0][1]


async def test_a_file_without_permission_or_content(tmp_path: Path) -> None:
    """Ends the reading of no other."""
    sink = MemorySink()
    (tmp_path / "a").touch()
    os.mkfifo(tmp_path / "b")
    write(tmp_path / "c", line(items(Signal.TRACES)))
    async with receiver(f"include: '{tmp_path}/*'", sink):
        await until(lambda: sink.items == 1)


CONFIG = """
extensions:
  file_storage: {{directory: '{folder}/storage'}}
receivers:
  file: {{path: '{folder}/a', storage: file_storage, {more}}}
exporters:
  memory: {{component: sluiceway.testing:MemorySink}}
service:
  extensions: [file_storage]
  telemetry: {{metrics: {{level: none}}}}
  pipelines: {{traces: {{receivers: [file], exporters: [memory]}}}}
"""


@asynccontextmanager
async def collector(folder: Path, more: str = ""):
    """A collector that replays a file, and its sink."""
    async with Collector.from_yaml(CONFIG.format(folder=folder, more=more)) as running:
        yield running.component("exporter", "memory")


async def test_a_replay_that_was_interrupted_goes_on(tmp_path: Path) -> None:
    """With a storage: what was read is not read again, and half a record is read once it is whole."""
    first, second = items(Signal.TRACES, 2), items(Signal.TRACES, 3)
    whole = sized(second.payload)
    write(tmp_path / "a", sized(first.payload), whole[:50])
    async with collector(tmp_path) as sink:
        await until(lambda: sink.items == 2)
    write(tmp_path / "a", whole[50:])
    async with collector(tmp_path) as sink:
        await until(lambda: sink.items == 3)
    async with collector(tmp_path, "follow: true") as sink:
        write(tmp_path / "a", sized(first.payload))
        await until(lambda: sink.items == 2)


async def test_without_storage_every_start_reads_everything(tmp_path: Path) -> None:
    """A replay can be repeated."""
    write(tmp_path / "a", line(items(Signal.TRACES, 2)))
    for _ in range(2):
        sink = MemorySink()
        async with receiver(f"path: '{tmp_path}/a'", sink):
            await until(lambda sink=sink: sink.items == 2)


async def test_records_larger_than_a_block(tmp_path: Path) -> None:
    """Lines and messages of megabytes between small ones."""
    batches = [items(Signal.TRACES, n) for n in (1, 9000, 1, 20_000, 2)]
    for name, content in (("lines", b"".join(map(line, batches))), ("sized", sized(*payloads(batches)))):
        sink = MemorySink()
        write(tmp_path / name, content)
        async with receiver(f"path: '{tmp_path}/{name}'", sink):
            await until(lambda sink=sink: len(sink.batches) == 5)
        assert payloads(sink.batches) == payloads(batches)


def span(name: str) -> bytes:
    """OTLP/JSON of a span."""
    return b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"%s"}]}]}]}' % name.encode()


@pytest.mark.parametrize("count", [1, 20])
async def test_what_is_held_has_a_bound(tmp_path: Path, count: int) -> None:
    """Of little zstd may make much: some 160 MiB from a file, or from many, are not held at the same time."""
    for n in range(20):
        write(tmp_path / str(n % count), sized(span(f"{n}" * (4 << 20)), zstd=True))
    sink = Counting()
    tracemalloc.start()
    try:
        async with receiver(f"include: '{tmp_path}/*', follow: {str(count > 1).lower()}", sink):
            await until(lambda: sink.items == 20)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 << 20


class Counting(MemorySink):
    """Keeps no batches."""

    count = 0

    @property
    def items(self) -> int:
        """How many there were."""
        return self.count

    async def consume(self, batch: Batch) -> None:
        """Count it."""
        self.count += batch.items


@pytest.mark.parametrize("more", [-3, -2, -1, 0, 1])
@pytest.mark.parametrize("lines", [True, False])
async def test_a_record_may_be_as_large_as_the_largest(tmp_path: Path, more: int, lines: bool) -> None:
    """Also where that is about the size of what is read at one time: what is behind it is read, too."""
    largest = 256 * 1024 + more
    spare, batch = largest - len(span("")), items(Signal.TRACES, 2)
    large = span("x" * spare)
    records = [large, encode(batch.signal, batch.payload), encode(batch.signal, batch.payload)]
    write(tmp_path / "a", b"".join(record + b"\n" for record in records) if lines else sized(*records))
    sink, statuses = MemorySink(), []
    keys = f"path: '{tmp_path}/a', max_record_size: {largest}"
    async with receiver(keys, sink, report=lambda status, text="": statuses.append((status, text))):
        await until(lambda: statuses)
    assert statuses == [(Status.OK, "everything was read: 3 records, 0 of them damaged")]
    assert [batch.items for batch in sink.batches] == [1, 2, 2]


@pytest.mark.parametrize("limit", [0, 1, 57, 199])
async def test_what_comes_twice_has_a_bound(tmp_path: Path, limit: int) -> None:
    """Stopped at any place, reading goes on there: nothing is left out, and no more than a block comes again."""
    batches, kept, clock, sink = [items(Signal.TRACES, 50 + n) for n in range(200)], {}, ManualClock(), Stopping(limit)
    write(tmp_path / "a", sized(*payloads(batches)))
    first = receiver(f"path: '{tmp_path}/a'", sink, clock=clock, kept=kept)
    await first.__aenter__()
    await until(lambda: sink.refused)
    leaving = asyncio.create_task(first.__aexit__(None, None, None))
    await settle()
    await clock.advance(5)
    await leaving
    again = MemorySink()
    async with receiver(f"path: '{tmp_path}/a'", again, clock=clock, kept=kept):
        await until(lambda: again.batches and again.batches[-1].items == batches[-1].items)
    assert payloads(sink.batches) == payloads(batches[:limit])
    assert payloads(again.batches) == payloads(batches[-len(again.batches) :])
    twice = len(again.batches) + limit - len(batches)
    assert twice >= 0
    assert sum(len(payload) for payload in payloads(again.batches[:twice])) <= 256 * 1024


class Stopping(MemorySink):
    """Refuses everything after some batches."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit
        self.refused = False

    async def consume(self, batch: Batch) -> None:
        """Take it, or not."""
        if len(self.batches) == self.limit:
            self.refused = True
            raise RefusedError("full")
        self.batches.append(batch)
