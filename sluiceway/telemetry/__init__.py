"""Our own metrics, logs and traces: what the collector says of itself."""

from sluiceway.telemetry.calls import Calls
from sluiceway.telemetry.logs import ComponentLogger, component_logger
from sluiceway.telemetry.metrics import AttributeValue, Histogram, Metrics, Scope
from sluiceway.telemetry.provider import Telemetry
from sluiceway.telemetry.tracing import Tracing, fail

__all__ = [
    "AttributeValue",
    "Calls",
    "ComponentLogger",
    "Histogram",
    "Metrics",
    "Scope",
    "Telemetry",
    "Tracing",
    "component_logger",
    "fail",
]
