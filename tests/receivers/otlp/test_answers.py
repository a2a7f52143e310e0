"""What a sender is told about each kind of error."""

import asyncio
import json
import math

import pytest
from google.rpc.status_pb2 import Status

from sluiceway.errors import (
    LONGEST_DELAY,
    DecodeError,
    PermanentError,
    RefusedError,
    RetryableError,
    TooLargeError,
    UnauthenticatedError,
)
from sluiceway.otlp.status import Code
from sluiceway.receivers.otlp.answers import Answer, answer_to, answer_to_bug
from tests.receivers.otlp.senders import delay_of


@pytest.mark.parametrize(
    ("error", "code", "status", "delay"),
    [
        (DecodeError("secret"), Code.INVALID_ARGUMENT, 400, None),
        (TooLargeError("secret"), Code.RESOURCE_EXHAUSTED, 413, None),
        (UnauthenticatedError("secret"), Code.UNAUTHENTICATED, 401, None),
        (RefusedError("secret", retry_after=2.5), Code.UNAVAILABLE, 503, 2.5),
        (RetryableError("secret"), Code.UNAVAILABLE, 503, 1.0),
        (RetryableError("secret", code="RESOURCE_EXHAUSTED", retry_after=7), Code.UNAVAILABLE, 503, 7.0),
        (PermanentError("secret"), Code.INTERNAL, 500, None),
        (PermanentError("secret", code="PERMISSION_DENIED"), Code.PERMISSION_DENIED, 403, None),
        (PermanentError("secret", code="UNAVAILABLE"), Code.INTERNAL, 500, None),
        (PermanentError("secret", code="RESOURCE_EXHAUSTED"), Code.RESOURCE_EXHAUSTED, 413, None),
        (asyncio.CancelledError("secret"), Code.UNAVAILABLE, 503, 1.0),
    ],
)
def test_each_error_has_its_answer(error, code, status, delay):
    """Pressure may come again after a delay, everything else may not; no text of an error is told."""
    answer = answer_to(error)
    assert (answer.code, answer.http_status, answer.delay) == (code, status, delay)
    assert "secret" not in answer.message


def test_a_bug_does_not_make_senders_drop_their_data():
    """An error that nobody foresaw is not answered by a code that forbids to try again."""
    assert answer_to(ZeroDivisionError()) is None
    assert answer_to_bug("1234").code is Code.UNAVAILABLE
    assert answer_to_bug("1234").delay


@pytest.mark.parametrize(("asked", "told"), [(-1, 1), (0, 1), (math.nan, 1), (math.inf, LONGEST_DELAY), (0.2, 0.2)])
def test_a_delay_is_bounded(asked, told):
    """Whatever a backend asked for, senders get a delay above zero and of two minutes at most."""
    assert answer_to(RefusedError("", retry_after=asked)).delay == told


@pytest.mark.parametrize("delay", [None, 0.25, 1, 300.5])
def test_a_status_is_what_protobuf_reads(delay):
    """The bytes written by hand are a `google.rpc.Status` with RetryInfo."""
    status = Status.FromString(Answer(Code.UNAVAILABLE, "x" * 200, delay).proto())
    assert (status.code, status.message, delay_of(status)) == (14, "x" * 200, delay)


def test_a_status_in_json_has_the_same_fields():
    """JSON answers carry the delay as protobuf JSON has it."""
    written = json.loads(Answer(Code.UNAVAILABLE, "later", 1.5).json())
    assert written["code"] == 14
    assert written["details"] == [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1.5s"}]


@pytest.mark.parametrize(("delay", "seconds"), [(None, None), (0.1, 1), (1.0, 1), (1.2, 2)])
def test_retry_after_is_whole_seconds(delay, seconds):
    """`Retry-After` is rounded up, and at least one."""
    assert Answer(Code.UNAVAILABLE, "", delay).retry_after == seconds
