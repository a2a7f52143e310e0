"""The sending queue on disk: what it has accepted is there until it was delivered, whatever becomes of the process."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from sluiceway.component import Context, Kind, PartialSuccess, Reason, Status
from sluiceway.config.load import load
from sluiceway.errors import ConfigError, PermanentError, RefusedError, RetryableError
from sluiceway.extensions.file_storage import FileStorage, FileStorageConfig
from sluiceway.otlp import Batch, Origin, Signal
from sluiceway.pipelines.branches import ExporterBranch
from sluiceway.pipelines.content import Kept
from sluiceway.pipelines.durable import Durable
from sluiceway.pipelines.ledger import Account
from sluiceway.pipelines.records import record_of
from sluiceway.pipelines.request import Request
from sluiceway.pipelines.wrap import Wrapped, wrap
from sluiceway.segments import Files, Log, Record, Stored
from sluiceway.segments.reader import OVERHEAD
from sluiceway.service import Collector
from sluiceway.telemetry import Metrics, Scope
from sluiceway.testing import ManualClock, MemorySink, items, settle
from tests.pipelines.around import Backend, names, request, settings, traces
from tests.ports import free_port

FOREVER = "retry_on_failure: {initial_interval: 1s, randomization_factor: 0.0}"


class Run:
    """One run of an exporter with a queue on disk in a folder."""

    def __init__(
        self, folder: Path, queue: str = "", *script: BaseException | PartialSuccess | None, retry: str = "",
        storage: str = "", kept: dict[str, object] | None = None,
    ) -> None:  # fmt: skip
        self.backend = Backend(*script)
        self.clock = ManualClock()
        self.accounts: dict[str, Account] = {}
        self.statuses: list[tuple[Status, str]] = []
        self.metrics = Metrics()
        self.storage = FileStorage(FileStorageConfig(directory=str(folder)), Context("file_storage", Kind.EXTENSION))
        context = Context(
            "out", Kind.EXPORTER, frozenset([Signal.TRACES]), clock=self.clock, telemetry=Scope(self.metrics),
            report=lambda status, message="": self.statuses.append((status, message)),
            logger=logging.getLogger("sluiceway.test"), extension={"file_storage": self.storage}.__getitem__,
            kept=kept if kept is not None else {},
        )  # fmt: skip
        text = f"{{sending_queue: {{storage: file_storage, {queue}}}{', ' if retry else ''}{retry}}}"
        self.wrapped: Wrapped = wrap(self.backend, settings(text), context, account=self.account, random=lambda: 0.5)

    def account(self, pipeline: str) -> Account:
        """The account of a pipeline."""
        return self.accounts.setdefault(pipeline, Account(pipeline, "out"))

    async def consume(self, batch: Batch, pipeline: str = "traces") -> None:
        """Send a batch to the exporter."""
        await ExporterBranch(self.wrapped, self.account(pipeline)).consume(batch)

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait for threads, while the clock goes on a little."""
        async with asyncio.timeout(20):
            while not holds():
                await asyncio.sleep(0.001)
                await self.clock.advance(0.01)

    def lost(self, pipeline: str = "traces") -> dict[Reason, int]:
        """Items dropped, by reason."""
        return {drop.reason: items for drop, items in self.account(pipeline).dropped.items()}


async def test_what_was_accepted_goes_out_by_the_next_run(tmp_path: Path) -> None:
    """With its headers and its items by pipeline; the ledgers of both runs balance."""
    first = Run(tmp_path, "", *[RetryableError("away")] * 100, retry=FOREVER)
    batch = traces(3, tenant="acme", authorization="Bearer secret")
    async with first.wrapped:
        await first.consume(batch)
        await first.consume(traces(2), "traces/eu")
    assert (first.account("traces").held, first.account("traces/eu").held) == (3, 2)
    assert first.lost() == {}
    second = Run(tmp_path)
    async with second.wrapped:
        await second.until(lambda: second.account("traces").delivered and second.account("traces/eu").delivered)
    account = second.account("traces")
    assert (account.recovered, account.delivered, account.held) == (3, 3, 0)
    found = next(b for b in second.backend.taken if names(b)[:3] == names(batch))
    assert "authorization" not in found.origin.headers
    third = Run(tmp_path)
    async with third.wrapped:
        pass
    assert third.accounts == {}


async def test_headers_are_kept_but_for_those_that_prove_who_somebody_is(tmp_path: Path) -> None:
    """They would lie about on disk."""
    origin = Origin(headers={"tenant": ("acme",), "authorization": ("Bearer secret",)}, subject="ann", peer="1.2.3.4")
    run = Run(tmp_path, "", *[RetryableError("away")] * 9, retry=FOREVER)
    async with run.wrapped:
        await run.consume(Batch(Signal.TRACES, traces(1).payload, 1, origin))
    (segment,) = (tmp_path / "exporter_out_traces.queue").glob("*.segment")
    assert b"secret" not in segment.read_bytes()
    second = Run(tmp_path)
    async with second.wrapped:
        await second.until(lambda: second.backend.taken)
    found = second.backend.taken[0].origin
    assert (found.headers, found.subject, found.peer) == ({"tenant": ("acme",)}, "ann", "1.2.3.4")


async def test_a_sender_is_answered_when_the_disk_has_its_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not before; those who come meanwhile share the next write."""
    synced = asyncio.Event()
    loop = asyncio.get_running_loop()
    writes = []

    def append(self: Log, records: list[object]) -> list[object]:
        asyncio.run_coroutine_threadsafe(synced.wait(), loop).result()
        writes.append(len(records))
        return real(self, records)

    real = Log.append
    monkeypatch.setattr(Log, "append", append)
    run = Run(tmp_path)
    async with run.wrapped:
        first = asyncio.create_task(run.consume(traces(1)))
        await asyncio.sleep(0.05)
        others = [asyncio.create_task(run.consume(traces(1))) for _ in range(5)]
        await asyncio.sleep(0.05)
        assert not first.done()
        assert not run.backend.calls
        synced.set()
        await asyncio.gather(first, *others)
        await run.until(lambda: run.account("traces").delivered == 6)
    assert writes == [1, 5]


async def test_what_exceeds_the_memory_waits_on_disk_alone(tmp_path: Path) -> None:
    """And goes out in the order in which it came."""
    run = Run(tmp_path, "max_bytes: 2KiB, num_consumers: 1")
    sent: list[str] = []
    async with run.wrapped:
        run.backend.gate.clear()
        for _ in range(50):
            batch = traces(2)
            sent += names(batch)
            await run.consume(batch)
        queue = run.wrapped.queue
        assert queue is not None
        in_memory, held = queue._disk.in_memory, run.account("traces").held
        run.backend.gate.set()
        await run.until(lambda: run.account("traces").delivered == 100)
    assert [name for batch in run.backend.taken for name in names(batch)] == sent
    assert in_memory <= 2048
    assert held == 100


async def test_what_is_read_from_the_disk_has_room_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`max_bytes` is the bound, but for the rest of one request."""
    run = Run(tmp_path, "max_bytes: 64KiB, num_consumers: 1")
    weights = []

    def feed(self: Durable, request: Request, kept: Kept) -> None:
        real(self, request, kept)
        weights.append(self.in_memory)

    real = Durable.feed
    monkeypatch.setattr(Durable, "feed", feed)
    batch = traces(200)
    async with run.wrapped:
        run.backend.gate.clear()
        for _ in range(200):
            await run.consume(batch)
        run.backend.gate.set()
        await run.until(lambda: run.account("traces").delivered == 200 * 200)
    assert len(weights) == 200
    assert max(weights) <= 64 * 1024 + len(batch.payload) + OVERHEAD


async def test_what_is_larger_than_the_memory_goes_one_by_one(tmp_path: Path) -> None:
    """The smallest `max_bytes` stops nobody."""
    run = Run(tmp_path, "max_bytes: 1")
    async with run.wrapped:
        for _ in range(5):
            await run.consume(traces(2))
        await run.until(lambda: run.account("traces").delivered == 10)
    assert run.backend.sizes == [2] * 5


async def test_looking_for_what_is_too_old_does_not_fill_the_memory(tmp_path: Path) -> None:
    """Also while the oldest is under way: what comes after it on the disk is not as old."""
    run = Run(tmp_path, "max_bytes: 64KiB, max_age: 1m", *[RetryableError("away")] * 10_000, retry=FOREVER)
    batch = traces(200)
    async with run.wrapped:
        await run.consume(batch)
        await run.clock.advance(58)
        for _ in range(200):
            await run.consume(batch)
        for _ in range(30):
            await run.clock.advance(1)
            await asyncio.to_thread(lambda: None)
        in_memory = run.wrapped.queue._disk.in_memory
    assert in_memory <= 64 * 1024 + len(batch.payload) + OVERHEAD
    assert run.lost() == {Reason.EXPIRED: 200}


async def test_a_queue_on_disk_is_bounded(tmp_path: Path) -> None:
    """In bytes, also of what earlier runs have left; and there is room again when it was delivered."""
    away = [RetryableError("away")] * 100
    batch = Batch(Signal.TRACES, b"x" * 100, 1)
    first = Run(tmp_path, "max_storage_bytes: 250", *away, retry=FOREVER)
    async with first.wrapped:
        await first.consume(batch)
        await first.consume(batch)
        with pytest.raises(RefusedError, match="sending queue is full"):
            await first.consume(batch)
    second = Run(tmp_path, "max_storage_bytes: 250", *away, retry=FOREVER)
    async with second.wrapped:
        with pytest.raises(RefusedError, match="sending queue is full"):
            await second.consume(batch)
    third = Run(tmp_path, "max_storage_bytes: 250")
    async with third.wrapped:
        await third.until(lambda: third.account("traces").delivered == 2)
        await third.consume(batch)


async def test_what_the_backend_never_takes_goes_to_the_dead_letters(tmp_path: Path) -> None:
    """The one bad item alone, with the reason; all others arrive."""
    bad = PermanentError("not this one", code="INVALID_ARGUMENT")
    run = Run(tmp_path)

    async def consume(batch: Batch) -> None:
        if "bad" in names(batch):
            raise bad
        run.backend.taken.append(batch)

    run.backend.consume = consume  # type: ignore[method-assign]
    message = traces(50).proto()
    message.resource_spans[0].scope_spans[0].spans[17].name = "bad"
    async with run.wrapped:
        await run.consume(Batch.from_proto(message))
        await run.until(lambda: run.account("traces").held == 0)
    assert run.lost() == {Reason.DEAD_LETTERED: 1}
    assert run.account("traces").delivered == 49
    log = Log(tmp_path / "exporter_out_traces.dead")
    assert log.open().items == 1
    (stored,) = log.read(1)
    assert names(Batch(Signal.TRACES, stored.record.payload, 1)) == ["bad"]
    assert stored.record.notes == {"reason": "permanent_error", "error": "not this one"}
    again = Run(tmp_path)
    async with again.wrapped:
        assert again.accounts == {}


async def test_items_that_a_backend_rejects_by_name_go_to_the_dead_letters(tmp_path: Path) -> None:
    """The rest of the request was delivered."""
    letter = traces(2)
    run = Run(tmp_path, "", PartialSuccess(2, "no", letter))
    async with run.wrapped:
        await run.consume(traces(10))
        await run.until(lambda: run.account("traces").held == 0)
    assert (run.account("traces").delivered, run.lost()) == (8, {Reason.DEAD_LETTERED: 2})
    log = Log(tmp_path / "exporter_out_traces.dead")
    log.open()
    assert log.read(1)[0].record.payload == letter.payload


async def test_many_dead_letters_at_once_are_all_there(tmp_path: Path) -> None:
    """Ten exports fail at the same time; with encryption no number comes twice."""
    run = Run(tmp_path, "", *[PermanentError("no")] * 200)
    async with run.wrapped:
        for _ in range(40):
            await run.consume(traces(3))
        await run.until(lambda: not run.account("traces").held)
    assert run.lost() == {Reason.DEAD_LETTERED: 120}
    log = Log(tmp_path / "exporter_out_traces.dead")
    assert log.open().items == 120


async def test_what_cannot_be_buried_stays_in_the_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until there is room for it, here or in another run."""
    run = Run(tmp_path, "", PermanentError("no"), PermanentError("no"))

    def write(self: Files, descriptor: int, data: memoryview) -> int:
        raise OSError(28, "No space left on device")

    async with run.wrapped:
        run.backend.gate.clear()
        await run.consume(traces(3))
        monkeypatch.setattr(Files, "write", write)
        run.backend.gate.set()
        await run.until(lambda: run.backend.calls)
        await run.clock.advance(6)
        assert run.account("traces").held == 3
    monkeypatch.undo()
    assert run.lost() == {}
    again = Run(tmp_path, "", PermanentError("no"))
    async with again.wrapped:
        await again.until(again.lost)
    assert again.lost() == {Reason.DEAD_LETTERED: 3}


async def has_letter_that_waits(tmp_path: Path, kept: dict[str, object] | None = None) -> Run:
    """A run whose backend has rejected one item of three by name, while somebody else has the dead letters."""
    dead = tmp_path / "exporter_out_traces.dead"
    dead.mkdir()
    (dead / "wanted").touch()  # by `sluiceway queue purge`
    run = Run(tmp_path, "", PartialSuccess(1, "bad", traces(1)), kept=kept)
    await run.wrapped.__aenter__()
    await run.consume(traces(3))
    await run.until(lambda: run.backend.taken)
    return run


async def test_items_that_a_backend_rejects_by_name_are_not_forgotten_before_they_are_buried(tmp_path: Path) -> None:
    """When a stop comes first, the whole request stays on disk: nobody else has those items."""
    run = await has_letter_that_waits(tmp_path)
    await run.wrapped.__aexit__(None, None, None)
    account = run.account("traces")
    assert (account.offered, account.delivered, account.held, run.lost()) == (3, 0, 3, {})
    (tmp_path / "exporter_out_traces.dead" / "wanted").unlink()
    again = Run(tmp_path, "", PartialSuccess(1, "bad", traces(1)))
    async with again.wrapped:
        await again.until(again.lost)
    account = again.account("traces")
    assert (account.recovered, account.delivered, account.held) == (3, 2, 0)
    assert again.lost() == {Reason.DEAD_LETTERED: 1}


async def test_a_request_with_items_that_could_not_be_buried_goes_on_by_a_reload(tmp_path: Path) -> None:
    """The successor sends it anew, and goes by the answer that it gets."""
    kept: dict[str, object] = {}
    run = await has_letter_that_waits(tmp_path, kept)
    heir = Run(tmp_path, kept=kept)
    heir.accounts = run.accounts
    async with heir.wrapped:
        await run.wrapped.__aexit__(None, None, None)
        await heir.until(lambda: heir.backend.taken)
    account = heir.account("traces")
    assert (account.offered, account.delivered, account.held, heir.lost()) == (3, 3, 0, {})


@pytest.mark.parametrize("outcome", [PartialSuccess(3, "bad", traces(3)), PermanentError("bad")])
async def test_a_burial_that_takes_longer_than_a_stop_waits_is_not_done_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcome: PartialSuccess | PermanentError
) -> None:
    """It comes to its end and is counted: the next run has neither to send nor to bury anything again."""
    goes_on, is_burying = threading.Event(), threading.Event()

    def append(self: Log, records: list[Record]) -> list[Stored]:
        if self.folder.name.endswith(".dead"):
            is_burying.set()
            goes_on.wait()
        return real(self, records)

    real = Log.append
    monkeypatch.setattr(Log, "append", append)
    run = Run(tmp_path, "", outcome)
    await run.wrapped.__aenter__()
    await run.consume(traces(3))
    await asyncio.to_thread(is_burying.wait)
    leaving = asyncio.create_task(run.wrapped.__aexit__(None, None, None))
    for _ in range(10):
        await run.clock.advance(1)
    goes_on.set()
    await leaving
    account = run.account("traces")
    assert (account.offered, account.delivered, account.held, run.lost()) == (3, 0, 0, {Reason.DEAD_LETTERED: 3})
    again = Run(tmp_path)
    async with again.wrapped:
        assert again.accounts == {}
    assert Log(tmp_path / "exporter_out_traces.dead").open().items == 3


async def test_a_full_disk_costs_one_file_of_dead_letters_for_each_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The oldest, and the log says it; what others fill is not made free by deleting all of them."""
    run = Run(tmp_path, "dead_letters: {max_bytes: 1MiB}", *[PermanentError("no")] * 999)
    folder = tmp_path / "exporter_out_traces.dead"
    real, left = Log.append, 2

    def append(self: Log, records: list[object]) -> list[object]:
        nonlocal left
        if left and self.folder == folder:
            left -= 1
            raise OSError(28, "No space left on device")
        return real(self, records)

    async with run.wrapped:
        for number in range(1, 6):
            await run.consume(Batch(Signal.TRACES, b"x" * 200_000, 1))
            await run.until(lambda number=number: run.lost().get(Reason.DEAD_LETTERED) == number)
        before = sorted(folder.glob("*.segment"))
        monkeypatch.setattr(Log, "append", append)
        await run.consume(traces(1))
        await run.until(lambda: run.lost()[Reason.DEAD_LETTERED] == 6)
        assert sorted(folder.glob("*.segment"))[: len(before) - 1] == before[1:]
    assert "The disk is full: the 1 oldest dead letters were deleted to make room." in caplog.messages


async def test_half_a_surrogate_pair_in_a_header_stops_nobody(tmp_path: Path) -> None:
    """It is written down as a question mark, in errors too."""
    run = Run(tmp_path, "", PermanentError("\udcff"))
    async with run.wrapped:
        await run.consume(traces(1, tenant="\udcff"))
        await run.until(run.lost)
        await run.consume(traces(1))
        await run.until(lambda: run.account("traces").delivered == 1)
    assert run.lost() == {Reason.DEAD_LETTERED: 1}


async def test_what_is_too_old_goes_though_the_backend_is_away(tmp_path: Path) -> None:
    """From memory and from disk, so that there is room for what is fresh."""
    run = Run(
        tmp_path, "max_age: 1h, max_bytes: 2KiB, max_storage_bytes: 1000, num_consumers: 1",
        *[RetryableError("away")] * 500, retry="retry_on_failure: {initial_interval: 1h, max_interval: 1h}",
    )  # fmt: skip
    async with run.wrapped:
        with pytest.raises(RefusedError):  # noqa: PT012 - one of them will
            while True:
                await run.consume(traces(1))
        await run.clock.advance(7200)
        await run.until(run.lost)
        await run.consume(traces(1))
    assert set(run.lost()) == {Reason.EXPIRED}


async def test_without_dead_letters_what_is_refused_for_good_is_dropped(tmp_path: Path) -> None:
    """As from memory."""
    run = Run(tmp_path, "dead_letters: {enabled: false}", PermanentError("no"))
    async with run.wrapped:
        await run.consume(traces(3))
        await run.until(lambda: run.account("traces").held == 0)
    assert run.lost() == {Reason.PERMANENT_ERROR: 3}
    assert not (tmp_path / "exporter_out_traces.dead").exists()


async def test_nothing_is_given_up_by_itself(tmp_path: Path) -> None:
    """Days later it is sent; from memory it is dropped after five minutes."""
    run = Run(
        tmp_path, "", *[RetryableError("away")] * 50, retry="retry_on_failure: {max_interval: 24h, multiplier: 9}"
    )
    async with run.wrapped:
        await run.consume(traces(1))
        await run.until(lambda: run.backend.calls)
        for _ in range(60):
            await run.clock.advance(40 * 3600)
        await run.until(lambda: run.account("traces").delivered == 1)
    assert run.lost() == {}


async def test_what_is_too_old_is_not_sent(tmp_path: Path) -> None:
    """With `max_age`; it counts as expired."""
    first = Run(tmp_path, "", *[RetryableError("away")] * 9, retry=FOREVER)
    async with first.wrapped:
        await first.consume(traces(4))
    second = Run(tmp_path, "max_age: 1h")
    await second.clock.advance(7200)
    async with second.wrapped:
        await second.until(second.lost)
        await second.consume(traces(1))
        await second.until(lambda: second.account("traces").delivered == 1)
    assert second.lost() == {Reason.EXPIRED: 4}
    assert second.account("traces").held == 0


async def test_what_is_tried_again_grows_too_old_as_well(tmp_path: Path) -> None:
    """Of what was joined only that which has waited for too long is given up; the rest goes out without it."""
    run = Run(
        tmp_path, "max_age: 10s, num_consumers: 1", *[RetryableError("away")] * 10_000,
        retry="retry_on_failure: {max_interval: 1s, randomization_factor: 0.0}",
    )  # fmt: skip
    began = run.clock.now()
    async with run.wrapped:
        await run.consume(traces(1))
        await run.clock.advance(1)
        await run.consume(traces(2))
        await run.clock.advance(4)
        await run.consume(traces(4))
        await run.clock.advance(5)
        await run.until(run.lost)
        assert run.lost() == {Reason.EXPIRED: 1}
        await run.until(lambda: run.lost() == {Reason.EXPIRED: 3})
        assert (run.clock.now() - began, run.account("traces").held) == (pytest.approx(11, abs=0.5), 4)
        assert run.statuses[-1][0] is Status.PERMANENT_ERROR
        run.backend.script.clear()
        await run.until(lambda: run.account("traces").delivered == 4)
        assert run.statuses[-1][0] is Status.OK
    assert (run.lost(), run.account("traces").held) == ({Reason.EXPIRED: 3}, 0)
    assert [batch.items for batch in run.backend.taken] == [4]


async def test_an_open_circuit_breaker_does_not_keep_what_is_too_old(tmp_path: Path) -> None:
    """Nobody waits behind it for longer than `max_age`."""
    breaker = "circuit_breaker: {consecutive_failures: 1, open_delay: 1h, max_open_delay: 1h}"
    run = Run(tmp_path, "max_age: 10s", RetryableError("away"), retry=f"{FOREVER}, {breaker}")
    async with run.wrapped:
        await run.consume(traces(3))
        await run.until(lambda: run.backend.calls)
        await run.clock.advance(10)
        await run.until(run.lost)
    assert run.lost() == {Reason.EXPIRED: 3}


async def test_another_process_has_the_folder(tmp_path: Path) -> None:
    """Senders are told to come again, and once it is free everything goes on."""
    other = Log(tmp_path / "exporter_out_traces.queue")
    other.open()
    run = Run(tmp_path)
    async with run.wrapped:
        with pytest.raises(RefusedError, match="is in use by another process"):
            await run.consume(traces(1))
        assert run.statuses[-1][0] is Status.RECOVERABLE_ERROR
        assert "is in use by another process" in run.statuses[-1][1]
        other.close()
        await run.clock.advance(1)
        await run.until(lambda: run.statuses[-1][0] is Status.OK)
        await run.consume(traces(1))
        await run.until(lambda: run.account("traces").delivered == 1)


async def test_a_disk_that_fails_refuses_and_recovers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was accepted before goes out meanwhile; nobody is answered for what is not kept."""
    run = Run(tmp_path)

    def write(self: Files, descriptor: int, data: memoryview) -> int:
        raise OSError(28, "No space left on device")

    async with run.wrapped:
        run.backend.gate.clear()
        await run.consume(traces(1))
        monkeypatch.setattr(Files, "write", write)
        with pytest.raises(
            RefusedError, match=f"the queue on disk cannot be written in {tmp_path}.*: No space left on device"
        ):
            await run.consume(traces(2))
        assert run.statuses[-1][0] is Status.RECOVERABLE_ERROR
        run.backend.gate.set()
        await run.until(lambda: run.account("traces").delivered == 1)
        monkeypatch.undo()
        await run.consume(traces(3))
        await run.until(lambda: run.account("traces").delivered == 4)
        assert run.statuses[-1][0] is Status.OK
    assert (run.account("traces").held, run.lost()) == (0, {})
    assert run.metrics.read("otelcol_exporter_enqueue_failed_spans", exporter="out") == 2


async def test_requests_bear_names_by_which_an_exporter_knows_them_again(tmp_path: Path) -> None:
    """The same after a restart, and those of all where several are joined."""
    first = Run(tmp_path, "num_consumers: 1", *[RetryableError("away")] * 99, retry=FOREVER)
    async with first.wrapped:
        await first.consume(traces(1))
        await first.until(lambda: first.backend.calls)
        await first.consume(traces(2))
        await first.consume(traces(4))
    (known,) = first.backend.calls[0].origin.names
    second = Run(tmp_path, "batch: {min_size: 7}")
    async with second.wrapped:
        await second.until(lambda: second.account("traces").delivered == 7)
    names_of_all = second.backend.taken[0].origin.names
    assert names_of_all[0] == known
    assert [items for _, items in names_of_all] == [1, 2, 4]
    assert len({name for name, _ in names_of_all}) == 3


async def test_who_went_away_before_the_disk_refused_takes_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a queue whose senders lose patience with a full disk would be full for ever."""
    run = Run(tmp_path)
    goes_on = threading.Event()

    def write(self: Files, descriptor: int, data: memoryview) -> int:
        goes_on.wait()
        raise OSError(28, "No space left on device")

    async with run.wrapped:
        monkeypatch.setattr(Files, "write", write)
        sender = asyncio.create_task(run.consume(traces(1)))
        await asyncio.sleep(0.05)
        sender.cancel()
        queue = run.wrapped.queue
        assert queue is not None
        assert queue.statistics().size == 1
        goes_on.set()
        await asyncio.wait([sender])
        assert queue.statistics().size == 0
        monkeypatch.undo()


async def test_a_damaged_record_is_told_and_the_others_go_out(tmp_path: Path) -> None:
    """What was there and is not is in the ledger."""
    first = Run(tmp_path, "", *[RetryableError("away")] * 99, retry=FOREVER)
    async with first.wrapped:
        for spans in (1, 2, 4):
            await first.consume(traces(spans))
    (segment,) = (tmp_path / "exporter_out_traces.queue").glob("*.segment")
    raw = bytearray(segment.read_bytes())
    raw[raw.index(names(first.backend.calls[0])[0].encode()) + 60] ^= 1
    segment.write_bytes(raw)
    second = Run(tmp_path)
    async with second.wrapped:
        await second.until(lambda: second.lost() and not second.account("traces").held)
    account = second.account("traces")
    assert account.recovered == 7 == account.delivered + second.lost()[Reason.DAMAGED]


async def test_files_that_somebody_deleted_while_nothing_ran_are_in_the_ledger(tmp_path: Path) -> None:
    """As damaged, by pipeline; the rest goes out."""
    first = Run(tmp_path, "", *[RetryableError("away")] * 99, retry=FOREVER)
    async with first.wrapped:
        await first.consume(traces(3))
        await first.consume(traces(4), "traces/eu")
    (segment,) = (tmp_path / "exporter_out_traces.queue").glob("*.segment")
    segment.unlink()
    second = Run(tmp_path)
    async with second.wrapped:
        assert second.wrapped.queue.statistics().size == 0
    assert [second.lost(name) for name in ("traces", "traces/eu")] == [{Reason.DAMAGED: 3}, {Reason.DAMAGED: 4}]
    assert {(account.recovered, account.held) for account in second.accounts.values()} == {(3, 0), (4, 0)}


@pytest.mark.parametrize("kept", [0, 8_300])
async def test_a_file_that_is_taken_away_while_it_is_written_costs_only_what_was_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    """Deleted or cut off: that is in the ledger at once, nobody looks for it again, and what comes later is kept."""
    reads = []
    real = Log.read
    monkeypatch.setattr(Log, "read", lambda self, size: reads.append(size) or real(self, size))
    run = Run(tmp_path, "max_bytes: 600, num_consumers: 1", *[RetryableError("away")] * 3, retry=FOREVER)
    async with run.wrapped:
        for _ in range(6):
            await run.consume(traces(1))
        (youngest,) = (tmp_path / "exporter_out_traces.queue").glob("*.segment")
        if kept:
            os.truncate(youngest, kept)
        else:
            youngest.unlink()
        account = run.account("traces")
        await run.until(lambda: not account.held)
        assert account.delivered + run.lost()[Reason.DAMAGED] == 6
        before = len(reads)
        for _ in range(20):
            await run.clock.advance(1)
            await asyncio.sleep(0.001)
        assert len(reads) == before
        run.backend.script.extend([RetryableError("away")] * 1000)
        await run.consume(traces(5))
        assert account.held == 5
    again = Run(tmp_path)
    async with again.wrapped:
        await again.until(lambda: again.account("traces").delivered == 5)
    assert again.lost() == {}


async def test_a_reload_hands_the_queue_over(tmp_path: Path) -> None:
    """What the old exporter has not delivered is sent by the new one, once."""
    kept: dict[str, object] = {}
    old = Run(tmp_path, "num_consumers: 1", *[RetryableError("away")] * 99, retry=FOREVER, kept=kept)
    async with old.wrapped:
        new = Run(tmp_path, "num_consumers: 2", kept=kept)
        new.accounts = old.accounts
        for _ in range(10):
            await old.consume(traces(1))
        await new.wrapped.__aenter__()
        await new.consume(traces(1))
    await new.consume(traces(1))
    await new.until(lambda: new.account("traces").delivered == 12)
    await new.wrapped.__aexit__(None, None, None)
    sent = [name for batch in new.backend.taken for name in names(batch)]
    assert len(sent) == len(set(sent)) == 12
    assert (old.account("traces").held, old.account("traces").delivered) == (0, 12)


async def test_dead_letters_that_are_replayed_are_sent_again(tmp_path: Path) -> None:
    """They come in while it runs, and count as recovered."""
    other = Log(tmp_path / "other")
    other.open()
    other.append([record_of_batch(traces(3))])
    other.close()
    run = Run(tmp_path)
    async with run.wrapped:
        incoming = tmp_path / "exporter_out_traces.queue/incoming"
        incoming.mkdir()
        (tmp_path / "other/0000000000000001.segment").rename(incoming / "0000000000000001.segment")
        await run.clock.advance(5)
        await run.until(lambda: run.account("traces").delivered == 3)
    assert run.account("traces").recovered == 3


def record_of_batch(batch: Batch) -> object:
    """A record as the store makes it."""
    from sluiceway.pipelines.request import Request

    return record_of(Request(batch, ((Account("traces", "out"), batch.items),)), 10**18)


@pytest.mark.parametrize(
    ("extension", "text"),
    [(None, 'no storage client extension found: "file_storage"'), (object(), "is not a storage extension")],
)
def test_a_storage_that_is_not_there_is_a_mistake(extension: object, text: str) -> None:
    """It is found when the configuration is checked."""
    extensions = {} if extension is None else {"file_storage": extension}
    context = Context("out", Kind.EXPORTER, frozenset([Signal.TRACES]), extension=extensions.__getitem__)
    with pytest.raises(ConfigError, match=text):
        wrap(Backend(), settings("sending_queue: {storage: file_storage}"), context)


async def test_a_reload_keeps_the_queues_of_all_signals(tmp_path: Path) -> None:
    """Whatever of the queue's settings it changes; the ledger balances."""
    text = """
extensions: {{file_storage: {{directory: '{folder}'{more}}}}}
receivers: {{feed: {{component: 'sluiceway.testing:Feeder'}}}}
exporters:
  out:
    component: sluiceway.testing:MemorySink
    sending_queue: {{storage: file_storage, num_consumers: {consumers}}}
service:
  extensions: [file_storage]
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    traces: {{receivers: [feed], exporters: [out]}}
    logs: {{receivers: [feed], exporters: [out]}}
"""
    keys = f", encryption: {{keys: [{{id: k, key: '{'01' * 32}'}}]}}"
    async with asyncio.timeout(30):
        async with Collector.from_yaml(text.format(folder=tmp_path, more="", consumers=2)) as collector:
            for number, more in enumerate(("", keys, ""), 3):
                await collector.component("receiver", "feed").feed(items(Signal.TRACES, 3))
                await collector.component("receiver", "feed").feed(items(Signal.LOGS, 3))
                await collector.reload(load([f"yaml:{text.format(folder=tmp_path, more=more, consumers=number)}"]))
                assert collector.status()["exporter:out"].status is Status.OK
            await collector.component("receiver", "feed").feed(items(Signal.TRACES, 3))
        lines = collector.ledger.balances()
        async with Collector.from_yaml(text.format(folder=tmp_path, more=keys, consumers=2)) as again:
            left = sum(line.held for line in lines)
            while sum(line.delivered for line in again.ledger.balances()) < left:  # noqa: ASYNC110 - there is no event
                await asyncio.sleep(0.01)
    assert [line.missing for line in lines] == [0, 0]
    assert sum(line.accepted for line in lines) == 21 == sum(line.delivered for line in lines) + left


async def test_what_waits_in_memory_goes_to_the_disk_when_a_reload_adds_one(tmp_path: Path) -> None:
    """It is there for the next run, with what comes later."""
    text = """
extensions: {{file_storage: {{directory: '{folder}'}}}}
receivers: {{feed: {{component: 'sluiceway.testing:Feeder'}}}}
exporters:
  otlp_http: {{endpoint: 'http://127.0.0.1:{port}', timeout: 1s, sending_queue: {{{storage}}}}}
service:
  extensions: [file_storage]
  telemetry: {{metrics: {{level: none}}}}
  pipelines: {{traces: {{receivers: [feed], exporters: [otlp_http]}}}}
"""
    port = free_port()
    async with asyncio.timeout(30):
        async with Collector.from_yaml(text.format(folder=tmp_path, port=port, storage="")) as collector:
            await collector.component("receiver", "feed").feed(items(Signal.TRACES, 10))
            with_disk = text.format(folder=tmp_path, port=port, storage="storage: file_storage")
            await collector.reload(load([f"yaml:{with_disk}"]))
            await collector.component("receiver", "feed").feed(items(Signal.TRACES, 5))
        (line,) = collector.ledger.balances()
    assert (line.accepted, line.held, line.missing) == (15, 15, 0)
    log = Log(tmp_path / "exporter_otlp_http_traces.queue")
    assert log.open().items == 15


async def test_a_folder_that_somebody_deletes_takes_nothing_more(tmp_path: Path) -> None:
    """It would be lost; what is in memory still goes out."""
    run = Run(tmp_path)
    async with run.wrapped:
        run.backend.gate.clear()
        await run.consume(traces(2))
        shutil.rmtree(tmp_path / "exporter_out_traces.queue")
        await run.until(lambda: run.statuses and run.statuses[-1][0] is Status.RECOVERABLE_ERROR)
        with pytest.raises(RefusedError, match="was deleted or replaced while it was in use: put it back, or restart"):
            await run.consume(traces(1))
        run.backend.gate.set()
        await run.until(lambda: run.account("traces").delivered == 2)


@pytest.mark.parametrize("is_back", [True, False])
async def test_what_was_in_a_folder_that_is_gone_is_not_said_to_be_kept(tmp_path: Path, is_back: bool) -> None:
    """At a stop it is sent, as if it had only been in memory; what the backend does not take then is lost."""
    run = Run(tmp_path, "", *[RetryableError("away")] * 1_000, retry=FOREVER)
    async with run.wrapped:
        await run.consume(traces(2))
        await run.consume(traces(3))
        await run.until(lambda: run.backend.calls)
        shutil.rmtree(tmp_path / "exporter_out_traces.queue")
        if is_back:
            run.backend.script.clear()
    account = run.account("traces")
    assert (account.offered, account.held) == (5, 0)
    assert (account.delivered, run.lost()) == ((5, {}) if is_back else (0, {Reason.DAMAGED: 5}))


async def test_a_folder_that_is_put_back_before_a_stop_keeps_what_it_holds(tmp_path: Path) -> None:
    """It was only moved for a while."""
    run, folder = Run(tmp_path, "", *[RetryableError("away")] * 1_000, retry=FOREVER), "exporter_out_traces.queue"
    async with run.wrapped:
        await run.consume(traces(2))
        (tmp_path / folder).rename(tmp_path / "aside")
        await run.until(lambda: run.statuses and "was deleted" in run.statuses[-1][1])
        (tmp_path / "aside").rename(tmp_path / folder)
    assert (run.account("traces").held, run.lost()) == (2, {})
    again = Run(tmp_path)
    async with again.wrapped:
        await again.until(lambda: again.account("traces").delivered == 2)


async def test_who_waits_when_a_queue_is_left_is_answered(tmp_path: Path) -> None:
    """Also who came when leaving had begun: the queue is there until the disk has the request."""
    run = Run(tmp_path)
    await run.wrapped.__aenter__()
    store = run.wrapped.queue._disk.store
    await store._reading.acquire()
    await store._writing.acquire()
    leaving = asyncio.create_task(run.wrapped.__aexit__(None, None, None))
    await settle()
    store._reading.release()
    await settle()
    sender = asyncio.create_task(store.keep(request(3, run.account("traces"))))
    await settle()
    store._writing.release()
    async with asyncio.timeout(10):
        await sender
        await leaving
    log = Log(tmp_path / "exporter_out_traces.queue")
    assert log.open().items == 3


async def test_a_reload_hands_a_queue_over_though_somebody_comes_during_every_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is on its way to the disk then comes to the successor, which delivers while traffic goes on."""
    text = """
extensions: {{file_storage: {{directory: '{folder}'}}}}
receivers: {{feed: {{component: 'sluiceway.testing:Feeder'}}}}
exporters:
  out:
    component: 'sluiceway.testing:MemorySink'
    sending_queue: {{storage: file_storage, num_consumers: {consumers}}}
service:
  extensions: [file_storage]
  telemetry: {{metrics: {{level: none}}}}
  pipelines: {{traces: {{receivers: [feed], exporters: [out]}}}}
"""
    loop, real, most = asyncio.get_running_loop(), Log.append, 500
    senders: list[asyncio.Task[None]] = []

    async def arrive() -> None:
        if len(senders) < most and not (reload.done() and new().items):
            senders.append(asyncio.create_task(feed(traces(1))))
            await settle()

    def append(self: Log, records: list[Record]) -> list[Stored]:
        asyncio.run_coroutine_threadsafe(arrive(), loop).result()
        return real(self, records)

    def new() -> MemorySink:
        return collector.component("exporter", "out")

    async with asyncio.timeout(60):
        async with Collector.from_yaml(text.format(folder=tmp_path, consumers=2)) as collector:
            old, feed = new(), collector.component("receiver", "feed").feed
            reload = loop.create_task(collector.reload(load([f"yaml:{text.format(folder=tmp_path, consumers=3)}"])))
            monkeypatch.setattr(Log, "append", append)
            await feed(traces(1))
            await reload
            while not senders[-1].done():
                await asyncio.wait(senders)
            came = len(senders)
            await asyncio.gather(*senders)
        (line,) = collector.ledger.balances()
        async with Collector.from_yaml(text.format(folder=tmp_path, consumers=2)) as again:
            while sum(line.held for line in again.ledger.balances()):  # noqa: ASYNC110 - there is no event
                await asyncio.sleep(0.01)
            rest = again.component("exporter", "out")
    sent = [name for sink in (old, new(), rest) for batch in sink.batches for name in names(batch)]
    assert came < most
    assert (line.accepted, line.missing, len(set(sent))) == (came + 1, 0, len(sent))
    assert len(sent) == came + 1


async def test_giving_up_what_is_too_old_waits_for_nobody_who_leaves(tmp_path: Path) -> None:
    """Who leaves takes the lock of reading first, and then that of writing."""
    run = Run(tmp_path, "max_age: 1h, max_bytes: 2KiB, num_consumers: 1", *[RetryableError("away")] * 99, retry=FOREVER)
    await run.wrapped.__aenter__()
    for _ in range(20):
        await run.consume(traces(1))
    store = run.wrapped.queue._disk.store
    await store._reading.acquire()
    await run.clock.advance(7200)
    for _ in range(12):
        await run.clock.advance(1)
        await asyncio.sleep(0.01)
    assert not store._writing.locked()
    store._reading.release()
    async with asyncio.timeout(10):
        await run.wrapped.__aexit__(None, None, None)


async def test_what_is_read_while_a_queue_is_left_goes_to_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was taken from the disk for the old queue, and nobody reads it a second time."""
    goes_on, is_reading = threading.Event(), threading.Event()
    real = Log.read

    def read(self: Log, size: int) -> object:
        is_reading.set()
        goes_on.wait()
        return real(self, size)

    kept: dict[str, object] = {}
    text = "max_bytes: 2KiB, num_consumers: 1"
    old = Run(tmp_path, text, *[RetryableError("away")] * 99, retry=FOREVER, kept=kept)
    await old.wrapped.__aenter__()
    monkeypatch.setattr(Log, "read", read)
    for _ in range(20):
        await old.consume(traces(1))
    new = Run(tmp_path, "", kept=kept)
    new.accounts = old.accounts
    await new.wrapped.__aenter__()
    old.wrapped.queue._disk.expire()
    store = old.wrapped.queue._disk.store
    reading = asyncio.create_task(store._read(10**6))
    await asyncio.to_thread(is_reading.wait)
    leaving = asyncio.create_task(old.wrapped.__aexit__(None, None, None))
    await settle()
    goes_on.set()
    await asyncio.gather(reading, leaving)
    await new.until(lambda: new.account("traces").delivered == 20)
    await new.wrapped.__aexit__(None, None, None)


async def test_nothing_is_read_when_the_reading_before_has_found_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written from then on is handed out at once, for which no reading may be under way."""
    reads = []

    def read(self: Log, size: int) -> list[Stored]:
        reads.append(real(self, size))
        return reads[-1]

    run = Run(tmp_path, "max_bytes: 2KiB, num_consumers: 1")
    async with run.wrapped:
        store = run.wrapped.queue._disk.store
        run.backend.gate.clear()
        for _ in range(20):
            await run.consume(traces(1))
        real = Log.read
        monkeypatch.setattr(Log, "read", read)
        await asyncio.gather(*[store._read(10**6) for _ in range(9)])
        run.backend.gate.set()
        await run.until(lambda: run.account("traces").delivered == 20)
    assert [bool(found) for found in reads] == [True, False]


async def test_leaving_that_is_cancelled_hands_the_queue_over_all_the_same(tmp_path: Path) -> None:
    """A deadline that is over must not leave the next queue waiting for ever."""
    kept: dict[str, object] = {}
    old = Run(tmp_path, "", *[RetryableError("away")] * 99, retry=FOREVER, kept=kept)
    await old.wrapped.__aenter__()
    await old.consume(traces(3))
    new = Run(tmp_path, "", kept=kept)
    new.accounts = old.accounts
    await new.wrapped.__aenter__()
    store = old.wrapped.queue._disk.store
    await store._reading.acquire()
    leaving = asyncio.create_task(old.wrapped.__aexit__(None, None, None))
    for _ in range(100):
        await settle()
    leaving.cancel()
    await settle()
    leaving.cancel()
    store._reading.release()
    await asyncio.wait([leaving])
    await new.until(lambda: new.account("traces").delivered == 3)
    await new.wrapped.__aexit__(None, None, None)


async def test_a_failure_that_nobody_expected_does_not_leave_senders_waiting(tmp_path: Path) -> None:
    """It is logged; whoever waits is told to come again, and the next one is served."""
    run = Run(tmp_path)
    async with run.wrapped:
        feed = run.wrapped.queue._disk.feed
        run.wrapped.queue._disk.feed = None
        async with asyncio.timeout(10):
            with pytest.raises(RefusedError, match="the queue on disk has failed"):
                await run.consume(traces(1))
            run.wrapped.queue._disk.feed = feed
            await run.consume(traces(1))


async def test_a_queue_goes_on_when_its_exporter_is_back_though_its_folder_was_deleted(tmp_path: Path) -> None:
    """Taken out of the configuration and put in again, without a restart of the process."""
    kept: dict[str, object] = {}
    run = Run(tmp_path, kept=kept)
    async with run.wrapped:
        shutil.rmtree(tmp_path / "exporter_out_traces.queue")
        await run.until(lambda: run.statuses and run.statuses[-1][0] is Status.RECOVERABLE_ERROR)
    again = Run(tmp_path, "", RetryableError("away"), kept=kept)
    async with again.wrapped:
        await again.consume(traces(1))
        shutil.rmtree(tmp_path / "exporter_out_traces.queue")
        await again.until(lambda: again.statuses and again.statuses[-1][0] is Status.RECOVERABLE_ERROR)


async def test_a_reload_that_takes_an_exporter_away_says_what_stays_on_disk(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody sends it any more."""
    text = """
extensions: {{file_storage: {{directory: '{folder}'}}}}
receivers: {{feed: {{component: 'sluiceway.testing:Feeder'}}}}
exporters: {{{id}: {{endpoint: 'http://127.0.0.1:{port}', sending_queue: {{storage: file_storage}}}}}}
service:
  extensions: [file_storage]
  telemetry: {{metrics: {{level: none}}}}
  pipelines: {{traces: {{receivers: [feed], exporters: [{id}]}}}}
"""
    port = free_port()
    old, new = (text.format(folder=tmp_path, port=port, id=f"otlp_http/{name}") for name in ("old", "new"))
    async with asyncio.timeout(30), Collector.from_yaml(old) as collector:
        await collector.component("receiver", "feed").feed(items(Signal.TRACES, 10))
        await collector.reload(load([f"yaml:{new}"]))
    told = (
        "exporter:otlp_http/old (traces) leaves 10 items on disk that no exporter has now: see `sluiceway queue list`"
    )
    assert told in caplog.messages


async def test_a_disk_that_is_full_now_and_then_is_logged_once_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Though its status changes with each request."""

    def write(self: Files, descriptor: int, data: memoryview) -> int:
        raise OSError(28, "No space left on device")

    run = Run(tmp_path)
    async with run.wrapped:
        for minute in (1, 2):
            for _ in range(5):
                monkeypatch.setattr(Files, "write", write)
                with pytest.raises(RefusedError):
                    await run.consume(traces(1))
                monkeypatch.undo()
                await run.consume(traces(1))
            told = [message for message in caplog.messages if message.endswith("No space left on device")]
            assert len(told) == minute
            await run.clock.advance(61)


async def test_nothing_is_too_old_because_somebody_set_the_clock(tmp_path: Path) -> None:
    """What waits on disk alone is as old as it is by the clock that nobody sets."""
    run = Run(tmp_path, "max_age: 1h, max_bytes: 2KiB, num_consumers: 1")
    async with run.wrapped:
        run.backend.gate.clear()
        for _ in range(20):
            await run.consume(traces(1))
        run.clock._wall += 10 * 365 * 86400
        await run.consume(traces(1))
        run.backend.gate.set()
        await run.until(lambda: run.account("traces").delivered + sum(run.lost().values()) == 21)
    assert run.lost() == {}


async def test_what_is_read_before_its_writer_knows_is_handed_out_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reading may find a record on the disk before the event loop has heard that it is there."""
    run = Run(tmp_path, "max_bytes: 2KiB, num_consumers: 1", *[RetryableError("away")], retry=FOREVER)
    loop = asyncio.get_running_loop()
    real = Log.append

    def append(self: Log, records: list[object]) -> list[object]:
        stored = real(self, records)
        asyncio.run_coroutine_threadsafe(run.until(lambda: not store._is_behind), loop).result()
        return stored

    async with run.wrapped:
        store = run.wrapped.queue._disk.store
        for _ in range(20):
            await run.consume(traces(1))
        assert store._is_behind
        monkeypatch.setattr(Log, "append", append)
        await run.consume(traces(1))
        await run.until(lambda: run.account("traces").held == 0)
    assert run.account("traces").delivered == 21
    assert sum(run.backend.sizes) == 21
