"""The loop that measures at an interval, hands on what was read, and says how it goes."""

from __future__ import annotations

import asyncio
import inspect
import random
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

from sluiceway import __version__
from sluiceway.component import Consumer, Context, Status
from sluiceway.errors import SluicewayError
from sluiceway.otlp import Batch, Origin, Signal
from sluiceway.received import Received
from sluiceway.scraping.declared import MetricSettings, ResourceAttribute, ResourceSettings
from sluiceway.scraping.events import Events
from sluiceway.scraping.scrape import Scrape
from sluiceway.scraping.settings import ScrapeSettings

__all__ = ["Scraper", "Scraping"]

_CHANGING: Final = re.compile(r"\d+")


@dataclass(frozen=True)
class Scraper:
    """One of the parts that a receiver measures. Each is a scope of its own in what is emitted.

    `scrape` records what it reads in the `Scrape` that it is handed, and raises when there is nothing to be had. A
    plain function runs in a thread and may block; one that outlasts its time is not called again before it ends.
    """

    name: str
    scrape: Callable[[Scrape], Awaitable[None] | None]
    metrics: MetricSettings = field(default_factory=MetricSettings)
    resource: ResourceSettings = field(default_factory=ResourceSettings)
    declared: Mapping[str, ResourceAttribute] = field(default_factory=dict)
    """The resource attributes that `resource` switches."""


class Scraping:
    """Runs scrapers one after the other at an interval, and pushes what they read as one batch.

    What the pipeline refuses is dropped and counted: the next measurement comes anyway. Log records of what happened
    are a batch of their own, and are offered again. Errors are logged when they begin, change and end, and show in the
    status.
    """

    def __init__(self, settings: ScrapeSettings, context: Context, next: Consumer, scrapers: Sequence[Scraper]) -> None:
        self.scrapers = scrapers
        self._settings = settings
        self._context = context
        self._next = next
        self._received = Received(context)
        self._events = Events(context, self._received, next)
        self._counts = {scraper.name: _Counts() for scraper in scrapers}
        self._threads: dict[str, asyncio.Future[Any]] = {}
        self._trouble = ""
        self._start = 0
        self._pushing = False
        self._quiet = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._publish()

    async def __aenter__(self) -> Self:
        """Begin; nothing is read yet."""
        self._start = self._context.clock.time_ns()
        tasks = self._tasks = asyncio.TaskGroup()
        await tasks.__aenter__()
        self._task = tasks.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop measuring; what is being pushed comes to its end first."""
        task, self._task = self._task, None
        if task is None:
            return
        try:
            while self._pushing:
                self._quiet.clear()
                await self._quiet.wait()
        finally:
            task.cancel()
            await self._tasks.__aexit__(None, None, None)
            self._events.close()

    async def measure(self) -> None:
        """Measure once, now, and push what was read."""
        troubles: dict[str, str] = {}
        partial_only = True
        payloads: list[bytes] = []
        points = 0
        for scraper in self.scrapers:
            scrape = self._begin(scraper)
            try:
                async with self._context.clock.timeout(self._settings.timeout or None):
                    await self._call(scraper, scrape)
                payload, found = scrape.finish()
            except Exception as failure:  # noqa: BLE001 - whatever goes wrong with one scraper, the others go on
                self._counts[scraper.name].errored += 1
                troubles[scraper.name] = self._text(failure)
                partial_only = False
                continue
            finally:
                self._events.add(scrape.events)  # a source tells them once, whatever becomes of the points
            payloads.append(payload)
            points += found
            self._counts[scraper.name].scraped += found
            if scrape.problems:
                self._counts[scraper.name].errored += len(scrape.problems)
                troubles[scraper.name] = "; ".join(dict.fromkeys(scrape.problems))
        self._tell(troubles, partial_only=partial_only)
        self._pushing = True
        try:
            await self._push(Batch(Signal.METRICS, b"".join(payloads), points, Origin(self._context.clock.now())))
            await self._events.push()
        finally:
            self._pushing = False
            self._quiet.set()

    def _begin(self, scraper: Scraper) -> Scrape:
        return Scrape(
            self._context.clock.time_ns(),
            self._start,
            scraper.metrics,
            scraper.resource,
            declared=scraper.declared,
            scope=f"sluiceway/receivers/{self._context.id.partition('/')[0]}/{scraper.name}",
            version=__version__,
        )

    async def _run(self) -> None:
        clock, interval = self._context.clock, self._settings.collection_interval
        delay = max(self._settings.initial_delay, 0)
        await clock.sleep(delay + random.uniform(0, self._settings.jitter))  # noqa: S311 - spreads load
        due = clock.now()
        while True:
            await self.measure()
            due += interval
            late = clock.now() - due
            if late > 0:
                due += late // interval * interval  # those that were missed are left out
            await clock.sleep(max(due - clock.now(), 0))

    async def _call(self, scraper: Scraper, scrape: Scrape) -> None:
        if inspect.iscoroutinefunction(scraper.scrape):
            await scraper.scrape(scrape)
            return
        if (earlier := self._threads.get(scraper.name)) is not None and not earlier.done():
            raise TimeoutError("the measurement before is still running")
        thread = asyncio.get_running_loop().run_in_executor(None, scraper.scrape, scrape)
        thread.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # nobody may wait any more
        self._threads[scraper.name] = thread
        await asyncio.shield(thread)

    async def _push(self, batch: Batch) -> None:
        if batch.items and Signal.METRICS in self._context.signals:
            await self._received.push_once(batch, self._next)

    def _text(self, failure: Exception) -> str:
        match failure:
            case TimeoutError() if not str(failure):
                return f"took longer than {self._settings.timeout:g}s"
            case OSError() | SluicewayError():
                return str(failure) or type(failure).__name__
            case _:
                self._context.logger.debug("a scraper failed", exc_info=failure)
                return f"{type(failure).__name__}: {failure}"

    def _tell(self, troubles: Mapping[str, str], *, partial_only: bool) -> None:
        """Log and report what has changed; numbers in a text may differ from time to time and are no change."""
        text = "; ".join(f"{name}: {trouble}" for name, trouble in troubles.items())
        seen = _CHANGING.sub("#", text) + str(partial_only)
        if not text:
            if self._trouble:
                self._context.logger.info("Scraping works again")
            self._context.report(Status.OK)
        elif partial_only:
            self._context.report(Status.OK, f"incomplete: {text}")
        else:
            self._context.report(Status.RECOVERABLE_ERROR, text)
        if text and seen != self._trouble:
            self._context.logger.warning("Error scraping metrics", extra={"error": text})
        self._trouble = seen if text else ""

    def _publish(self) -> None:
        scope = self._context.telemetry
        for scraper in self.scrapers:
            names = {"receiver": self._context.id, "scraper": scraper.name}
            for name, text in (("scraped", "Points that were read."), ("errored", "Reads that failed.")):
                read = partial(getattr, self._counts[scraper.name], name)
                scope.counter(f"otelcol_scraper_{name}_metric_points", read, "{datapoint}", text, **names)


@dataclass
class _Counts:
    scraped: int = 0
    errored: int = 0
