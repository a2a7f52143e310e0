"""All jobs of a receiver: they find their targets, and each target is scraped in a task of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from sluiceway.component import Consumer, Context
from sluiceway.received import Received
from sluiceway.receivers.prometheus.discovery import TargetFiles, TargetKey, targets_of
from sluiceway.receivers.prometheus.scrape import Client
from sluiceway.receivers.prometheus.settings import PrometheusConfig, ScrapeConfig
from sluiceway.receivers.prometheus.target import Target
from sluiceway.receivers.prometheus.troubles import Troubles

__all__ = ["Jobs"]

_LOOK: Final = 5.0
"""Seconds between looks at the files of targets."""


@dataclass(slots=True)
class _Running:
    """A target that is scraped; `gone` says that it is to end, once what is being read and pushed came to its end."""

    target: Target
    task: asyncio.Task[None] | None = None
    busy: bool = False
    gone: bool = False
    silent: bool = False
    """Whether its series go on in whatever is started next, so that they get no end."""

    @asynccontextmanager
    async def undisturbed(self) -> AsyncIterator[None]:
        """For what must come to its end: `stop` waits for it."""
        self.busy = True
        try:
            yield
        finally:
            self.busy = False

    def stop(self, *, silent: bool) -> None:
        """End it, without losing what is being pushed."""
        self.gone, self.silent = True, silent
        if not self.busy and self.task is not None:
            self.task.cancel()


class Jobs:
    """Scrapes everything that a configuration has; to be entered."""

    def __init__(
        self, config: PrometheusConfig, context: Context, next: Consumer, *, trim: bool = False, extra: bool = False
    ) -> None:
        self._config = config
        self._context = context
        self._next = next
        self._options = {"trim": trim, "extra": extra}
        self._received = Received(context)
        self._troubles = Troubles(context)
        self._stack = AsyncExitStack()
        self._jobs: list[asyncio.Task[None]] = []
        self._running: dict[str, dict[TargetKey, _Running]] = {}

    async def __aenter__(self) -> Self:
        clients = []
        for job in self._config.scrape_configs:
            tls = job.tls_config.client.reloaded_ssl_context(self._context.clock, self._context.logger)
            tls()  # a file that cannot be used is told at the start
            clients.append(await self._stack.enter_async_context(Client(tls)))
        self._tasks = await self._stack.enter_async_context(asyncio.TaskGroup())
        for job, client in zip(self._config.scrape_configs, clients, strict=True):
            self._jobs.append(self._tasks.create_task(self._run(job, client)))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop scraping; what is being pushed comes to its end first."""
        for task in self._jobs:
            task.cancel()
        for running in self._running.values():
            for target in running.values():
                target.stop(silent=True)
        await self._stack.aclose()

    async def _run(self, job: ScrapeConfig, client: Client) -> None:
        """Find a job's targets, and again whenever its files change."""
        files = TargetFiles(job)
        while True:
            groups, wrong = await asyncio.to_thread(files.groups) if job.file_sd_configs else ([], {})
            text = "; ".join(wrong.values())
            try:
                found = targets_of(self._config, job, groups)
            except ValueError as error:
                found = dict.fromkeys(self._running.get(job.job_name, ()))
                text = "; ".join(filter(None, (text, str(error))))
            self._follow(job, client, found)
            self._troubles.tell(job.job_name, f"job {job.job_name}", text)
            if not job.file_sd_configs:
                return
            refresh = min(config.refresh_interval for config in job.file_sd_configs)
            await self._context.clock.sleep(min(refresh, _LOOK))

    def _follow(self, job: ScrapeConfig, client: Client, found: dict[TargetKey, None]) -> None:
        """Begin with targets that are new, and end those that are gone."""
        running = self._running.setdefault(job.job_name, {})
        for key in [key for key in running if key not in found]:
            running.pop(key).stop(silent=False)
        for key in found:
            if key not in running:
                begun = running[key] = _Running(Target(self._config, job, key, self._context, **self._options))
                begun.task = self._tasks.create_task(self._scrape(begun, client))
        self._troubles.targets = sum(map(len, self._running.values()))

    async def _scrape(self, running: _Running, client: Client) -> None:
        """Scrape one target at its times; when that ends because the target is gone, its series end, too."""
        try:
            await self._scrape_on(running, client)
        except asyncio.CancelledError:
            if not running.gone:
                raise
        self._troubles.forget(running.target.key)
        if not running.silent:
            async with running.undisturbed():
                await self._received.push_once(running.target.end(), self._next)

    async def _scrape_on(self, running: _Running, client: Client) -> None:
        clock, target = self._context.clock, running.target
        interval = target.key.interval
        wait = (target.key.offset(interval) - clock.time_ns() / 1e9) % interval
        due = clock.now() + wait
        await clock.sleep(wait)
        while not running.gone:
            asked = await target.ask(client)
            async with running.undisturbed():
                outcome = await target.read(asked)
                self._troubles.tell(target.key, target.name, outcome.error)
                self._troubles.note(target.key, target.name, repeated=outcome.repeated)
                await self._received.push_once(outcome.batch, self._next)
            if running.gone:
                return
            due += interval
            late = clock.now() - due
            if late > 0:
                due += late // interval * interval  # those that were missed are left out
            await clock.sleep(max(due - clock.now(), 0))
