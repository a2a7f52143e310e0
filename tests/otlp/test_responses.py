"""How answers of backends are read; the tables of codes and statuses are tested with the exporters, over sockets."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from sluiceway.component import PartialSuccess
from sluiceway.errors import LONGEST_DELAY, DecodeError, RetryableError
from sluiceway.otlp.responses import grpc_error, one_line, read_retry_after, read_status, rejection

NOW = 1_700_000_000.0


def date(seconds: float) -> str:
    """An HTTP-date."""
    return format_datetime(datetime.fromtimestamp(NOW + seconds, UTC), usegmt=True)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("5", 5.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("31536000", LONGEST_DELAY),
        ("inf", LONGEST_DELAY),
        ("nan", None),
        ("soon", None),
        (date(20), 20.0),
        (date(-20), 0.0),
        (date(10**8), LONGEST_DELAY),
        ("Tue, 14 Nov 2023 22:13:30", 10.0),
    ],
)
def test_retry_after_is_clamped(value, seconds):
    """A year, a negative number, the past and nonsense do no harm."""
    assert read_retry_after(value, NOW) == seconds


@pytest.mark.parametrize(("delay", "seconds"), [(2.5, 2.5), (0, None), (-5, None), (10**9, LONGEST_DELAY)])
def test_retry_info_is_clamped(delay, seconds):
    """A delay that says nothing leaves the wait to the backoff."""
    detail = Any()
    detail.Pack(RetryInfo(retry_delay=Duration(seconds=int(delay), nanos=round(delay % 1 * 1e9))))
    error = grpc_error("UNAVAILABLE", "busy", Status(details=[Any(type_url="a/b"), detail]).SerializeToString())
    assert isinstance(error, RetryableError)
    assert error.retry_after == seconds


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (ExportTraceServiceResponse(), "rejected_spans"),
        (ExportMetricsServiceResponse(), "rejected_data_points"),
        (ExportLogsServiceResponse(), "rejected_log_records"),
    ],
)
@pytest.mark.parametrize(
    ("count", "why", "found"),
    [(3, "old", PartialSuccess(3, "old")), (0, "hm", PartialSuccess(0, "hm")), (0, "", None)],
)
def test_partial_success_of_every_signal_is_read(message, field, count, why, found):
    """One reader serves all three responses, which have the same shape."""
    setattr(message.partial_success, field, count)
    message.partial_success.error_message = why
    assert rejection(message.SerializeToString()) == found


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"", None),
        (b"{}", None),
        (b"[]", None),
        (b'{"partialSuccess": {}}', None),
        (b'{"partialSuccess": null}', None),
        (b'{"partialSuccess": {"rejectedSpans": 2}}', PartialSuccess(2)),
        (b'{"partialSuccess": {"rejectedLogRecords": "2", "errorMessage": "a\\nb"}}', PartialSuccess(2, "a\\nb")),
    ],
)
def test_partial_success_in_json_is_read(body, found):
    """Counts may be numbers or, as protobuf's JSON has it, strings."""
    assert rejection(body, json=True) == found


@pytest.mark.parametrize("body", [b"x", b'{"partialSuccess": 5}', b'{"partialSuccess": {"rejectedSpans": "x"}}'])
def test_json_that_is_no_response_is_told(body):
    """Whatever the nonsense is, only `DecodeError` comes out."""
    with pytest.raises(DecodeError):
        rejection(body, json=True)


@pytest.mark.parametrize(("body", "json"), [(b"\xff\xff", False), (b"nonsense", True), (b"[1]", True), (b"{}", True)])
def test_a_status_that_cannot_be_read_is_empty(body, json):
    """An error without a readable message is an error all the same."""
    assert read_status(body, json=json) == ""


def test_texts_are_bounded_and_on_one_line():
    """A backend cannot fill our log nor write lines of its own."""
    assert one_line("a\r\nb\x1b[0m") == "a\\r\\nb\\u001b[0m"
    assert len(one_line("x" * 10**6)) < 600
