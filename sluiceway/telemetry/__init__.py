"""Our own metrics and logs: what the collector says of itself."""

from sluiceway.telemetry.logs import ComponentLogger, component_logger
from sluiceway.telemetry.metrics import Histogram, Metrics, Scope
from sluiceway.telemetry.provider import Telemetry

__all__ = ["ComponentLogger", "Histogram", "Metrics", "Scope", "Telemetry", "component_logger"]
