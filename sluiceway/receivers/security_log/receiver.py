"""The receiver: its sources, the mapping, and the two ways out."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self
from zoneinfo import ZoneInfo

from sluiceway.component import Consumer, Context, Reason
from sluiceway.otlp import Signal
from sluiceway.parts import Parts
from sluiceway.received import Received
from sluiceway.receivers.security_log.counts import Counts
from sluiceway.receivers.security_log.mapping import Found, Mapping
from sluiceway.receivers.security_log.records import mapped, unmapped
from sluiceway.receivers.security_log.sources import Source, from_file, from_journal, from_syslog
from sluiceway.scraping import Scrape, Scraper, Scraping
from sluiceway.stanza import Entry
from sluiceway.stanza.checkpoints import Checkpoints
from sluiceway.stanza.files import Files
from sluiceway.stanza.journal.follow import Cursors, Journal
from sluiceway.stanza.outlet import Outlet, pushing
from sluiceway.stanza.syslog.server import Syslog

if TYPE_CHECKING:
    from sluiceway.receivers.security_log import SecurityLogConfig
    from sluiceway.stanza.journal.settings import JournalSettings

__all__ = ["SecurityLogReceiver"]

_TURN: Final = 256
"""Lines that are mapped before others get their turn: some milliseconds."""


class SecurityLogReceiver:
    """Maps what its sources read. A batch is counted once the logs pipeline, if there is one, has answered."""

    def __init__(self, config: SecurityLogConfig, context: Context, next: Consumer) -> None:
        self._config = config
        self._context = context
        self._parts = Parts(context)
        self._next = next
        self._push = pushing(Received(context), next, "sluiceway/security_log")
        zone = None if config.location == "Local" else ZoneInfo(config.location or "UTC")
        self._mapping = Mapping(config.presets, hostname=config.hostname or socket.gethostname(), zone=zone)
        self._counts = Counts()
        self._outlets: list[Outlet] = []
        self._checkpoints: list[Checkpoints] = []
        self._files = self._reading_files() if config.include else None
        self._journal = self._following(config.journald) if config.journald else None
        self._syslog = Syslog(config.syslog, context, self._outlet(from_syslog).deliver) if config.syslog else None
        self._stack = AsyncExitStack()

    @property
    def syslog_address(self) -> tuple[str, int]:
        """Host and port where syslog is taken, once started."""
        if self._syslog is None:
            raise LookupError("syslog is not taken")
        return self._syslog.address

    async def __aenter__(self) -> Self:
        """Begin to read."""
        async with AsyncExitStack() as stack:
            if Signal.METRICS in self._context.signals:
                await stack.enter_async_context(self._scraping())
            for checkpoints in self._checkpoints:
                await stack.enter_async_context(checkpoints)
            for reading in (self._files, self._journal):
                if reading is not None:
                    stack.push_async_callback(reading.settle)
            for outlet in self._outlets:
                await stack.enter_async_context(outlet)
            for source in (self._files, self._journal, self._syslog):
                if source is not None:
                    await stack.enter_async_context(source)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop to read, and then to count."""
        await self._stack.__aexit__(kind, error, trace)

    def _reading_files(self) -> Files:
        outlet = self._outlet(from_file)
        waiting = outlet.marks if outlet.keeps else None
        return Files(self._config, self._parts.part(), outlet.deliver, self._kept(""), waiting)

    def _following(self, settings: JournalSettings) -> Journal:
        outlet = self._outlet(from_journal)
        cursors = Cursors(self._kept("journald"))
        return Journal(settings, self._parts.part(), outlet.deliver, cursors, waiting=outlet.marks)

    def _kept(self, name: str) -> Checkpoints:
        """Where the reading of one source stands."""
        self._checkpoints.append(Checkpoints(self._config.storage, self._parts.part(), name))
        return self._checkpoints[-1]

    def _outlet(self, source: Source) -> Outlet:
        """The way of what one source reads: through operators of its own, and to the mapping."""
        outlet = Outlet(self._config, self._context, partial(self._map, source))
        self._outlets.append(outlet)
        return outlet

    def _scraping(self) -> Scraping:
        scraper = Scraper("security_log", self._scrape, self._config.metrics)
        return Scraping(self._config, self._parts.part(), self._next, [scraper])

    async def _scrape(self, scrape: Scrape) -> None:
        self._counts.write(scrape)

    async def _map(self, source: Source, entries: list[Entry]) -> None:
        config = self._config
        records: list[Entry] = []
        found: list[Found] = []
        for number, entry in enumerate(entries):
            if number % _TURN == _TURN - 1:
                await asyncio.sleep(0)
            text, event = source(self._mapping, entry)
            if event is not None:
                found.append(event)
                mapped(entry, text, event[0], config.raw)
            elif config.on_unmapped == "drop":
                continue
            else:
                unmapped(entry, text, config.on_unmapped, config.raw)
            records.append(entry)
        if records and Signal.LOGS in self._context.signals:
            await self._push(records)
        if len(records) < len(entries):
            self._context.drop(len(entries) - len(records), Reason.FILTERED, intended=True)
        for known, preset in found:
            self._counts.add(known, preset)
