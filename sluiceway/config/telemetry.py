"""`service::telemetry`: how the collector speaks of itself."""

from __future__ import annotations

from pydantic import BaseModel

__all__ = ["TelemetryConfig"]


class TelemetryConfig(BaseModel):
    """`service::telemetry`."""
