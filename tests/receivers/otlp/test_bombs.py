"""Small requests that unfold to millions of items: refused before anything grows."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

SCRIPT = """
    import asyncio, gzip, json, resource, sys, time
    import grpc
    from tests.receivers.otlp.senders import TRACES, channel, http, post, receiving, spans
    from sluiceway.config.compression import zstd_module
    from sluiceway.testing import MemorySink

    def field(number, body):
        size, out = len(body), bytearray([number << 3 | 2])
        while size > 127:
            out.append(size & 127 | 128)
            size >>= 7
        return bytes(out) + bytes([size]) + body

    bomb = field(1, field(2, bytes([18, 0]) * 10_000_000))
    packed = {"gzip": gzip.compress(bomb), "zstd": zstd_module().compress(bomb)}
    TEXT = "protocols: {http: {endpoint: 'localhost:0'}, grpc: {endpoint: 'localhost:0', max_recv_msg_size_mib: 20}}"

    async def over_http(receiver, coding):
        return (await http(receiver, post(packed[coding], content_encoding=coding))).status

    async def over_grpc(receiver, coding):
        async with channel(receiver) as opened:
            try:
                await opened.unary_unary(TRACES)(bomb, compression=grpc.Compression.Gzip)
            except grpc.aio.AioRpcError as error:
                return error.code().name

    async def main():
        sink = MemorySink()
        async with receiving(sink, TEXT.replace("20}", "21}")) as receiver:
            await http(receiver, post(gzip.compress(spans(10)), content_encoding="gzip"))
            send = over_grpc if sys.argv[1] == "grpc" else over_http
            if send is over_grpc:
                async with channel(receiver) as opened:  # what gRPC itself takes for so large a message, once
                    await opened.unary_unary(TRACES)(spans(1, 20_000_000), compression=grpc.Compression.Gzip)
            before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
            answers = [await send(receiver, sys.argv[2]) for _ in range(3)]
            print(json.dumps({
                "answers": answers,
                "seconds": (time.process_time() - began) / 3,
                "grown": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
                "items": sink.items,
            }))

    asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("transport", "coding", "refusal"),
    [("http", "gzip", 413), ("http", "zstd", 413), ("grpc", "gzip", "RESOURCE_EXHAUSTED")],
)
def test_millions_of_empty_spans_cost_neither_memory_nor_time(transport, coding, refusal):
    """Ten million spans in 20 KiB are counted and refused, with no more memory than the bytes themselves need."""
    script = textwrap.dedent(SCRIPT)
    run = subprocess.run(
        [sys.executable, "-c", script, transport, coding],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=Path(__file__).parent,
        env={"PYTHONPATH": f"{Path(__file__).parents[3]}:{Path(__file__).parent}"},
    )
    seen = json.loads(run.stdout)
    assert seen["answers"] == [refusal] * 3
    assert seen["seconds"] < 0.5
    assert seen["grown"] < 100
    assert seen["items"] < 20
