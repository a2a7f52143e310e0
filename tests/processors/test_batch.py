"""`batch`: what it joins, when it sends, and that nothing is lost without a count."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluiceway.component import Reason, Status
from sluiceway.errors import LONGEST_DELAY, DecodeError, PermanentError, RefusedError, RetryableError
from sluiceway.otlp import Batch, Origin, Signal
from sluiceway.processors.batch import COMPONENT
from sluiceway.testing import settle
from tests.processors.samples import Bench, problems, span_names, spans


def with_header(batch: Batch, value: str) -> Batch:
    """The batch as if it had come with the header x-tenant."""
    return replace(batch, origin=Origin(headers={"x-tenant": (value,), "other": ("gone",)}))


def test_a_batch_larger_than_its_largest_size_is_a_mistake() -> None:
    """The trigger cannot lie above the limit; the texts are the Collector's, all at once."""
    found = problems(COMPONENT, "{send_batch_size: 10, send_batch_max_size: 5, timeout: -1s, max_held_items: 9}")
    assert "send_batch_max_size must be greater or equal to send_batch_size" in found
    assert "timeout must be greater or equal to 0" in found
    assert "max_held_items must be greater or equal to send_batch_size" in found


def test_metadata_keys_are_unique_whatever_their_case() -> None:
    """The same header may not be named twice."""
    found = problems(COMPONENT, "{metadata_keys: [X-Tenant, x-tenant]}")
    assert 'duplicate entry in metadata_keys: "x-tenant" (case-insensitive)' in found


def test_defaults_are_the_collectors() -> None:
    """An empty section is 8192 items or 200 milliseconds."""
    config = COMPONENT.config.model_validate(None)
    assert config.model_dump() == {
        "send_batch_size": 8192, "timeout": 0.2, "send_batch_max_size": 0, "metadata_keys": (),
        "metadata_cardinality_limit": 1000, "max_held_items": 0, "max_held_bytes": 64 << 20,
    }  # fmt: skip


async def test_batches_are_joined_in_order_until_there_are_enough() -> None:
    """The request that reaches the size goes along whole."""
    bench = Bench()
    async with bench.make(COMPONENT, "{send_batch_size: 3, timeout: 1h}") as processor:
        await processor.consume(spans(2, "a"))
        await settle()
        assert bench.sink.calls == 0
        await processor.consume(spans(2, "b"))
        await settle()
        assert span_names(bench.sink.batches) == [["a-0", "a-1", "b-0", "b-1"]]
        assert processor.held == 0


async def test_an_item_waits_no_longer_than_the_timeout() -> None:
    """The time runs from the first item; what came meanwhile goes along."""
    bench = Bench()
    async with bench.make(COMPONENT, "{timeout: 200ms}") as processor:
        await processor.consume(spans(1, "a"))
        await bench.clock.advance(0.15)
        await processor.consume(spans(1, "b"))
        assert processor.held == 2
        await bench.clock.advance(0.049)
        assert bench.sink.calls == 0
        await bench.clock.advance(0.002)
    assert span_names(bench.sink.batches) == [["a-0", "b-0"]]


@pytest.mark.parametrize("text", ["{timeout: 0s}", "{send_batch_size: 0}"])
async def test_no_timeout_or_no_size_sends_at_once(text: str) -> None:
    """Zero means: wait for nothing."""
    bench = Bench()
    async with bench.make(COMPONENT, text) as processor:
        await processor.consume(spans(1))
        await settle()
        assert bench.sink.items == 1


async def test_a_batch_has_no_more_than_the_largest_size() -> None:
    """What is over waits for more, in order, and goes when the time is over."""
    bench = Bench()
    async with bench.make(COMPONENT, "{send_batch_size: 3, send_batch_max_size: 4, timeout: 1s}") as processor:
        await processor.consume(spans(10))
        await settle()
        assert [batch.items for batch in bench.sink.batches] == [4, 4]
        assert processor.held == 2
        await bench.clock.advance(1)
        assert [name for names in span_names(bench.sink.batches) for name in names] == [f"span-{i}" for i in range(10)]
        assert bench.metrics.read("otelcol_processor_batch_batch_size_trigger_send") == 2
        assert bench.metrics.read("otelcol_processor_batch_timeout_trigger_send") == 1
        assert processor.held == 0


async def test_an_empty_batch_is_passed_on() -> None:
    """A request without items is not worth waiting for."""
    bench = Bench()
    async with bench.make(COMPONENT, "{}") as processor:
        await processor.consume(Batch(Signal.TRACES, b"", 0))
        assert bench.sink.calls == 1


async def test_metadata_parts_the_data_and_stays_with_it() -> None:
    """Each value of the header has batches of its own, which keep the header and no other."""
    bench = Bench()
    async with bench.make(COMPONENT, "{metadata_keys: [X-Tenant], timeout: 1s}") as processor:
        for value in ("acme", "blue", "acme"):
            await processor.consume(with_header(spans(1, value), value))
        assert bench.metrics.read("otelcol_processor_batch_metadata_cardinality") == 2
        await bench.clock.advance(1)
    assert span_names(bench.sink.batches) == [["acme-0", "acme-0"], ["blue-0"]]
    assert [dict(batch.origin.headers) for batch in bench.sink.batches] == [
        {"x-tenant": ("acme",)}, {"x-tenant": ("blue",)},
    ]  # fmt: skip


async def test_metadata_has_a_limited_number_of_values() -> None:
    """Beyond it data is refused for good; known values still pass."""
    bench = Bench()
    async with bench.make(COMPONENT, "{metadata_keys: [x-tenant], metadata_cardinality_limit: 1}") as processor:
        await processor.consume(with_header(spans(1), "acme"))
        with pytest.raises(PermanentError, match="too many batcher metadata-value combinations"):
            await processor.consume(with_header(spans(1), "blue"))
        await processor.consume(with_header(spans(1), "acme"))


@pytest.mark.parametrize("error", [RefusedError("full", 7), RetryableError("away", retry_after=7)])
async def test_what_is_refused_stays_and_comes_again_after_the_delay(error: Exception) -> None:
    """Nothing is lost and nothing is overtaken; health shows the trouble while it lasts."""
    bench = Bench()
    bench.sink.error = error
    async with bench.make(COMPONENT, "{send_batch_size: 1, timeout: 1h}") as processor:
        await processor.consume(spans(1, "a"))
        await processor.consume(spans(1, "b"))
        await bench.clock.advance(6.9)
        assert (bench.sink.calls, processor.held) == (1, 2)
        bench.sink.error = None
        await bench.clock.advance(0.2)
        assert span_names(bench.sink.batches) == [["a-0"], ["b-0"]]
        assert bench.statuses == [Status.RECOVERABLE_ERROR, Status.OK]
        assert bench.drops == []


async def test_attempts_back_off_within_bounds() -> None:
    """Without a delay to honour, attempts come at growing distances of five seconds at most."""
    bench = Bench()
    bench.sink.error = RetryableError("away")
    async with bench.make(COMPONENT, "{send_batch_size: 1}") as processor:
        await processor.consume(spans(1))
        await bench.clock.advance(0.75)
        assert bench.sink.calls == 4
        await bench.clock.advance(60)
        assert 14 <= bench.sink.calls <= 19
        bench.sink.error = None


@pytest.mark.parametrize("delay", [1e9, float("inf")])
async def test_no_delay_is_longer_than_two_minutes(delay: float) -> None:
    """A delay of a year must not stop a pipeline for a year."""
    bench = Bench()
    bench.sink.error = RefusedError("full", delay)
    async with bench.make(COMPONENT, "{send_batch_size: 1}") as processor:
        await processor.consume(spans(1))
        await bench.clock.advance(LONGEST_DELAY + 1)
        assert bench.sink.calls == 2
        bench.sink.error = None


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermanentError("no"), Reason.PERMANENT_ERROR),
        (DecodeError("no"), Reason.PERMANENT_ERROR),
        (ZeroDivisionError(), Reason.INTERNAL_ERROR),
    ],
)
async def test_what_is_refused_for_good_is_dropped_and_counted(error: Exception, reason: Reason) -> None:
    """The next batch gets its own chance."""
    bench = Bench()
    bench.sink.error = error
    async with bench.make(COMPONENT, "{send_batch_size: 1}") as processor:
        await processor.consume(spans(3))
        await settle()
        bench.sink.error = None
        await processor.consume(spans(1))
        await settle()
    assert bench.drops == [(3, reason, False)]
    assert (bench.sink.items, processor.held) == (1, 0)


async def test_a_full_processor_makes_senders_wait_for_room() -> None:
    """While the next component is slow but takes data, so does this, and nothing is refused."""
    bench = Bench()
    bench.sink.gate = asyncio.Event()
    async with bench.make(COMPONENT, "{send_batch_size: 2, max_held_items: 2}") as processor:
        await processor.consume(spans(2, "a"))
        waiting = asyncio.create_task(processor.consume(spans(2, "b")))
        await settle()
        assert (processor.held, waiting.done()) == (2, False)
        bench.sink.gate.set()
        await waiting
    assert span_names(bench.sink.batches) == [["a-0", "a-1"], ["b-0", "b-1"]]


async def test_waiting_for_room_ends_with_a_refusal() -> None:
    """After five seconds the sender is told to come again, and the batch is still its own."""
    bench = Bench()
    bench.sink.gate = asyncio.Event()
    async with bench.make(COMPONENT, "{send_batch_size: 2, max_held_items: 2}") as processor:
        await processor.consume(spans(2))
        waiting = asyncio.create_task(processor.consume(spans(2)))
        await bench.clock.advance(5.1)
        with pytest.raises(RefusedError, match="full"):
            await waiting
        assert processor.held == 2
        bench.sink.gate.set()
    assert bench.sink.items == 2


async def test_a_full_processor_refuses_when_the_next_refuses() -> None:
    """Pressure travels to the sender, with the delay that is left."""
    bench = Bench()
    bench.sink.error = RefusedError("full", 10)
    async with bench.make(COMPONENT, "{send_batch_size: 2, max_held_items: 2}") as processor:
        await processor.consume(spans(2))
        await bench.clock.advance(4)
        with pytest.raises(RefusedError) as refused:
            await processor.consume(spans(1))
        assert refused.value.retry_after == pytest.approx(6)
        bench.sink.error = None


async def test_bytes_are_bounded_too() -> None:
    """What waits for its timeout goes early when its room is needed."""
    bench = Bench()
    async with bench.make(COMPONENT, "{max_held_bytes: 100B, timeout: 1h}") as processor:
        await processor.consume(spans(1, "a" * 80))
        await processor.consume(spans(1, "b" * 80))
        assert (bench.sink.items, processor.held) == (1, 1)


async def test_a_request_beyond_all_bounds_still_passes() -> None:
    """Alone, a request of any size is taken."""
    bench = Bench()
    async with bench.make(COMPONENT, "{send_batch_size: 1, max_held_items: 1, max_held_bytes: 1B}") as processor:
        await processor.consume(spans(5))
    assert bench.sink.items == 5


async def test_leaving_flushes() -> None:
    """What waits for more goes out, joined and in order, and nothing more is let in."""
    bench = Bench()
    async with bench.make(COMPONENT, "{send_batch_size: 2, send_batch_max_size: 2, timeout: 1h}") as processor:
        for i in range(3):
            await processor.consume(spans(1, str(i)))
    assert span_names(bench.sink.batches) == [["0-0", "1-0"], ["2-0"]]
    with pytest.raises(RefusedError, match="shutting down"):
        await processor.consume(spans(1))


async def test_leaving_before_anything_came_takes_nobody_in() -> None:
    """A processor that never had a shard opens none after its end."""
    bench = Bench()
    async with bench.make(COMPONENT, "{}") as processor:
        pass
    with pytest.raises(RefusedError, match="shutting down"):
        await processor.consume(spans(1))


async def test_leaving_tries_a_refused_batch_again_at_once() -> None:
    """A long delay must not outlast the deadline of a stop without one more attempt."""
    bench = Bench()
    bench.sink.error = RefusedError("full", 200)
    async with bench.make(COMPONENT, "{send_batch_size: 1}") as processor:
        await processor.consume(spans(1))
        await settle()
        bench.sink.error = None
    assert bench.sink.items == 1
    assert bench.clock.now() == 1_000.0


async def test_a_stop_that_is_cancelled_drops_and_counts_the_rest() -> None:
    """Whatever is left when the deadline is over is dropped with its reason, to the item."""
    bench = Bench()
    bench.sink.error = RefusedError("full", 200)
    processor = bench.make(COMPONENT, "{send_batch_size: 2}")
    await processor.__aenter__()
    for _ in range(3):
        await processor.consume(spans(1))
    leaving = asyncio.create_task(processor.__aexit__(None, None, None))
    await settle()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert sum(items for items, reason, _ in bench.drops if reason is Reason.SHUTDOWN) == 3
    assert processor.held == 0


async def test_a_stop_cancelled_at_once_loses_nothing_uncounted() -> None:
    """Even what no task has seen yet is accounted for."""
    bench = Bench()
    processor = bench.make(COMPONENT, "{}")
    await processor.__aenter__()
    await processor.consume(spans(4))
    leaving = asyncio.create_task(processor.__aexit__(None, None, None))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait([leaving])
    assert bench.sink.items + sum(items for items, _, _ in bench.drops) == 4


@given(st.lists(st.integers(1, 12), max_size=12), st.integers(0, 10), st.integers(0, 10), st.sampled_from(["1h", "0s"]))
@settings(max_examples=60, deadline=None)
def test_every_item_comes_out_once_and_in_order(counts: list[int], size: int, more: int, timeout: str) -> None:
    """However requests and sizes fall, and never more in a batch than its largest size."""
    largest = size + more

    async def send() -> list[list[str]]:
        bench = Bench()
        text = f"{{send_batch_size: {size}, send_batch_max_size: {largest}, timeout: {timeout}}}"
        async with bench.make(COMPONENT, text) as processor:
            for number, count in enumerate(counts):
                await processor.consume(spans(count, str(number)))
        assert processor.held == 0
        return span_names(bench.sink.batches)

    batches = asyncio.run(send())
    expected = [f"{number}-{i}" for number, count in enumerate(counts) for i in range(count)]
    assert [name for names in batches for name in names] == expected
    assert all(0 < len(names) <= (largest or 1000) for names in batches)


async def test_sizes_of_batches_are_recorded() -> None:
    """The histogram holds items a batch."""
    bench = Bench()
    async with bench.make(COMPONENT, "{send_batch_size: 3}") as processor:
        await processor.consume(spans(3))
    (family,) = [f for f in bench.metrics.families() if f.name == "otelcol_processor_batch_batch_send_size"]
    assert [(found.count, found.total) for _, found in family.distributions()] == [(1, 3)]
