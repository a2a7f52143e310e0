"""The receiver `http_check` from YAML, measured by hand."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Any, Self

from sluiceway.component import Context, Kind, Status, SystemClock
from sluiceway.config.decode import decode
from sluiceway.config.parse import parse
from sluiceway.receivers.http_check import COMPONENT, HttpCheckReceiver, HttpCheckSettings
from sluiceway.testing import MemorySink, points

EVERYTHING = "{" + ", ".join(
    f"{name}: {{enabled: true}}" for name in HttpCheckSettings.model_fields["metrics"].metadata[0].entries
) + "}"  # fmt: skip
"""The setting `metrics` with all on."""

Points = dict[str, list[dict[str, Any]]]


def settings(yaml: str) -> HttpCheckSettings:
    """What YAML gives."""
    return decode(HttpCheckSettings, parse(yaml, "http_check.yaml"))


class Bench:
    """A receiver that runs, with all metrics on, whose measurements are asked for by `measure`."""

    def __init__(self, *targets: str, more: str = "", metrics: str = EVERYTHING, **extensions: Any) -> None:
        self.sink = MemorySink()
        self.statuses: list[tuple[Status, str]] = []
        yaml = f"{{targets: [{', '.join(targets)}], metrics: {metrics}{more and ', '}{more}}}"
        context = Context(
            "http_check",
            Kind.RECEIVER,
            COMPONENT.signals,
            clock=SystemClock(),
            logger=logging.getLogger("http-check-test"),
            report=lambda status, text="": self.statuses.append((status, text)),
            **extensions,
        )
        chosen = settings(yaml).model_copy(update={"initial_delay": 1e9})
        self.receiver: HttpCheckReceiver = COMPONENT.create(chosen, context, self.sink)

    async def __aenter__(self) -> Self:
        await self.receiver.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.receiver.__aexit__(kind, error, trace)

    async def measure(self) -> Points:
        """Measure once; the points of this measurement by their metrics' names."""
        before = len(self.sink.batches)
        assert self.receiver._scraping is not None
        await self.receiver._scraping.measure()
        return points(self.sink.batches[before:])


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
