"""Measures PostgreSQL 12 to 18, primaries and standbys: the server, its databases, their tables, indexes and functions.

Databases are found anew in each measurement and asked one after the other, over connections that are kept. One that
cannot be reached leaves the others as they are. Where the extension timescaledb is, hypertables, chunks, compression,
jobs and continuous aggregates are measured as well. Metrics are the Collector's, on as there; those that only we have
(transaction ids' age, slots, archiver, pg_stat_io and others) are off, but for TimescaleDB's.

In pipelines for logs there are two kinds of records, both off. `db.server.query_sample` says what sessions are doing
and who keeps whom waiting (`postgresql.blocking.pids`); `db.server.top_query` which statements took the most time since
the last look, and needs pg_stat_statements. In both, literals and parameters in the text of queries are a `?`, as they
are data of users. Plans are never asked for.

It reads only: sessions are called `sluiceway`, are read-only, have a `statement_timeout` and hardly wait for locks. The
size of what is locked exclusively is left out. What the role may not see is missing, and the status says what it takes,
which is `GRANT pg_monitor TO role`. A measurement that the pipeline refuses is dropped and counted; records are offered
again.

```yaml
receivers:
  postgresql:
    endpoint: localhost:5432
    username: otel
    password: ${env:POSTGRES_PASSWORD}
```

TLS is on and takes any certificate unless `tls: {insecure_skip_verify: false}`, as in the Collector.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from sluiceway.component import Component, Consumer, Context, Kind
from sluiceway.config.settings import mistake
from sluiceway.config.types import Duration, Opaque, StringList, split_endpoint
from sluiceway.extras import require
from sluiceway.otlp import Signal
from sluiceway.receivers.postgresql.metrics import METRICS, RESOURCE
from sluiceway.receivers.postgresql.settings import (
    Events,
    PoolSettings,
    PostgresTls,
    SampleSettings,
    TimescaleSettings,
    TopSettings,
)
from sluiceway.scraping import Declares, MetricSettings, ResourceSettings, Scraper, ScrapeSettings, Scraping

if TYPE_CHECKING:
    from sluiceway.receivers.postgresql.scraper import PostgresScraper

__all__ = ["COMPONENT", "PostgresReceiver", "PostgresSettings"]


class PostgresSettings(ScrapeSettings):
    """The settings of the receiver `postgresql`."""

    endpoint: str = "localhost:5432"
    """`host:port`; for the transport `unix` the socket's folder and the port, as in `/var/run/postgresql:5432`."""
    transport: Literal["tcp", "unix"] = "tcp"
    """How to reach it."""
    username: str
    """The role. Without pg_monitor the result is partial."""
    password: Opaque
    """Its password."""
    databases: StringList = ()
    """The databases to measure; all but templates when there is none."""
    exclude_databases: StringList = ()
    """Databases that are not measured."""
    tls: PostgresTls = PostgresTls()
    """TLS; a unix socket has none."""
    collection_interval: Duration = 10.0
    """Time from one measurement to the next. A slow one delays the next, and those that were missed are left out."""
    query_timeout: Duration = Field(default=10.0, gt=0)
    """How long one query may take. The server gives it up then, and others go on."""
    connection_pool: PoolSettings = PoolSettings()
    """What becomes of connections between measurements."""
    max_tables: int = Field(default=1000, ge=1, le=100_000)
    """Tables of a database that are measured, the largest; and functions, those called most."""
    max_indexes: int = Field(default=2000, ge=1, le=100_000)
    """Indexes of a database that are measured, the largest."""
    events: Events = Events()
    """Which log records are emitted."""
    query_sample_collection: SampleSettings = SampleSettings()
    """Samples of what sessions do, as log records."""
    top_query_collection: TopSettings = TopSettings()
    """The most expensive statements, as log records."""
    timescaledb: TimescaleSettings = TimescaleSettings()
    """TimescaleDB."""
    metrics: Annotated[MetricSettings, Declares(*METRICS)] = MetricSettings()
    """Which metrics are emitted, and how."""
    resource_attributes: Annotated[ResourceSettings, Declares(*RESOURCE)] = ResourceSettings()
    """Which attributes resources have, and which resources are emitted."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.username:
            raise mistake("invalid config: missing username", "username")
        if not self.password:
            raise mistake("invalid config: missing password", "password")
        if self.tls.server_name_override:
            raise mistake("invalid config: field 'ServerName' not supported", "tls", "server_name_override")
        try:
            host, port = split_endpoint(self.endpoint)
        except ValueError:
            host, port = "", 0
        if not host or not port:
            text = (
                "invalid config: 'endpoint' must be in the form <host>:<port> no matter what 'transport' is configured"
            )
            raise mistake(text, "endpoint")
        return self

    @property
    def samples(self) -> bool:
        """Whether sessions are sampled."""
        return self.query_sample_collection.enabled or self.events.query_sample.enabled

    @property
    def top_queries(self) -> bool:
        """Whether statements are compared."""
        return self.top_query_collection.enabled or self.events.top_query.enabled


class PostgresReceiver:
    """The receiver: a loop over one scraper, which keeps the connections."""

    def __init__(self, settings: PostgresSettings, context: Context, next: Consumer) -> None:
        require("the receiver", "postgresql", "asyncpg")
        self._settings = settings
        self._context = context
        self._next = next
        self._stack = AsyncExitStack()
        self.scraping: Scraping | None = None

    async def __aenter__(self) -> Self:
        settings = self._settings
        scraper = self._open()
        declared = {attribute.name: attribute for attribute in RESOURCE}
        part = Scraper("postgresql", scraper.scrape, settings.metrics, settings.resource_attributes, declared)
        self._stack.push_async_callback(scraper.close)
        self.scraping = await self._stack.enter_async_context(Scraping(settings, self._context, self._next, [part]))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def _open(self) -> PostgresScraper:
        from sluiceway.receivers.postgresql.connection import Access
        from sluiceway.receivers.postgresql.scraper import PostgresScraper

        settings, context = self._settings, self._context
        host, port = split_endpoint(settings.endpoint)
        tls = None
        if settings.transport == "unix":
            host = "/" + host.lstrip("/")
        elif not settings.tls.insecure:
            tls = settings.tls.reloaded_ssl_context(context.clock, context.logger)
            tls()  # a file that cannot be used is told at the start
        access = Access(host, port, settings.username, settings.password, tls, settings.query_timeout)
        return PostgresScraper(settings, access, context.clock, context.signals)


COMPONENT = Component(
    type="postgresql",
    kind=Kind.RECEIVER,
    config=PostgresSettings,
    create=PostgresReceiver,
    signals=frozenset({Signal.METRICS, Signal.LOGS}),
)
