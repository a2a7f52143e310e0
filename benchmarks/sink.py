"""The backend of the benchmarks: an OTLP sink over gRPC and HTTP that knows which items came, how often and when.

Every item carries an id whose first eight bytes are `MARK` and whose last eight tell its number (see `load.py`).
On SIGTERM the sink writes two arrays to the file it was given: how often each item came, and when each request was
complete (CLOCK_MONOTONIC nanoseconds).

    python -m benchmarks.sink --grpc 14317 --http 14318 --items 1000000 --per-request 512 --out sink.npz
"""

from __future__ import annotations

import argparse
import asyncio
import re
import signal
import time

import numpy as np

from benchmarks.load import MARK, numbers_of

_IDS = re.compile(re.escape(MARK) + b"(.{8})", re.DOTALL)


class Record:
    """What came. Bodies are kept as they are and looked into at the end, so that the sink costs next to nothing."""

    def __init__(self, items: int, per_request: int) -> None:
        self.items = items
        self.per_request = per_request
        self.bodies: list[tuple[int, bytes]] = []

    def take(self, body: bytes) -> None:
        self.bodies.append((time.monotonic_ns(), body))

    def save(self, path: str) -> None:
        """Write how often each item came, and when each request of the load generator was complete."""
        seen = np.zeros(self.items, np.uint16)
        arrived = np.zeros(self.items // self.per_request + 1, np.int64)
        unknown = 0
        for when, body in self.bodies:
            numbers = numbers_of(np.frombuffer(b"".join(_IDS.findall(body)), ">u8"))
            known = numbers[numbers < self.items].astype(np.int64)
            unknown += len(numbers) - len(known)
            np.add.at(seen, known, 1)
            arrived[np.unique(known // self.per_request)] = when
        np.savez(path, seen=seen, arrived=arrived, requests=len(self.bodies), unknown=unknown)


async def serve(arguments: argparse.Namespace) -> None:
    """Serve until SIGTERM, then write what came."""
    import grpc
    from aiohttp import web

    record = Record(arguments.items, arguments.per_request)
    down = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, down.set)

    async def export(request: bytes, _context: object) -> bytes:
        record.take(request)
        return b""

    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", 64 << 20),
            ("grpc.http2.max_frame_size", 4 << 20),
            ("grpc.http2.lookahead_bytes", 8 << 20),
        ]
    )
    for kind in ("trace", "logs", "metrics"):
        service = f"opentelemetry.proto.collector.{kind}.v1.{kind.title()}Service"
        handler = grpc.unary_unary_rpc_method_handler(export)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": handler}),))
    server.add_insecure_port(f"127.0.0.1:{arguments.grpc}")
    await server.start()

    async def post(request: web.Request) -> web.Response:
        record.take(await request.read())
        return web.Response(body=b"", content_type="application/x-protobuf")

    app = web.Application(client_max_size=64 << 20)
    app.router.add_post("/v1/{signal}", post)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", arguments.http).start()
    print("ready", flush=True)
    await down.wait()
    await server.stop(0)
    await runner.cleanup()
    record.save(arguments.out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grpc", type=int, required=True)
    parser.add_argument("--http", type=int, required=True)
    parser.add_argument("--items", type=int, required=True)
    parser.add_argument("--per-request", type=int, required=True)
    parser.add_argument("--out", required=True)
    import uvloop

    uvloop.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
