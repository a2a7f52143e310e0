"""Joining what waits: natural batching, and the rules of `sending_queue::batch`."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from sluiceway.otlp import Batch, Origin, Signal
from sluiceway.pipelines.batching import DISTANCE, WORTHWHILE_BYTES, Natural
from sluiceway.testing import settle
from tests.pipelines.around import Setup, names, set_up, traces

NATURAL = "sending_queue: {queue_size: 100000, max_bytes: 1GiB}"


def timed(text: str) -> Setup:
    """A backend behind a queue with a `batch` section."""
    return set_up(f"sending_queue: {{queue_size: 100000, batch: {{{text}}}}}")


def claimed(items: int, size: int = 100) -> Batch:
    """A batch that says it has so many items and bytes; natural batching does not look inside."""
    return Batch(Signal.TRACES, b"x" * size, items)


async def test_a_lone_request_goes_at_once_and_untouched() -> None:
    """No timer delays it, and its bytes are not copied."""
    setup, batch = set_up(NATURAL), traces(3)
    async with setup.wrapped:
        await setup.outlet.consume(batch)
        await settle(3)
        assert setup.backend.taken == [batch]
        assert setup.backend.taken[0] is batch


async def test_what_arrives_during_an_export_goes_as_one_when_it_ends() -> None:
    """In the order in which it came."""
    setup, batches = set_up(NATURAL), [traces(2) for _ in range(5)]
    async with setup.wrapped:
        setup.backend.gate.clear()
        for batch in batches:
            await setup.outlet.consume(batch)
            await settle()
        assert len(setup.backend.calls) == 1
        await setup.clock.advance(DISTANCE)
        assert len(setup.backend.calls) == 1
        setup.backend.gate.set()
        await settle()
        assert setup.backend.sizes == [2, 8]
        assert names(setup.backend.taken[1]) == [name for batch in batches[1:] for name in names(batch)]


def test_what_differs_in_a_header_that_the_exporter_reads_stays_apart() -> None:
    """Joined, it would have lost the header: its value is the lane's key, an absent one differs from an empty one."""
    natural = Natural(headers=["X-Topic"])
    given = [Origin(), Origin(headers={"x-topic": ("",)}), Origin(headers={"x-topic": ("a",), "x-other": ("b",)})]
    keys = [natural.key(replace(traces(1), origin=origin)) for origin in given]
    assert len(set(keys)) == 3
    assert keys[2] == natural.key(replace(traces(1), origin=Origin(headers={"x-topic": ("a",)})))
    assert Natural().key(replace(traces(1), origin=given[2])) is Natural().key(traces(1)) is None


@pytest.mark.parametrize(("items", "size"), [(4096, 100), (1, 2**20)])
async def test_a_second_export_starts_when_a_whole_request_waits(items: int, size: int) -> None:
    """8192 items or 2 MiB, and never joined beyond that."""
    setup = set_up(NATURAL)
    async with setup.wrapped:
        setup.backend.gate.clear()
        await setup.outlet.consume(claimed(items, size))
        await settle()
        await setup.outlet.consume(claimed(items, size))
        await settle()
        assert len(setup.backend.calls) == 1
        for _ in range(4):
            await setup.outlet.consume(claimed(items, size))
        await settle()
        assert [batch.items for batch in setup.backend.calls] == [items, 2 * items, 2 * items]
        setup.backend.gate.set()
        await setup.clock.advance(DISTANCE)
        assert [batch.items for batch in setup.backend.calls] == [items, 2 * items, 2 * items, items]


async def test_small_requests_keep_their_distance() -> None:
    """They cost as much as large ones: what comes within 5 ms of the last export goes as one."""
    setup = set_up(NATURAL)
    async with setup.wrapped:
        for _ in range(5):
            await setup.outlet.consume(traces())
            await setup.clock.advance(0.001)
        assert setup.backend.sizes == [1]
        await setup.clock.advance(0.001)
        assert setup.backend.sizes == [1, 4]
        await setup.clock.advance(DISTANCE)
        await setup.outlet.consume(traces())
        await settle()
        assert setup.backend.sizes == [1, 4, 1]


async def test_large_requests_keep_none() -> None:
    """What is worth a request goes the moment the one before has ended."""
    setup = set_up(NATURAL)
    async with setup.wrapped:
        for _ in range(3):
            await setup.outlet.consume(claimed(1, WORTHWHILE_BYTES))
            await settle()
        assert setup.backend.sizes == [1, 1, 1]


async def test_senders_that_wait_for_the_result_are_not_held_up_by_the_distance() -> None:
    """One that sends its next request after each answer would get no faster than the distance allows."""
    setup = set_up("sending_queue: {wait_for_result: true}")
    async with setup.wrapped:
        for _ in range(3):
            await setup.outlet.consume(traces())
        assert setup.backend.sizes == [1, 1, 1]


async def test_an_export_that_hangs_holds_up_others_for_a_moment_only() -> None:
    """The oldest waits 100 ms at most."""
    setup = set_up(NATURAL)
    async with setup.wrapped:
        setup.backend.gate.clear()
        await setup.outlet.consume(traces())
        await settle()
        await setup.outlet.consume(traces(2))
        await setup.clock.advance(0.05)
        await setup.outlet.consume(traces(3))
        await setup.clock.advance(0.04)
        assert len(setup.backend.calls) == 1
        await setup.clock.advance(0.02)
        assert [batch.items for batch in setup.backend.calls] == [1, 5]
        setup.backend.gate.set()


async def test_no_more_exports_than_consumers() -> None:
    """`num_consumers` bounds what is under way."""
    setup = set_up("sending_queue: {num_consumers: 2}")
    async with setup.wrapped:
        setup.backend.gate.clear()
        for _ in range(5):
            await setup.outlet.consume(traces())
            await setup.clock.advance(1)
        assert [batch.items for batch in setup.backend.calls] == [1, 1]
        setup.backend.gate.set()
        await settle()
        assert [batch.items for batch in setup.backend.calls] == [1, 1, 3]


async def test_timed_batches_go_when_they_reach_the_minimum() -> None:
    """And not before, also when nothing is under way."""
    setup = timed("min_size: 5")
    async with setup.wrapped:
        for _ in range(2):
            await setup.outlet.consume(traces(2))
        await settle()
        assert setup.backend.calls == []
        await setup.outlet.consume(traces(2))
        await settle()
        assert setup.backend.sizes == [6]


async def test_timed_batches_go_after_the_flush_timeout() -> None:
    """Counted from the oldest request."""
    setup = timed("min_size: 5, flush_timeout: 200ms")
    async with setup.wrapped:
        await setup.outlet.consume(traces(1))
        await setup.clock.advance(0.15)
        await setup.outlet.consume(traces(2))
        await setup.clock.advance(0.04)
        assert setup.backend.calls == []
        await setup.clock.advance(0.02)
        assert setup.backend.sizes == [3]


async def test_larger_requests_are_split_at_the_maximum() -> None:
    """The rest waits for more, but not longer than the timeout."""
    setup, batches = timed("min_size: 4, max_size: 4"), [traces(3), traces(7)]
    async with setup.wrapped:
        for batch in batches:
            await setup.outlet.consume(batch)
        await settle()
        assert setup.backend.sizes == [4, 4]
        assert setup.account.held == 2
        await setup.clock.advance(0.2)
        assert setup.backend.sizes == [4, 4, 2]
    sent = [name for batch in setup.backend.taken for name in names(batch)]
    assert sent == [name for batch in batches for name in names(batch)]
    assert setup.account.delivered == 10


async def test_the_maximum_can_be_in_bytes() -> None:
    """No request is larger than it."""
    setup, batch = timed("sizer: bytes, min_size: 100, max_size: 200"), traces(50)
    async with setup.wrapped:
        await setup.outlet.consume(batch)
    assert len(setup.backend.taken) > 1
    assert all(len(piece.payload) <= 200 for piece in setup.backend.taken)
    assert [name for piece in setup.backend.taken for name in names(piece)] == names(batch)


async def test_a_minimum_of_zero_sends_each_request_by_itself() -> None:
    """Nothing is joined."""
    setup = timed("min_size: 0")
    async with setup.wrapped:
        for items in (1, 2, 3):
            await setup.outlet.consume(traces(items))
    assert sorted(setup.backend.sizes) == [1, 2, 3]


async def test_room_is_given_back_when_every_part_is_finished() -> None:
    """A request that was split stays in the queue until its last piece is exported."""
    setup = timed("min_size: 4, max_size: 4")
    queue = setup.wrapped.queue
    assert queue is not None
    async with setup.wrapped:
        await setup.outlet.consume(traces(6))
        await settle()
        assert (setup.account.held, queue.statistics().size, setup.account.delivered) == (2, 1, 4)
        await setup.clock.advance(0.2)
        assert (setup.account.held, queue.statistics().size) == (0, 0)


async def test_partitions_are_never_joined() -> None:
    """One batch for each combination of headers; a missing header is not an empty one, names ignore case."""
    setup = timed("min_size: 100, partition: {metadata_keys: [Tenant, zone]}")
    groups = [{}, {"tenant": ""}, {"tenant": "a"}, {"tenant": "a", "zone": "1"}, {"tenant": "b", "other": "x"}]
    async with setup.wrapped:
        for _ in range(2):
            for headers in groups:
                await setup.outlet.consume(traces(1, **headers))
        await setup.clock.advance(0.2)
        assert setup.backend.sizes == [2] * len(groups)
        assert [dict(batch.origin.headers) for batch in setup.backend.taken] == [
            {key: (value,) for key, value in headers.items()} for headers in groups
        ]


async def test_idle_partitions_are_forgotten() -> None:
    """Any number of senders costs no memory once their data is gone."""
    setup = timed("min_size: 100, partition: {metadata_keys: [tenant]}")
    queue = setup.wrapped.queue
    assert queue is not None
    async with setup.wrapped:
        for number in range(50):
            await setup.outlet.consume(traces(1, tenant=str(number)))
        assert queue.statistics().partitions == 50
        await setup.clock.advance(0.2)
        assert queue.statistics().partitions == 0
    assert setup.account.delivered == 50


async def test_partitions_under_way_go_on_when_an_heir_takes_the_rest() -> None:
    """What is with the backend is answered to the old queue, and the heir has only what waited."""
    setup, heir = (timed("min_size: 1, partition: {metadata_keys: [tenant]}") for _ in range(2))
    assert setup.wrapped.queue is not None
    setup.backend.gate.clear()

    async def answer_late() -> None:
        await settle()
        setup.backend.gate.set()

    async with asyncio.timeout(20), heir.wrapped:
        async with setup.wrapped:
            for tenant in "abab":
                await setup.outlet.consume(traces(1, tenant=tenant))
                await settle()
            setup.wrapped.queue.heir = heir.wrapped.queue
            answering = asyncio.create_task(answer_late())
        await answering
    assert sum(setup.backend.sizes) + sum(heir.backend.sizes) == 4


async def test_a_full_partition_does_not_wait_for_an_empty_one() -> None:
    """Partitions go in the order in which they are ready, each with its own timeout."""
    setup = timed("min_size: 3, partition: {metadata_keys: [tenant]}")
    async with setup.wrapped:
        await setup.outlet.consume(traces(1, tenant="slow"))
        await setup.clock.advance(0.1)
        await setup.outlet.consume(traces(3, tenant="quick"))
        await settle()
        assert setup.backend.sizes == [3]
        await setup.clock.advance(0.1)
        assert setup.backend.sizes == [3, 1]
