"""How many items go into a processor and come out of it."""

from __future__ import annotations

from dataclasses import dataclass

from sluiceway.otlp import Signal
from sluiceway.telemetry import Scope

__all__ = ["Flow"]


@dataclass(slots=True)
class Flow:
    """The items that a processor took, and those that the next one took of it.

    Both are counted once the taker has them, by whoever hands them over: a batch that is refused and comes again counts
    once, and the difference is what the processor holds, has dropped or has added.
    """

    incoming: int = 0
    outgoing: int = 0

    def publish(self, scope: Scope, processor: str, signal: Signal) -> None:
        """Make the numbers metrics, under the Collector's names."""
        names = {"processor": processor, "otel.signal": signal.value}
        scope.counter(
            "otelcol_processor_incoming_items", lambda: self.incoming, "{item}",
            "Items that the processor took.", **names,
        )  # fmt: skip
        scope.counter(
            "otelcol_processor_outgoing_items", lambda: self.outgoing, "{item}",
            "Items that the next component took of the processor.", **names,
        )  # fmt: skip
