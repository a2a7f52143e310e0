"""The time that stopping may take."""

from __future__ import annotations

import asyncio

from sluiceway.pipelines.deadline import Deadline
from sluiceway.pipelines.uninterrupted import to_its_end
from sluiceway.testing import ManualClock, settle


async def forever() -> None:
    """Never end by itself."""
    await asyncio.Event().wait()


async def test_a_step_that_ends_in_time_is_not_disturbed() -> None:
    """What finishes before the deadline finishes."""
    deadline, done = Deadline(ManualClock()), []

    async def step() -> None:
        done.append(True)

    deadline.start(1)
    await deadline.bound(step(), "a step")
    assert done


async def test_steps_share_one_deadline() -> None:
    """What one step has used up is gone for the next."""
    clock = ManualClock()
    deadline = Deadline(clock)
    deadline.start(10)
    first = asyncio.create_task(deadline.bound(clock.sleep(9), "the first"))
    await clock.advance(9)
    await first
    second = asyncio.create_task(deadline.bound(forever(), "the second"))
    await clock.advance(1)
    assert second.done()


async def test_giving_up_ends_the_step_under_way_and_all_after() -> None:
    """`expire` does not wait for the step under way, nor for any later one."""
    deadline = Deadline(ManualClock())
    deadline.start(3600)
    task = asyncio.create_task(deadline.bound(forever(), "a step"))
    await settle()
    deadline.expire()
    async with asyncio.timeout(5):
        await task
        await deadline.bound(forever(), "another")
    assert deadline.given_up


async def test_steps_that_go_together_end_together() -> None:
    """Bringing the deadline forward is for all that are under way."""
    deadline = Deadline(ManualClock())
    deadline.start(1000)
    steps = [asyncio.create_task(deadline.bound(forever(), "a step")) for _ in range(2)]
    await settle()
    deadline.expire()
    await asyncio.wait_for(asyncio.gather(*steps), 5)


async def test_giving_up_reaches_all_though_one_cannot_be_cut_off() -> None:
    """However often somebody asks: a step whose time is over already does not keep the others from it."""
    clock, goes_on = ManualClock(), asyncio.Event()
    deadline = Deadline(clock)
    deadline.start(1)
    stubborn = asyncio.create_task(deadline.bound(to_its_end(goes_on.wait()), "a step"))
    await clock.advance(1)
    deadline.start(1000)
    others = [asyncio.create_task(deadline.bound(forever(), "another")) for _ in range(9)]
    await settle()
    deadline.expire()
    deadline.expire()
    await asyncio.wait_for(asyncio.gather(*others), 5)
    assert not stubborn.done()
    goes_on.set()
    await stubborn
