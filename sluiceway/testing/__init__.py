"""For tests of components and of whole configurations: sinks, feeders, a clock moved by hand, conformance checks."""

from sluiceway.testing.clock import ManualClock, settle
from sluiceway.testing.conformance import (
    check_component,
    check_exporter,
    check_lifecycle,
    check_maker,
    check_processor,
    check_settings,
    example,
    settings,
)
from sluiceway.testing.emitted import check_metrics, points
from sluiceway.testing.feed import items, logs, metrics, spans
from sluiceway.testing.sink import Feeder, MemorySink

__all__ = [
    "Feeder",
    "ManualClock",
    "MemorySink",
    "check_component",
    "check_exporter",
    "check_lifecycle",
    "check_maker",
    "check_metrics",
    "check_processor",
    "check_settings",
    "example",
    "items",
    "logs",
    "metrics",
    "points",
    "settings",
    "settle",
    "spans",
]
