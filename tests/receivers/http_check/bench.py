"""The receiver `http_check` from YAML, measured by hand."""

from __future__ import annotations

from typing import Any

from sluiceway.component import Status, SystemClock
from sluiceway.receivers.http_check import COMPONENT, HttpCheckSettings
from tests.receivers import measuring
from tests.receivers.measuring import Points, ReceiverBench

__all__ = ["EVERYTHING", "Bench", "Points", "counts", "errors", "measured", "settings", "status", "value"]

EVERYTHING = measuring.all_on(HttpCheckSettings)
"""The setting `metrics` with all on."""


def settings(yaml: str) -> Any:
    """What YAML gives."""
    return measuring.settings(COMPONENT, yaml)


class Bench(ReceiverBench):
    """A receiver that runs, with all metrics on, whose measurements are asked for by `measure`."""

    def __init__(self, *targets: str, more: str = "", metrics: str = EVERYTHING, **extensions: Any) -> None:
        yaml = f"{{targets: [{', '.join(targets)}], metrics: {metrics}{more and ', '}{more}}}"
        super().__init__(COMPONENT, yaml, SystemClock(), **extensions)


async def measured(*targets: str, more: str = "") -> Points:
    """What one measurement of these targets gives."""
    async with Bench(*targets, more=more) as bench:
        found = await bench.measure()
    assert bench.statuses[-1] == (Status.OK, "")
    return found


def value(found: Points, name: str) -> Any:
    """The value of the only point of a metric."""
    (point,) = found[name]
    return point["value"]


def errors(found: Points) -> list[str]:
    """The texts of all errors."""
    return [point["attributes"]["error.message"] for point in found.get("httpcheck.error", [])]


def status(found: Points) -> tuple[int, str]:
    """The status and its class, of the only check; all five points are there."""
    assert len(found["httpcheck.status"]) == 5
    hits = [point["attributes"] for point in found["httpcheck.status"] if point["value"]]
    return (hits[0]["http.status_code"], hits[0]["http.status_class"]) if hits else (0, "")


def counts(found: Points, name: str) -> dict[str, int]:
    """Validations by their type: `name` is `passed` or `failed`."""
    return {
        point["attributes"]["validation.type"]: point["value"]
        for point in found.get(f"httpcheck.validation.{name}", [])
    }
