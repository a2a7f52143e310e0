"""What every receiver shows of itself, one plain class among them."""

from __future__ import annotations

import asyncio

import pytest

from sluiceway.component import Context, Kind
from sluiceway.errors import DecodeError, PermanentError, RefusedError
from sluiceway.received import Received
from sluiceway.telemetry import Metrics, Scope
from sluiceway.testing import MemorySink, spans
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
