"""What can be seen of an exporter from outside: its metrics, and whether it is well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sluiceway.component import Context, ReportStatus, Status
from sluiceway.errors import DeliveryError, PermanentError
from sluiceway.otlp import Signal
from sluiceway.pipelines.request import Request, Sender

__all__ = ["Counts", "Health", "Observation", "describe"]

_UNITS = {Signal.TRACES: "{span}", Signal.METRICS: "{datapoint}", Signal.LOGS: "{record}"}


@dataclass(slots=True)
class Counts:
    """Items of one exporter by what became of them, and requests on their way now."""

    sent: int = 0
    failed: int = 0
    refused: int = 0
    in_flight: int = 0

    def publish(self, context: Context, signal: Signal) -> None:
        """Make the numbers metrics, under the Collector's names."""
        scope, noun, unit = context.telemetry, signal.items, _UNITS[signal]
        scope.counter(
            f"otelcol_exporter_sent_{noun}", lambda: self.sent, unit,
            "Items delivered to the destination.", exporter=context.id,
        )  # fmt: skip
        scope.counter(
            f"otelcol_exporter_send_failed_{noun}", lambda: self.failed, unit,
            "Items that could not be delivered, after all retries.", exporter=context.id,
        )  # fmt: skip
        scope.counter(
            f"otelcol_exporter_enqueue_failed_{noun}", lambda: self.refused, unit,
            "Items that the sending queue did not take.", exporter=context.id,
        )  # fmt: skip
        scope.gauge(
            "otelcol_exporter_in_flight_requests", lambda: self.in_flight, "{request}",
            "Requests being exported, retries included.", exporter=context.id, data_type=signal.value,
        )  # fmt: skip


class Health:
    """The status of one exporter. Being well is reported only when it was not, so that it costs nothing a batch."""

    def __init__(self, report: ReportStatus) -> None:
        self._report = report
        self._well = True

    def well(self) -> None:
        """Data arrives."""
        if not self._well:
            self._well = True
            self._report(Status.OK)

    def troubled(self, message: str) -> None:
        """Data waits, and nothing is lost yet."""
        self._well = False
        self._report(Status.RECOVERABLE_ERROR, message)

    def losing(self, message: str) -> None:
        """Data was lost at the exporter."""
        self._well = False
        self._report(Status.PERMANENT_ERROR, message)


class Observation:
    """Counts each request once, after all its retries, and reports what its end says of the exporter's health.

    A request that `goes_on` after an error, in parts, has not failed.
    """

    def __init__(
        self, sender: Sender, counts: Counts, health: Health, goes_on: Callable[[Request, Exception], bool]
    ) -> None:
        self._next = sender
        self._counts = counts
        self._health = health
        self._goes_on = goes_on

    async def send(self, request: Request) -> None:
        """Send on; what raises has failed for good as far as this exporter is concerned."""
        self._counts.in_flight += 1
        try:
            await self._next.send(request)
        except BaseException as error:
            if not (isinstance(error, Exception) and self._goes_on(request, error)):
                self._counts.failed += request.batch.items
                self._judge(error)
            raise
        finally:
            self._counts.in_flight -= 1
        self._health.well()

    def _judge(self, error: BaseException) -> None:
        if isinstance(error, PermanentError):
            self._health.losing(describe(error))
        elif isinstance(error, Exception):
            self._health.troubled(describe(error))


def describe(error: BaseException) -> str:
    """What health checks say of an error: its kind, and nothing that may hold a secret."""
    code = error.code if isinstance(error, DeliveryError) else ""
    return f"exporting failed: {code or type(error).__name__}"
