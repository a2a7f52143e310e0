"""The receiver `redis` from YAML, measured by hand."""

from __future__ import annotations

from typing import Any

from sluiceway.component import SystemClock
from sluiceway.otlp import Signal
from sluiceway.receivers.redis import COMPONENT, RedisSettings
from tests.receivers import measuring
from tests.receivers.measuring import ReceiverBench, attributes, values

__all__ = ["EVERYTHING", "Bench", "attributes", "settings", "values"]

EVERYTHING = measuring.all_on(RedisSettings)
"""The setting `metrics` with all on."""


def settings(yaml: str) -> Any:
    """What YAML gives."""
    return measuring.settings(COMPONENT, yaml)


class Bench(ReceiverBench):
    """A receiver that runs, whose measurements are asked for by `measure`."""

    def __init__(
        self, yaml: str, clock: SystemClock | None = None, signals: frozenset[Signal] = COMPONENT.signals
    ) -> None:
        super().__init__(COMPONENT, yaml, clock, signals)
