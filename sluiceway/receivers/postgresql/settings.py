"""The sections of the settings of `postgresql`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sluiceway.config.tls import TlsClient
from sluiceway.config.types import Duration, Settings

__all__ = [
    "EventSettings",
    "Events",
    "PoolSettings",
    "PostgresTls",
    "SampleSettings",
    "TimescaleSettings",
    "TopSettings",
]


class PostgresTls(TlsClient):
    """TLS of the connections: on, but whose certificate it is is not checked, as in the Collector."""

    insecure_skip_verify: bool = True
    """Whether to take any certificate from the server. `false` checks it against `ca_file` and the host."""


class PoolSettings(Settings):
    """What becomes of connections between measurements. Each database has one at most."""

    max_idle_time: Duration = Field(default=0.0, ge=0)
    """Connections that would lie idle for longer are closed after each measurement; 0s has no limit."""
    max_lifetime: Duration = Field(default=0.0, ge=0)
    """Connections that are older are replaced; 0s has no limit."""
    max_idle: int = Field(default=20, ge=0)
    """Connections that are kept; those of further databases are closed after each measurement."""
    max_open: int = Field(default=0, ge=0)
    """Accepted for the Collector's files: databases are measured one after the other, each over one connection."""


class EventSettings(Settings):
    """Whether an event is emitted."""

    enabled: bool = False
    """Whether it is."""


class Events(Settings):
    """The log records, in pipelines for logs."""

    query_sample: EventSettings = Field(default=EventSettings(), alias="db.server.query_sample")
    """What sessions are doing, and who keeps whom waiting."""
    top_query: EventSettings = Field(default=EventSettings(), alias="db.server.top_query")
    """The statements that took the most time since the last look; needs the extension pg_stat_statements."""


class SampleSettings(Settings):
    """Samples of what sessions do, as log records `db.server.query_sample`."""

    enabled: bool = False
    """Whether they are emitted; the same as `events: {db.server.query_sample: {enabled: true}}`."""
    max_rows_per_query: int = Field(default=1000, ge=1, le=10_000)
    """Sessions of one sample: those that wait for a lock first, then the longest."""


class TopSettings(Settings):
    """The most expensive statements, as log records `db.server.top_query`."""

    enabled: bool = False
    """Whether they are emitted; the same as `events: {db.server.top_query: {enabled: true}}`."""
    max_rows_per_query: int = Field(default=1000, ge=1, le=10_000)
    """Statements that are compared with the last time: those with the most execution time in all."""
    top_n_query: int = Field(default=200, ge=1, le=10_000)
    """Statements that are emitted: of these, those with the most execution time since."""
    collection_interval: Duration = Field(default=60.0, gt=0)
    """Time from one look at the statements to the next; rounded up to measurements."""
    max_explain_each_interval: int = Field(default=0, ge=0)
    """Accepted for the Collector's files: we never ask for plans, as that would mean to send statements of others."""
    query_plan_cache_size: int = Field(default=0, ge=0)
    """Accepted likewise."""
    query_plan_cache_ttl: Duration = Field(default=0.0, ge=0)
    """Accepted likewise."""


class TimescaleSettings(Settings):
    """TimescaleDB, measured in each database that has the extension."""

    enabled: Literal["auto", True, False] = "auto"
    """`auto` and `true` measure it where it is; `true` also says which databases have it not."""
    per_hypertable: bool = True
    """Whether each hypertable is measured, and not their number alone."""
    max_hypertables: int = Field(default=200, ge=1, le=10_000)
    """Hypertables of a database that are measured, the first by name."""
    jobs: bool = True
    """Whether jobs are measured."""
