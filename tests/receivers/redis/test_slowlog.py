"""The slow log of a real server as log records."""

from __future__ import annotations

import pytest

from sluiceway.component import Status
from sluiceway.errors import RefusedError
from sluiceway.otlp import Signal
from sluiceway.receivers.redis.slowlog import read_command
from tests.receivers.redis.bench import Bench, attributes
from tests.servers.redis import RedisServer, redis_server, until

SCRIPT = "local x = 0 for i = 1, 2000000 do x = x + i end return #KEYS"


@pytest.fixture
def slow(empty: RedisServer) -> RedisServer:
    """The server, which takes down what takes longer than five milliseconds, and has run for longer than a second."""
    empty.call("CONFIG", "SET", "slowlog-log-slower-than", "5000")
    until(lambda: int(empty.info("server")["uptime_in_seconds"]) > 0, "time stands still")
    return empty


def texts(records: list) -> list[str]:
    """What the records show of their commands."""
    return [record.body.string_value for record in records]


async def test_each_entry_is_one_record(slow: RedisServer) -> None:
    """With its time, duration and client as the server has them, and once."""
    async with Bench(f"{{endpoint: '{slow.endpoint}'}}") as bench:
        assert await bench.records() == []
        slow.call("DEBUG", "SLEEP", "0.01")
        slow.call("EVAL", SCRIPT, "1", "customer:4711")
        records = await bench.records()
        assert texts(records) == ["DEBUG SLEEP ?", "EVAL ? ? ?"]
        number, began, took = slow.call("SLOWLOG", "GET", "1").splitlines()[:3]
        shown = attributes(records[1])
        assert (shown["redis.slowlog.id"], shown["redis.slowlog.duration"]) == (int(number), int(took) / 1e6)
        assert records[1].time_unix_nano == int(began) * 10**9
        assert (shown["db.system.name"], shown["db.operation.name"]) == ("redis", "EVAL")
        assert (shown["client.address"], shown["redis.slowlog.arguments"]) == ("127.0.0.1", 3)
        assert shown["client.port"] > 0
        assert (records[1].event_name, records[1].severity_text) == ("redis.slowlog.entry", "WARN")
        assert b"4711" not in b"".join(batch.payload for batch in bench.sink.batches)
        assert await bench.records() == []
        slow.call("DEBUG", "SLEEP", "0.01")
        assert texts(await bench.records()) == ["DEBUG SLEEP ?"]


async def test_what_was_there_before_is_left_out(slow: RedisServer) -> None:
    """Otherwise each start would tell it again."""
    slow.call("DEBUG", "SLEEP", "0.01")
    async with Bench(f"{{endpoint: '{slow.endpoint}'}}") as bench:
        assert await bench.records() == []


async def test_a_server_that_restarts_begins_its_ids_again(tmp_path) -> None:
    """Its entries are told though their ids were seen, and so are those of one that starts after us."""
    with redis_server(tmp_path, "--slowlog-log-slower-than", "5000") as server:
        async with Bench(f"{{endpoint: '{server.endpoint}'}}") as bench:
            server.call("DEBUG", "SLEEP", "0.01")
            assert [attributes(record)["redis.slowlog.id"] for record in await bench.records()] == [0]
            server.stop()
            server.start()
            server.call("DEBUG", "SLEEP", "0.02")
            (record,) = await bench.records()
            assert attributes(record)["redis.slowlog.id"] == 0
            assert attributes(record)["redis.slowlog.duration"] >= 0.02


async def test_arguments_are_shown_when_they_are_asked_for(slow: RedisServer) -> None:
    """On one line, whatever is in them."""
    async with Bench(f"{{endpoint: '{slow.endpoint}', slowlog: {{arguments: true}}}}") as bench:
        await bench.records()
        slow.call("EVAL", SCRIPT, "1", "a\n\x1b[31mforged")
        (record,) = await bench.records()
    assert record.body.string_value == f"EVAL {SCRIPT} 1 a\\n\\u001b[31mforged"


async def test_entries_that_were_lost_are_told(slow: RedisServer) -> None:
    """When more came than are read in one measurement, the status says so."""
    async with Bench(f"{{endpoint: '{slow.endpoint}', slowlog: {{max_entries: 2}}}}") as bench:
        slow.call("DEBUG", "SLEEP", "0.006")
        await bench.records()
        for _ in range(3):
            slow.call("DEBUG", "SLEEP", "0.006")
        assert len(await bench.records()) == 2
        assert "the slow log had more new entries than max_entries" in bench.status[1]
        assert await bench.records() == []
        assert bench.status == (Status.OK, "")


async def test_what_is_refused_comes_again(slow: RedisServer) -> None:
    """The server tells an entry once, so it waits."""
    async with Bench(f"{{endpoint: '{slow.endpoint}'}}") as bench:
        await bench.records()
        slow.call("DEBUG", "SLEEP", "0.01")
        bench.sink.error = RefusedError("full")
        assert await bench.records() == []
        bench.sink.error = None
        assert texts(await bench.records()) == ["DEBUG SLEEP ?"]


@pytest.mark.parametrize(
    ("yaml", "signals"), [("slowlog: {enabled: false}", {Signal.LOGS}), ("collection_interval: 9s", {Signal.METRICS})]
)
async def test_it_is_asked_only_when_it_is_wanted(slow: RedisServer, yaml: str, signals: set[Signal]) -> None:
    """Not without a pipeline for logs, and not when it is switched off."""
    slow.call("CONFIG", "RESETSTAT")
    async with Bench(f"{{endpoint: '{slow.endpoint}', {yaml}}}", signals=frozenset(signals)) as bench:
        await bench.measure()
    assert "cmdstat_slowlog|get" not in slow.info("commandstats")


@pytest.mark.parametrize(
    ("words", "name", "text", "arguments"),
    [
        ("PING", "PING", "PING", 0),
        ("get session:1", "GET", "GET ?", 1),
        ("MSET a 1 b 2", "MSET", "MSET ? ? ? ...", 4),
        ("config set requirepass hunter2", "CONFIG SET", "CONFIG SET ? ?", 2),
        ("CLIENT 1.2.3.4", "CLIENT", "CLIENT ?", 1),
        ("DEL a ... (30 more arguments)", "DEL", "DEL ? ? ? ...", 31),
        ("\x1b[2J x", "\\U001B[2J", "\\U001B[2J ?", 1),
    ],
)
def test_commands_are_normalised(words: str, name: str, text: str, arguments: int) -> None:
    """What they do stays, and what they do it to does not."""
    first, *rest = words.replace(" more ", "~more~").replace("... (", "...~(").split()
    command = read_command(first.encode(), [word.replace("~", " ").encode() for word in rest], shown=False)
    assert (command.name, command.text, command.arguments) == (name, text, arguments)


@pytest.mark.parametrize("name", ["AUTH", "CONFIG", "acl", "HELLO", "MIGRATE"])
def test_passwords_are_never_shown(name: str) -> None:
    """Not even when arguments are asked for, on servers that do not hide them."""
    assert "hunter2" not in read_command(name.encode(), [b"SET", b"requirepass", b"hunter2"], shown=True).text
