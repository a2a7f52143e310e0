"""An exporter on a database, and what is in its tables."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, LogsData, ResourceLogs, ScopeLogs

from sluiceway.exporters.timescaledb import COMPONENT, UPKEEP_INTERVAL
from sluiceway.otlp import Batch, Origin, Signal
from sluiceway.testing import ManualClock
from tests.exporters.backends import make
from tests.servers.postgresql import PostgresServer

__all__ = ["NOW", "Place", "eventually", "exporter", "logs", "text", "upkeep", "yaml_of"]

NOW = 1_700_000_000
"""What the tests' clocks show, in seconds since the epoch."""


@dataclass
class Place:
    """A database on a server."""

    server: PostgresServer
    database: str

    def sql(self, *statements: str) -> str:
        """What psql prints."""
        return self.server.sql(*statements, database=self.database)

    def count(self, table: str = "logs") -> int:
        """The rows of a table of ours."""
        return int(self.sql(f"SELECT count(*) FROM otel_{table}"))


def yaml_of(place: Place, more: str = "", *, port: int = 0, access: Mapping[str, str] = MappingProxyType({})) -> str:
    """The settings of an exporter to a database, as YAML."""
    known = {"database": place.database, "username": "otel", "password": "secret"} | dict(access)
    written = ", ".join(f"{key}: {value}" for key, value in known.items())
    return f"{{endpoint: '127.0.0.1:{port or place.server.port}', {written}, tls: {{insecure: true}}, {more}}}"


@asynccontextmanager
async def exporter(
    place: Place,
    more: str = "",
    *,
    port: int = 0,
    signal: Signal = Signal.LOGS,
    access: Mapping[str, str] = MappingProxyType({}),
    **context: Any,
) -> AsyncIterator[Any]:
    """A running exporter, as the graph would make it for one signal."""
    made = make(COMPONENT, yaml_of(place, more, port=port, access=access), signals=frozenset({signal}), **context)
    async with asyncio.timeout(60), made:
        yield made


async def eventually(happens: Callable[[], object], what: str) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + 30
    while not happens():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.01)


async def upkeep(clock: ManualClock, later: float = 0.0) -> None:
    """Let the tables be looked after once, `later` seconds of the wall's clock from now."""
    clock._wall += later
    await clock.advance(UPKEEP_INTERVAL)
    again = clock.now() + UPKEEP_INTERVAL
    await eventually(lambda: any(due >= again for due, _, _ in clock._timers), "the upkeep does not end")


def text(value: str) -> AnyValue:
    """A text."""
    return AnyValue(string_value=value)


def logs(count: int = 500, *, bad: LogRecord | None = None, received: float = 1.0, **resource: str) -> Batch:
    """So many records `line <n>`, of which one in the middle may be another."""
    records = [LogRecord(time_unix_nano=NOW * 10**9 + i, body=text(f"line {i}")) for i in range(count)]
    if bad is not None:
        records[count // 2].CopyFrom(bad)
    entry = ResourceLogs(scope_logs=[ScopeLogs(log_records=records)])
    given = {"service_name": "cart"} | resource
    entry.resource.attributes.extend(KeyValue(key=k.replace("_", "."), value=text(v)) for k, v in given.items())
    return Batch.from_proto(LogsData(resource_logs=[entry]), Origin(received))
