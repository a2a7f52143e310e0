"""Deadlines of attempts."""

from __future__ import annotations

import asyncio

import pytest

from sluiceway.errors import RetryableError
from sluiceway.pipelines.request import Request
from sluiceway.pipelines.timeout import Timeout
from sluiceway.testing import ManualClock, settle
from tests.pipelines.around import request


class Slow:
    """Takes its time; `stubborn` answers a cancellation with an error of its own, or with success."""

    def __init__(self, clock: ManualClock, seconds: float, stubborn: object = None) -> None:
        self.clock, self.seconds, self.stubborn = clock, seconds, stubborn

    async def send(self, request: Request) -> None:
        try:
            await self.clock.sleep(self.seconds)
        except asyncio.CancelledError:
            if isinstance(self.stubborn, Exception):
                raise self.stubborn from None
            if not self.stubborn:
                raise


async def test_an_attempt_that_takes_too_long_may_be_retried() -> None:
    """The attempt is cancelled when its time is over."""
    clock = ManualClock()
    async with Timeout(Slow(clock, 60), 5, clock, "no answer from db:5432") as timeout:
        attempt = asyncio.create_task(timeout.send(request()))
        await clock.advance(4.9)
        assert not attempt.done()
        await clock.advance(0.1)
        with pytest.raises(RetryableError, match="request timed out after 5s") as caught:
            await attempt
        assert (caught.value.code, caught.value.cause) == ("DEADLINE_EXCEEDED", "no answer from db:5432 within 5s")


async def test_each_attempt_has_all_of_the_time() -> None:
    """Attempts that began later end later, and those in time are left alone."""
    clock = ManualClock()
    async with Timeout(Slow(clock, 60), 5, clock) as slow, Timeout(Slow(clock, 4), 5, clock) as quick:
        first = asyncio.create_task(slow.send(request()))
        in_time = asyncio.create_task(quick.send(request()))
        await clock.advance(3)
        second = asyncio.create_task(slow.send(request()))
        await clock.advance(2)
        assert (first.done(), in_time.done(), second.done()) == (True, True, False)
        await clock.advance(3)
        assert second.done()
        assert in_time.exception() is None
        assert first.exception()
        assert second.exception()


async def test_cancellation_by_others_stays_a_cancellation() -> None:
    """Whoever cancels the sender is obeyed, also when the time is over in the same moment."""
    clock = ManualClock()
    async with Timeout(Slow(clock, 60), 5, clock) as timeout:
        tasks = [asyncio.create_task(timeout.send(request())) for _ in range(2)]
        await settle()
        tasks[0].cancel()
        clock_runs_out = asyncio.create_task(clock.advance(5))
        await asyncio.wait(tasks)
        await clock_runs_out
        assert tasks[0].cancelled()
        assert isinstance(tasks[1].exception(), RetryableError)


async def test_an_exporter_that_resists_its_cancellation_leaves_no_trace() -> None:
    """Its own outcome counts, and the task is not left cancelled."""
    clock = ManualClock()
    async with (
        Timeout(Slow(clock, 60, stubborn=True), 5, clock) as ends_well,
        Timeout(Slow(clock, 60, stubborn=ValueError("oh")), 5, clock) as ends_badly,
    ):

        async def both() -> int:
            await ends_well.send(request())
            with pytest.raises(ValueError, match="oh"):
                await ends_badly.send(request())
            current = asyncio.current_task()
            assert current is not None
            return current.cancelling()

        attempts = asyncio.create_task(both())
        await clock.advance(10)
        assert await attempts == 0
