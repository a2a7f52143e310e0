"""One server, the intake behind it, and the reading of messages: for whoever takes entries."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from types import TracebackType
from typing import Final, Self
from zoneinfo import ZoneInfo

from sluiceway.component import Context, Reason
from sluiceway.errors import ConfigError
from sluiceway.stanza import Entry
from sluiceway.stanza.syslog.framing import Counted, Framing, Trailed, Whole
from sluiceway.stanza.syslog.intake import Intake, Message
from sluiceway.stanza.syslog.messages import parser
from sluiceway.stanza.syslog.settings import SyslogSettings, Tcp
from sluiceway.stanza.syslog.tcp import TcpServer
from sluiceway.stanza.syslog.udp import UdpServer

__all__ = ["Syslog"]

_GRACE: Final = 5.0
"""Seconds for what has arrived to be delivered at the end."""
_ROOM: Final = 10_000
"""Messages of all TCP connections that may wait."""
_PAUSE: Final = 60.0
"""Seconds between two warnings of messages that cannot be read."""


class Syslog:
    """Listens, and hands what has arrived to `deliver` as entries, which returns when the pipeline has them."""

    def __init__(
        self, settings: SyslogSettings, context: Context, deliver: Callable[[list[Entry]], Awaitable[None]]
    ) -> None:
        self._settings = settings
        self._context = context
        self._deliver = deliver
        zone = ZoneInfo(settings.location or "UTC")
        self._parse = parser(settings.protocol, zone, allow_skip_pri_header=settings.allow_skip_pri_header)
        self._unreadable = 0
        self._warned = float("-inf")
        self._intake = Intake(context, self._hand_on, settings.udp.queue if settings.udp else _ROOM)
        self._server = self._make_server()
        self._task: asyncio.Task[None] | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that are listened on, once started."""
        return self._server.address

    async def __aenter__(self) -> Self:
        """Listen; raises `ConfigError` when the address is in use."""
        try:
            await self._server.__aenter__()
        except ConfigError as error:
            raise ConfigError(f"receivers::{self._context.id}: {error}") from error
        tasks = self._tasks = asyncio.TaskGroup()
        await tasks.__aenter__()
        self._task = tasks.create_task(self._intake.run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Listen no more, deliver what has arrived, and drop and count what cannot be delivered in a few seconds."""
        if self._task is None:
            return
        task, self._task = self._task, None
        await self._server.__aexit__(kind, error, trace)
        try:
            async with self._context.clock.timeout(_GRACE):
                await self._intake.empty()
        except TimeoutError:
            pass
        finally:
            task.cancel()
            await self._tasks.__aexit__(None, None, None)
            self._intake.lose()

    def _make_server(self) -> TcpServer | UdpServer:
        settings, context = self._settings, self._context
        if settings.tcp is not None:
            return TcpServer(settings.tcp, context, self._intake, self._framing(settings.tcp))
        assert settings.udp is not None  # noqa: S101 - the settings have one of them
        return UdpServer(settings.udp, context, self._intake)

    def _framing(self, tcp: Tcp) -> Callable[[], Framing]:
        settings = self._settings
        if settings.enable_octet_counting:
            return partial(Counted, settings.max_octets, partial(self._context.drop, 1, Reason.TOO_LARGE))
        if tcp.one_log_per_packet:
            return partial(Whole, tcp.longest)
        return partial(Trailed, b"\0" if settings.non_transparent_framing_trailer == "NUL" else b"\n", tcp.longest)

    async def _hand_on(self, messages: list[Message]) -> None:
        entries = [entry for message in messages if (entry := self._entry(message)) is not None]
        self._warn()
        if entries:
            await self._deliver(entries)

    def _entry(self, message: Message) -> Entry | None:
        settings = self._settings
        text = settings.listening.text(message.data)
        if not text:
            return None
        entry = Entry(text, message.observed, dict(message.peer), {})
        try:
            self._parse(entry, text.partition(" ")[2] if settings.enable_octet_counting else text)
        except ValueError:
            self._unreadable += 1
            if settings.on_error.startswith("drop"):
                self._context.drop(1, Reason.REJECTED, intended=True)
                return None
        return entry

    def _warn(self) -> None:
        """Say now and then that messages cannot be read, unless that is not wanted."""
        now = self._context.clock.now()
        if self._unreadable and not self._settings.on_error.endswith("_quiet") and now - self._warned >= _PAUSE:
            text = "%d messages were no %s; see protocol, and on_error for what becomes of them"
            self._context.logger.warning(text, self._unreadable, self._settings.protocol)
            self._unreadable, self._warned = 0, now
