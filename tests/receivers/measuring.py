"""Receivers that measure at an interval, from YAML, measured by hand."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Any, Self

from pydantic import BaseModel

from sluiceway.component import Component, Context, Kind, Reason, Status
from sluiceway.config.decode import decode
from sluiceway.config.parse import parse
from sluiceway.otlp import Signal
from sluiceway.scraping import Metric, declared
from sluiceway.testing import ManualClock, MemorySink, points

__all__ = ["Points", "ReceiverBench", "all_on", "attributes", "settings", "values"]

Points = dict[str, list[dict[str, Any]]]
"""The data points by the metric's name, as `sluiceway.testing.points` gives them."""


def settings(component: Component, yaml: str) -> Any:
    """What the YAML of a component's settings gives."""
    return decode(component.config, parse(yaml, f"{component.type}.yaml"))


def all_on(model: type[BaseModel], *path: str) -> str:
    """The setting `metrics`, at a path of settings, with all metrics on."""
    (mark,) = [mark for place, mark in declared(model) if place == (*path, "metrics")]
    names = [name for name, entry in mark.entries.items() if isinstance(entry, Metric)]
    return "{" + ", ".join(f"{name}: {{enabled: true}}" for name in names) + "}"


class ReceiverBench:
    """A receiver that runs, whose measurements are asked for by `measure`."""

    def __init__(
        self,
        component: Component,
        yaml: str,
        clock: Any = None,
        signals: frozenset[Signal] | None = None,
        **context: Any,
    ) -> None:
        self.clock: Any = clock or ManualClock()
        self.sink = MemorySink()
        self.dropped: list[tuple[int, Reason]] = []
        self.statuses: list[tuple[Status, str]] = []
        self.settings = settings(component, yaml).model_copy(update={"initial_delay": 1e9})
        about = Context(
            component.type,
            Kind.RECEIVER,
            component.signals if signals is None else signals,
            clock=self.clock,
            logger=logging.getLogger(f"{component.type}-test"),
            drop=lambda items, reason, **_: self.dropped.append((items, reason)),
            report=lambda status, text="": self.statuses.append((status, text)),
            **context,
        )
        self.receiver: Any = component.create(self.settings, about, self.sink)

    async def __aenter__(self) -> Self:
        await self.receiver.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.receiver.__aexit__(kind, error, trace)

    async def measure(self) -> Points:
        """Measure once; the points of this measurement by their metrics' names."""
        before = len(self.sink.batches)
        await self.receiver.scraping.measure()
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


def values(found: Points, name: str, key: str) -> dict[Any, Any]:
    """The values of a metric by one of its attributes, of the point or of the resource."""
    return {point["attributes"].get(key, point["resource"].get(key)): point["value"] for point in found.get(name, [])}


def attributes(record: Any) -> dict[str, Any]:
    """The attributes of a log record."""
    return {entry.key: getattr(entry.value, entry.value.WhichOneof("value")) for entry in record.attributes}
