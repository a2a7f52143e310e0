"""Room in a queue."""

from __future__ import annotations

import asyncio

from sluiceway.pipelines.room import Room
from sluiceway.testing import settle


async def test_both_bounds_hold() -> None:
    """There is room only if both units have some."""
    room = Room(10, 100)
    room.take(9, 90)
    assert room.is_free(1, 10)
    assert not room.is_free(2, 10)
    assert not room.is_free(1, 11)
    assert not room.could_hold(11, 1)
    room.give_back(9, 90)
    assert (room.size, room.bytes, room.peak) == (0, 0, 9)


async def test_those_who_wait_are_served_in_order() -> None:
    """A small one that would fit does not overtake a large one."""
    room, served = Room(10, 100), []
    room.take(10, 10)

    async def stand(size: int) -> None:
        assert await room.wait(size, 1)
        room.take(size, 1)
        served.append(size)

    async with asyncio.TaskGroup() as people:
        for size in (6, 1, 3):
            people.create_task(stand(size))
        await settle()
        room.give_back(5, 5)
        await settle()
        assert (served, room.waiting) == ([], 3)
        assert not room.is_free(1, 1)
        room.give_back(5, 5)
    assert served == [6, 1, 3]


async def test_who_gives_up_waiting_lets_the_next_one_look() -> None:
    """Also when it was just about to be served."""
    room = Room(1, 100)
    room.take(1, 1)
    first, second = (asyncio.create_task(room.wait(1, 1)) for _ in range(2))
    await settle()
    room.give_back(1, 1)
    first.cancel()
    assert await second
    assert first.cancelled()
    assert room.waiting == 0


async def test_closing_sends_everybody_away() -> None:
    """Nobody waits for room in a closed queue."""
    room = Room(1, 100)
    room.take(1, 1)
    people = [asyncio.create_task(room.wait(1, 1)) for _ in range(3)]
    await settle()
    room.close()
    assert await asyncio.gather(*people) == [False] * 3
    assert not await room.wait(1, 1)
