"""The sections of the settings of `redis`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sluiceway.config.tls import TlsClient
from sluiceway.config.types import Duration, Settings

__all__ = ["ClusterSettings", "RedisTls", "ScanSettings", "SlowLogSettings"]


class RedisTls(TlsClient):
    """TLS of the connections; off unless `insecure: false` is there, as in the Collector."""

    insecure: bool = True
    """Whether to speak plain text, without any TLS."""


class ClusterSettings(Settings):
    """What to do when the server is a node of a cluster."""

    mode: Literal["auto", "off"] = "auto"
    """`auto` finds the other nodes of a cluster and measures them too; `off` measures the endpoint alone."""
    scrape: Literal["all", "masters"] = "all"
    """Which nodes are measured."""
    refresh_interval: Duration = Field(default=60.0, gt=0)
    """How often the nodes are asked for anew. It is done at once when a node does not answer."""


class SlowLogSettings(Settings):
    """The slow log as log records, in pipelines for logs."""

    max_entries: int = Field(default=128, ge=1, le=10_000)
    """Entries read from a server in one measurement: the newest. Redis keeps 128 unless told otherwise."""
    arguments: bool = False
    """Whether the arguments of commands are shown, which hold keys and values of users; otherwise each is a `?`."""


class ScanSettings(Settings):
    """How keys are looked for by SCAN, for patterns in `streams` and `key_groups`."""

    max_keys: int = Field(default=10_000, ge=1, le=1_000_000)
    """Keys that each pattern looks at in one measurement of one server; the next goes on from there."""
    database: int = Field(default=0, ge=0)
    """The database whose keys are looked at."""
