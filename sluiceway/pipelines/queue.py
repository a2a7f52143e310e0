"""The sending queue: takes responsibility for requests, and settles what becomes of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from sluiceway.caller import when_gone, while_waited_for
from sluiceway.component import Context, Reason, reason_of
from sluiceway.config.exporter import UNBOUNDED
from sluiceway.config.exporter import SendingQueue as Settings
from sluiceway.errors import RefusedError, RetryableError, TooLargeError
from sluiceway.otlp import Batch, Signal, join, split
from sluiceway.pipelines.batching import DISTANCE, Natural, Timed
from sluiceway.pipelines.bisection import Bisection
from sluiceway.pipelines.consumers import Consumers
from sluiceway.pipelines.durable import Durable
from sluiceway.pipelines.ledger import Account
from sluiceway.pipelines.losses import LossLog
from sluiceway.pipelines.observation import Counts, Health, describe
from sluiceway.pipelines.request import ExpiredError, Letter, Request, Sender
from sluiceway.pipelines.room import Room
from sluiceway.pipelines.store import Store
from sluiceway.pipelines.tenants import Terms
from sluiceway.pipelines.uninterrupted import to_its_end
from sluiceway.pipelines.waiting import Element, Policy, Ticket, cut, measure
from sluiceway.telemetry import Scope

__all__ = ["SendingQueue", "Statistics"]

RETRY_AFTER: Final = 1.0
"""Seconds after which a sender that found the queue full may come again."""

GRACE: Final = 5.0
"""Seconds that exports under way have to end when a queue on disk is left; after that they are sent again later."""
_UNITS = {"requests": "{batch}", "items": "{item}", "bytes": "By"}


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a queue holds at one moment, in units of its sizer, with what is under way."""

    size: int
    capacity: int
    peak: int
    bytes: int
    in_flight: int
    partitions: int
    waiting_senders: int


class Sizes:
    """Two histograms of what passes the queue at one of its ends: items, and bytes."""

    def __init__(self, scope: Scope, name: str, what: str, exporter: str) -> None:
        self._items = scope.histogram(name, "{unit}", f"Items of a {what}.", exporter=exporter)
        self._bytes = scope.histogram(f"{name}_bytes", "By", f"Bytes of a {what}.", exporter=exporter)

    def record(self, batch: Batch) -> None:
        """Count one request."""
        self._items.record(batch.items)
        self._bytes.record(len(batch.payload))


class SendingQueue:
    """Answers a sender once its request is in the queue, and sees to the rest.

    With a store a request is in the queue once it is on disk, and is only forgotten there when it was delivered or is
    among the dead letters. Leaving then ends the exports that are under way, and leaves all else on disk.

    The queue is bounded in units of its sizer and in bytes, both with what is under way. Entering starts the tasks that
    export. Leaving exports what the queue holds; when that is cancelled, the deadline being over, the remainder is
    dropped with reason SHUTDOWN. Failures of the parts within are settled here, so nothing in the queue is ever lost
    without a line in the ledger.
    """

    def __init__(
        self,
        sender: Sender,
        settings: Settings,
        context: Context,
        counts: Counts,
        health: Health,
        bisection: Bisection,
        headers: Iterable[str] = (),
        store: tuple[Store, Terms] | None = None,
        account: Callable[[str], Account] | None = None,
    ) -> None:
        batch = settings.batch
        distance = 0.0 if settings.wait_for_result else DISTANCE
        policy: Policy = Natural(distance, headers) if batch is None else Timed(batch, settings.batch_sizer)
        self._next = sender
        self._settings = settings
        self._context = context
        self._counts = counts
        self._health = health
        self._bisection = bisection
        self._losses = LossLog("Exporting failed. Dropping data.", logging.ERROR, context)
        text = "Exporting failed. The data is among the dead letters."
        self._burials = LossLog(text, logging.ERROR, context, "dead_letter_items")
        text = "The sending queue can never hold a request, which is refused for good."
        self._oversized = LossLog(text, logging.WARNING, context, "rejected_items")
        self._closing = asyncio.Event()
        self._room = Room(settings.capacity, settings.max_bytes if store is None else settings.max_storage_bytes)
        self._consumers = Consumers(policy, self._export, context.clock, settings.num_consumers)
        self._results: dict[Ticket, asyncio.Future[None]] = {}
        self._taken: Sizes | None = None
        self._sent: Sizes | None = None
        self._disk: Durable | None = None
        if store is not None:
            self._disk = Durable(
                *store, account or (lambda pipeline: Account(pipeline, context.id)), settings, context.clock,
                self._consumers, self._room, self._expire, self._closing,
            )  # fmt: skip
        self.heir: SendingQueue | None = None
        """Who takes over what is left when this queue is left: its successor, when a reload changed the exporter."""

    @property
    def takes_at_once(self) -> bool:
        """Whether `send` never waits, so that it cannot be cancelled half-way."""
        return not (self._settings.block_on_overflow or self._settings.wait_for_result or self._disk)

    @property
    def waits_for_results(self) -> bool:
        """Whether senders are answered only when the outcome is known."""
        return self._settings.wait_for_result

    @property
    def abandoned(self) -> int:
        """Items that are left on disk for which there is no other queue."""
        return self._disk.store.abandoned if self._disk is not None else 0

    def publish(self, context: Context, signal: Signal) -> None:
        """Make size and capacity metrics, under the Collector's names."""
        scope, unit = context.telemetry, _UNITS[self._settings.sizer]
        names = {"exporter": context.id, "data_type": signal.value}
        scope.gauge(
            "otelcol_exporter_queue_size", lambda: self._room.size, unit, "What the sending queue holds.", **names
        )
        if self._room.capacity < UNBOUNDED:
            text = "What it can hold."
            scope.gauge("otelcol_exporter_queue_capacity", lambda: self._room.capacity, unit, text, **names)
        scope.counter(
            "sluiceway_exporter_divided_requests", lambda: self._bisection.divided, "{request}",
            "Requests that the destination refused for good and that were sent again in halves.", **names,
        )  # fmt: skip
        if self._disk is not None:
            self._disk.store.publish(scope, names, self._settings.max_storage_bytes)
        if scope.detailed:
            self._taken = Sizes(scope, "otelcol_exporter_enqueue_size", "request that the queue took", context.id)
            self._sent = Sizes(scope, "otelcol_exporter_queue_batch_send_size", "request that left it", context.id)

    def statistics(self) -> Statistics:
        """What the queue holds now."""
        room, consumers = self._room, self._consumers
        return Statistics(
            room.size, room.capacity, room.peak, room.bytes, consumers.in_flight, consumers.partitions, room.waiting
        )

    async def __aenter__(self) -> Self:
        await self._consumers.__aenter__()
        if self._disk is not None:
            try:
                await self._disk.enter()
            except BaseException as error:
                await self._consumers.__aexit__(type(error), error, None)
                raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._room.close()
        if self._disk is not None:
            await self._disk.store.look()
        if self.heir is not None or self._is_kept:
            for element in self._consumers.clear():
                self._interrupt(element)
        try:
            await self._end_exports(kind, error, trace)
        finally:
            for element in self._consumers.clear():
                self._interrupt(element)
            for log in (self._losses, self._burials, self._oversized):
                log.tell()
            if self._disk is not None:
                await self._disk.leave()

    @property
    def _is_kept(self) -> bool:
        """Whether what is not exported stays on disk."""
        return self._disk is not None and not self._disk.store.is_gone

    async def _end_exports(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the exports end; what is on disk is not waited for much longer than a healthy backend takes."""
        if not self._is_kept:
            await self._consumers.__aexit__(kind, error, trace)
            return
        with suppress(TimeoutError):
            async with self._context.clock.timeout(GRACE):
                await self._consumers.__aexit__(kind, error, trace)

    async def send(self, request: Request) -> None:
        """Take the request, or raise: `RefusedError` when the queue is full, `TooLargeError` when it never fits."""
        batch = request.batch
        if not batch.items:
            return
        ticket = Ticket(measure(batch, self._settings.sizer), len(batch.payload))
        if self._closing.is_set() or not self._room.is_free(ticket.size, ticket.bytes):
            await self._find_room(request, ticket)
        if self._disk is not None:
            await self._keep(self._disk, request)
        elif self._settings.wait_for_result:
            await self._see_through(request, ticket)
        else:
            self._put(Request(batch, request.shares) if request.callers else request, ticket)

    def turn_away(self) -> None:
        """Refuse whoever waits for room, now and from now on, because senders are to be answered."""
        self._room.close()

    async def _keep(self, disk: Durable, request: Request) -> None:
        if self._taken is not None:
            self._taken.record(request.batch)
        try:
            await disk.keep(request)
        except (RefusedError, TooLargeError) as error:
            self._counts.refused += request.batch.items
            if isinstance(error, TooLargeError):
                self._oversized.note(request.batch.items, str(error))
            raise

    def _expire(self, element: Element) -> None:
        element.request.drop(Reason.EXPIRED)
        text = "it has waited for longer than max_age"
        self._losses.note(element.request.batch.items, text)
        self._health.losing(text)
        self._release(element)

    def inherit(self, request: Request) -> None:
        """Take over a request that a predecessor has accepted, whether there is room for it or not."""
        if self._disk is not None:
            self._disk.save(request)
            return
        batch = request.batch
        self._put(request, Ticket(measure(batch, self._settings.sizer), len(batch.payload)))

    async def _find_room(self, request: Request, ticket: Ticket) -> None:
        """Return in the moment in which there is room, or raise."""
        room, size, weight = self._room, ticket.size, ticket.bytes
        if room.could_hold(size, weight) and self._settings.block_on_overflow and not request.is_abandoned:
            async with while_waited_for(request.callers):
                if await room.wait(size, weight):
                    return
        self._counts.refused += request.batch.items
        if not room.could_hold(size, weight):
            key = "max_bytes" if self._disk is None else "max_storage_bytes"
            error = f"element size too large: {weight} bytes; see sending_queue::queue_size and {key}"
            self._oversized.note(request.batch.items, error)
            raise TooLargeError(error)
        text = "sending queue is stopped" if self._closing.is_set() else "sending queue is full"
        raise RefusedError(text, retry_after=RETRY_AFTER)

    def _put(self, request: Request, ticket: Ticket) -> Element:
        if self._taken is not None:
            self._taken.record(request.batch)
        request.hold()
        self._room.take(ticket.size, ticket.bytes)
        element = Element(request, ((ticket, request.batch.items),), self._context.clock.now())
        self._consumers.put(element)
        return element

    async def _see_through(self, request: Request, ticket: Ticket) -> None:
        """Wait for the result. It goes to the ledger only if the sender is still there to learn it."""
        private = [(Account(account.pipeline, account.exporter), items) for account, items in request.shares]
        result = self._results[ticket] = asyncio.get_running_loop().create_future()
        element = self._put(Request(request.batch, tuple(private), request.callers), ticket)
        try:
            with when_gone(request.callers, lambda: self._withdraw(element)):
                await result
        finally:
            del self._results[ticket]
        if ticket.error is not None:
            raise ticket.error
        for (account, _), (own, _) in zip(request.shares, private, strict=True):
            account.delivered += own.delivered
            for drop, lost in own.dropped.items():
                account.drop(lost, drop.reason, intended=drop.intended)

    def _withdraw(self, element: Element) -> None:
        """Give up an element whose sender has gone, unless its export has begun."""
        if self._consumers.withdraw(element):
            self._fail(element, RetryableError("the sender has gone"), Reason.RETRIES_EXHAUSTED)

    async def _export(self, element: Element) -> None:
        """Export an element: whole, or in ever smaller parts while the backend says that it will never take them."""
        parts = [element]
        try:
            while parts:
                part = parts.pop()
                parts += await self._attempt(part, half=part is not element)
        except BaseException:
            for part in reversed(parts):
                self._interrupt(part)
            raise

    async def _attempt(self, element: Element, *, half: bool) -> list[Element]:
        """Send an element and settle it, or return the halves in which it is to be sent, the first one last.

        Being cancelled interrupts the sending, and settling comes to its end: what is buried is not sent again.
        """
        if self._sent is not None:
            self._sent.record(element.request.batch)
        if self._disk is not None:
            element.request.expires = self._disk.expiry(element)
        try:
            await self._next.send(element.request)
        except ExpiredError:
            return self._without_old(element)
        except Exception as error:
            if self._bisection.applies(element.request, error):
                return self._bisection.divide(element)[::-1]
            await to_its_end(self._lose(element, error))
        except BaseException:
            self._interrupt(element)
            raise
        else:
            self._bisection.taken(half=half)
            if element.request.letter is None:
                self._release(element)
            else:
                await to_its_end(self._put_aside(element, element.request.letter))
        return []

    def _without_old(self, element: Element) -> list[Element]:
        """Give up what of an element has waited for too long, and return the rest, which is to be sent."""
        assert self._disk is not None  # noqa: S101 - nothing else grows old
        old = self._disk.too_old(element)
        if old == element.request.batch.items:
            self._expire(element)
            return []
        first, *rest = split(element.request.batch, items=old)
        given_up, left = cut(element, [first, join(rest)])
        self._expire(given_up)
        return [left]

    async def _put_aside(self, element: Element, letter: Letter) -> None:
        """Put what the backend rejected of a request to the dead letters, in the name of the first of its accounts.

        Until it is there nothing of the request is settled: what cannot be buried comes again as a whole.
        """
        assert self._disk is not None  # noqa: S101 - only a queue on disk has its letters kept
        request = element.request
        request.letter = None
        share = ((request.shares[0][0], letter.batch.items),)
        if await self._disk.bury(Request(letter.batch, share), Reason.REJECTED, letter.message):
            request.deliver(letter.rejected, Reason.DEAD_LETTERED)
            self._release(element)
        else:
            self._interrupt(element)

    async def _lose(self, element: Element, error: Exception) -> None:
        reason = self._reason(error)
        if reason is Reason.INTERNAL_ERROR:
            self._context.logger.error("The exporter raised an unexpected error.", exc_info=error)
        if self._disk is not None and self._disk.has_dead_letters and reason is not Reason.SHUTDOWN:
            buried = await self._disk.bury(element.request, reason, str(error) or type(error).__name__)
            reason = Reason.DEAD_LETTERED if buried else Reason.SHUTDOWN
        self._fail(element, error, reason)
        if reason is not Reason.SHUTDOWN:
            self._health.losing(describe(error))

    def _reason(self, error: Exception) -> Reason:
        if isinstance(error, RetryableError | RefusedError):
            return Reason.SHUTDOWN if self._closing.is_set() else Reason.RETRIES_EXHAUSTED
        return reason_of(error)

    def _interrupt(self, element: Element) -> None:
        self._fail(element, RetryableError("interrupted due to shutdown"), Reason.SHUTDOWN)

    def _fail(self, element: Element, error: Exception, reason: Reason) -> None:
        """Settle an element that has failed: senders who wait are told, for the others it is dropped.

        What a stop has interrupted goes to the heir where there is one, and stays where it is when it is on disk.
        """
        if reason is Reason.SHUTDOWN and self._disk is not None:
            self._disk.leave_unfinished(element)
            return
        if self.heir is not None and reason is Reason.SHUTDOWN and not self._settings.wait_for_result:
            self.heir.inherit(element.request)
            self._release(element)
            return
        for ticket, _ in element.tickets:
            ticket.error = error
        element.request.drop(reason)
        if not self._settings.wait_for_result:
            log = self._burials if reason is Reason.DEAD_LETTERED else self._losses
            log.note(element.request.batch.items, str(error) or type(error).__name__)
        self._release(element)

    def _release(self, element: Element) -> None:
        """Give back the room of every ticket of which this was the last part."""
        element.request.release()
        for ticket, _ in element.tickets:
            ticket.parts -= 1
            if ticket.parts:
                continue
            if self._disk is not None:
                self._disk.release(ticket)
                continue
            self._room.give_back(ticket.size, ticket.bytes)
            result = self._results.get(ticket)
            if result is not None and not result.done():
                result.set_result(None)
