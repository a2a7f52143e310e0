"""Real OTLP backends on loopback whose answers a test chooses."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import grpc
import grpc.aio
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from pydantic import TypeAdapter
from yaml import safe_load

from sluiceway.component import Component, Context, Kind
from sluiceway.otlp import Batch, Signal
from sluiceway.testing import ManualClock


def batch(signal: Signal = Signal.TRACES, items: int = 3) -> Batch:
    """A small batch of any signal."""
    if signal is Signal.TRACES:
        message = TracesData()
        spans = message.resource_spans.add().scope_spans.add().spans
        for i in range(items):
            spans.add(name=f"span {i}")
    elif signal is Signal.METRICS:
        message = MetricsData()
        points = message.resource_metrics.add().scope_metrics.add().metrics.add(name="m").gauge.data_points
        for i in range(items):
            points.add(as_int=i)
    else:
        message = LogsData()
        records = message.resource_logs.add().scope_logs.add().log_records
        for i in range(items):
            records.add(body={"string_value": f"line {i}"})
    return Batch(signal, message.SerializeToString(), items)


def make(component: Component, yaml: str, **context):
    """One exporter from YAML text, as the graph would make it."""
    config = TypeAdapter(component.config).validate_python(safe_load(yaml))
    given = Context(id=component.type, kind=Kind.EXPORTER, clock=ManualClock(), logger=logging.getLogger("test"))
    return component.create(config, replace(given, **context))


def retry_info(seconds: float) -> bytes:
    """The trailer `grpc-status-details-bin` with a `RetryInfo`."""
    detail = Any()
    detail.Pack(RetryInfo(retry_delay=Duration(seconds=int(seconds), nanos=round(seconds % 1 * 1e9))))
    return Status(code=8, message="slow down", details=[detail]).SerializeToString()


@dataclass
class GrpcBackend(grpc.GenericRpcHandler):
    """Records requests and answers as it is told."""

    compression = "none"
    """What the exporter is told that sends to it."""

    port: int = 0
    code: grpc.StatusCode = grpc.StatusCode.OK
    details: str = "no"
    trailers: tuple[tuple[str, str | bytes], ...] = ()
    answer: bytes | None = b""
    """None is OK without a message."""
    gate: asyncio.Event | None = None
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    requests: list[tuple[str, bytes, dict[str, str | bytes]]] = field(default_factory=list)
    deadlines: list[float | None] = field(default_factory=list)
    peers: list[str] = field(default_factory=list)

    def service(self, details):
        async def handle(request, context):
            self.requests.append((details.method, request, dict(context.invocation_metadata())))
            self.deadlines.append(context.time_remaining())
            self.peers.append(context.peer())
            self.arrived.set()
            try:
                if self.gate is not None:
                    await self.gate.wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
            if self.code is not grpc.StatusCode.OK:
                await context.abort(self.code, self.details, self.trailers)
            return self.answer

        async def handle_silently(request, context):
            await handle(request, context)
            for message in ():
                yield message

        if self.answer is None:
            return grpc.unary_stream_rpc_method_handler(handle_silently)
        return grpc.unary_unary_rpc_method_handler(handle)

    @asynccontextmanager
    async def running(
        self,
        pair: tuple[bytes, bytes] | None = None,
        options: Sequence[tuple[str, int]] = (),
        clients: bytes | None = None,
    ) -> AsyncIterator[GrpcBackend]:
        """Listen until the block is left, with TLS where there are a key and a certificate.

        `clients` is the authority of the certificates that clients must have.
        """
        server = grpc.aio.server(handlers=[self], options=options)
        address = f"127.0.0.1:{self.port}"
        if pair is None:
            self.port = server.add_insecure_port(address)
        else:
            credentials = grpc.ssl_server_credentials([pair], clients, clients is not None)
            self.port = server.add_secure_port(address, credentials)
        await server.start()
        try:
            yield self
        finally:
            await server.stop(None)


@dataclass
class HttpBackend:
    """Records requests and answers as it is told; speaks HTTP/1.1 by hand so that it can also break it."""

    port: int = 0
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    answer: bytes = b""
    raw: bytes | None = None
    gate: asyncio.Event | None = None
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    connections: int = 0
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    @asynccontextmanager
    async def running(self, ssl=None) -> AsyncIterator[HttpBackend]:
        """Listen until the block is left."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=ssl)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                await self._answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.closed.set()
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, *fields = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
        headers = {name.lower(): value for name, value in (entry.split(": ", 1) for entry in fields)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.requests.append((line, headers, body))
        self.arrived.set()
        if self.gate is not None:
            await self.gate.wait()
        answer = [f"HTTP/1.1 {self.status} x", *(f"{name}: {value}" for name, value in self.headers.items())]
        if "Content-Length" not in self.headers:
            answer.append(f"Content-Length: {len(self.answer)}")
        writer.write(self.raw or "\r\n".join([*answer, "", ""]).encode() + self.answer)
        if self.raw is not None:
            raise ConnectionResetError
        await writer.drain()
