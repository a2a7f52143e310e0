"""Messages over UDP."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

from sluiceway.component import Context
from sluiceway.config.types import split_endpoint
from sluiceway.errors import ConfigError
from sluiceway.stanza.syslog.intake import Intake, Message
from sluiceway.stanza.syslog.settings import Udp
from sluiceway.stanza.syslog.tcp import attributes

__all__ = ["UdpServer"]

_KERNEL_BUFFER: Final = 4 * 1024 * 1024
"""Bytes of packets that the kernel may hold while we work, as far as it allows."""


class UdpServer:
    """Takes packets as long as there is room for them."""

    def __init__(self, settings: Udp, context: Context, intake: Intake) -> None:
        self._settings = settings
        self._context = context
        self._intake = intake
        self._transport: asyncio.DatagramTransport | None = None
        self.address = ("", 0)

    async def __aenter__(self) -> Self:
        """Listen; raises `ConfigError` when the address is in use."""
        host, port = split_endpoint(self._settings.listen_address)
        loop = asyncio.get_running_loop()
        try:
            transport, _ = await loop.create_datagram_endpoint(
                lambda: _Packets(self), local_addr=(host or "0.0.0.0", port)  # noqa: S104 - asked for
            )  # fmt: skip
        except OSError as error:
            raise ConfigError(f"cannot listen on {self._settings.listen_address}: {error.strerror or error}") from error
        self._transport = transport
        self.address = transport.get_extra_info("sockname")[:2]
        with suppress(OSError):
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _KERNEL_BUFFER)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Listen no more."""
        if self._transport is not None:
            self._transport.close()

    def take(self, data: bytes, peer: tuple[Any, ...]) -> None:
        """Take one packet."""
        settings = self._settings
        where = attributes("IP.UDP", peer, self.address) if settings.add_attributes else {}
        observed = self._context.clock.time_ns()
        data = data.rstrip(b"\0\r\n")
        parts = [data] if settings.one_log_per_packet or b"\n" not in data else data.split(b"\n")
        self._intake.offer([Message(part, observed, where) for part in parts if part])


class _Packets(asyncio.DatagramProtocol):
    def __init__(self, server: UdpServer) -> None:
        self._server = server

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._server.take(data, addr)

    def error_received(self, exc: Exception) -> None:
        """An ICMP answer to nothing that we sent."""
