"""Servers that say what they should not: relatives of Redis, old ones, and hostile ones."""

from __future__ import annotations

import logging
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from sluiceway.component import Status
from sluiceway.receivers.redis.info import Info
from tests.receivers.redis.bench import Bench, values

VALKEY = """# Server
redis_version:7.2.4
server_name:valkey
valkey_version:8.1.3
valkey_release_stage:ga
server_mode:standalone
run_id:1
uptime_in_seconds:5
# Memory
used_memory:100
used_memory_vm_eval:7
# Keyspace
db0:keys=4,expires=1,avg_ttl=5,subexpiry=0
"""
REDIS_3 = """redis_version:3.0.6
uptime_in_seconds:5
connected_clients:1
client_longest_output_list:2
client_biggest_input_buf:3
used_memory_lua:36864
"""


@contextmanager
def answering(answer: Callable[[bytes], bytes]) -> Iterator[str]:
    """The endpoint of a socket that answers so to the name of each command, as a server of ours would not."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while (head := self.rfile.readline()).startswith(b"*"):
                words = [(self.rfile.readline(), self.rfile.readline())[1].strip() for _ in range(int(head[1:]))]
                self.wfile.write(answer(words[0]))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.block_on_close = False  # the loop that closes the other end stands still meanwhile
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def saying(text: str) -> Callable[[bytes], bytes]:
    """An answer to INFO."""
    raw = text.replace("\n", "\r\n").encode()
    return lambda name: b"$%d\r\n%s\r\n" % (len(raw), raw) if name == b"INFO" else b"-ERR unknown command\r\n"


def plain(endpoint: str) -> str:
    """Settings that ask INFO only."""
    return f"{{endpoint: '{endpoint}', slowlog: {{enabled: false}}}}"


async def test_valkey() -> None:
    """Its version is told beside the one that it stands in for, and what is not known is left alone."""
    with answering(saying(VALKEY)) as endpoint:
        async with Bench(plain(endpoint)) as bench:
            found = await bench.measure()
    assert found["redis.uptime"][0]["resource"] == {"redis.version": "7.2.4", "valkey.version": "8.1.3"}
    assert found["redis.memory.lua"][0]["value"] == 7
    assert values(found, "redis.db.keys", "db") == {"0": 4}
    assert bench.status == (Status.OK, "")


async def test_an_old_server() -> None:
    """Fields that had other names are found, and those that it does not have are left out."""
    with answering(saying(REDIS_3)) as endpoint:
        async with Bench(plain(endpoint)) as bench:
            found = await bench.measure()
    assert found["redis.clients.max_output_buffer"][0]["value"] == 2
    assert found["redis.clients.max_input_buffer"][0]["value"] == 3
    assert "redis.commands.processed" not in found
    assert bench.status == (Status.OK, "")


async def test_what_is_no_number_is_left_out_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """The rest is emitted."""
    text = "used_memory:lots\nmem_fragmentation_ratio:-nan\nmaxmemory:5\nuptime_in_seconds:1\ndb0:keys=x,expires=1\n"
    with answering(saying(text)) as endpoint, caplog.at_level(logging.INFO, "redis-test"):
        async with Bench(plain(endpoint)) as bench:
            for _ in range(3):
                found = await bench.measure()
    assert set(found) == {"redis.uptime", "redis.db.expires"}
    assert bench.status == (
        Status.OK, "incomplete: redis: not a number: used_memory, mem_fragmentation_ratio, db0"
    )  # fmt: skip
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    "text", ["1_000", "0x10", "١٢", "9" * 30, "1e5", "inf", "nan", "", "1.5.2", "9" * 400 + ".0", " 1", "--1"]
)
def test_numbers_are_read_as_redis_writes_them(text: str) -> None:
    """And nothing else is taken for one."""
    info = Info(f"x:{text}\r\n".encode())
    assert info.number("x") is None
    assert list(info.wrong) == ["x"]


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("-1", -1), ("9223372036854775807", 2**63 - 1), ("1.50", 1.5)])
def test_numbers_keep_their_kind(text: str, value: float) -> None:
    """A count stays exact."""
    number = Info(f"x:{text}\r\n".encode()).number("x")
    assert (number, type(number)) == (value, type(value))


async def test_a_flood_of_commands_is_bounded() -> None:
    """A thousand are the most, with short names."""
    text = "".join(f"cmdstat_{'x' * 500}{number}:calls=1,usec=2\n" for number in range(3000))
    on = "metrics: {redis.cmd.calls: {enabled: true}}"
    with answering(saying(text)) as endpoint:
        async with Bench(f"{{endpoint: '{endpoint}', {on}}}") as bench:
            found = await bench.measure()
    assert len(found["redis.cmd.calls"]) <= 1000
    assert max(len(point["attributes"]["cmd"]) for point in found["redis.cmd.calls"]) <= 100


@pytest.mark.parametrize(
    "answer", [b":1\r\n", b"*0\r\n", b"$-1\r\n", b"!\r\n", b"-LOADING is loading\r\n", b"HTTP/1.1 400\r\n"]
)
async def test_what_is_no_redis_is_told(answer: bytes) -> None:
    """Whatever it answers."""
    with answering(lambda _: answer) as endpoint:
        async with Bench(f"{{endpoint: '{endpoint}'}}") as bench:
            assert await bench.measure() == {}
            assert bench.status[0] is Status.RECOVERABLE_ERROR


HUGE = b":" + b"9" * 400 + b"\r\n"
INFO = b"$22\r\ncluster_enabled:1\r\na:b\r\n"


@pytest.mark.parametrize(
    "shards",
    [
        HUGE, b"*1\r\n:1\r\n", b"*1\r\n*3\r\n$5\r\nnodes\r\n$1\r\nx\r\n$1\r\ny\r\n", b"*0\r\n", b"$-1\r\n",
        b"*1\r\n*2\r\n$5\r\nnodes\r\n*1\r\n*6\r\n$2\r\nid\r\n$1\r\na\r\n$4\r\nport\r\n:7\r\n$2\r\nip\r\n$3\r\na\x1bb\r\n",
    ],
)  # fmt: skip
async def test_nodes_that_are_none(shards: bytes) -> None:
    """A node that tells nonsense of its cluster is measured alone, and the status says that the rest is not known."""
    with answering(lambda name: INFO if name == b"INFO" else shards) as endpoint:
        async with Bench(plain(endpoint)) as bench:
            await bench.measure()
    assert bench.status == (Status.OK, "incomplete: redis: the nodes of the cluster are not known: it names no nodes")


@pytest.mark.parametrize(
    "entries",
    [
        HUGE, b"*1\r\n*0\r\n", b"*1\r\n*4\r\n:1\r\n" + HUGE + b":2\r\n*1\r\n$3\r\nGET\r\n",
        b"*1\r\n*4\r\n:1\r\n:2\r\n:3\r\n*0\r\n", b"*1\r\n*4\r\n:1\r\n:-5\r\n:-3\r\n*1\r\n$3\r\nG\xff\n\r\n",
        b"*1\r\n*4\r\n:1\r\n:9223372036854775807\r\n:3\r\n*1\r\n$3\r\nGET\r\n",
    ],
)  # fmt: skip
async def test_slow_logs_that_are_none(entries: bytes) -> None:
    """What cannot be read is left out, and nothing else suffers."""
    info = saying("uptime_in_seconds:0\nrun_id:x\n")
    with answering(lambda name: info(name) if name == b"INFO" else entries) as endpoint:
        async with Bench(f"{{endpoint: '{endpoint}'}}") as bench:
            for record in await bench.records():
                assert record.body.string_value in ("GET", "G\ufffd\\n".upper())
            assert bench.status == (Status.OK, "")
