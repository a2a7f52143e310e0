"""The kernel's records, held against protobuf."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, LogsData, ResourceLogs, ScopeLogs

from sluiceway.otlp import Signal, accept
from sluiceway.receivers.kafka._records import records

TIMES = st.integers(0, 2**64 - 1)


def expected(bodies: list[AnyValue], observed: int) -> LogsData:
    """What protobuf makes of the bodies."""
    made = [LogRecord(observed_time_unix_nano=observed, body=body) for body in bodies]
    return LogsData(resource_logs=[ResourceLogs(scope_logs=[ScopeLogs(log_records=made)])] if made else [])


@given(st.lists(st.binary(max_size=300), max_size=20), TIMES)
def test_bytes(values: list[bytes], observed: int) -> None:
    """Bytes become the bodies of records, whatever they are."""
    made = accept(Signal.LOGS, records(values, observed, False))
    assert made.items == len(values)
    assert made.proto() == expected([AnyValue(bytes_value=value) for value in values], observed)


@given(st.lists(st.binary(max_size=300), max_size=20), TIMES)
def test_texts(values: list[bytes], observed: int) -> None:
    """So do texts; what is no UTF-8 is repaired by the check that follows."""
    made = accept(Signal.LOGS, records(values, observed, True))
    assert made.items == len(values)
    texts = [AnyValue(string_value=value.decode(errors="replace")) for value in values]
    assert made.proto() == expected(texts, observed)


@pytest.mark.parametrize("size", [0, 127, 128, 16_383, 16_384, 3_000_000])
def test_lengths(size: int) -> None:
    """Lengths of every number of digits are written as they should be."""
    made = accept(Signal.LOGS, records([bytes(size)] * 2, 1, False))
    assert made.proto() == expected([AnyValue(bytes_value=bytes(size))] * 2, 1)


@pytest.mark.parametrize("values", [["a"], [None], [bytearray(b"a")], (b"a",), None])
def test_what_is_no_list_of_bytes(values: object) -> None:
    """Anything else is a mistake of ours."""
    with pytest.raises(TypeError):
        records(values, 1, True)  # type: ignore[arg-type]  # that is the point
