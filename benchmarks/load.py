"""The load of the benchmarks: numbered OTLP requests, closed loop for throughput or open loop for latency.

At least 64 distinct payloads are built once; for every request the ids of one of them are overwritten with the next
numbers, so that no two requests are the same bytes and the sink can name every item that is missing or came twice.

In the open loop a request is due at a time that was fixed in advance and its latency counts from then, however late
it could be sent (no coordinated omission).

    python -m benchmarks.load --protocol grpc --target 127.0.0.1:4317 --signal traces --items 1000000 --out load.npz
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.privacy.personal import MAKERS

MARK = b"\xf5sluice\xf6"
PAYLOADS = 64
_METHODS = {"traces": "/trace.v1.TraceService", "logs": "/logs.v1.LogsService", "metrics": "/metrics.v1.MetricsService"}
_WORDS = [
    *("checkout", "payment", "inventory", "shipping", "catalogue", "search", "cart", "user", "session", "token"),
    *("order", "refund", "invoice", "stock", "price", "currency", "region", "zone", "cluster", "node", "pod"),
    *("replica", "queue", "topic", "partition", "offset", "lag", "retry", "timeout", "cache", "hit", "miss"),
]

_SPREAD = 0x9E3779B97F4A7C15
"""An odd number, so that multiplying by it modulo 2^64 can be undone."""

Send = Callable[[bytes], Awaitable[bool]]


def ids_of(numbers: np.ndarray) -> np.ndarray:
    """The last eight bytes of the ids of these items: different for each, and as random as a sampler expects them."""
    return (numbers.astype(np.uint64) * np.uint64(_SPREAD)).astype(">u8")


def numbers_of(ids: np.ndarray) -> np.ndarray:
    """The numbers of the items with these ids."""
    return ids.astype(np.uint64) * np.uint64(pow(_SPREAD, -1, 1 << 64))


@dataclass
class Payload:
    """One request, and where in it the numbers of its items stand."""

    body: np.ndarray
    places: np.ndarray

    def numbered(self, first: int) -> bytes:
        """The request with its items numbered from `first`."""
        count = len(self.places)
        ids = ids_of(np.arange(first, first + count, dtype=np.uint64))
        self.body[self.places] = ids.view(np.uint8).reshape(count, 8)
        return self.body.tobytes()


def payloads(signal: str, items: int, attributes: int, personal: float = 0, seed: int = 1) -> list[Payload]:
    """Build the distinct requests of one signal. A share of the items holds something personal in one attribute."""
    chance = random.Random(seed)
    return [_payload(signal, items, attributes, personal, chance) for _ in range(PAYLOADS)]


def gzip_ratio(made: list[Payload]) -> float:
    """How far gzip -6 shrinks the requests: bytes before to bytes after."""
    raw = [p.numbered(0) for p in made[:8]]
    return sum(map(len, raw)) / sum(len(zlib.compress(body, 6)) for body in raw)


def _payload(signal: str, items: int, attributes: int, personal: float, chance: random.Random) -> Payload:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
    from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

    def pairs(count: int) -> list[KeyValue]:
        made = plain_pairs(count)
        if chance.random() < personal:
            maker = chance.choice(tuple(MAKERS.values()))
            made[chance.choice((0, 1, 2, 3))].value.string_value = f"from {maker(chance)}"
        return made

    def plain_pairs(count: int) -> list[KeyValue]:
        return [
            KeyValue(
                key=f"{_WORDS[n % len(_WORDS)]}.{_WORDS[(n * 7 + 3) % len(_WORDS)]}",
                value=AnyValue(int_value=chance.randrange(1 << 40))
                if n % 5 == 4
                else AnyValue(string_value=f"{chance.choice(_WORDS)}-{chance.choice(_WORDS)}"),
            )
            for n in range(count)
        ]

    resource = [
        KeyValue(key="service.name", value=AnyValue(string_value=chance.choice(_WORDS))),
        KeyValue(key="host.name", value=AnyValue(string_value=f"node-{chance.randrange(400)}")),
        KeyValue(key="deployment.environment.name", value=AnyValue(string_value="production")),
    ]
    now = 1_790_000_000_000_000_000
    if signal == "traces":
        traces = TracesData()
        resource_spans = traces.resource_spans.add()
        resource_spans.resource.attributes.extend(resource)
        scope_spans = resource_spans.scope_spans.add()
        scope_spans.scope.name = "benchmarks"
        for _ in range(items):
            start = now + chance.randrange(10**10)
            scope_spans.spans.add(
                trace_id=MARK + bytes(8),
                span_id=chance.randbytes(8),
                parent_span_id=chance.randbytes(8),
                name=f"{chance.choice(('GET', 'POST'))} /api/{chance.choice(_WORDS)}",
                kind=chance.randrange(1, 6),
                start_time_unix_nano=start,
                end_time_unix_nano=start + chance.randrange(10**9),
                attributes=pairs(attributes),
            )
        message = traces.SerializeToString()
    else:
        logs = LogsData()
        resource_logs = logs.resource_logs.add()
        resource_logs.resource.attributes.extend(resource)
        scope_logs = resource_logs.scope_logs.add()
        scope_logs.scope.name = "benchmarks"
        for _ in range(items):
            words = " ".join(chance.choices(_WORDS, k=14))
            scope_logs.log_records.add(
                trace_id=MARK + bytes(8),
                time_unix_nano=now + chance.randrange(10**10),
                observed_time_unix_nano=now + chance.randrange(10**10),
                severity_number=9,
                severity_text="INFO",
                body=AnyValue(string_value=words),
                attributes=pairs(attributes),
            )
        message = logs.SerializeToString()
    body = np.frombuffer(bytearray(message), np.uint8)
    starts = [at + 8 for at in _find_all(message, MARK)]
    assert len(starts) == items
    return Payload(body, np.array(starts)[:, None] + np.arange(8))


def _find_all(body: bytes, what: bytes) -> list[int]:
    found, at = [], body.find(what)
    while at >= 0:
        found.append(at)
        at = body.find(what, at + len(what))
    return found


class Grpc:
    """Raw-bytes OTLP/gRPC clients, one channel for each connection."""

    def __init__(self, target: str, signal: str, connections: int) -> None:
        import grpc

        self.error = grpc.aio.AioRpcError
        self.channels = [
            grpc.aio.insecure_channel(
                target,
                options=[("grpc.use_local_subchannel_pool", 1), ("grpc.http2.max_frame_size", 4 << 20), ("n", n)],
            )
            for n in range(connections)
        ]
        path = f"/opentelemetry.proto.collector{_METHODS[signal].replace('/', '.')}/Export"
        self.calls = [channel.unary_unary(path) for channel in self.channels]

    async def send(self, connection: int, body: bytes) -> bool:
        try:
            await self.calls[connection](body, timeout=30)
        except self.error:
            return False
        return True

    async def close(self) -> None:
        for channel in self.channels:
            await channel.close()


class Http:
    """OTLP/HTTP clients, one keep-alive connection each, one request at a time on it."""

    def __init__(self, target: str, signal: str, connections: int) -> None:
        self.host, _, port = target.partition(":")
        self.port = int(port)
        self.head = (
            f"POST /v1/{signal} HTTP/1.1\r\nHost: {target}\r\nContent-Type: application/x-protobuf\r\nContent-Length: "
        ).encode()
        self.free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter] | None] = asyncio.Queue()
        for _ in range(connections):
            self.free.put_nowait(None)

    async def send(self, _connection: int, body: bytes) -> bool:
        streams = await self.free.get()
        try:
            if streams is None:
                streams = await asyncio.open_connection(self.host, self.port)
            reader, writer = streams
            writer.writelines([self.head, b"%d\r\n\r\n" % len(body), body])
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]) if b"ontent-" in head else 0
            if length:
                await reader.readexactly(length)
            return b" 200 " in head[:16]
        except (OSError, asyncio.IncompleteReadError):
            streams = None
            return False
        finally:
            self.free.put_nowait(streams)

    async def close(self) -> None:
        while not self.free.empty():
            streams = self.free.get_nowait()
            if streams is not None:
                streams[1].close()


async def run(a: argparse.Namespace) -> dict[str, object]:
    """Send all items, a refused request again until it is taken, and say how it went."""
    made = payloads(a.signal, a.per_request, a.attributes, a.personal)
    client = (Grpc if a.protocol == "grpc" else Http)(a.target, a.signal, a.connections)
    requests = a.items // a.per_request
    due = np.zeros(requests, np.int64)
    done = np.zeros(requests, np.int64)
    failed = 0
    await asyncio.gather(*(client.send(connection, b"") for connection in range(a.connections)))
    began = time.monotonic_ns()

    async def one(n: int) -> None:
        nonlocal failed
        body = made[n % PAYLOADS].numbered(n * a.per_request)
        while not await client.send(n % a.connections, body):
            failed += 1
            await asyncio.sleep(0.05)
        done[n] = time.monotonic_ns()

    if a.rate:
        gap = int(1e9 * a.per_request / a.rate)
        async with asyncio.TaskGroup() as tasks:
            for n in range(requests):
                due[n] = began + n * gap
                wait = (due[n] - time.monotonic_ns()) / 1e9
                if wait > 0:
                    await asyncio.sleep(wait)
                tasks.create_task(one(n))
    else:
        numbers = iter(range(requests))

        async def worker() -> None:
            for n in numbers:
                due[n] = time.monotonic_ns()
                await one(n)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(a.connections * a.streams):
                tasks.create_task(worker())
    seconds = (time.monotonic_ns() - began) / 1e9
    await client.close()
    np.savez(a.out, due=due, done=done)
    return {
        "seconds": seconds,
        "items": requests * a.per_request,
        "failed_requests": failed,
        "gzip_ratio": round(gzip_ratio(made), 2),
        "bytes_per_item": round(len(made[0].body) / a.per_request, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--protocol", choices=["grpc", "http"], default="grpc")
    parser.add_argument("--target", required=True)
    parser.add_argument("--signal", choices=["traces", "logs"], default="traces")
    parser.add_argument("--items", type=int, required=True)
    parser.add_argument("--per-request", type=int, default=512)
    parser.add_argument("--attributes", type=int, default=10)
    parser.add_argument("--personal", type=float, default=0, help="the share of items with personal data in them")
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--streams", type=int, default=2, help="requests under way on each connection, closed loop")
    parser.add_argument("--rate", type=float, default=0, help="items per second; 0 is the closed loop")
    parser.add_argument("--out", required=True)
    import uvloop

    print(json.dumps(uvloop.run(run(parser.parse_args()))))


if __name__ == "__main__":
    main()
