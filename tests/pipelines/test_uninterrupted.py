"""Work that must not stop half-way."""

from __future__ import annotations

import asyncio

import pytest

from sluiceway.pipelines.uninterrupted import to_its_end
from sluiceway.testing import settle


async def test_a_cancellation_counts_when_the_work_has_ended() -> None:
    """However often it comes."""
    goes_on, ended = asyncio.Event(), []

    async def work() -> None:
        await goes_on.wait()
        ended.append(True)

    task = asyncio.create_task(to_its_end(work()))
    for _ in range(3):
        await settle()
        task.cancel()
    await settle()
    assert not task.done()
    goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [True]
