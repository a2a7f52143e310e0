"""The load: who sends what when, and what is done about refusals.

The schedule is open: request n is due at n / rate, whatever became of the ones before it, and its latency counts from
then. What is in flight is bounded; when all senders are busy, requests become late, and that shows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from random import Random

from sluiceway.clock import Clock, SystemClock
from sluiceway.generate.payloads import Template, templates
from sluiceway.generate.report import Report, Tally
from sluiceway.generate.send import Answer, Client, Target, connect
from sluiceway.otlp import Signal

__all__ = ["Load", "generate", "run"]

FIRST_DELAY = 0.1
LONGEST_DELAY = 5.0


def _nobody(_line: str) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Load:
    """What to generate. `rate` and `count` are items; a rate of zero sends as fast as the other side takes it.

    The load ends after `count` items or `duration` seconds, whichever comes first; zero means no such limit, and one
    of both must be given. A request that is refused is sent again for `retry_for` seconds.
    """

    signal: Signal
    target: Target = field(default_factory=Target)
    rate: float = 0.0
    count: int = 0
    duration: float = 0.0
    batch_size: int = 512
    attributes: int = 10
    size: int = 0
    connections: int = 1
    in_flight: int = 16
    """Requests under way at the same time, on each connection."""
    distinct: int = 16
    sequence: bool = False
    retry_for: float = 30.0
    seed: int = 1


async def generate(
    load: Load, clock: Clock | None = None, stop: asyncio.Event | None = None, tell: Callable[[str], None] = _nobody
) -> Report:
    """Send the load and report what became of it. Cancelling stops at once, without a report; `stop` with one.

    `tell` is given a line when the first request is refused, as nothing else may be heard for a long time.
    """
    payloads = _templates(load, load.batch_size, load.distinct)
    rest = load.count % load.batch_size
    last = _templates(load, rest, 1) if rest else []
    async with connect(load.signal, load.target, load.connections) as clients:
        return await run(load, clients, payloads, last, clock or SystemClock(), stop, tell)


def _templates(load: Load, items: int, distinct: int) -> list[Template]:
    return templates(
        load.signal, items, attributes=load.attributes, size=load.size, distinct=distinct,
        encoding="json" if load.target.protocol == "http-json" else "protobuf", sequence=load.sequence, seed=load.seed,
    )  # fmt: skip


async def run(
    load: Load,
    clients: list[Client],
    payloads: list[Template],
    last: list[Template],
    clock: Clock,
    stop: asyncio.Event | None = None,
    tell: Callable[[str], None] = _nobody,
) -> Report:
    """Send `payloads` in turn by `clients`, then `last`, as `load` says. At `stop`, what is under way has failed."""
    senders = _Senders(load, payloads, last, clock, tell)
    async with asyncio.TaskGroup() as tasks:
        workers = [tasks.create_task(senders.work(client)) for client in clients for _ in range(load.in_flight)]
        ending = tasks.create_task(_cancel(workers, stop or asyncio.Event()))
        await asyncio.wait(workers)
        ending.cancel()
    return senders.tally.report(load.signal.items.replace("_", " "), clock.now() - senders.started)


async def _cancel(workers: list[asyncio.Task[None]], stop: asyncio.Event) -> None:
    await stop.wait()
    for worker in workers:
        worker.cancel()


class _Senders:
    def __init__(
        self, load: Load, payloads: list[Template], last: list[Template], clock: Clock, tell: Callable[[str], None]
    ) -> None:
        self.tally = Tally()
        self.started = clock.now()
        self._load, self._payloads, self._last, self._clock = load, payloads, last, clock
        self._tell = tell
        self._numbers = count()
        self._whole = load.count // load.batch_size if load.count else None
        self._interval = load.batch_size / load.rate if load.rate else 0.0
        self._end = self.started + load.duration if load.duration else float("inf")
        self._chance = Random(load.seed)  # noqa: S311 - load, not cryptography

    async def work(self, client: Client) -> None:
        clock = self._clock
        while True:
            number = next(self._numbers)
            due = self.started + number * self._interval if self._interval else clock.now()
            template = self._template(number)
            if template is None or due >= self._end:
                return
            if due > clock.now():
                await clock.sleep(due - clock.now())
            payload = template.fill(number, clock.time_ns(), self._chance)
            self.tally.sent += template.items
            try:
                await self._deliver(client, payload, template.items, due)
            except asyncio.CancelledError:
                self.tally.failed += template.items
                raise

    def _template(self, number: int) -> Template | None:
        if self._whole is None or number < self._whole:
            return self._payloads[number % len(self._payloads)]
        return self._last[number - self._whole] if number - self._whole < len(self._last) else None

    async def _deliver(self, client: Client, payload: bytes, items: int, due: float) -> None:
        tally, clock = self.tally, self._clock
        delay = FIRST_DELAY
        deadline = clock.now() + self._load.retry_for
        while True:
            tally.requests += 1
            answer = await client.send(payload)
            if answer.code == "OK":
                return self._delivered(answer, items, due)
            if not tally.errors:
                again = f", refused requests are sent again for {self._load.retry_for:g} s" if answer.retryable else ""
                self._tell(f"the first refusal: {answer.code}{again}")
            tally.errors[answer.code] += 1
            wait = answer.delay if answer.delay is not None else delay * (0.5 + self._chance.random())
            if not answer.retryable:
                tally.rejected += items
                return None
            if clock.now() + wait > deadline:
                tally.failed += items
                return None
            tally.retried += 1
            await clock.sleep(wait)
            delay = min(delay * 2, LONGEST_DELAY)

    def _delivered(self, answer: Answer, items: int, due: float) -> None:
        rejected = min(max(answer.rejected, 0), items)
        self.tally.accepted += items - rejected
        self.tally.rejected += rejected
        self.tally.latencies.record(self._clock.now() - due)
