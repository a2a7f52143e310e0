"""What can be seen of an exporter from outside: its metrics, and whether it is well."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, TypeGuard

from sluiceway.component import Context, ReportStatus, Status
from sluiceway.errors import DeliveryError, PermanentError
from sluiceway.otlp import Signal
from sluiceway.otlp.status import Code
from sluiceway.pipelines.losses import LossLog
from sluiceway.pipelines.request import Request, Sender
from sluiceway.telemetry import AttributeValue

__all__ = ["Counts", "Health", "Observation", "describe", "error_type", "needs_help"]

_ANY: Final = ("", False)

_ERROR_TYPES: Final = {
    "CANCELLED": "Canceled",
    "DEADLINE_EXCEEDED": "Deadline_Exceeded",
    "OK": "_OTHER",
    "UNKNOWN": "_OTHER",
}
_CODES: Final = frozenset(code.name for code in Code)


class Counts:
    """Items of one exporter by what became of them, and requests on their way now.

    With `by_error` failures are told apart by `error.type` and `error.permanent`, both of closed sets.
    """

    def __init__(self, *, by_error: bool = False) -> None:
        self.sent = 0
        self.refused = 0
        self.in_flight = 0
        self._by_error = by_error
        self._failed: dict[tuple[str, bool], int] = {}
        self._show: Callable[[tuple[str, bool]], None] = lambda _: None
        if not by_error:
            self._failed[_ANY] = 0

    @property
    def failed(self) -> int:
        """Items that could not be delivered, whatever the error."""
        return sum(self._failed.values())

    def fail(self, items: int, error_type: str, *, permanent: bool) -> None:
        """Count items as not delivered."""
        key = (error_type, permanent) if self._by_error else _ANY
        if key not in self._failed:
            self._failed[key] = 0
            self._show(key)
        self._failed[key] += items

    def publish(self, context: Context, signal: Signal, destination: Mapping[str, AttributeValue]) -> None:
        """Make the numbers metrics, under the Collector's names; `destination` says where items are sent to."""
        scope, noun, unit = context.telemetry, signal.items, signal.unit
        scope.counter(
            f"otelcol_exporter_sent_{noun}", lambda: self.sent, unit,
            "Items delivered to the destination.", exporter=context.id, **destination,
        )  # fmt: skip

        def show(key: tuple[str, bool]) -> None:
            attributes: dict[str, AttributeValue] = {}
            if key != _ANY:
                attributes = {"error.type": key[0], "error.permanent": key[1]}
            scope.counter(
                f"otelcol_exporter_send_failed_{noun}", lambda: self._failed[key], unit,
                "Items that could not be delivered, after all retries.", exporter=context.id, **attributes,
            )  # fmt: skip

        self._show = show
        for key in self._failed:
            show(key)
        scope.counter(
            f"otelcol_exporter_enqueue_failed_{noun}", lambda: self.refused, unit,
            "Items that the sending queue did not take.", exporter=context.id,
        )  # fmt: skip
        scope.updown(
            "otelcol_exporter_in_flight_requests", lambda: self.in_flight, "{request}",
            "Requests being exported, retries included.", exporter=context.id, data_type=signal.value,
        )  # fmt: skip


def error_type(error: BaseException) -> str:
    """What `error.type` says: the name of a gRPC status code, and a few words for what has none; a closed set."""
    if isinstance(error, asyncio.CancelledError):
        return "Canceled"
    code = error.code if isinstance(error, DeliveryError) else ""
    if code in _ERROR_TYPES or code not in _CODES:
        return _ERROR_TYPES.get(code, "_OTHER")
    return code.title().replace("_", "")


class Health:
    """The status of one exporter. Being well is reported only when it was not, so that it costs nothing a batch.

    Who has lost data is not well again, nor in less trouble, before data arrives.
    """

    def __init__(self, report: ReportStatus) -> None:
        self._report = report
        self._status = Status.OK
        self._lost = ""

    def well(self) -> None:
        """Data arrives."""
        if self._status is not Status.OK:
            self._status, self._lost = Status.OK, ""
            self._report(Status.OK)

    def troubled(self, message: str) -> None:
        """Data waits, and nothing is lost yet: the next success mends it, also where an operator must act first."""
        if self._status is Status.OK:
            self._status = Status.RECOVERABLE_ERROR
        self._report(self._status, message)

    def losing(self, message: str) -> None:
        """Data was lost at the exporter. The same loss is reported once, as it may go on for each batch."""
        if message != self._lost:
            self._status, self._lost = Status.PERMANENT_ERROR, message
            self._report(Status.PERMANENT_ERROR, message)


class Observation:
    """Counts each request once, after all its retries, and reports what its end says of the exporter's health.

    A request that `goes_on` after an error, in parts, has not failed. Failures go to `log` where nobody else logs them.
    """

    def __init__(
        self,
        sender: Sender,
        counts: Counts,
        health: Health,
        goes_on: Callable[[Request, Exception], bool],
        log: LossLog | None = None,
    ) -> None:
        self._next = sender
        self._counts = counts
        self._health = health
        self._goes_on = goes_on
        self._log = log

    async def send(self, request: Request) -> None:
        """Send on; what raises has failed for good as far as this exporter is concerned."""
        self._counts.in_flight += 1
        try:
            await self._next.send(request)
        except BaseException as error:
            if not (isinstance(error, Exception) and self._goes_on(request, error)):
                permanent = isinstance(error, PermanentError)
                self._counts.fail(request.batch.items, error_type(error), permanent=permanent)
                self._judge(error)
                if self._log is not None and isinstance(error, Exception):
                    self._log.note(request.batch.items, str(error) or type(error).__name__)
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
    """What health checks say of an error: its kind, its cause and what to do, and nothing that may hold a secret."""
    code = error.code if isinstance(error, DeliveryError) else ""
    cause = f" ({told})" if (told := _cause(error)) else ""
    advice = f": {error.advice}" if needs_help(error) else ""
    return f"exporting failed: {code or type(error).__name__}{cause}{advice}"


def _cause(error: BaseException | None) -> str:
    """The cause that an error names, or one beneath it."""
    while isinstance(error, DeliveryError):
        if error.cause:
            return error.cause
        error = error.__cause__
    return ""


def needs_help(error: BaseException) -> TypeGuard[DeliveryError]:
    """Whether an operator must act before data flows again."""
    return isinstance(error, DeliveryError) and bool(error.advice)
