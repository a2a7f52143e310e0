"""Measures Redis and what speaks its protocol (Valkey, KeyDB, ElastiCache): one server, or all nodes of a cluster.

Every measurement asks INFO, and more only where a metric that needs it is on. When the server says that it is a node of
a cluster, the others are found by CLUSTER SHARDS (CLUSTER NODES or SLOTS before Redis 7), again whenever one does not
answer; all are asked at the same time, and each becomes a resource of its own. Nodes that are away cost the others
nothing but a wait of at most `node_timeout`, and are named in the status.

In pipelines for logs, each entry of the slow log becomes one record, `redis.slowlog.entry`, with `db.operation.name`,
`db.query.text`, `redis.slowlog.duration` in seconds, `redis.slowlog.id`, `redis.slowlog.arguments` (their number),
`client.address`, `client.port` and `redis.client.name`. Arguments of commands hold data of users and are left out.
Entries that Redis throws away between two measurements are lost, which the status says; those from before the start are
left where they are.

It never writes, and never reads values of keys. A measurement that the pipeline refuses is dropped and counted; records
of the slow log are offered again. What the user may not ask (`+info` is enough to begin with) is left out, and the
status says what it takes.

```yaml
receivers:
  redis:
    endpoint: localhost:6379
```

TLS is off unless `tls: {insecure: false}`, as in the Collector.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from sluiceway.component import Component, Consumer, Context, Kind
from sluiceway.config.settings import mistake
from sluiceway.config.types import Duration, Opaque, Section, StringList, split_endpoint
from sluiceway.extras import require
from sluiceway.otlp import Signal
from sluiceway.receivers.redis.metrics import METRICS, RESOURCE
from sluiceway.receivers.redis.settings import ClusterSettings, RedisTls, ScanSettings, SlowLogSettings
from sluiceway.scraping import Declares, MetricSettings, ResourceSettings, Scraper, ScrapeSettings, Scraping

if TYPE_CHECKING:
    from sluiceway.receivers.redis.scraper import RedisScraper

__all__ = ["COMPONENT", "RedisReceiver", "RedisSettings"]


class RedisSettings(ScrapeSettings):
    """The settings of the receiver `redis`."""

    endpoint: str = Field(min_length=1)
    """`host:port` of the server, or of any node of a cluster; for the transport `unix` the path of the socket."""
    transport: Literal["tcp", "unix"] = "tcp"
    """How to reach it."""
    username: str = ""
    """The ACL user; empty is `default`. At least `+info`; each refusal names what more is needed."""
    password: Opaque = Opaque("")
    """Its password."""
    tls: RedisTls = RedisTls()
    """TLS, which is off unless `insecure: false`."""
    collection_interval: Duration = 10.0
    """Time from one measurement to the next. A slow one delays the next, and those that were missed are left out."""
    node_timeout: Duration = Field(default=5.0, gt=0)
    """How long one server may take; what it said until then is kept, and others do not wait for it any longer."""
    cluster: ClusterSettings = ClusterSettings()
    """What to do when the server is a node of a cluster."""
    slowlog: Section[SlowLogSettings] = SlowLogSettings()
    """The slow log as log records, in pipelines for logs."""
    streams: StringList = ()
    """Streams to measure, by name or by pattern as SCAN takes it, such as `orders:*`; 100 at most on each server."""
    key_groups: dict[str, str] = Field(default_factory=dict)
    """Groups of keys to count: a name, and a pattern as SCAN takes it."""
    scan: ScanSettings = ScanSettings()
    """How keys are looked for."""
    metrics: Annotated[MetricSettings, Declares(*METRICS)] = MetricSettings()
    """Which metrics are emitted, and how."""
    resource_attributes: Annotated[ResourceSettings, Declares(*RESOURCE)] = ResourceSettings()
    """Which attributes resources have, and which resources are emitted."""

    @field_validator("streams")
    @classmethod
    def _check_streams(cls, streams: tuple[str, ...]) -> tuple[str, ...]:
        if not all(streams):
            raise ValueError("a name must not be empty")
        return streams

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.transport == "tcp":
            try:
                host, port = split_endpoint(self.endpoint)
            except ValueError as error:
                raise mistake(str(error), "endpoint") from None
            if not host or not port:
                raise mistake(f'invalid endpoint "{self.endpoint}": expected host:port', "endpoint")
        elif not self.tls.insecure:
            raise mistake("there is no TLS on a unix socket", "tls")
        if self.username and not self.password:
            raise mistake("a username needs a password", "password")
        return self

    @property
    def limit(self) -> float:
        """Seconds for one server; shorter than `timeout`, which would throw away what the others said."""
        return min(self.node_timeout, self.timeout * 0.9) if self.timeout else self.node_timeout


class RedisReceiver:
    """The receiver: a loop over one scraper, which keeps the connections."""

    def __init__(self, settings: RedisSettings, context: Context, next: Consumer) -> None:
        require("the receiver", "redis", "redis")
        self._settings = settings
        self._context = context
        self._next = next
        self._stack = AsyncExitStack()
        self.scraping: Scraping | None = None

    async def __aenter__(self) -> Self:
        settings = self._settings
        scraper = self._open()
        declared = {attribute.name: attribute for attribute in RESOURCE}
        part = Scraper("redis", scraper.scrape, settings.metrics, settings.resource_attributes, declared)
        self._stack.push_async_callback(scraper.close)
        self.scraping = await self._stack.enter_async_context(Scraping(settings, self._context, self._next, [part]))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def _open(self) -> RedisScraper:
        from sluiceway.receivers.redis.connection import Access, Address
        from sluiceway.receivers.redis.scraper import RedisScraper

        settings, context = self._settings, self._context
        tls = None if settings.tls.insecure else settings.tls.reloaded_ssl_context(context.clock, context.logger)
        if tls is not None:
            tls()  # a file that cannot be used is told at the start
        where = split_endpoint(settings.endpoint) if settings.transport == "tcp" else (settings.endpoint, 0)
        access = Access(
            settings.username, settings.password, settings.scan.database, tls, settings.tls.server_name_override
        )
        logs = Signal.LOGS in context.signals
        return RedisScraper(settings, Address(*where), access, context.clock, logs=logs)


COMPONENT = Component(
    type="redis",
    kind=Kind.RECEIVER,
    config=RedisSettings,
    create=RedisReceiver,
    signals=frozenset({Signal.METRICS, Signal.LOGS}),
)
