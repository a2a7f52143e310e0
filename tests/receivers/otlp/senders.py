"""Senders for tests of the OTLP receiver: a started receiver, raw HTTP over a socket, and gRPC."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
import yaml
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, TracesData

from sluiceway.component import Context, Kind
from sluiceway.receivers.otlp import COMPONENT, OtlpReceiver
from sluiceway.telemetry import Metrics, Scope

PROTO = "application/x-protobuf"
BOTH = "protocols: {grpc: {endpoint: 'localhost:0'}, http: {endpoint: 'localhost:0'}}"
TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
METRICS = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"


def settings(text: str):
    """Check settings as the loader would."""
    return COMPONENT.config.model_validate(yaml.safe_load(text))


@asynccontextmanager
async def receiving(consumer, text: str = BOTH, **context) -> AsyncIterator[OtlpReceiver]:
    """Start a receiver from YAML text."""
    scope = context.pop("telemetry", None) or Scope(Metrics())
    made = COMPONENT.create(settings(text), Context("otlp", Kind.RECEIVER, telemetry=scope, **context), consumer)
    async with asyncio.timeout(30), made as receiver:
        yield receiver


def spans(count: int, size: int = 0) -> bytes:
    """Write a request of `count` spans, each with an attribute of `size` bytes."""
    text = KeyValue(key="k", value=AnyValue(string_value="v" * size))
    made = [Span(trace_id=bytes([1]) * 16, span_id=bytes([2]) * 8, name="s", attributes=[text]) for _ in range(count)]
    return TracesData(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=made)])]).SerializeToString()


@dataclass
class Answer:
    """An HTTP response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def as_status(self) -> Status:
        """The body as a `google.rpc.Status`."""
        return Status.FromString(self.body)


@dataclass
class Wire:
    """A raw connection: says exactly what it is told to."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    interim: list[int] = field(default_factory=list)

    async def send(self, data: bytes) -> None:
        """Write, and wait until it is gone."""
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> Answer:
        """Read one final response."""
        async with asyncio.timeout(10):
            while True:
                head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                status = int(head[0].split()[1])
                headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
                if status >= 200:
                    return Answer(status, headers, await self.reader.readexactly(int(headers.get("content-length", 0))))
                self.interim.append(status)

    async def ended(self) -> bytes:
        """Wait until the server closes, and return what came before that."""
        async with asyncio.timeout(10):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    async def ask(self, data: bytes) -> Answer:
        """Send, and read the response."""
        await self.send(data)
        return await self.answer()


@asynccontextmanager
async def wired(receiver: OtlpReceiver, **options) -> AsyncIterator[Wire]:
    """Open a raw connection to the HTTP port."""
    host, port = receiver.http_address
    if port:
        reader, writer = await asyncio.open_connection(host, port, **options)
    else:
        reader, writer = await asyncio.open_unix_connection(host, **options)
    try:
        yield Wire(reader, writer)
    finally:
        writer.transport.abort()


def post(body: bytes = b"", path: str = "/v1/traces", kind: str = PROTO, method: str = "POST", **headers: str) -> bytes:
    """Write a request; `content_encoding="gzip"` adds a header."""
    lines = {"Host": "localhost", "Content-Type": kind, "Content-Length": str(len(body))}
    lines |= {name.replace("_", "-").title(): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body


async def http(receiver: OtlpReceiver, data: bytes) -> Answer:
    """Ask once, over a connection of its own."""
    async with wired(receiver) as wire:
        return await wire.ask(data)


@asynccontextmanager
async def channel(receiver: OtlpReceiver, **options) -> AsyncIterator[grpc.aio.Channel]:
    """Open a gRPC channel of its own."""
    host, port = receiver.grpc_address
    target = f"{host}:{port}" if port else f"unix:{host}"
    settings = [("grpc.use_local_subchannel_pool", 1), *options.items()]
    async with grpc.aio.insecure_channel(target, options=settings) as opened:
        yield opened


async def rpc(receiver: OtlpReceiver, body: bytes, method: str = TRACES, metadata=(), **call) -> bytes:
    """Call once; raises `AioRpcError`."""
    async with channel(receiver) as opened:
        return await opened.unary_unary(method)(body, metadata=metadata, **{"timeout": 10} | call)


def retry_delay(error: grpc.aio.AioRpcError) -> float | None:
    """The delay of the RetryInfo in an error's trailers."""
    details: Mapping[str, bytes] = dict(error.trailing_metadata() or ())
    if "grpc-status-details-bin" not in details:
        return None
    return delay_of(Status.FromString(details["grpc-status-details-bin"]))


def delay_of(status: Status) -> float | None:
    """The delay of the RetryInfo in a status."""
    for detail in status.details:
        info = RetryInfo()
        if detail.Unpack(info):
            return info.retry_delay.ToTimedelta().total_seconds()
    return None


async def until(condition: Callable[[], object]) -> None:
    """Wait until something is so, while I/O goes on."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for is I/O, which tells nobody
            await asyncio.sleep(0)
