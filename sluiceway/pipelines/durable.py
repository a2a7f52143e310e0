"""What a sending queue has on disk: how it gets there, how much of it is in memory, and when it may be forgotten."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import takewhile
from typing import Final

from sluiceway.component import Clock, Reason
from sluiceway.config.exporter import SendingQueue as Settings
from sluiceway.errors import RefusedError, TooLargeError
from sluiceway.pipelines.consumers import Consumers
from sluiceway.pipelines.content import Content, Kept
from sluiceway.pipelines.ledger import Account
from sluiceway.pipelines.pause import pause
from sluiceway.pipelines.request import Request
from sluiceway.pipelines.room import Room
from sluiceway.pipelines.store import Store
from sluiceway.pipelines.tenants import Terms
from sluiceway.pipelines.waiting import Element, Ticket, measure
from sluiceway.segments.reader import OVERHEAD

__all__ = ["Durable"]

READ_BYTES: Final = 2 * 1024 * 1024
"""The most that is read from disk at a time."""
SAVE_AGAIN: Final = 1.0
"""Seconds after which the disk is asked again to take what a predecessor had in memory."""
BURY_AGAIN: Final = 5.0
"""Seconds after which dead letters that could not be kept are tried again."""


class Durable:
    """The store's user: it is fed with what is on disk, and gives it to the queue's consumers.

    The room that is taken in the queue is what is on disk in all. `closing` is set when the queue is left: what is fed
    from then on is left to the next queue, or to the next run.
    """

    def __init__(
        self,
        store: Store,
        terms: Terms,
        account: Callable[[str], Account],
        settings: Settings,
        clock: Clock,
        consumers: Consumers,
        room: Room,
        give_up: Callable[[Element], None],
        closing: asyncio.Event,
    ) -> None:
        self.store = store
        self._terms = terms
        self._account = account
        self._settings = settings
        self._clock = clock
        self._consumers = consumers
        self._room = room
        self._give_up = give_up
        self._closing = closing
        self._unfinished: list[Element] = []
        self._saving: set[asyncio.Task[None]] = set()
        """What a predecessor had in memory, on its way to the disk."""
        self.in_memory = 0
        """Bytes of what came from the store and is not finished."""

    async def enter(self) -> None:
        """Have the store work for us, now or when the queue before has left."""
        await self.store.enter(self, self._account, self._terms)

    async def leave(self) -> None:
        """Leave what is not finished to the next queue, or on disk."""
        try:
            if self._saving:
                await asyncio.wait(self._saving)
        finally:
            await self.store.leave(self, self._unfinished)

    async def keep(self, request: Request) -> None:
        """Have the request on disk, from where it comes back by `feed`. Raises as `Store.keep` does."""
        await self.store.keep(request)

    def leave_unfinished(self, element: Element) -> None:
        """What was begun with, and not finished when the queue was left."""
        self._unfinished.append(element)

    def release(self, ticket: Ticket) -> None:
        """All of a request was seen to: it may be forgotten."""
        assert ticket.kept is not None  # noqa: S101 - all that comes from the store is kept there
        self.in_memory -= ticket.bytes + OVERHEAD
        self.store.acknowledge(ticket.kept)

    # What the store asks for

    @property
    def max_age(self) -> float:
        """Seconds after which what waits on disk is given up; zero for never, and once that is up to the next queue."""
        return 0.0 if self._closing.is_set() else self._settings.max_age

    @property
    def portion(self) -> int:
        """Bytes that are read from disk at a time, when there is room for them."""
        return max(1, min(READ_BYTES, self._settings.max_bytes // 8))

    def holds(self, content: Content) -> None:
        """Learn how much is on disk in all: that is the room that is taken."""
        sizes = {"requests": content.requests, "items": content.items, "bytes": content.bytes}
        self._room.set(sizes[self._settings.sizer], content.bytes)

    def wants(self, size: int) -> bool:
        """Whether there is room in memory for so many bytes that are on disk."""
        room = self._settings.max_bytes - self.in_memory
        return not self._closing.is_set() and (not self.in_memory or size + OVERHEAD <= room)

    def feed(self, request: Request, kept: Kept) -> None:
        """Take a request that is on disk: its room is taken, and its items count as held."""
        batch = request.batch
        ticket = Ticket(measure(batch, self._settings.sizer), kept.bytes, kept)
        element = Element(request, ((ticket, batch.items),), self._clock.now())
        self.in_memory += kept.bytes + OVERHEAD
        if self._closing.is_set():
            self.leave_unfinished(element)  # it was taken from the disk for us, and is not read a second time
        elif self._is_too_old(element):
            self._give_up(element)
        else:
            self._consumers.put(element)

    def go_on(self, unfinished: Sequence[Element]) -> None:
        """Take over what another queue has begun with, as it is."""
        for ticket in {ticket for element in unfinished for ticket, _ in element.tickets}:
            self.in_memory += ticket.bytes + OVERHEAD
        for element in unfinished:
            if self._closing.is_set():
                self.leave_unfinished(element)
            else:
                self._consumers.put(element)

    def expire(self) -> None:
        """Give up what waits and is too old. What is under way looks at its age before each attempt."""
        if self._settings.max_age:
            for element in self._consumers.waiting():
                if self._is_too_old(element) and self._consumers.withdraw(element):
                    self._give_up(element)

    def expiry(self, element: Element) -> float:
        """When the first of its items has waited for too long."""
        return self._expiry(element.tickets[0][0])

    def too_old(self, element: Element) -> int:
        """How many of its items, which are in their order, have waited for too long."""
        now = self._clock.now()
        return sum(items for _, items in takewhile(lambda part: self._expiry(part[0]) <= now, element.tickets))

    def _expiry(self, ticket: Ticket) -> float:
        assert ticket.kept is not None  # noqa: S101 - all that comes from the store is kept there
        return ticket.kept.since + (self._settings.max_age or math.inf)

    def _is_too_old(self, element: Element) -> bool:
        return self.expiry(element) <= self._clock.now()

    # What is put there otherwise

    def save(self, request: Request) -> None:
        """Put on disk what a predecessor had in memory, whether there is room for it or not."""
        saving = asyncio.get_running_loop().create_task(self._save(request))
        self._saving.add(saving)
        saving.add_done_callback(self._saving.discard)

    async def _save(self, request: Request) -> None:
        """It is lost where the disk does not take it before we go."""
        request.hold()
        try:
            while not self._closing.is_set():
                with suppress(RefusedError):
                    await self.store.keep(request)  # which counts it as held anew
                    return
                await pause(self._clock, SAVE_AGAIN, self._closing)
            request.drop(Reason.SHUTDOWN)
        except TooLargeError:
            request.drop(Reason.TOO_LARGE)
        finally:
            request.release()

    @property
    def has_dead_letters(self) -> bool:
        """Whether what is refused for good is kept."""
        return self._settings.dead_letters is not None

    async def bury(self, request: Request, reason: Reason, error: str) -> bool:
        """Have a request among the dead letters, however long that takes; False where there are none, or at the end."""
        if not self.has_dead_letters:
            return False
        while not await self.store.bury(request, reason, error):
            await pause(self._clock, BURY_AGAIN, self._closing)
            if self._closing.is_set():
                return False
        return True
