"""Connections that begin with TLS: a handshake that fails is answered by an alert, counted and told.

Left alone, the event loop drops the alert with the connection, and tells nobody. So an object of OpenSSL's that has
failed asks for more bytes instead: the loop sends what is to be sent, and the client has a moment to read it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any, Final

from sluiceway.component import Context
from sluiceway.config.tls import TlsServer

__all__ = ["Handshakes"]

LONGEST: Final = 10.0
"""Seconds in which a handshake has to be over."""
LINGER: Final = 1.0
"""Seconds that a client has to read the alert."""
INTERVAL: Final = 10.0
"""Seconds between two log lines."""
_PAUSE: Final = 1.0
_REASONS: Final = {
    "no_certificate": "the client shows no certificate",
    "bad_certificate": "the client's certificate is not accepted: ",
    "version": "the client speaks no TLS version that is allowed here",
    "not_tls": "the client does not speak TLS",
    "alert": "the client refuses: ",
    "timeout": f"not over within {LONGEST:g} s",
    "closed": "the client went away",
    "other": "",
}
"""What stands in the metric and, where more is known with more behind it, in the log."""
_CODES: Final = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "no_certificate",
    "UNSUPPORTED_PROTOCOL": "version",
    "VERSION_TOO_LOW": "version",
    "HTTP_REQUEST": "not_tls",
    "HTTPS_PROXY_REQUEST": "not_tls",
    "WRONG_VERSION_NUMBER": "not_tls",
    "PACKET_LENGTH_TOO_LONG": "not_tls",
}

_under_way: ContextVar[_Attempt] = ContextVar("_under_way")


class _Attempt:
    """One handshake, whose time becomes short once it has failed."""

    def __init__(self, time: asyncio.Timeout) -> None:
        self.error: ssl.SSLError | None = None
        self._time = time

    def fail(self, error: ssl.SSLError) -> None:
        self.error = error
        self._time.reschedule(asyncio.get_running_loop().time() + LINGER)


class _Alerting(ssl.SSLObject):
    _attempt: _Attempt
    _incoming: ssl.MemoryBIO
    _outgoing: ssl.MemoryBIO

    def watch(self, attempt: _Attempt, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> None:
        self._attempt, self._incoming, self._outgoing = attempt, incoming, outgoing

    def do_handshake(self) -> None:
        if self._attempt.error is not None:
            self._incoming.read()
            raise ssl.SSLWantReadError
        try:
            super().do_handshake()
        except ssl.SSLWantReadError:
            raise
        except ssl.SSLError as error:
            if not self._outgoing.pending:
                raise
            self._attempt.fail(error)
            raise ssl.SSLWantReadError from error


class _AlertingContext(ssl.SSLContext):
    sslobject_class = _Alerting

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        connection = super().wrap_bio(incoming, outgoing, *args, **kwargs)
        assert isinstance(connection, _Alerting)  # noqa: S101 - the class above says so
        connection.watch(_under_way.get(), incoming, outgoing)
        return connection


class Handshakes:
    """Accepts connections, and makes a protocol for each on which TLS is spoken."""

    def __init__(self, tls: TlsServer, make: Callable[[], asyncio.BaseProtocol], context: Context) -> None:
        self._tls = tls.ssl_context(("http/1.1",), context.clock, context.logger, _AlertingContext)
        self._make = make
        self._context = context
        self._running: set[asyncio.Task[None]] = set()
        self._failed = dict.fromkeys(_REASONS, 0)
        self._untold = 0
        self._quiet_until = float("-inf")
        for reason in _REASONS:
            context.telemetry.counter(
                "sluiceway_receiver_failed_handshakes", partial(self._failed.__getitem__, reason), "{handshake}",
                "TLS handshakes that failed.", receiver=context.id, transport="http", reason=reason,
            )  # fmt: skip

    async def accept(self, listening: socket.socket, tasks: asyncio.TaskGroup) -> None:
        """Accept for ever; each handshake is a task of `tasks`. Cancelling closes the socket and ends them all."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                try:
                    opened, address = await loop.sock_accept(listening)
                except ConnectionError:  # the client has gone again
                    continue
                except OSError as error:  # no more file descriptors, which the next moment may change
                    self._context.logger.warning("cannot accept connections: %s", error.strerror)
                    await self._context.clock.sleep(_PAUSE)
                    continue
                task = tasks.create_task(self._shake(opened, address))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
        finally:
            listening.close()
            for task in self._running:
                task.cancel()

    async def _shake(self, opened: socket.socket, address: object) -> None:
        loop = asyncio.get_running_loop()
        attempt: _Attempt | None = None
        try:
            async with asyncio.timeout(LONGEST) as time:
                attempt = _Attempt(time)
                _under_way.set(attempt)
                await loop.connect_accepted_socket(
                    self._make, opened, ssl=self._tls, ssl_handshake_timeout=LONGEST + LINGER
                )
        except OSError as error:
            self._note((attempt and attempt.error) or error, address)
        except Exception:
            self._context.logger.exception("a connection could not be opened")  # which must not end all others

    def _note(self, error: OSError, address: object) -> None:
        reason, text = _explain(error)
        self._failed[reason] += 1
        if reason == "closed":  # so do those who only look whether the port is open
            return
        self._untold += 1
        now = self._context.clock.now()
        if now >= self._quiet_until:
            peer = f"{address[0]}:{address[1]}" if isinstance(address, tuple) else ""
            self._context.logger.warning(
                "A TLS handshake failed.", extra={"peer": peer, "error": text, "failed_handshakes": self._untold}
            )
            self._quiet_until, self._untold = now + INTERVAL, 0


def _explain(error: OSError) -> tuple[str, str]:
    if isinstance(error, TimeoutError):
        return "timeout", _REASONS["timeout"]
    if isinstance(error, ssl.SSLCertVerificationError):
        return "bad_certificate", _REASONS["bad_certificate"] + error.verify_message
    if not isinstance(error, ssl.SSLError):
        return "closed", _REASONS["closed"]
    name = getattr(error, "reason", None) or ""  # which only an error of OpenSSL has
    code = "alert" if "_ALERT_" in name else _CODES.get(name, "other")
    words = name.lower().replace("_", " ")
    return code, _REASONS[code] + words if code in ("alert", "other") else _REASONS[code]
