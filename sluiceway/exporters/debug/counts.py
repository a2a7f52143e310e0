"""What `verbosity: basic` says of a batch: how much is in it."""

from __future__ import annotations

from typing import Any

from sluiceway.otlp import Batch, Signal

__all__ = ["counts"]


def counts(batch: Batch, message: Any) -> tuple[str, dict[str, int]]:
    """The Collector's title of a signal's line, and its fields; `message` is the batch's protobuf object."""
    match batch.signal:
        case Signal.TRACES:
            return "Traces", {"resource spans": len(message.resource_spans), "spans": batch.items}
        case Signal.METRICS:
            metrics = sum(len(scope.metrics) for entry in message.resource_metrics for scope in entry.scope_metrics)
            fields = {"resource metrics": len(message.resource_metrics), "metrics": metrics}
            return "Metrics", fields | {"data points": batch.items}
        case Signal.LOGS:
            return "Logs", {"resource logs": len(message.resource_logs), "log records": batch.items}
