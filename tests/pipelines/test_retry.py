"""Repeating failed exports: the rules of the Collector's `retry_on_failure`."""

from __future__ import annotations

import asyncio
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.caller import Caller
from sluiceway.component import Status
from sluiceway.config.exporter import RetryOnFailure
from sluiceway.errors import PermanentError, RefusedError, RetryableError
from sluiceway.pipelines.retry import REMINDER, SHORTEST_WAIT, Backoff
from sluiceway.testing import settle
from tests.pipelines.around import set_up, traces

RETRY = "retry_on_failure: {initial_interval: 1s, max_interval: 4s, max_elapsed_time: 10s}"


def away(retry_after: float | None = None) -> RetryableError:
    """What a dead backend says."""
    return RetryableError("connection refused", retry_after=retry_after, code="UNAVAILABLE")


async def test_a_failed_export_is_repeated_after_an_interval(caplog: pytest.LogCaptureFixture) -> None:
    """The first wait is `initial_interval`; it is logged, and the sender waits along."""
    caplog.set_level("INFO")
    setup = set_up(RETRY, away())
    sending = asyncio.create_task(setup.outlet.consume(traces()))
    await setup.clock.advance(0.99)
    assert len(setup.backend.calls) == 1
    await setup.clock.advance(0.01)
    assert sending.done()
    assert setup.account.delivered == 1
    record = caplog.records[0]
    assert record.message == "Exporting failed. Will retry the request after interval."
    assert (record.error, record.interval) == ("connection refused", "1s")


async def test_a_retry_shows_in_health_until_data_arrives() -> None:
    """Health checks learn of trouble at the first failure, and of its end."""
    setup = set_up(RETRY, away(), away())
    sending = asyncio.create_task(setup.outlet.consume(traces()))
    await setup.clock.advance(10)
    await sending
    assert setup.statuses == [Status.RECOVERABLE_ERROR, Status.RECOVERABLE_ERROR, Status.OK]


async def test_permanent_errors_are_not_repeated() -> None:
    """They are passed on, in the Collector's words."""
    setup = set_up(RETRY, PermanentError("bad data", code="INVALID_ARGUMENT"))
    with pytest.raises(PermanentError, match="not retryable error: bad data") as caught:
        await setup.outlet.consume(traces())
    assert caught.value.code == "INVALID_ARGUMENT"
    assert len(setup.backend.calls) == 1


async def test_it_gives_up_when_the_next_attempt_would_be_too_late() -> None:
    """Waits of 1, 1.5, 2.25 and 3.4 seconds fit into ten, another one does not."""
    setup = set_up(RETRY, *[away()] * 9)
    sending = asyncio.create_task(setup.outlet.consume(traces()))
    await setup.clock.advance(60)
    with pytest.raises(RetryableError, match="no more retries left: connection refused"):
        await sending
    assert len(setup.backend.calls) == 5


async def test_zero_elapsed_time_never_gives_up() -> None:
    """`max_elapsed_time: 0s` repeats for ever."""
    setup = set_up("retry_on_failure: {max_elapsed_time: 0s}", *[away()] * 100)
    sending = asyncio.create_task(setup.outlet.consume(traces()))
    await setup.clock.advance(3600)
    assert sending.done()
    assert setup.account.delivered == 1


@pytest.mark.parametrize("error", [away(3.0), RefusedError("full", retry_after=3.0)])
async def test_the_delay_that_the_backend_asks_for_is_honoured(error: Exception) -> None:
    """The wait is the longer of backoff and throttle delay."""
    setup = set_up(RETRY, error)
    sending = asyncio.create_task(setup.outlet.consume(traces()))
    await setup.clock.advance(2.9)
    assert len(setup.backend.calls) == 1
    await setup.clock.advance(0.1)
    assert sending.done()


@given(st.lists(st.floats(0, 1), min_size=20, max_size=20))
def test_waits_grow_to_the_maximum_and_vary_at_random(dice: list[float]) -> None:
    """Each wait lies within the factor around its interval."""
    settings = RetryOnFailure(initial_interval="1s", max_interval="4s", multiplier=2.0)
    backoff = Backoff(settings, iter(dice).__next__)
    for interval in [1, 2] + [4] * 18:
        assert 0.5 * interval <= backoff.next() <= 1.5 * interval


def test_intervals_of_zero_do_not_spin() -> None:
    """A dead backend must not cost a core."""
    backoff = Backoff(RetryOnFailure(initial_interval="0s"), lambda: 0.5)
    assert [backoff.next() for _ in range(3)] == [SHORTEST_WAIT] * 3


async def test_shutdown_ends_the_wait_for_one_last_attempt() -> None:
    """A request in backoff is tried once more, and not again."""
    setup = set_up(RETRY, away(), away())
    async with setup.wrapped:
        sending = asyncio.create_task(setup.outlet.consume(traces()))
        await settle()
        assert len(setup.backend.calls) == 1
    with pytest.raises(RetryableError, match="interrupted due to shutdown: connection refused"):
        await sending
    assert len(setup.backend.calls) == 2


async def test_cancellation_ends_the_wait_and_settles_nothing() -> None:
    """The data is still the sender's."""
    setup = set_up(RETRY, away())
    sending = asyncio.create_task(setup.outlet.consume(traces()))
    await settle()
    sending.cancel()
    await asyncio.wait([sending])
    assert sending.cancelled()
    assert (setup.account.delivered, setup.account.held, setup.lost) == (0, 0, {})


async def test_nothing_is_repeated_for_a_sender_that_has_gone() -> None:
    """Its wait ends when it hangs up, and what is still its own is not sent once more."""
    setup, caller = set_up(RETRY, away()), Caller()
    sending = setup.send_as(caller, traces())
    await settle()
    caller.hang_up()
    await settle()
    with pytest.raises(RetryableError, match="the sender has gone: connection refused"):
        await sending
    await setup.clock.advance(60)
    assert (len(setup.backend.calls), setup.account.delivered) == (1, 0)


@pytest.mark.parametrize(("script", "delivered"), [([], 1), ([away()], 0)])
async def test_the_attempt_that_is_under_way_when_the_sender_goes_is_the_last(
    script: list[Exception], delivered: int
) -> None:
    """Its outcome counts, whatever it is."""
    setup, caller = set_up(RETRY, *script), Caller()
    setup.backend.gate.clear()
    sending = setup.send_as(caller, traces())
    await settle()
    caller.hang_up()
    await settle()
    assert not sending.done()
    setup.backend.gate.set()
    await setup.clock.advance(60)
    assert (sending.exception() is None, setup.account.delivered, len(setup.backend.calls)) == (
        not script,
        delivered,
        1,
    )


async def test_who_had_hung_up_before_still_has_one_attempt() -> None:
    """A client that closes its side and waits for the answer cannot be told from one that went away."""
    setup, caller = set_up(RETRY), Caller()
    caller.hang_up()
    await setup.send_as(caller, traces())
    assert setup.account.delivered == 1


async def test_what_an_operator_must_mend_is_an_error_that_is_not_repeated_all_the_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is told when it is new and now and then. The status is that of what is well again once it was mended."""
    caplog.set_level(logging.INFO)
    wrong = [RetryableError("password authentication failed", advice="see password") for _ in range(500)]
    setup = set_up("retry_on_failure: {initial_interval: 1s, multiplier: 1, max_elapsed_time: 0s}", *wrong)
    sending = asyncio.create_task(setup.outlet.consume(traces()))
    for _ in range(100):
        await setup.clock.advance(1)
    assert [record.levelname for record in caplog.records[:3]] == ["ERROR", "INFO", "INFO"]
    for _ in range(int(REMINDER)):
        await setup.clock.advance(1)
    told = [record for record in caplog.records if record.levelname == "ERROR"]
    assert [record.error for record in told] == ["password authentication failed"] * 2
    assert set(setup.statuses) == {Status.RECOVERABLE_ERROR}
    sending.cancel()
