"""All jobs of a receiver: they find their targets, each target is scraped in a task of its own, and all report."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Self

from sluiceway.component import Consumer, Context, Status
from sluiceway.otlp import Batch
from sluiceway.received import Received
from sluiceway.receivers.prometheus.discovery import TargetFiles, TargetKey, targets_of
from sluiceway.receivers.prometheus.scrape import Client
from sluiceway.receivers.prometheus.settings import PrometheusConfig, ScrapeConfig
from sluiceway.receivers.prometheus.target import Outcome, Target

__all__ = ["Jobs"]

_LOOK: Final = 5.0
"""Seconds between looks at the files of targets."""
_CHANGING: Final = re.compile(r"\d+")
_SHOWN: Final = 3
"""How many troubles a status names."""


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
        self._troubles: dict[str, str] = {}
        self._count = 0
        self._pushing = 0
        self._quiet = asyncio.Event()
        self._stack = AsyncExitStack()
        self._jobs: list[asyncio.Task[None]] = []
        self._running: dict[str, dict[TargetKey, asyncio.Task[None]]] = {}

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
        try:
            while self._pushing:
                self._quiet.clear()
                await self._quiet.wait()
        finally:
            for task in (*self._jobs, *(task for tasks in self._running.values() for task in tasks.values())):
                task.cancel()
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
            self._tell(f"job {job.job_name}", text)
            self._follow(job, client, found)
            if not job.file_sd_configs:
                return
            refresh = min(config.refresh_interval for config in job.file_sd_configs)
            await self._context.clock.sleep(min(refresh, _LOOK))

    def _follow(self, job: ScrapeConfig, client: Client, found: dict[TargetKey, None]) -> None:
        """Begin with targets that are new, and end those that are gone."""
        running = self._running.setdefault(job.job_name, {})
        for key in [key for key in running if key not in found]:
            running.pop(key).cancel()
            self._count -= 1
        for key in found:
            if key not in running:
                target = Target(self._config, job, key, self._context, **self._options)
                running[key] = self._tasks.create_task(self._scrape(target, client))
                self._count += 1

    async def _scrape(self, target: Target, client: Client) -> None:
        """Scrape one target at its times; when that ends because the target is gone, its series end, too."""
        clock, interval = self._context.clock, target.key.interval
        try:
            wait = (target.key.offset(interval) - clock.time_ns() / 1e9) % interval
            due = clock.now() + wait
            await clock.sleep(wait)
            while True:
                outcome = await target.scrape(client)
                self._settle(target, outcome)
                await self._push(outcome.batch)
                due += interval
                late = clock.now() - due
                if late > 0:
                    due += late // interval * interval  # those that were missed are left out
                await clock.sleep(max(due - clock.now(), 0))
        except asyncio.CancelledError:
            if any(task is asyncio.current_task() for task in self._running.get(target.job_name, {}).values()):
                raise  # everything ends
            self._tell(target.name, "")
            await self._push(target.end())

    async def _push(self, batch: Batch) -> None:
        self._pushing += 1
        try:
            await self._received.push_once(batch, self._next)
        finally:
            self._pushing -= 1
            self._quiet.set()

    def _settle(self, target: Target, outcome: Outcome) -> None:
        self._tell(target.name, outcome.error)
        if outcome.repeated:
            self._tell(f"{target.name} samples", "some samples came twice, the first counts", failed=False)
        else:
            self._tell(f"{target.name} samples", "", failed=False)

    def _tell(self, name: str, text: str, *, failed: bool = True) -> None:
        """Log and report what has changed; numbers in a text may differ from time to time and are no change."""
        before = self._troubles.get(name, "")
        if text:
            self._troubles[name] = text
            if _CHANGING.sub("#", text) != _CHANGING.sub("#", before):
                self._context.logger.warning(
                    "Failed to scrape Prometheus endpoint" if failed else "Scrape is incomplete",
                    extra={"target": name, "error": text},
                )
        elif before:
            del self._troubles[name]
            self._context.logger.info("Scraping works again", extra={"target": name})
        troubles = {name: trouble for name, trouble in self._troubles.items() if not name.endswith(" samples")}
        if not troubles:
            self._context.report(Status.OK)
            return
        shown = "; ".join(f"{name}: {trouble}" for name, trouble in list(troubles.items())[:_SHOWN])
        more = f"; and {len(troubles) - _SHOWN} more" if len(troubles) > _SHOWN else ""
        self._context.report(Status.RECOVERABLE_ERROR, f"{len(troubles)} of {self._count} targets: {shown}{more}")
