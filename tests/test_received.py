"""What every receiver shows of itself, one plain class among them."""

from __future__ import annotations

import asyncio

import pytest

from sluiceway.component import Context, Kind, Reason
from sluiceway.errors import DecodeError, PermanentError, RefusedError, TooLargeError
from sluiceway.otlp import Batch
from sluiceway.received import Received
from sluiceway.telemetry import Metrics, Scope
from sluiceway.testing import ManualClock, MemorySink, spans
from tests.pipelines.test_flow import collector


@pytest.mark.parametrize(
    ("error", "items", "requests"),
    [
        (None, "accepted", "success"),
        (RefusedError("full"), "refused", "refused"),
        (PermanentError("bad"), "refused", "refused"),
        (asyncio.CancelledError(), "refused", "refused"),
        (DecodeError("bytes"), "refused", "failure"),
        (ValueError("bug"), "failed", "failure"),
    ],
)
async def test_items_and_requests_are_counted_by_outcome(
    error: BaseException | None, items: str, requests: str
) -> None:
    """Pressure and a backend's no are refusals, a bug is a failure, and a bad request is the sender's."""
    metrics, sink = Metrics(), MemorySink()
    received = Received(Context("in", Kind.RECEIVER, telemetry=Scope(metrics)), "http")
    sink.error = error
    try:
        await received.push(spans(3), sink)
    except BaseException as raised:  # noqa: BLE001 - whatever was raised is what is counted
        received.note(raised)
    else:
        received.note()
    names = {"receiver": "in", "transport": "http"}
    counted = {
        name: metrics.read(f"otelcol_receiver_{name}_spans", **names) for name in ("accepted", "refused", "failed")
    }
    assert counted == {"accepted": 0, "refused": 0, "failed": 0} | {items: 3}
    assert metrics.read("otelcol_receiver_requests", outcome=requests, **names) == 1
    assert metrics.read("otelcol_receiver_requests") == 1


async def test_a_plain_class_counts_as_any_receiver() -> None:
    """Its transport is empty, because nobody knows it."""
    async with collector("") as running:
        memory, feed = running.component("exporter", "memory"), running.component("receiver", "feed")
        await feed.feed(spans(2))
        memory.error = RefusedError("full")
        with pytest.raises(RefusedError):
            await feed.feed(spans(3))
        read, names = running.telemetry.metrics.read, {"receiver": "feed", "transport": ""}
        assert read("otelcol_receiver_accepted_spans", **names) == 2
        assert read("otelcol_receiver_refused_spans", **names) == 3
        assert read("otelcol_receiver_requests", outcome="refused", **names) == 1


def watched(sink: MemorySink, clock: ManualClock) -> tuple[Received, list[tuple[int, Reason]]]:
    """What counts for a receiver, and what it drops."""
    dropped: list[tuple[int, Reason]] = []
    context = Context("in", Kind.RECEIVER, clock=clock, drop=lambda items, reason, **_: dropped.append((items, reason)))
    return Received(context), dropped


async def test_what_a_source_keeps_is_offered_until_it_is_taken() -> None:
    """The delay is the one that the refusal names."""
    sink, clock = MemorySink(), ManualClock()
    received, dropped = watched(sink, clock)
    sink.error = RefusedError("full", 5)
    pushing = asyncio.create_task(received.keep_pushing(spans(3), sink))
    await clock.advance(4.9)
    assert sink.calls == 1
    sink.error = None
    await clock.advance(0.2)
    assert await pushing
    assert (sink.items, dropped) == (3, [])


async def test_what_a_source_keeps_is_dropped_when_it_is_refused_for_good() -> None:
    """It is counted, and the source goes on."""
    sink = MemorySink()
    received, dropped = watched(sink, ManualClock())
    sink.error = PermanentError("never")
    assert not await received.keep_pushing(spans(3), sink)
    assert (sink.calls, dropped) == (1, [(3, Reason.PERMANENT_ERROR)])


async def test_what_cannot_wait_is_offered_once() -> None:
    """A scrape that is refused is dropped and counted."""
    sink = MemorySink()
    received, dropped = watched(sink, ManualClock())
    sink.error = RefusedError("full")
    assert not await received.push_once(spans(3), sink)
    sink.error = None
    assert await received.push_once(spans(2), sink)
    assert (sink.items, dropped) == (2, [(3, Reason.QUEUE_FULL)])


async def test_losses_are_logged_when_they_begin_change_and_end(caplog: pytest.LogCaptureFixture) -> None:
    """A source that is refused at every interval does not fill the log."""
    caplog.set_level("INFO")
    sink = MemorySink()
    received, _ = watched(sink, ManualClock())
    for error in (RefusedError("full"), RefusedError("full"), PermanentError("never"), PermanentError("never"), None):
        sink.error = error
        await received.push_once(spans(3), sink)
    told = [record.getMessage().partition(";")[0] for record in caplog.records]
    assert told == ["3 spans were refused and dropped: full", "3 spans were refused and dropped: never",
                    "The pipeline takes what is offered again"]  # fmt: skip


class SmallSink(MemorySink):
    """Takes no batch of more than two items."""

    async def consume(self, batch: Batch) -> None:
        """Take a small batch."""
        if batch.items > 2:
            raise TooLargeError("element size too large")
        await super().consume(batch)


async def test_what_is_too_large_goes_in_halves() -> None:
    """A file's batch that is larger than a queue is not lost; a single item that is, is."""
    sink = SmallSink()
    received, dropped = watched(sink, ManualClock())
    assert await received.keep_pushing(spans(9), sink)
    assert (sink.items, dropped) == (9, [])
    sink.error = TooLargeError("element size too large")
    assert not await received.keep_pushing(spans(2), sink)
    assert dropped == [(1, Reason.TOO_LARGE)] * 2
