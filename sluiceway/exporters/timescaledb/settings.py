"""The settings of `timescaledb`."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from sluiceway.config.exporter import CircuitBreaker, RetryOnFailure, SendingQueue, Timeout
from sluiceway.config.settings import mistake
from sluiceway.config.tls import TlsClient
from sluiceway.config.types import Duration, Opaque, Section, Settings, Size, split_endpoint

__all__ = ["TimeWindow", "TimescaleFeatures", "TimescaleSettings"]

_LONGEST_PREFIX: Final = 63 - len("exponential_histograms_20260101_time")
"""What PostgreSQL leaves for the prefix beside the longest name of ours."""

DAY: Final = 86_400.0


def _check_name(name: str) -> str:
    if not name.isascii() or not name.replace("_", "a").isalnum() or name != name.lower() or name[:1].isdigit():
        raise ValueError(f"'{name[:100]}' is no name of lower-case letters, digits and underscores")
    if len(name) > 63:
        raise ValueError(f"'{name[:100]}' is longer than the 63 letters that PostgreSQL takes")
    return name


def _check_prefix(prefix: str) -> str:
    if len(prefix) > _LONGEST_PREFIX:
        raise ValueError(f"'{prefix}' is longer than the {_LONGEST_PREFIX} letters that the names behind it leave")
    return prefix


Name: TypeAlias = Annotated[str, AfterValidator(_check_name)]


class TimeWindow(Settings):
    """Which event times are believed. Others are moved to the border, and the row says in `overflow` what they were."""

    before: Duration = Field(default=7 * DAY, gt=0)
    """How far back from now."""
    after: Duration = Field(default=600.0, ge=0)
    """How far ahead of now."""


class TimescaleFeatures(Settings):
    """What is used of TimescaleDB where the database has it."""

    enabled: Literal["auto", True, False] = "auto"
    """`auto` uses the extension where the database has it; `true` creates it, and data waits until that is possible;
    `false` uses PostgreSQL's own partitions. Decided when the tables are made."""
    compress_after: Duration = Field(default=7 * DAY, ge=0)
    """Chunks older than this are compressed, 0s never; decided when the tables are made."""
    continuous_aggregates: bool = True
    """Whether there is a view of spans, errors and durations for each minute, service and name; decided likewise."""


class TimescaleSettings(Settings):
    """The settings of the exporter `timescaledb`."""

    endpoint: str = "localhost:5432"
    """`host:port`; for the transport `unix` the socket's folder and the port, as in `/var/run/postgresql:5432`."""
    transport: Literal["tcp", "unix"] = "tcp"
    """How to reach it."""
    username: str
    """The role that owns the tables, or with `create_schema: false` may insert into them."""
    password: Opaque = Opaque("")
    """Its password."""
    database: str = Field(min_length=1)
    """The database."""
    tls: TlsClient = TlsClient()
    """TLS; a unix socket has none."""
    schema_name: Name = Field(default="public", alias="schema")
    """The schema of the tables."""
    table_prefix: Annotated[Name, AfterValidator(_check_prefix)] = "otel_"
    """What the names of our tables begin with."""
    create_schema: bool = True
    """Whether tables are made and kept up to date. Without, `python -m sluiceway.exporters.timescaledb` prints the SQL
    for those who may, and retention is theirs too."""
    tenant_attribute: str = Field(default="tenant.id", min_length=1)
    """The resource attribute that becomes the column `tenant`."""
    time_window: TimeWindow = TimeWindow()
    """Which event times are believed."""
    partition_interval: Duration = Field(default=DAY, ge=3600)
    """The time that one chunk of a hypertable holds. PostgreSQL's own partitions hold a day each."""
    retention: Duration = Field(default=0.0, ge=0)
    """Data older than this is dropped, by whole chunks or partitions; 0s keeps all."""
    idempotency_window: Duration = Field(default=DAY, ge=0)
    """For how long a batch that comes again is known, so that it is not stored twice; 0s does not look."""
    timescaledb: TimescaleFeatures = TimescaleFeatures()
    """What is used of TimescaleDB."""
    row_level_security: bool = False
    """Whether those who are granted `reader_role` see the rows of one tenant only."""
    reader_role: Name = "sluiceway_reader"
    """The role that may read under `row_level_security`; made where it is missing and we may make roles."""
    max_value_size: Size = Field(default=64 * 1024 * 1024, gt=0, le=255 * 1024 * 1024)
    """Items with a larger text or JSON document are rejected, before PostgreSQL does it."""
    pool_size: int = Field(default=4, ge=1, le=100)
    """Connections at most, for each signal; as many batches are written at a time."""
    timeout: Timeout = 30.0
    """How long one attempt may take; 0s has no limit."""
    retry_on_failure: Section[RetryOnFailure] = RetryOnFailure()
    """How often and when to try again."""
    sending_queue: Section[SendingQueue] = SendingQueue()
    """The queue that takes responsibility for batches."""
    circuit_breaker: Section[CircuitBreaker] = None
    """Stops attempts while the database is down; off."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.username:
            raise mistake("missing username", "username")
        if self.tls.server_name_override:
            raise mistake("the certificate must be the endpoint's, not another's", "tls", "server_name_override")
        try:
            host, port = split_endpoint(self.endpoint)
        except ValueError:
            host, port = "", 0
        if not host or not port or "@" in host or "://" in self.endpoint:
            raise mistake("'endpoint' must be host:port; 'username' and 'password' have their own keys", "endpoint")
        if self.retention and self.retention < self.time_window.before:
            raise mistake("'retention' must not be less than 'time_window::before'", "retention")
        return self

    @property
    def address(self) -> tuple[str, int]:
        """Where to connect to: a host, or the folder of a socket, and the port."""
        host, port = split_endpoint(self.endpoint)
        return ("/" + host.lstrip("/") if self.transport == "unix" else host), port

    def table(self, name: str) -> str:
        """A table of ours as SQL spells it."""
        return f'"{self.schema_name}"."{self.table_prefix}{name}"'
