"""The receiver `postgresql` from YAML, measured by hand."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Any, Self

from sluiceway.component import Context, Kind, Reason, Status, SystemClock
from sluiceway.config.decode import decode
from sluiceway.config.parse import parse
from sluiceway.otlp import Signal
from sluiceway.receivers.postgresql import COMPONENT, PostgresReceiver, PostgresSettings
from sluiceway.testing import ManualClock, MemorySink, points
from tests.servers.postgresql import PostgresServer

EVERYTHING = "{" + ", ".join(
    f"{name}: {{enabled: true}}" for name in PostgresSettings.model_fields["metrics"].metadata[0].entries
) + "}"  # fmt: skip
"""The setting `metrics` with all on."""


def settings(yaml: str) -> PostgresSettings:
    """What YAML gives."""
    return decode(PostgresSettings, parse(yaml, "postgresql.yaml"))


def access(server: PostgresServer, more: str = "", *, user: str = "otel", tls: str = "{insecure: true}") -> str:
    """The settings that let a role in, and further ones."""
    return f"{{endpoint: '{server.endpoint}', username: {user}, password: secret, tls: {tls}{more and ', ' + more}}}"


class Bench:
    """A receiver that runs, whose measurements are asked for by `measure`."""

    def __init__(
        self, yaml: str, clock: SystemClock | None = None, signals: frozenset[Signal] = COMPONENT.signals
    ) -> None:
        self.clock: Any = clock or ManualClock()
        self.sink = MemorySink()
        self.dropped: list[tuple[int, Reason]] = []
        self.statuses: list[tuple[Status, str]] = []
        self.settings = settings(yaml).model_copy(update={"initial_delay": 1e9})
        context = Context(
            "postgresql",
            Kind.RECEIVER,
            signals,
            clock=self.clock,
            logger=logging.getLogger("postgresql-test"),
            drop=lambda items, reason, **_: self.dropped.append((items, reason)),
            report=lambda status, text="": self.statuses.append((status, text)),
        )
        self.receiver: PostgresReceiver = COMPONENT.create(self.settings, context, self.sink)

    async def __aenter__(self) -> Self:
        await self.receiver.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.receiver.__aexit__(kind, error, trace)

    async def measure(self) -> dict[str, list[dict[str, Any]]]:
        """Measure once; the points of this measurement by their metrics' names."""
        before = len(self.sink.batches)
        assert self.receiver._scraping is not None
        await self.receiver._scraping.measure()
        return points(self.sink.batches[before:])

    async def records(self) -> list[Any]:
        """Measure once; the log records of this measurement."""
        before = len(self.sink.batches)
        await self.measure()
        return [
            record
            for batch in self.sink.batches[before:]
            if batch.signal is Signal.LOGS
            for resource in batch.proto().resource_logs  # type: ignore[attr-defined]
            for scope in resource.scope_logs
            for record in scope.log_records
        ]

    @property
    def status(self) -> tuple[Status, str]:
        """What was reported last."""
        return self.statuses[-1]


def values(found: dict[str, list[dict[str, Any]]], name: str, key: str) -> dict[Any, Any]:
    """The values of a metric by one of its attributes, of the point or of the resource."""
    return {point["attributes"].get(key, point["resource"].get(key)): point["value"] for point in found.get(name, [])}


def attributes(record: Any) -> dict[str, Any]:
    """The attributes of a log record."""
    return {entry.key: getattr(entry.value, entry.value.WhichOneof("value")) for entry in record.attributes}
