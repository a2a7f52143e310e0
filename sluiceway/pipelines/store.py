"""The disk behind a sending queue: what the queue has accepted is on it, and stays there until it was delivered.

What the exporter can take soon is kept in memory as well; the rest waits on the disk alone and is read, oldest first,
as room comes free.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, TypeVar

from sluiceway.component import Context, Reason
from sluiceway.errors import RefusedError, TooLargeError
from sluiceway.otlp import Signal
from sluiceway.pipelines.commits import RETRY_AFTER, Commits, Waiting
from sluiceway.pipelines.content import Content, Kept, publish
from sluiceway.pipelines.dead_letters import DeadLetters
from sluiceway.pipelines.ledger import Account
from sluiceway.pipelines.records import named, record_of, request_of
from sluiceway.pipelines.request import Request
from sluiceway.pipelines.tenants import Tenant, Tenants, Terms, User
from sluiceway.pipelines.trouble import Trouble, cause_of, left_alone
from sluiceway.pipelines.uninterrupted import to_its_end
from sluiceway.segments import Log, Stored, Totals
from sluiceway.segments.frames import LARGEST
from sluiceway.segments.log import GoneError
from sluiceway.telemetry import Scope

__all__ = ["Store"]

T = TypeVar("T")

INTERVAL: Final = 1.0
"""Seconds between two looks whether something is to be put down, or a folder that could not be opened can be now."""
LOOKS: Final = 5
"""Every so many intervals: has somebody replayed dead letters, can be read what could not be, is something too old."""
TURN: Final = 100
"""Requests that are fed before others have a turn."""


class Store:
    """The requests of one exporter and signal on disk. One queue uses it at a time, and another one may wait for it.

    While the folder cannot be used, because another process has it or the disk is broken, everything is refused, so
    that senders come again, and it is tried again.
    """

    def __init__(self, log: Log, signal: Signal) -> None:
        self.log = log
        self.content = Content()
        """What is on the disk and was not acknowledged, with what is on its way there."""
        self.letters: DeadLetters | None = None
        self._signal = signal
        self._context: Context
        self._trouble = Trouble()
        self._tenants = Tenants()
        self._threads: ThreadPoolExecutor
        self._life: asyncio.Task[None] | None = None
        self._commits = Commits(self._write)
        self._reading = asyncio.Lock()
        self._writing = asyncio.Lock()
        self._hungry = asyncio.Event()
        self._set_off = 0
        """Nanoseconds from the monotonic clock to that of the day, when we began."""
        self._is_open = False
        self.is_gone = False
        """Whether somebody deleted the folder: what is held is in memory alone."""
        self._is_behind = False
        """Whether there is something on the disk alone; what comes then has to go there as well, to keep the order."""

    @property
    def abandoned(self) -> int:
        """Items that nobody works on."""
        return 0 if self._tenants else self.content.items

    def publish(self, scope: Scope, names: Mapping[str, str], capacity: int) -> None:
        """Make metrics of what is on disk; `capacity` is in bytes of telemetry."""
        publish(scope, names, self.log, lambda: self.content, lambda: self.letters, capacity)

    async def enter(self, user: User, account: Callable[[str], Account], terms: Terms) -> None:
        """Work for a queue: at once, or when the one before has left. `account` finds a pipeline's account by name."""
        if not self._tenants.add(Tenant(user, account, terms)):
            user.holds(self.content)
            return
        self._set_off = terms.context.clock.time_ns() - int(terms.context.clock.now() * 1e9)
        self._threads = ThreadPoolExecutor(3, thread_name_prefix=f"queue {self.log.folder.name}")
        try:
            self._agree(terms)
            await self._open()
        except BaseException:
            self._tenants.clear()
            await self._close()
            raise
        self._life = asyncio.get_running_loop().create_task(self._live())

    async def leave(self, user: User, unfinished: Sequence[Any]) -> None:
        """Work no longer for a queue: what it has not finished goes to the next one, or stays on disk.

        It comes to its end also when it is cancelled, or the next queue would wait for ever.
        """
        await to_its_end(self._leave(user, unfinished))

    async def look(self) -> None:
        """Look now what others did to the folder."""
        async with self._writing:
            if self._is_open or self.is_gone:
                await self._look()

    async def _leave(self, user: User, unfinished: Sequence[Any]) -> None:
        async with self._reading, self._writing:
            if self.is_gone and self._tenants.is_alone(user):
                content = self.content
                self._lost(Totals(content.requests, content.items, content.bytes, shares=dict(content.shares)))
            if self._tenants.remove(user):
                await self._hand_over(unfinished)
            elif not self._tenants:
                self._is_open = False  # nobody is there for what comes now
        if not self._tenants:
            await self._close()

    async def _live(self) -> None:
        """Write, read and look after the folder, until this is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for work in (self._commits.write_on(), self._read_on(), self._tend()):
                tasks.create_task(work)

    async def keep(self, request: Request) -> None:
        """Return when the request is on the disk; the user is then fed with it, sooner or later.

        Raises `RefusedError` where the disk does not take it, `TooLargeError` where none does.
        """
        if not self._is_open:
            raise RefusedError(self._trouble.text or "the queue on disk is stopped", RETRY_AFTER)
        record = record_of(request, self._time_ns())
        if record.weight > LARGEST // 2:
            raise TooLargeError("element size too large")
        self._change(1, record.items, record.weight, record.shares)
        await self._commits.keep(request, record)

    def acknowledge(self, kept: Kept) -> None:
        """A request has been seen to, and may be forgotten."""
        self.log.acknowledge((kept.position,))
        self._change(-1, -kept.items, -kept.bytes, [(pipeline, -items) for pipeline, items in kept.shares])
        self._commits.wake()
        if self._is_behind:
            self._hungry.set()

    async def bury(self, request: Request, reason: Reason, error: str) -> bool:
        """Put a request to the dead letters, and say whether it is there; if not, it may be tried again."""
        assert self.letters is not None  # noqa: S101 - the caller has looked
        return await self.letters.bury(record_of(request, self._time_ns(), reason=reason.value, error=error))

    # Opening and closing

    async def _open(self) -> None:
        try:
            totals = await self._run(self.log.open)
        except OSError as error:
            self._trouble.say(f"the queue on disk cannot be used: {cause_of(error)}")
            return
        self._is_open, self.is_gone = True, False
        self._trouble.say(left_alone(self.log.unreadable))
        if totals.records:
            self._context.logger.info(
                "The queue on disk goes on with what it holds.",
                extra={"items": totals.items, "requests": totals.records},
            )
        known, self.content = self.content, Content()
        self._found(totals, known.shares)
        self._tell_lost()

    def _found(self, totals: Totals, known: Mapping[str, int]) -> None:
        """Take in what is on the disk; `known` is what the accounts of this run hold of it already."""
        for pipeline in {*totals.shares, *known}:
            items = totals.shares.get(pipeline, 0) - known.get(pipeline, 0)
            if items:
                self._tenants.first.account(pipeline).recover(items)
        self._change(totals.records, totals.items, totals.bytes, tuple(totals.shares.items()))
        # A reading may be under way: what it has taken is not there any more, and nothing may be handed out meanwhile.
        self._is_behind = self._is_behind or self.log.has_more
        self._hungry.set()

    async def _hand_over(self, unfinished: Sequence[Any]) -> None:
        user, _, terms = self._tenants.first
        if self.letters is not None:
            await self.letters.close()
        self._agree(terms)
        user.holds(self.content)
        user.go_on(unfinished)
        self._hungry.set()

    def _agree(self, terms: Terms) -> None:
        """Go by the terms of another queue, and tell it how things are."""
        self._context = terms.context
        self.log.keyring, self.log.fsync = terms.log.keyring, terms.log.fsync
        before, self.letters = self.letters, None
        if terms.letters is not None:
            self.letters = DeadLetters(terms.letters_log, terms.letters, self._run, terms.context.logger)
            if before is not None:
                self.letters.buried, self.letters.forgotten = before.buried, before.forgotten
        self._trouble.tell_to(terms.context)

    async def _close(self) -> None:
        self._is_open = False
        await self._commits.quiet()  # whoever came before is answered
        if self.content.requests:
            self._context.logger.info(
                "The queue on disk keeps what it holds.",
                extra={"items": self.content.items, "directory": str(self.log.folder)},
            )
        if self._life is not None:
            self._life.cancel()
            await asyncio.wait([self._life])
        await self._run(self.log.close)
        if self.letters is not None:
            await self.letters.close()
        self._threads.shutdown(wait=False)

    async def _tend(self) -> None:
        """Now and then put down what was acknowledged, look for what others did to the folder, and open it."""
        looks = 0
        while True:
            await self._context.clock.sleep(INTERVAL)
            looks += 1
            with self._trouble.unexpected():
                async with self._writing:
                    if self.is_gone or not self._tenants:
                        continue
                    if not self._is_open:
                        await self._open()
                        continue
                    await self._run(self.log.save)
                    if looks % LOOKS == 0:
                        await self._look()
                await self._expire()  # without the lock: who leaves takes that of reading first

    async def _look(self) -> None:
        try:
            totals = await self._run(self.log.adopt)
        except GoneError as error:
            # What is in memory still goes out. Nothing is accepted any more that could not be kept.
            self._is_open = False
            self.is_gone = True
            advice = "put it back, or restart: a stop sends what is in memory, and loses the rest"
            self._trouble.say(f"{error.strerror}: {advice}")
            return
        self.is_gone = False
        self._trouble.say(left_alone(self.log.unreadable))
        if totals.records:
            self._found(totals, {})
        else:
            self._is_behind = self._is_behind or self.log.has_more
            self._hungry.set()
        if self.letters is not None:
            await self.letters.rest()

    async def _expire(self) -> None:
        """Have what is too old given up, be there room to read it or not."""
        if not self._tenants:
            return
        self._tenants.first.user.expire()
        while self._is_behind and self._is_too_old():
            if not await self._read(1):  # one by one: the last will not be too old
                return

    def _is_too_old(self) -> bool:
        """Whether that is true of the oldest of what is on the disk alone."""
        age = self._time_ns() / 1e9 - (self.log.oldest or float("inf"))
        return 0 < self._tenants.first.user.max_age < age

    # Writing

    async def _write(self, group: list[Waiting]) -> None:
        async with self._writing:
            with self._trouble.unexpected():
                await self._write_down(group)

    async def _write_down(self, group: list[Waiting]) -> None:
        try:
            stored = await self._run(partial(self._put_down, [waiting.record for waiting in group]))
        except Exception as error:
            self._refuse(group, error)
            return
        if group:
            self._trouble.say(left_alone(self.log.unreadable))
        for waiting, kept in zip(group, stored, strict=True):
            self._kept(waiting.request, kept)
            waiting.done.set_result(None)

    def _put_down(self, records: list[Any]) -> list[Stored]:
        try:
            return self.log.append(records) if records else []
        finally:
            self.log.save()

    def _refuse(self, group: list[Waiting], error: Exception) -> None:
        if not isinstance(error, OSError):
            self._context.logger.error("The queue on disk has failed.", exc_info=error)
        if group:
            self._trouble.say(f"the queue on disk cannot be written in {self.log.folder}: {cause_of(error)}")
        for waiting in group:
            record = waiting.record
            self._change(-1, -record.items, -record.weight, [(name, -items) for name, items in record.shares])
            waiting.done.set_exception(RefusedError(self._trouble.text, RETRY_AFTER))

    def _kept(self, request: Request, stored: Stored) -> None:
        """Pass a request on at once, if nothing is before it and there is room; else it is read when its turn comes."""
        request.hold()
        if not self._tenants:
            return  # it stays on disk for the next run
        user, record = self._tenants.first.user, stored.record
        if not self._is_behind and self.log.has_read(stored):
            return  # by a reading that was under way while it was written
        if self._is_behind or not user.wants(record.weight):
            self._is_behind = True
            return
        self.log.hand_out(stored)
        batch = named(request.batch, stored.position.name)
        kept = Kept(stored.position, record.items, record.weight, self._context.clock.now(), record.shares)
        user.feed(Request(batch, request.shares), kept)

    # Reading

    async def _read_on(self) -> None:
        """Read what is on the disk alone, while there is room for it."""
        while True:
            await self._hungry.wait()
            self._hungry.clear()
            while self._is_open and self._is_behind and (user := self._tenants.first.user).wants(user.portion):
                with self._trouble.unexpected():
                    if not await self._read(user.portion):
                        break

    async def _read(self, size: int) -> bool:
        """Feed the user with the next requests, about so many bytes; whether there may be more."""
        async with self._reading:
            if not (self._tenants and self._is_behind):  # the reading before may have found the last
                return False
            try:
                found = await self._run(partial(self.log.read, size))
            except OSError as error:
                self._trouble.say(f"the queue on disk cannot be read: {cause_of(error)}")
                found = []
            self._tell_lost()
            for number, stored in enumerate(found, 1):
                self._feed(stored)
                if number % TURN == 0:
                    await asyncio.sleep(0)
            if not found:
                self._is_behind = self.log.has_more
                self._commits.wake()
            return self._is_behind

    def _feed(self, stored: Stored) -> None:
        user, account, _ = self._tenants.first
        record, clock = stored.record, self._context.clock
        request = request_of(record, self._signal, account, clock.now(), self._time_ns())
        since = request.batch.origin.received
        request.batch = named(request.batch, stored.position.name)
        user.feed(request, Kept(stored.position, record.items, record.weight, since, record.shares))

    def _tell_lost(self) -> None:
        while self.log.lost:
            self._lost(self.log.lost.pop())

    def _lost(self, totals: Totals) -> None:
        if not totals.records:
            return
        for pipeline, items in totals.shares.items():
            account = self._tenants.first.account(pipeline)
            account.held -= items
            account.drop(items, Reason.DAMAGED)
        shares = [(pipeline, -items) for pipeline, items in totals.shares.items()]
        self._change(-totals.records, -totals.items, -totals.bytes, shares)
        self._context.logger.error("Records on disk are damaged and lost.", extra={"dropped_items": totals.items})

    def _time_ns(self) -> int:
        """The time of day, as if nobody set the clock while we run: nothing is too old because somebody did."""
        return self._set_off + int(self._context.clock.now() * 1e9)

    def _change(self, requests: int, items: int, bytes: int, shares: Sequence[tuple[str, int]]) -> None:
        """What is on disk or on its way there becomes more, or less."""
        self.content.add(requests, items, bytes, shares)
        self._tenants.tell(self.content)

    async def _run(self, work: Callable[[], T]) -> T:
        """Do something in a thread. It comes to its end also when nobody waits for it any more."""
        return await to_its_end(asyncio.get_running_loop().run_in_executor(self._threads, work))
