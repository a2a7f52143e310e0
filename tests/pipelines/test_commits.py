"""Group commit: what becomes of whoever waits, also when it is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from sluiceway.errors import RefusedError
from sluiceway.pipelines.commits import Commits, Waiting
from sluiceway.pipelines.records import record_of
from sluiceway.testing import settle
from tests.pipelines.around import request


class Disk:
    """Keeps what it is given once `gate` is open, unless `error` is set."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.error: Exception | None = None
        self.commits = Commits(self._write)

    async def keep(self) -> None:
        """Have one more request kept."""
        one = request()
        await self.commits.keep(one, record_of(one, 0))

    async def _write(self, group: list[Waiting]) -> None:
        await self.gate.wait()
        for waiting in group:
            if self.error is not None:
                waiting.done.set_exception(self.error)
            else:
                waiting.done.set_result(None)


@pytest.fixture
async def disk() -> AsyncIterator[Disk]:
    """A disk with somebody who writes."""
    disk = Disk()
    writing = asyncio.create_task(disk.commits.write_on())
    yield disk
    writing.cancel()
    await asyncio.wait([writing])


async def cancelled(disk: Disk, sender: asyncio.Task[object], times: int) -> None:
    """Cancel a sender while it waits, let the disk go on, and wait for the sender's end."""
    for _ in range(times):
        await settle()
        sender.cancel()
    await settle()
    assert not sender.done()
    disk.gate.set()
    await asyncio.wait([sender], timeout=10)


@pytest.mark.parametrize("times", [1, 2, 3])
async def test_who_is_cancelled_has_had_its_request_kept_first(disk: Disk, times: int) -> None:
    """However often: the call returns, and the cancellation strikes at the next wait."""
    kept = []

    async def send() -> None:
        await disk.keep()
        kept.append(True)
        await asyncio.Event().wait()

    sender = asyncio.create_task(send())
    await cancelled(disk, sender, times)
    assert kept == [True]
    assert sender.cancelled()


@pytest.mark.parametrize("times", [1, 2])
async def test_who_is_cancelled_and_refused_is_cancelled(disk: Disk, times: int) -> None:
    """Nothing was taken."""
    disk.error = RefusedError("the disk is full")
    sender = asyncio.create_task(disk.keep())
    await cancelled(disk, sender, times)
    assert sender.cancelled()


async def test_a_timeout_around_one_call_does_not_cancel_what_comes_after(disk: Disk) -> None:
    """The request was kept, and so there is nothing to be told."""
    told = []

    async def send() -> None:
        async with asyncio.timeout(None) as scope:
            asyncio.get_running_loop().call_soon(lambda: scope.reschedule(0))
            await disk.keep()
        told.append("kept")
        await settle()
        told.append("went on")

    sender = asyncio.create_task(send())
    await cancelled(disk, sender, 0)
    await sender
    assert told == ["kept", "went on"]


async def test_a_timeout_around_more_than_one_call_strikes_later(disk: Disk) -> None:
    """As a timeout, since it is one."""

    async def send() -> None:
        async with asyncio.timeout(None) as scope:
            asyncio.get_running_loop().call_soon(lambda: scope.reschedule(0))
            await disk.keep()
            await asyncio.Event().wait()

    sender = asyncio.create_task(send())
    await cancelled(disk, sender, 0)
    with pytest.raises(TimeoutError):
        await sender
