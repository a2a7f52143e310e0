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
from sluiceway.otlp import Signal, accept
from sluiceway.received import Received
from sluiceway.receivers.journald.follow import Journal
from sluiceway.receivers.security_log.counts import Counts
from sluiceway.receivers.security_log.files import Files
from sluiceway.receivers.security_log.mapping import Found, Mapping
from sluiceway.receivers.security_log.records import Records
from sluiceway.receivers.security_log.sources import Source, from_file, from_journal, from_syslog
from sluiceway.receivers.syslog.server import Syslog
from sluiceway.scraping import Scrape, Scraper, Scraping
from sluiceway.stanza import Entry

if TYPE_CHECKING:
    from sluiceway.receivers.security_log import SecurityLogConfig

__all__ = ["SecurityLogReceiver"]

_TURN: Final = 256
"""Lines that are mapped before others get their turn: some milliseconds."""


class SecurityLogReceiver:
    """Maps what its sources read. A batch is counted once the logs pipeline, if there is one, has answered."""

    def __init__(self, config: SecurityLogConfig, context: Context, next: Consumer) -> None:
        self._config = config
        self._context = context
        self._next = next
        self._received = Received(context)
        zone = None if config.location == "Local" else ZoneInfo(config.location or "UTC")
        self._mapping = Mapping(config.presets, hostname=config.hostname or socket.gethostname(), zone=zone)
        self._counts = Counts()
        self._files = Files(config, context, partial(self._deliver, from_file)) if config.include else None
        self._journal = (
            Journal(config.journald, context, partial(self._deliver, from_journal)) if config.journald else None
        )
        self._syslog = Syslog(config.syslog, context, partial(self._deliver, from_syslog)) if config.syslog else None
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
            if self._files is not None:
                await stack.enter_async_context(self._files)
            if self._journal is not None:
                await stack.enter_async_context(self._journal)
            if self._syslog is not None:
                await stack.enter_async_context(self._syslog)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop to read, and then to count."""
        await self._stack.__aexit__(kind, error, trace)

    def _scraping(self) -> Scraping:
        scraper = Scraper("security_log", self._scrape, self._config.metrics)
        return Scraping(self._config, self._context, self._next, [scraper])

    async def _scrape(self, scrape: Scrape) -> None:
        self._counts.write(scrape)

    async def _deliver(self, source: Source, entries: list[Entry]) -> None:
        records = Records(self._config.on_unmapped, self._config.raw)
        found: list[Found] = []
        dropped = 0
        for number, entry in enumerate(entries):
            if number % _TURN == _TURN - 1:
                await asyncio.sleep(0)
            text, event = source(self._mapping, entry)
            if event is not None:
                found.append(event)
                records.add(entry, text, event[0])
            elif not records.add_unmapped(entry, text):
                dropped += 1
        await self._push(records)
        if dropped:
            self._context.drop(dropped, Reason.FILTERED, intended=True)
        for mapped, preset in found:
            self._counts.add(mapped, preset)

    async def _push(self, records: Records) -> None:
        payload = records.encode()
        if payload and Signal.LOGS in self._context.signals:
            await self._received.keep_pushing(accept(Signal.LOGS, payload), self._next)
