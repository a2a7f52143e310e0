"""Durations of calls that are served or made, under the names of OpenTelemetry's semantic conventions."""

from __future__ import annotations

from sluiceway.telemetry.metrics import AttributeValue, Histogram, Scope

__all__ = ["Calls"]


class Calls:
    """One histogram of seconds for each combination of attributes, all of which must come from bounded sets."""

    def __init__(self, scope: Scope, name: str, description: str, **attributes: AttributeValue) -> None:
        self._scope = scope
        self._name = name
        self._description = description
        self._attributes = attributes
        self._durations: dict[tuple[tuple[str, AttributeValue], ...], Histogram] = {}

    def record(self, seconds: float, **attributes: AttributeValue) -> None:
        """Count a call that took so long."""
        key = tuple(attributes.items())
        duration = self._durations.get(key)
        if duration is None:
            duration = self._durations[key] = self._scope.histogram(
                self._name, "s", self._description, **self._attributes, **attributes
            )
        duration.record(seconds)
