"""What a backend answers to an export, over gRPC or HTTP: which errors may pass, how long to wait, what was rejected.

The tables are those of `sluiceway.otlp.status`. Nothing in an answer is trusted: texts are cut and their control
characters escaped, delays are bounded, and what cannot be read counts as not said.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from sluiceway.errors import DecodeError, DeliveryError, PermanentError, RetryableError, bounded_delay
from sluiceway.escape import escape
from sluiceway.otlp.status import CODE_OF_HTTP, RETRYABLE, RETRYABLE_HTTP, Code

if TYPE_CHECKING:
    from sluiceway.otlp import Batch

__all__ = [
    "PartialSuccess",
    "grpc_error",
    "http_error",
    "one_line",
    "read_retry_after",
    "read_status",
    "rejection",
]

LONGEST_TEXT: Final = 500
"""Characters of a backend's message that reach our errors and logs."""

_THROTTLING_HTTP: Final = frozenset({429, 503})
_REJECTED_KEYS: Final = ("rejectedSpans", "rejectedDataPoints", "rejectedLogRecords")
_NOTHING_REJECTED: Final = frozenset({b"", b"\n\x00"})


@dataclass(frozen=True, slots=True)
class PartialSuccess:
    """The backend took the batch but for `rejected` items, and says why. Never sent again.

    `batch` holds just the rejected items, where the exporter knows which ones they are.
    """

    rejected: int
    message: str = ""
    batch: Batch | None = None


def one_line(text: str) -> str:
    """Make a backend's text fit for a log: one line of bounded length, without control characters."""
    return escape(text if len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT] + "…")


def grpc_error(code: str, message: str, details: bytes | None = None) -> DeliveryError:
    """Sort a failed RPC by its code; `details` is the trailer `grpc-status-details-bin`.

    RESOURCE_EXHAUSTED may be retried only when the server says so by `RetryInfo`.
    """
    text = f"rpc error: code = {code} desc = {one_line(message)}"
    delay = _retry_info(details) if details else None
    if Code.__members__.get(code) in RETRYABLE or (code == "RESOURCE_EXHAUSTED" and delay is not None):
        return RetryableError(text, retry_after=delay or None, code=code)
    return PermanentError(text, code=code)


def http_error(status: int, text: str, retry_after: float | None = None) -> DeliveryError:
    """Sort a response that is no success by its status; `retry_after` counts only for 429 and 503."""
    code = CODE_OF_HTTP.get(status, Code.UNKNOWN).name
    if status in RETRYABLE_HTTP:
        delay = retry_after if status in _THROTTLING_HTTP else None
        return RetryableError(text, retry_after=delay, code=code, cause=f"HTTP {status}")
    return PermanentError(text, code=code, cause=f"HTTP {status}")


def read_retry_after(value: str | None, now: float) -> float | None:
    """Read a `Retry-After` header, seconds or HTTP-date, at `now` seconds since the epoch.

    Returns seconds as `bounded_delay` counts them, or None where the header says nothing that makes sense.
    """
    if not value:
        return None
    try:
        return bounded_delay(float(value))
    except ValueError:
        return bounded_delay(_seconds_until(value, now))


def rejection(body: bytes, *, json: bool = False) -> PartialSuccess | None:
    """Read the partial success out of an export response; None means full success.

    The number of rejected items is what the backend says, possible or not. Raises `DecodeError` when the body is no
    export response. The messages of the three signals have the same shape, so one type reads them all.
    """
    if body in _NOTHING_REJECTED:
        return None
    rejected, message = _read_json(body) if json else _read_proto(body)
    return PartialSuccess(rejected, one_line(message)) if rejected or message else None


def read_status(body: bytes, *, json: bool = False) -> str:
    """The message of the `google.rpc.Status` that an error response carries; empty when there is none."""
    try:
        if json:
            return one_line(str(_json_object(body).get("message", "")))
        from google.rpc.status_pb2 import Status

        return one_line(Status.FromString(body).message)
    except ValueError:  # what is not JSON; protobuf's DecodeError is caught beneath
        return ""
    except _protobuf_error():
        return ""


def _retry_info(details: bytes) -> float | None:
    from google.rpc.error_details_pb2 import RetryInfo
    from google.rpc.status_pb2 import Status

    info = RetryInfo()
    try:
        for detail in Status.FromString(details).details:
            if detail.Is(RetryInfo.DESCRIPTOR) and detail.Unpack(info):
                return bounded_delay(info.retry_delay.seconds + info.retry_delay.nanos / 1e9)
    except _protobuf_error():
        return None
    return None


def _seconds_until(date: str, now: float) -> float:
    try:
        moment = parsedate_to_datetime(date)
    except ValueError:
        return math.nan
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now


def _read_proto(body: bytes) -> tuple[int, str]:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    try:
        partial = ExportTraceServiceResponse.FromString(body).partial_success
    except _protobuf_error() as error:
        raise DecodeError("the response is no export response") from error
    return partial.rejected_spans, partial.error_message


def _read_json(body: bytes) -> tuple[int, str]:
    try:
        partial = _json_object(body).get("partialSuccess") or {}
        rejected = next((partial[key] for key in _REJECTED_KEYS if key in partial), 0)
        return int(rejected), str(partial.get("errorMessage", ""))
    except (ValueError, TypeError, AttributeError) as error:
        raise DecodeError("the response is no export response") from error


def _json_object(body: bytes) -> dict[str, Any]:
    import orjson

    value = orjson.loads(body)
    return value if isinstance(value, dict) else {}


def _protobuf_error() -> type[Exception]:
    from google.protobuf.message import DecodeError as ProtobufError

    return ProtobufError
