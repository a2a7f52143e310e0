"""Metrics and health of an exporter."""

from __future__ import annotations

import asyncio

import pytest

from sluiceway.component import Context, Kind, Reason, Status
from sluiceway.errors import PermanentError, RetryableError
from sluiceway.otlp import Signal
from sluiceway.pipelines.observation import Counts, describe, error_type
from sluiceway.telemetry import Metrics, Scope
from sluiceway.testing import settle
from tests.pipelines.around import set_up, traces


@pytest.mark.parametrize(
    ("signal", "noun"),
    [(Signal.TRACES, "spans"), (Signal.METRICS, "metric_points"), (Signal.LOGS, "log_records")],
)
def test_metrics_have_the_collectors_names(signal: Signal, noun: str) -> None:
    """One set for each signal."""
    metrics, counts = Metrics(), Counts()
    counts.sent, counts.refused, counts.in_flight = 1, 3, 4
    counts.fail(2, "Unavailable", permanent=True)
    counts.publish(Context("out", Kind.EXPORTER, telemetry=Scope(metrics)), signal, {"server.port": 1})
    values = {family.name: list(family.values()) for family in metrics.families()}
    own = {"exporter": "out"}
    assert values == {
        f"otelcol_exporter_sent_{noun}": [(own | {"server.port": 1}, 1)],
        f"otelcol_exporter_send_failed_{noun}": [(own, 2)],
        f"otelcol_exporter_enqueue_failed_{noun}": [(own, 3)],
        "otelcol_exporter_in_flight_requests": [(own | {"data_type": signal.value}, 4)],
    }


async def test_a_request_is_counted_once_after_all_its_retries() -> None:
    """Attempts are no failures."""
    setup = set_up("retry_on_failure: ", RetryableError("away"), PermanentError("bad"))
    sending = asyncio.create_task(setup.outlet.consume(traces(3)))
    await settle()
    assert (setup.metric("in_flight_requests"), setup.metric("send_failed_spans")) == (1, 0)
    await setup.clock.advance(30)
    assert sending.done()
    assert isinstance(sending.exception(), PermanentError)
    assert (setup.metric("in_flight_requests"), setup.metric("send_failed_spans")) == (0, 3)


async def test_who_has_lost_data_has_failed_until_data_arrives() -> None:
    """What is tried again meanwhile does not make it less; what others took and it did not is a loss, too."""
    setup = set_up("retry_on_failure: ", RetryableError("away"))
    setup.wrapped.lost(Reason.QUEUE_FULL)
    sending = asyncio.create_task(setup.outlet.consume(traces()))
    await settle()
    assert setup.statuses == [Status.PERMANENT_ERROR, Status.PERMANENT_ERROR]
    await setup.clock.advance(30)
    await sending
    assert setup.statuses[-1] is Status.OK


@pytest.mark.parametrize(
    ("error", "status"),
    [(PermanentError("bad"), Status.PERMANENT_ERROR), (RetryableError("away"), Status.RECOVERABLE_ERROR)],
)
async def test_failures_show_in_health_until_the_next_success(error: Exception, status: Status) -> None:
    """Success is reported once."""
    setup = set_up("{}", error)
    with pytest.raises(type(error)):
        await setup.outlet.consume(traces())
    for _ in range(3):
        await setup.outlet.consume(traces())
    assert setup.statuses == [status, Status.OK]


async def test_a_sender_that_leaves_says_nothing_about_the_exporter() -> None:
    """Cancellation is no failure of the backend."""
    setup = set_up("{}")
    setup.backend.gate.clear()
    sending = asyncio.create_task(setup.outlet.consume(traces()))
    await settle()
    sending.cancel()
    await asyncio.wait([sending])
    assert setup.statuses == []


def test_health_never_repeats_what_a_backend_said() -> None:
    """An error's text may hold a secret; its code may not."""
    assert describe(RetryableError("token abc", code="UNAVAILABLE")) == "exporting failed: UNAVAILABLE"
    assert describe(ValueError("token abc")) == "exporting failed: ValueError"


def test_health_checks_say_the_cause_that_an_exporter_names() -> None:
    """Also beneath the errors in which other parts wrap it; with the advice, where there is some."""
    error = RetryableError("token abc", code="UNAVAILABLE", cause="HTTP 503")
    wrapped = RetryableError("no more retries left", code="UNAVAILABLE")
    wrapped.__cause__ = error
    assert describe(wrapped) == "exporting failed: UNAVAILABLE (HTTP 503)"
    error = RetryableError("token abc", code="NOT_FOUND", cause="HTTP 404", advice="is the path right?")
    assert describe(error) == "exporting failed: NOT_FOUND (HTTP 404): is the path right?"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RetryableError("away", code="UNAVAILABLE"), "Unavailable"),
        (PermanentError("bad", code="INVALID_ARGUMENT"), "InvalidArgument"),
        (RetryableError("late", code="DEADLINE_EXCEEDED"), "Deadline_Exceeded"),
        (RetryableError("gone", code="CANCELLED"), "Canceled"),
        (asyncio.CancelledError(), "Canceled"),
        (PermanentError("what", code="UNKNOWN"), "_OTHER"),
        (PermanentError("invented", code="hunter2"), "_OTHER"),
        (ValueError("bug"), "_OTHER"),
    ],
)
def test_error_types_are_a_closed_set(error: BaseException, expected: str) -> None:
    """The names are the Collector's, and no backend can add one."""
    assert error_type(error) == expected


def test_failures_are_told_apart_only_where_that_is_wanted() -> None:
    """At level `detailed` there is a series for each error; the sum is the same."""
    for by_error, series in ((False, 1), (True, 2)):
        metrics, counts = Metrics(), Counts(by_error=by_error)
        counts.publish(Context("out", Kind.EXPORTER, telemetry=Scope(metrics)), Signal.TRACES, {})
        counts.fail(2, "Unavailable", permanent=False)
        counts.fail(3, "InvalidArgument", permanent=True)
        counts.fail(3, "InvalidArgument", permanent=True)
        family = metrics.family("otelcol_exporter_send_failed_spans", "counter", "{span}", "")
        assert len(list(family.values())) == series
        assert counts.failed == metrics.read(family.name, exporter="out") == 8
        permanent = {"error.type": "InvalidArgument", "error.permanent": True}
        assert metrics.read(family.name, **permanent) == (6 if by_error else 0)


async def test_without_a_queue_a_failure_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The sender is told with a fixed text, so the log is where one learns why."""
    setup = set_up("{}", PermanentError("404 Not Found from http://backend"))
    async with setup.wrapped:
        with pytest.raises(PermanentError):
            await setup.outlet.consume(traces(3))
    (record,) = caplog.records
    assert record.getMessage() == "Exporting failed. Rejecting data."
    assert (record.error, record.rejected_items) == ("404 Not Found from http://backend", 3)  # type: ignore[attr-defined]
