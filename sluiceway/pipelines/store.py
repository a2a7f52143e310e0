"""The disk behind a sending queue: what the queue has accepted is on it, and stays there until it was delivered.

Requests that are accepted at the same time go to the disk by one write and one sync. What the exporter can take soon is
kept in memory as well; the rest waits on the disk alone and is read, oldest first, as room comes free.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from sluiceway.component import Context, Reason, Status
from sluiceway.errors import RefusedError
from sluiceway.otlp import Batch, Origin, Signal
from sluiceway.pipelines.dead_letters import DeadLetters
from sluiceway.pipelines.ledger import Account
from sluiceway.pipelines.request import Request
from sluiceway.segments import Log, Record, Stored, Totals
from sluiceway.segments.log import Position
from sluiceway.telemetry import Scope

__all__ = ["Content", "Kept", "Store", "User", "record_of", "request_of"]

T = TypeVar("T")

RETRY_AFTER: Final = 1.0
"""Seconds after which a sender may come again, and after which a folder that could not be opened is tried again."""
GROUP_BYTES: Final = 8 * 1024 * 1024
"""What goes to the disk by one write, at most, but for a single request that is larger."""
LOOK_INTERVAL: Final = 5.0
"""Seconds between two looks whether somebody has put segments into the folder `incoming`."""
READ_BYTES: Final = 2 * 1024 * 1024
_SECRET_HEADERS: Final = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key", "api-key"})
"""Headers that prove who somebody is: they are not written down."""


class Kept(NamedTuple):
    """Where a request is on the disk, how much it is, and when it was accepted, in seconds since 1970."""

    position: Position
    items: int
    bytes: int
    seconds: int


class User(Protocol):
    """The queue that a store works for."""

    def wants(self, size: int) -> bool:
        """Whether there is room in memory for so many bytes."""

    def feed(self, request: Request, kept: Kept) -> None:
        """Take a request that is on the disk."""

    def holds(self, content: Content) -> None:
        """Learn how much is on the disk in all, whenever that changes."""


@dataclass(slots=True)
class Content:
    """How much there is."""

    requests: int = 0
    items: int = 0
    bytes: int = 0

    def add(self, requests: int, items: int, bytes: int) -> None:
        """More of it, or less where the numbers are negative."""
        self.requests += requests
        self.items += items
        self.bytes += bytes


@dataclass(slots=True, eq=False)
class _Waiting:
    request: Request
    record: Record
    done: asyncio.Future[None]


class Store:
    """The requests of one exporter and signal on disk. One queue uses it at a time, and another one may wait for it.

    While the folder cannot be used, because another process has it or the disk is broken, everything is refused, so
    that senders come again, and it is tried again.
    """

    def __init__(self, log: Log, dead_letters: DeadLetters | None, signal: Signal, context: Context) -> None:
        self.log = log
        self.content = Content()
        """What is on the disk and was not acknowledged, with what is on its way there."""
        self.recovered = 0
        """Items that earlier runs had accepted."""
        self.damaged = 0
        """Items that were on the disk, and are there no longer."""
        self._dead_letters = dead_letters
        self._signal = signal
        self._context = context
        self._account: Callable[[str], Account] = lambda pipeline: Account(pipeline, context.id)
        self._trouble = ""
        self._users: list[User] = []
        self._threads: ThreadPoolExecutor | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._pending: list[_Waiting] = []
        self._reading = asyncio.Lock()
        self._writing = asyncio.Lock()
        self._burying = asyncio.Lock()
        self._work = asyncio.Event()
        self._hungry = asyncio.Event()
        self._is_open = False
        self._is_closing = False
        self._is_behind = False
        """Whether there is something on the disk alone; what comes then has to go there as well, to keep the order."""

    @property
    def is_used(self) -> bool:
        """Whether a queue works with it."""
        return bool(self._users)

    def publish(self, scope: Scope, names: Mapping[str, str]) -> None:
        """Make metrics of what is on disk."""
        scope.gauge(
            "sluiceway_exporter_queue_disk_bytes", lambda: self.log.bytes_on_disk, "By",
            "Bytes of the files of a queue on disk, with what was delivered and not yet deleted.", **names,
        )  # fmt: skip
        scope.gauge(
            "sluiceway_exporter_queue_segments", lambda: self.log.segments, "{file}",
            "Files of a queue on disk.", **names,
        )  # fmt: skip
        scope.counter(
            "sluiceway_exporter_queue_damaged_bytes", lambda: self.log.damaged_bytes, "By",
            "Bytes on disk that were no records; copies are in the folder quarantine.", **names,
        )  # fmt: skip
        if (letters := self._dead_letters) is not None:
            scope.counter(
                "sluiceway_exporter_dead_letter_items", lambda: letters.buried, "{item}",
                "Items that were put to the dead letters.", **names,
            )  # fmt: skip
            scope.counter(
                "sluiceway_exporter_dead_letters_forgotten", lambda: letters.forgotten, "{record}",
                "Dead letters that were deleted to make room for others.", **names,
            )  # fmt: skip

    async def enter(self, user: User, account: Callable[[str], Account]) -> None:
        """Work for a queue: at once, or when the one before has left. `account` finds a pipeline's account by name."""
        self._account = account
        self._users.append(user)
        if len(self._users) > 1:
            user.holds(self.content)
            return
        self._is_closing = False
        self._threads = ThreadPoolExecutor(2, thread_name_prefix=f"queue {self.log.folder.name}")
        await self._open()
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(work) for work in (self._write_on(), self._read_on(), self._look_on())]

    async def leave(self, user: User) -> None:
        """Work no longer for a queue, which has nothing under way any more: what it did not finish comes again."""
        is_first = self._users[0] is user
        async with self._reading, self._writing:
            self._users.remove(user)
            if self._users:
                if is_first:
                    self._hand_over()
                return
        await self._close()

    async def _close(self) -> None:
        self._is_closing = True
        self._work.set()
        for task in self._tasks[1:] if self._is_open else self._tasks:  # the writer ends by itself
            task.cancel()
        await asyncio.wait(self._tasks)
        if self._is_open:
            await self._run(self.log.close)
        self._is_open = False
        if self._dead_letters is not None:
            await self._run(self._dead_letters.close)
        assert self._threads is not None  # noqa: S101 - entering has made them
        self._threads.shutdown(wait=False)

    async def keep(self, request: Request) -> None:
        """Return when the request is on the disk; the user is then fed with it, sooner or later.

        Raises `RefusedError` where the disk does not take it. Who is cancelled may find it kept all the same.
        """
        if not self._is_open or self._is_closing:
            raise RefusedError(self._trouble or "the queue on disk is stopped", RETRY_AFTER)
        done = asyncio.get_running_loop().create_future()
        record = record_of(request, self._context.clock.time_ns())
        self._change(1, record.items, record.weight)
        self._pending.append(_Waiting(request, record, done))
        self._work.set()
        await done

    def acknowledge(self, kept: Kept) -> None:
        """A request has been seen to, and may be forgotten."""
        self.log.acknowledge((kept.position,))
        self._change(-1, -kept.items, -kept.bytes)
        self._work.set()

    async def bury(self, request: Request, reason: Reason, error: str) -> bool:
        """Put a request to the dead letters, and say whether it is there."""
        if self._dead_letters is None:
            return False
        record = record_of(request, self._context.clock.time_ns(), reason=reason.value, error=error)
        async with self._burying:
            return await self._run(partial(self._dead_letters.bury, record))

    def room_is_free(self) -> None:
        """The user may have room in memory again."""
        if self._is_behind:
            self._hungry.set()

    # Opening

    async def _open(self) -> None:
        try:
            totals = await self._run(self.log.open)
        except OSError as error:
            self._say(f"the queue on disk cannot be used: {error}")
            return
        self._is_open = True
        self._say("; ".join(self.log.unreadable))
        if totals.records:
            self._context.logger.info(
                "The queue on disk goes on with what it holds.",
                extra={"items": totals.items, "requests": totals.records},
            )
        self._found(totals)

    def _found(self, totals: Totals) -> None:
        """Take in what others have put on the disk: an earlier run, or who replays dead letters."""
        for pipeline, items in totals.shares.items():
            self._account(pipeline).recover(items)
        self.recovered += totals.items
        self._change(totals.records, totals.items, totals.bytes)
        self._go_behind()

    def _hand_over(self) -> None:
        """Begin anew for the next queue with all that was not acknowledged."""
        self.log.rewind()
        self._go_behind()

    def _change(self, requests: int, items: int, bytes: int) -> None:
        """What is on disk or on its way there becomes more, or less."""
        self.content.add(requests, items, bytes)
        for user in self._users:
            user.holds(self.content)

    def _go_behind(self) -> None:
        self._is_behind = self.log.has_more
        self._hungry.set()

    async def _look_on(self) -> None:
        """Take over what is put into `incoming` while we run."""
        while True:
            await self._context.clock.sleep(LOOK_INTERVAL)
            if self._dead_letters is not None:
                async with self._burying:
                    await self._run(self._dead_letters.rest)
            if not self._is_open:
                continue
            async with self._writing:
                try:
                    totals = await self._run(self.log.adopt)
                except OSError as error:
                    self._context.logger.warning("Segments in `incoming` cannot be taken over: %s", error)
                    continue
            if totals.records:
                self._found(totals)

    def _say(self, trouble: str) -> None:
        """Report what is wrong with the disk, once."""
        if trouble == self._trouble:
            return
        if trouble:
            self._context.logger.error(trouble)
        self._context.report(Status.RECOVERABLE_ERROR if trouble else Status.OK, trouble)
        self._trouble = trouble

    # Writing

    async def _write_on(self) -> None:
        """Write what is to be written, all that waits at a time, and put down what was acknowledged."""
        while not (self._is_closing and not self._pending):
            if not self._is_open:
                await self._context.clock.sleep(RETRY_AFTER)
                await self._open()
                continue
            await self._work.wait()
            self._work.clear()
            async with self._writing:
                await self._write(self._next_group())

    async def _write(self, group: list[_Waiting]) -> None:
        try:
            stored = await self._run(partial(self._put_down, [waiting.record for waiting in group]))
        except OSError as error:
            self._refuse(group, error)
            return
        if group:
            self._say("; ".join(self.log.unreadable))
        for waiting, kept in zip(group, stored, strict=True):
            self._kept(waiting.request, kept)
            if not waiting.done.done():
                waiting.done.set_result(None)

    def _next_group(self) -> list[_Waiting]:
        size = 0
        for number, waiting in enumerate(self._pending):
            size += waiting.record.weight
            if size > GROUP_BYTES and number:
                group, self._pending = self._pending[:number], self._pending[number:]
                self._work.set()
                return group
        group, self._pending = self._pending, []
        return group

    def _put_down(self, records: list[Record]) -> list[Stored]:
        try:
            return self.log.append(records) if records else []
        finally:
            self.log.save()

    def _refuse(self, group: list[_Waiting], error: OSError) -> None:
        if not group:
            return
        self._say(f"the queue on disk cannot be written: {error.strerror or error}")
        for waiting in group:
            self._change(-1, -waiting.record.items, -waiting.record.weight)
            if not waiting.done.done():
                waiting.done.set_exception(RefusedError(self._trouble, RETRY_AFTER))

    def _kept(self, request: Request, stored: Stored) -> None:
        """Pass a request on at once, if nothing is before it and there is room; else it is read when its turn comes."""
        request.hold()
        user, size = self._users[0], stored.record.weight
        if self._is_behind or not user.wants(size):
            self._is_behind = True
            return
        self.log.hand_out(stored)
        user.feed(Request(_named(request.batch, stored), request.shares), _kept(stored))

    # Reading

    async def _read_on(self) -> None:
        """Read what is on the disk alone, while there is room for it."""
        while True:
            await self._hungry.wait()
            self._hungry.clear()
            while self._is_open and self._is_behind and self._users and self._users[0].wants(1):
                if not await self._read():
                    break

    async def _read(self) -> bool:
        async with self._reading:
            try:
                found = await self._run(partial(self.log.read, READ_BYTES))
            except OSError as error:
                self._say(f"the queue on disk cannot be read: {error}")
                await self._context.clock.sleep(RETRY_AFTER)
                return True
            while self.log.lost:
                self._lost(self.log.lost.pop())
            now, epoch = self._context.clock.now(), self._context.clock.time_ns()
            for stored in found:
                request = request_of(stored.record, self._signal, self._account, now, epoch)
                request.batch = _named(request.batch, stored)
                self._users[0].feed(request, _kept(stored))
        if not found:
            self._is_behind = self.log.has_more
            self._work.set()
        return bool(found)

    def _lost(self, totals: Totals) -> None:
        for pipeline, items in totals.shares.items():
            account = self._account(pipeline)
            account.held -= items
            account.drop(items, Reason.DAMAGED)
        self.damaged += totals.items
        self._change(-totals.records, -totals.items, -totals.bytes)
        self._context.logger.error("Records on disk are damaged and lost.", extra={"dropped_items": totals.items})

    async def _run(self, work: Callable[[], T]) -> T:
        """Do something in a thread. It comes to its end also when nobody waits for it any more."""
        assert self._threads is not None  # noqa: S101 - entering has made them
        running = asyncio.get_running_loop().run_in_executor(self._threads, work)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            with suppress(Exception):
                await asyncio.wait([running])
            raise


def _named(batch: Batch, stored: Stored) -> Batch:
    """The batch with the name of its record, by which an exporter may know it again."""
    return replace(batch, origin=replace(batch.origin, names=((stored.position.name, batch.items),)))


def _kept(stored: Stored) -> Kept:
    record = stored.record
    return Kept(stored.position, record.items, record.weight, record.seconds)


def record_of(request: Request, time_ns: int, **notes: Any) -> Record:
    """A request as it is kept: with the sender's headers, but for those that prove who it is."""
    batch, origin = request.batch, request.batch.origin
    headers = {key: value for key, value in origin.headers.items() if key not in _SECRET_HEADERS}
    known: dict[str, Any] = {
        "peer": origin.peer, "transport": origin.transport, "subject": origin.subject,
        "auth": dict(origin.auth), "headers": headers, **notes,
    }  # fmt: skip
    shares = tuple((account.pipeline, items) for account, items in request.shares)
    notes = {name: value for name, value in known.items() if value}
    return Record(batch.payload, batch.items, shares, time_ns // 1_000_000_000, notes)


def request_of(record: Record, signal: Signal, account: Callable[[str], Account], now: float, time_ns: int) -> Request:
    """The request that was kept, as if it had arrived when it did, seen from a moment on both clocks."""
    notes: Mapping[str, Any] = record.notes
    origin = Origin(
        received=now - max(0.0, time_ns / 1e9 - record.seconds),
        peer=notes.get("peer", ""),
        transport=notes.get("transport", ""),
        subject=notes.get("subject"),
        auth=notes.get("auth", {}),
        headers={key: tuple(values) for key, values in notes.get("headers", {}).items()},
    )
    shares = tuple((account(pipeline), items) for pipeline, items in record.shares)
    return Request(Batch(signal, record.payload, record.items, origin), shares)
