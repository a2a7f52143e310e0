"""OTLP over gRPC: raw-bytes methods on `grpc.aio`, and a status for every error.

On the wire a unary call is a stream of one message. Served as a stream it can be watched while its message arrives,
which costs nothing to speak of; served as unary, gRPC would wait for the message alone and for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import grpc

from sluiceway.component import Authenticator, Context
from sluiceway.config.listen import check_unix_path
from sluiceway.config.server import GrpcServer
from sluiceway.config.types import split_endpoint
from sluiceway.errors import ConfigError
from sluiceway.otlp import Signal
from sluiceway.receivers.otlp.answers import Answer
from sluiceway.receivers.otlp.arrivals import Arrivals
from sluiceway.receivers.otlp.intake import Intake
from sluiceway.telemetry import Calls

if TYPE_CHECKING:
    Call = grpc.aio.ServicerContext[bytes, bytes]
    Export = Callable[[bytes, Call], Awaitable[bytes]]

__all__ = ["GrpcReceiver"]

GRACE: Final = 10.0
"""Seconds that running calls have when the server stops."""
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}
_DETAILS: Final = "grpc-status-details-bin"


class GrpcReceiver:
    """The gRPC half of the receiver."""

    def __init__(
        self,
        settings: GrpcServer,
        intake: Intake,
        authenticator: Authenticator | None,
        max_connections: int,
        max_half_sent: int,
        context: Context,
    ) -> None:
        self.address = ("", 0)
        self._options = [*settings.options, ("grpc.max_allowed_incoming_connections", max_connections)]
        self._settings = settings
        self._intake = intake
        self._authenticator = authenticator
        self._arrivals = Arrivals(max_half_sent, context.clock)
        self._context = context
        self._tracing = context.telemetry.tracing
        self._needs_headers = authenticator is not None or settings.include_metadata or self._tracing is not None

    async def start(self, tasks: asyncio.TaskGroup) -> None:
        """Listen; raise `ConfigError` when that is not possible. A task of `tasks` watches over half-sent messages."""
        self._server = grpc.aio.server(options=self._options)
        for signal in sorted(self._context.signals, key=lambda signal: signal.code):
            method = grpc.stream_unary_rpc_method_handler(self._method(signal))
            self._server.add_generic_rpc_handlers(
                (grpc.method_handlers_generic_handler(signal.service, {"Export": method}),)
            )
        self.address = self._bind()
        await self._server.start()
        self._watch = tasks.create_task(self._arrivals.watch())

    async def stop(self) -> None:
        """Refuse new calls, let running ones end within the grace, and cancel what is left."""
        try:
            await self._server.stop(GRACE)
        finally:
            self._watch.cancel()

    def _bind(self) -> tuple[str, int]:
        settings, tls = self._settings, self._settings.tls
        host, number = ("", 0) if settings.transport == "unix" else split_endpoint(settings.endpoint)
        try:
            if settings.transport == "unix":
                check_unix_path(settings.endpoint)
                host = target = f"unix:{settings.endpoint}"
            else:
                host = host or ("0.0.0.0" if settings.transport == "tcp4" else "::")  # noqa: S104 - what was asked for
                target = f"[{host}]:{number}" if ":" in host else f"{host}:{number}"
            if tls:
                credentials = tls.grpc_credentials(self._context.clock, self._context.logger)
                port = self._server.add_secure_port(target, credentials)
            else:
                port = self._server.add_insecure_port(target)
        except RuntimeError as error:
            raise ConfigError(f"cannot listen on {settings.endpoint}: the address is in use or not ours") from error
        return (settings.endpoint, 0) if settings.transport == "unix" else (host, port)

    def _method(self, signal: Signal) -> Any:
        async def export(_messages: object, call: Call) -> bytes:
            try:
                return await self._export(signal, await self._arrivals.read(call), call)
            except BaseException as error:
                await _abort(call, self._intake.answer(error))
                raise AssertionError("abort does not return") from error

        return self._timed(export, signal) if self._context.telemetry.detailed else export

    def _timed(self, export: Export, signal: Signal) -> Export:
        calls = Calls(
            self._context.telemetry, "rpc.server.call.duration", "Duration of incoming gRPC calls.",
            **{"rpc.system.name": "grpc", "rpc.method": f"{signal.service}/Export"},
        )  # fmt: skip

        async def timed(request: bytes, call: Call) -> bytes:
            began, outcome = perf_counter(), "OK"
            try:
                return await export(request, call)
            except BaseException:
                code = call.code()
                outcome = code.name if isinstance(code, grpc.StatusCode) else "CANCELLED"
                raise
            finally:
                calls.record(perf_counter() - began, **{"rpc.response.status_code": outcome})

        return timed

    async def _export(self, signal: Signal, request: bytes, call: Call) -> bytes:
        peer = _address(call.peer())
        if self._needs_headers:
            headers = _headers(call)
            identity = await self._authenticator.authenticate(headers) if self._authenticator else None
            causes = self._tracing.arriving(_first(headers)) if self._tracing else ()
            origin = self._intake.origin(peer, identity, headers if self._settings.include_metadata else {}, causes)
        else:
            origin = self._intake.origin(peer)
        await self._intake.take(signal, request, origin)
        return b""


async def _abort(call: Call, answer: Answer) -> None:
    details = ((_DETAILS, answer.proto()),) if answer.delay is not None else ()
    await call.abort(_CODES[answer.code], answer.message, details)


def _headers(call: Call) -> dict[str, tuple[str, ...]]:
    collected: dict[str, tuple[str, ...]] = {}
    for name, value in call.invocation_metadata() or ():
        if isinstance(value, str):
            collected[name] = (*collected.get(name, ()), value)
    return collected


def _first(headers: dict[str, tuple[str, ...]]) -> Callable[[str], str | None]:
    return lambda name: headers.get(name, (None,))[0]


def _address(peer: str) -> str:
    scheme, _, address = peer.partition(":")
    return unquote(address) if scheme in ("ipv4", "ipv6") else ""
