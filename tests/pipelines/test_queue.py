"""The sending queue: what it takes, what it refuses, and how it settles what became of it."""

from __future__ import annotations

import asyncio

import pytest

from sluiceway.caller import Caller
from sluiceway.component import PartialSuccess, Reason, Status
from sluiceway.errors import PermanentError, RefusedError, RetryableError, TooLargeError
from sluiceway.otlp import Batch, Signal
from sluiceway.pipelines.queue import RETRY_AFTER
from sluiceway.testing import settle
from tests.pipelines.around import Setup, request, set_up, traces

ONE_BY_ONE = "batch: {min_size: 0}"


def queue(text: str, *script: BaseException | PartialSuccess | None) -> Setup:
    """A scripted backend behind a queue."""
    return set_up(f"sending_queue: {{{text}}}", *script)


async def test_the_sender_is_answered_before_the_export() -> None:
    """The queue has taken responsibility, and the ledger holds the items until they are delivered."""
    setup = queue("")
    async with setup.wrapped:
        setup.backend.gate.clear()
        await setup.outlet.consume(traces(3))
        assert (setup.account.held, setup.account.delivered) == (3, 0)
        setup.backend.gate.set()
        await settle()
        assert (setup.account.held, setup.account.delivered) == (0, 3)


@pytest.mark.parametrize(
    ("text", "fits"), [("queue_size: 2", 2), ("queue_size: 7, sizer: items", 3), ("queue_size: 70, sizer: bytes", 3)]
)
async def test_a_full_queue_refuses_with_a_delay(text: str, fits: int) -> None:
    """Whatever the sizer; what is under way counts. Each batch here has 2 items and 20 bytes."""
    setup = queue(text)
    async with setup.wrapped:
        setup.backend.gate.clear()
        for _ in range(fits):
            await setup.outlet.consume(Batch(Signal.TRACES, b"x" * 20, 2))
            await settle()
        with pytest.raises(RefusedError, match="sending queue is full") as caught:
            await setup.outlet.consume(Batch(Signal.TRACES, b"x" * 20, 2))
        assert caught.value.retry_after == RETRY_AFTER
        assert setup.metric("enqueue_failed_spans") == 2
        assert setup.account.held == 2 * fits
        setup.backend.gate.set()
        await settle()
        await setup.outlet.consume(Batch(Signal.TRACES, b"x" * 20, 2))


async def test_bytes_are_bounded_whatever_the_sizer() -> None:
    """A backend that is away costs no more memory than `max_bytes`."""
    setup = queue("max_bytes: 1KiB")
    async with setup.wrapped:
        setup.backend.gate.clear()
        for _ in range(10):
            await setup.outlet.consume(Batch(Signal.TRACES, b"x" * 100, 1))
        with pytest.raises(RefusedError):
            await setup.outlet.consume(Batch(Signal.TRACES, b"x" * 100, 1))
        setup.backend.gate.set()


@pytest.mark.parametrize(
    "text", ["queue_size: 4, sizer: items", "max_bytes: 10", "max_bytes: 10, block_on_overflow: true"]
)
async def test_what_never_fits_is_the_senders_mistake(text: str, caplog: pytest.LogCaptureFixture) -> None:
    """It must not come again for ever; an operator is told which setting it does not fit into."""
    setup = queue(text)
    async with setup.wrapped:
        with pytest.raises(TooLargeError, match="element size too large"):
            await setup.outlet.consume(traces(5))
    assert setup.metric("enqueue_failed_spans") == 5
    (record,) = caplog.records
    assert "see sending_queue::queue_size and max_bytes" in record.error
    assert record.rejected_items == 5


async def test_empty_batches_are_accepted_and_skipped() -> None:
    """They take no room and are not exported."""
    setup = queue("")
    async with setup.wrapped:
        await setup.outlet.consume(Batch(Signal.TRACES, b"", 0))
    assert setup.backend.calls == []


async def test_senders_can_wait_for_room() -> None:
    """With `block_on_overflow` nobody is refused."""
    setup = queue("queue_size: 1, block_on_overflow: true")
    assert not setup.outlet.takes_at_once
    async with setup.wrapped:
        setup.backend.gate.clear()
        senders = [asyncio.create_task(setup.outlet.consume(traces())) for _ in range(5)]
        await settle()
        assert sum(sender.done() for sender in senders) == 1
        setup.backend.gate.set()
        await setup.clock.advance(1)
        assert all(sender.done() for sender in senders)
    assert setup.account.delivered == 5


async def test_a_sender_that_waits_may_leave() -> None:
    """Its data was not taken."""
    setup = queue("queue_size: 1, block_on_overflow: true")
    async with setup.wrapped:
        setup.backend.gate.clear()
        await setup.outlet.consume(traces())
        sender = asyncio.create_task(setup.outlet.consume(traces(7)))
        await settle()
        sender.cancel()
        await asyncio.wait([sender])
        setup.backend.gate.set()
    assert setup.account.delivered == 1


async def test_who_hangs_up_while_it_waits_for_room_is_refused() -> None:
    """So it does not stand in the line of those who are still there."""
    setup, caller = queue("queue_size: 1, block_on_overflow: true"), Caller()
    async with setup.wrapped:
        setup.backend.gate.clear()
        await setup.outlet.consume(traces())
        sender = setup.send_as(caller, traces())
        await settle()
        caller.hang_up()
        for one in (sender, setup.send_as(caller, traces())):
            with pytest.raises(RefusedError):
                await one
        setup.backend.gate.set()
    assert setup.account.delivered == 1


async def test_what_the_queue_has_accepted_is_seen_through_whoever_has_gone() -> None:
    """Its sender may still be held up by another branch when it hangs up."""
    setup, caller = (
        set_up("{sending_queue: {block_on_overflow: true}, retry_on_failure: }", RetryableError("away")),
        Caller(),
    )
    async with setup.wrapped:
        await setup.send_as(caller, traces())
        await settle()
        caller.hang_up()
        await setup.clock.advance(60)
        assert setup.account.delivered == 1


RESULT = "{sending_queue: {wait_for_result: true, num_consumers: 1, %s}, retry_on_failure: }"


@pytest.mark.parametrize("batch", ["batch: {min_size: 0, partition: {metadata_keys: [k]}}", ONE_BY_ONE, "sizer: items"])
async def test_what_waits_for_nobody_is_taken_out(batch: str) -> None:
    """It is not sent when its turn comes, gives back its room, and those around it go on."""
    setup, callers = set_up(RESULT % batch), [Caller() for _ in range(4)]
    async with setup.wrapped:
        setup.backend.gate.clear()
        sending = []
        for number, caller in enumerate(callers):
            sending.append(setup.send_as(caller, traces(3, k=str(number))))
            await settle()
        callers[2].hang_up()
        await settle()
        with pytest.raises(RetryableError, match="the sender has gone"):
            await sending.pop(2)
        setup.backend.gate.set()
        await asyncio.gather(*sending)
        assert setup.wrapped.queue.statistics().size == 0
    assert (setup.account.delivered, setup.account.held, setup.lost) == (9, 0, {})


async def test_a_joined_request_is_repeated_while_one_of_its_senders_waits() -> None:
    """When the last has gone it ends, and nothing of it is in the ledger."""
    setup, callers = set_up(RESULT % "sizer: items", *[RetryableError("away")] * 9), [Caller() for _ in range(3)]
    async with setup.wrapped:
        setup.backend.gate.clear()
        sending = [setup.send_as(callers[0], traces())]
        await settle()
        sending += [setup.send_as(caller, traces()) for caller in callers[1:]]
        await settle()
        callers[0].hang_up()
        setup.backend.gate.set()
        await settle()
        assert [batch.items for batch in setup.backend.calls] == [1, 2]
        callers[1].hang_up()
        await setup.clock.advance(30)
        assert len(setup.backend.calls) > 2
        seen = len(setup.backend.calls)
        callers[2].hang_up()
        await settle()
        assert all(isinstance(task.exception(), RetryableError) for task in sending)
        await setup.clock.advance(120)
        assert (len(setup.backend.calls), setup.account.delivered, setup.lost) == (seen, 0, {})


async def test_with_wait_for_result_the_sender_learns_of_success_and_failure() -> None:
    """What failed is the sender's again, and nothing is dropped."""
    setup = queue(f"wait_for_result: true, {ONE_BY_ONE}", None, PermanentError("bad"), PartialSuccess(1))
    assert not setup.outlet.takes_at_once
    async with setup.wrapped:
        await setup.outlet.consume(traces(2))
        with pytest.raises(PermanentError):
            await setup.outlet.consume(traces(3))
        await setup.outlet.consume(traces(4))
    assert (setup.account.delivered, setup.account.held, setup.lost) == (2 + 3, 0, {Reason.REJECTED: 1})


async def test_with_wait_for_result_a_sender_that_left_is_not_in_the_ledger() -> None:
    """It was never told that its items were accepted."""
    setup = queue("wait_for_result: true")
    async with setup.wrapped:
        setup.backend.gate.clear()
        sender = asyncio.create_task(setup.outlet.consume(traces(2)))
        await settle()
        sender.cancel()
        await asyncio.wait([sender])
        setup.backend.gate.set()
    assert (setup.account.delivered, setup.account.held, setup.lost) == (0, 0, {})


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermanentError("bad"), Reason.PERMANENT_ERROR),
        (RetryableError("away"), Reason.RETRIES_EXHAUSTED),
        (RefusedError("full"), Reason.RETRIES_EXHAUSTED),
        (TooLargeError("too large"), Reason.TOO_LARGE),
        (ValueError("a bug"), Reason.INTERNAL_ERROR),
    ],
)
async def test_what_fails_for_good_is_dropped_with_its_reason(error: Exception, reason: Reason) -> None:
    """Health shows that data is being lost, until data arrives again."""
    setup = queue("", error)
    async with setup.wrapped:
        await setup.outlet.consume(traces(3))
        await settle()
        assert (setup.lost, setup.account.held) == ({reason: 3}, 0)
        assert setup.statuses[-1] is Status.PERMANENT_ERROR
        assert setup.metric("send_failed_spans") == 3
        await setup.outlet.consume(traces())
        await setup.clock.advance(1)
        assert setup.statuses[-1] is Status.OK


async def test_losses_are_logged_with_their_number(caplog: pytest.LogCaptureFixture) -> None:
    """At most one line in ten seconds, and all of them add up."""
    setup = queue(ONE_BY_ONE, *[PermanentError("bad")] * 10)
    async with setup.wrapped:
        for _ in range(10):
            await setup.outlet.consume(traces(2))
    lines = [(record.message, record.dropped_items) for record in caplog.records]
    assert lines == [("Exporting failed. Dropping data.", 2), ("Exporting failed. Dropping data.", 18)]


async def test_a_bug_in_the_exporter_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """And does not stop the queue."""
    setup = queue("num_consumers: 1", KeyError("oh"))
    async with setup.wrapped:
        await setup.outlet.consume(traces())
        await settle()
        await setup.outlet.consume(traces())
    assert setup.account.delivered == 1
    assert any(record.exc_info and isinstance(record.exc_info[1], KeyError) for record in caplog.records)


async def test_leaving_exports_what_is_held_and_tries_each_once() -> None:
    """Retries are over; what fails now is dropped as lost by the shutdown."""
    setup = set_up(
        f"{{sending_queue: {{num_consumers: 1, {ONE_BY_ONE}}}, retry_on_failure: }}",
        None, RetryableError("away"), None,
    )  # fmt: skip
    async with setup.wrapped:
        for items in (1, 2, 4):
            await setup.outlet.consume(traces(items))
    assert (setup.account.delivered, setup.account.held, setup.lost) == (5, 0, {Reason.SHUTDOWN: 2})
    assert len(setup.backend.calls) == 3
    with pytest.raises(RefusedError, match="sending queue is stopped"):
        await setup.outlet.consume(traces())


async def test_when_the_deadline_is_over_what_is_left_is_dropped() -> None:
    """Waiting and under way, to the item."""
    setup = queue(f"num_consumers: 2, {ONE_BY_ONE}")

    async def live() -> None:
        async with setup.wrapped:
            setup.backend.gate.clear()
            for items in (1, 2, 4, 8):
                await setup.outlet.consume(traces(items))

    life = asyncio.create_task(live())
    await settle()
    assert not life.done()
    life.cancel()
    await asyncio.wait([life])
    assert life.cancelled()
    assert (setup.account.held, setup.lost) == (0, {Reason.SHUTDOWN: 15})


async def test_leaving_sends_those_who_wait_away() -> None:
    """They are refused and keep their data."""
    setup = queue("queue_size: 1, block_on_overflow: true")
    async with setup.wrapped:
        setup.backend.gate.clear()
        await setup.outlet.consume(traces())
        waiting = asyncio.create_task(setup.outlet.consume(traces()))
        await settle()
        asyncio.get_running_loop().call_soon(setup.backend.gate.set)
    with pytest.raises(RefusedError, match="sending queue is stopped"):
        await waiting
    assert setup.account.delivered == 1


async def test_cancelling_its_life_before_it_leaves_drops_what_is_held() -> None:
    """As when the deadline is over."""
    setup = queue(ONE_BY_ONE)

    async def live() -> None:
        async with setup.wrapped:
            setup.backend.gate.clear()
            await setup.outlet.consume(traces(3))
            await asyncio.Event().wait()

    life = asyncio.create_task(live())
    await settle()
    life.cancel()
    await asyncio.wait([life])
    assert (setup.account.held, setup.lost) == (0, {Reason.SHUTDOWN: 3})


async def test_what_the_queue_holds_shows_in_metrics_and_statistics() -> None:
    """In units of its sizer."""
    setup = queue("queue_size: 50, sizer: items")
    parts = setup.wrapped.queue
    assert parts is not None
    async with setup.wrapped:
        setup.backend.gate.clear()
        await setup.wrapped.send(request(3, setup.account))
        await settle()
        await setup.wrapped.send(request(4, setup.account))
        assert (setup.metric("queue_size"), setup.metric("queue_capacity")) == (7, 50)
        assert setup.metric("in_flight_requests") == 1
        known = parts.statistics()
        assert (known.size, known.capacity, known.peak, known.in_flight, known.waiting_senders) == (7, 50, 7, 1, 0)
        setup.backend.gate.set()
    assert parts.statistics().size == 0
    assert parts.statistics().bytes == 0
