"""Our own metrics and logs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

__all__ = ["Histogram", "Scope", "Telemetry"]


class Histogram(Protocol):
    """Something to record single values in."""

    def record(self, value: float) -> None: ...


class Scope:
    """The own metrics of one component. Values are read when somebody looks, so counting costs an addition.

    Several series of the same name and attributes are summed, and a counter keeps its last value after `close`, so
    that it never goes backwards when a reload replaces the component.
    """

    def counter(self, name: str, read: Callable[[], float], unit: str = "", description: str = "", **attributes: str) -> None:
        """A sum that only grows."""

    def gauge(self, name: str, read: Callable[[], float], unit: str = "", description: str = "", **attributes: str) -> None:
        """A value that goes up and down."""

    def histogram(self, name: str, unit: str = "", description: str = "", **attributes: str) -> Histogram:
        """A distribution."""
        raise NotImplementedError

    def close(self) -> None:
        """Take the component's gauges away and freeze its counters."""


class Telemetry:
    """The process's own telemetry: makes scopes."""
