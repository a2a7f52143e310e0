"""OTLP/JSON: what it says, what it takes, what it refuses."""

from __future__ import annotations

import base64
import json as text_of
import math
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.message import Message
from hypothesis import given
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from sluiceway.errors import DecodeError
from sluiceway.otlp import Signal, accept, json
from tests.otlp.strategies import OFFICIAL, checked, field, payloads

IDS = ("traceId", "spanId", "parentSpanId")


def official(message: Message) -> Any:
    """The official JSON, with OTLP's own rules: ids in hex, enums as integers."""
    return json_format.MessageToDict(message, use_integers_for_enums=True)


def in_hex(value: Any, key: str = "") -> Any:
    """The same JSON with ids in hex where protobuf writes base64."""
    if isinstance(value, dict):
        return {name: in_hex(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [in_hex(inner) for inner in value]
    return base64.b64decode(value).hex() if key in IDS else value


def spelled(value: Any) -> Any:
    """Numbers by their value, so that 1 and 1.0 are told apart from -0.0 but not from one another."""
    if isinstance(value, dict):
        return {name: spelled(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [spelled(inner) for inner in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (float(value), math.copysign(1, value))
    return value


def span(member: str) -> bytes:
    """A request of one span with one member."""
    return f'{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{member}}}]}}]}}]}}'.encode()


def decoded(member: str) -> Any:
    """The span that a member makes, parsed."""
    message = TracesData.FromString(json.decode(Signal.TRACES, span(member)))
    return message.resource_spans[0].scope_spans[0].spans[0]


def any_value(value: str) -> AnyValue:
    """The value that its JSON makes."""
    return decoded(f'"attributes":[{{"key":"k","value":{value}}}]').attributes[0].value


def metric(member: str) -> bytes:
    """A request of one metric with one member."""
    return f'{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{{member}}}]}}]}}]}}'.encode()


def point(member: str) -> Any:
    """The exponential histogram point that a member makes, parsed."""
    text = metric(f'"exponentialHistogram":{{"dataPoints":[{{{member}}}]}}')
    message = MetricsData.FromString(json.decode(Signal.METRICS, text))
    return message.resource_metrics[0].scope_metrics[0].metrics[0].exponential_histogram.data_points[0]


@checked
@given(payloads())
def test_bytes_become_the_official_json(wire):
    """Names, omissions, 64-bit numbers as text, merged messages and the last of a oneof are as protobuf has them."""
    signal, raw = wire
    ours = text_of.loads(json.encode(signal, raw))
    assert spelled(ours) == spelled(in_hex(official(OFFICIAL[signal].FromString(raw))))


@checked
@given(payloads())
def test_official_json_becomes_the_same_message(wire):
    """What protobuf writes is read as it was meant, whatever the spaces between."""
    signal, raw = wire
    message = OFFICIAL[signal].FromString(raw)
    message.DiscardUnknownFields()
    written = text_of.dumps(in_hex(official(message)), indent=1, ensure_ascii=bool(len(raw) % 2))
    decoded = json.decode(signal, written.encode())
    accept(signal, decoded)
    again = OFFICIAL[signal].FromString(decoded)
    assert json_format.MessageToJson(again) == json_format.MessageToJson(message)


@checked
@given(payloads())
def test_there_and_back_again_loses_nothing(wire):
    """Our own JSON makes our own bytes' message."""
    signal, raw = wire
    message = OFFICIAL[signal].FromString(raw)
    message.DiscardUnknownFields()
    again = OFFICIAL[signal].FromString(json.decode(signal, json.encode(signal, raw)))
    assert json_format.MessageToJson(again) == json_format.MessageToJson(message)


def test_a_whole_request_as_a_sender_writes_it():
    """The specification's own rules in one example."""
    text = b"""
    {"resourceLogs": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
      "scopeLogs": [{"scope": {}, "logRecords": [{"timeUnixNano": "1700000000000000001", "severityNumber": 9,
        "traceId": "5B8EFFF798038103D269B633813FC60C", "body": {"stringValue": "caf\\u00e9 \\ud83e\\udd86"}}]}]}]}
    """
    record = LogsData.FromString(json.decode(Signal.LOGS, text)).resource_logs[0].scope_logs[0].log_records[0]
    assert record.time_unix_nano == 1_700_000_000_000_000_001
    assert record.trace_id.hex() == "5b8efff798038103d269b633813fc60c"
    assert (record.severity_number, record.body.string_value) == (9, "café 🦆")


@pytest.mark.parametrize(
    ("member", "name", "value"),
    [
        ('"kind":2', "kind", 2),
        ('"kind":2.0', "kind", 2),
        ('"kind":-1', "kind", -1),
        ('"flags":4294967295', "flags", 2**32 - 1),
        ('"flags":"7"', "flags", 7),
        ('"startTimeUnixNano":18446744073709551615', "start_time_unix_nano", 2**64 - 1),
        ('"startTimeUnixNano":"18446744073709551615"', "start_time_unix_nano", 2**64 - 1),
        ('"startTimeUnixNano":1.7e18', "start_time_unix_nano", None),
        ('"startTimeUnixNano":1e3', "start_time_unix_nano", 1000),
        ('"name":null', "name", ""),
        ('"attributes":null', "attributes", []),
        ('"attributes":[]', "attributes", []),
        ('"n\\u0061me":"x"', "name", "x"),
        ('"name":"\\b\\f\\n\\r\\t\\/\\\\\\""', "name", '\b\f\n\r\t/\\"'),
        ('"spanId":"AbCdEf0123456789"', "span_id", bytes.fromhex("abcdef0123456789")),
        ('"spanId":""', "span_id", b""),
        ('"span_id":"00"', "span_id", b""),
        ('"unheardOf":{"a":[1,-2.5e+3,"\\u00e9",true,false,null,{}]},"name":"x"', "name", "x"),
    ],
)
def test_a_member_is_read_as_the_specification_says(member, name, value):
    """Numbers may be quoted, null is absence, unknown and snake_case names are ignored."""
    if value is None:
        with pytest.raises(DecodeError, match="out of range"):
            decoded(member)
    else:
        assert getattr(decoded(member), name) == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('{"intValue":"-9223372036854775808"}', AnyValue(int_value=-(2**63))),
        ('{"intValue":9223372036854775807}', AnyValue(int_value=2**63 - 1)),
        ('{"intValue":0}', AnyValue(int_value=0)),
        ('{"boolValue":false}', AnyValue(bool_value=False)),
        ('{"boolValue":true}', AnyValue(bool_value=True)),
        ('{"doubleValue":1}', AnyValue(double_value=1)),
        ('{"doubleValue":"1.5"}', AnyValue(double_value=1.5)),
        ('{"doubleValue":-0.0}', AnyValue(double_value=-0.0)),
        ('{"doubleValue":"Infinity"}', AnyValue(double_value=math.inf)),
        ('{"doubleValue":"-Infinity"}', AnyValue(double_value=-math.inf)),
        ('{"doubleValue":5e-324}', AnyValue(double_value=5e-324)),
        ('{"doubleValue":123456789012345678901234567890}', AnyValue(double_value=123456789012345678901234567890)),
        ('{"doubleValue":0.1000000000000000055511151231257827}', AnyValue(double_value=0.1)),
        ('{"bytesValue":"+/8="}', AnyValue(bytes_value=b"\xfb\xff")),
        ('{"bytesValue":"-_8"}', AnyValue(bytes_value=b"\xfb\xff")),
        ('{"bytesValue":""}', AnyValue(bytes_value=b"")),
        ('{"bytesValue":"YQ=="}', AnyValue(bytes_value=b"a")),
        ("{}", AnyValue()),
        ("null", AnyValue()),
    ],
)
def test_a_value_is_read_as_protobuf_reads_it(value, expected):
    """Whatever an attribute may hold; the official JSON parser says the same."""
    assert any_value(value) == expected
    if value != "null":
        assert json_format.Parse(value, AnyValue()) == expected


def test_not_a_number_is_read():
    """It equals nothing, so it stands alone."""
    assert math.isnan(any_value('{"doubleValue":"NaN"}').double_value)


def test_numbers_of_an_array_are_packed():
    """Signed offsets, counts as text or number, and flags in one point."""
    made = point('"positive":{"offset":-3,"bucketCounts":["1",2,18446744073709551615]},"scale":-20,"flags":1')
    assert (made.positive.offset, made.scale, made.flags) == (-3, -20, 1)
    assert list(made.positive.bucket_counts) == [1, 2, 2**64 - 1]


MALFORMED = [
    '"name"', '"name":', '"name":"x",', ',"name":"x"', '"name":"x" "kind":1', '"name":"x', "name:1", '"a":',
    '"a":tru', '"a":nul', '"a":fals', '"a":01', '"a":1.', '"a":.5', '"a":1e', '"a":+1', '"a":-', '"a":NaN',
    '"a":[1', '"a":[1,]', '"a":[,1]', '"a":{"b"}', '"a":{"b":1,}', '"a":{1:2}', '"a":[1}', '"kind":1x', '"name":nul',
    '"name":"\\x"', '"name":"\\u12"', '"name":"\\u12g4"', '"name":"\\ud800"', '"name":"\\udc00"', '"name":"\n"',
    '"name":"\\ud800\\u0041"', '"name":"\\ud800x"', '"name":"\\', '"name":"\x00"',
]  # fmt: skip


@pytest.mark.parametrize("member", MALFORMED)
def test_what_is_no_json_is_refused(member):
    """Half surrogates and control characters in a text included."""
    with pytest.raises(DecodeError):
        json.decode(Signal.TRACES, span(member))


@pytest.mark.parametrize(
    "text", [b"", b" ", b"[]", b"null", b"1", b'""', b"{", b"{} x", b"{}{}", b"\xef\xbb\xbf{}", b"\x00"]
)
def test_a_request_is_one_object_and_nothing_else(text):
    """Nothing may stand before or after it."""
    with pytest.raises(DecodeError):
        json.decode(Signal.TRACES, text)


@pytest.mark.parametrize(
    "member",
    [
        '"name":1', '"name":{}', '"name":["x"]', '"name":true', '"kind":"2"', '"kind":"SPAN_KIND_SERVER"', '"kind":1.5',
        '"kind":2147483648', '"kind":-2147483649', '"kind":true', '"flags":-1', '"flags":4294967296', '"flags":""',
        '"flags":" 1"', '"flags":"1 "', '"flags":"0x1"', '"flags":"1_0"', '"flags":{}', '"flags":[]',
        '"startTimeUnixNano":-1', '"startTimeUnixNano":18446744073709551616', '"startTimeUnixNano":"x"',
        '"startTimeUnixNano":99999999999999999999999', '"traceId":"0"', '"traceId":"zz"', '"traceId":1',
        '"attributes":{}', '"attributes":[null]', '"attributes":[1]', '"attributes":"x"',
        '"status":[]', '"status":"x"', '"status":1',
    ],
)  # fmt: skip
def test_values_of_the_wrong_type_are_refused(member):
    """Names of enums, numbers out of range, hex that is none, null among elements."""
    with pytest.raises(DecodeError):
        json.decode(Signal.TRACES, span(member))


@pytest.mark.parametrize(
    "value",
    [
        '{"intValue":9223372036854775808}', '{"intValue":-9223372036854775809}', '{"intValue":1.5}',
        '{"intValue":"1e"}', '{"doubleValue":"Infinitely"}', '{"doubleValue":"-Nanity"}',
        '{"boolValue":1}', '{"boolValue":"true"}', '{"boolValue":truth}', '{"doubleValue":1e999}',
        '{"doubleValue":"nan"}', '{"doubleValue":""}', '{"doubleValue":true}',
        '{"bytesValue":"a"}', '{"bytesValue":"a==="}', '{"bytesValue":"YQ=x"}', '{"bytesValue":"!!!!"}',
        '{"bytesValue":"="}', '{"bytesValue":"===="}',
    ],
)  # fmt: skip
def test_wrong_values_of_attributes_are_refused(value):
    """Out of range, of another type, or not base64."""
    with pytest.raises(DecodeError):
        any_value(value)


def test_text_that_is_not_utf8_is_refused():
    """JSON is UTF-8; unlike protobuf there is no way to tell where such a text ends."""
    with pytest.raises(DecodeError, match=r"^not a JSON object$"):
        json.decode(Signal.TRACES, span('"name":"?"').replace(b"?", b"\xff"))


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_is_read(kind):
    """A receiver may hand over what it read into."""
    assert json.decode(Signal.TRACES, kind(b"{}")) == b""


def test_nesting_is_bounded_where_the_door_bounds_it():
    """Values nested deeper than protobuf allows are refused, known or not, without recursion getting anywhere."""

    def nested(depth: int) -> bytes:
        value = '{"arrayValue":{"values":[' * depth + "]}}" * depth
        return json.decode(Signal.TRACES, span(f'"attributes":[{{"value":{value}}}]'))

    assert accept(Signal.TRACES, nested(48)).items == 1
    for text in (lambda: nested(49), lambda: json.decode(Signal.TRACES, span('"a":' + "[" * 100_000))):
        with pytest.raises(DecodeError, match=r"^messages are nested too deeply$"):
            text()


def test_truncation_at_every_byte_is_refused():
    """No beginning of a request is a request."""
    text = span(
        '"name":"\\u00e9\\ud83e\\udd86","kind":-1,"attributes":[{"value":{"doubleValue":1.5e-7}}],"x":[true,null]'
    )
    for cut in range(len(text)):
        with pytest.raises(DecodeError):
            json.decode(Signal.TRACES, text[:cut])


def test_the_bytes_are_bounded_by_the_text():
    """Short elements become at most four and a half times as long."""
    empty = b'{"resourceSpans":[' + b"{}," * 100_000 + b"{}]}"
    assert len(json.decode(Signal.TRACES, empty)) < len(empty)
    zeros = "0," * 100_000 + "0"
    text = metric(f'"histogram":{{"dataPoints":[{{"bucketCounts":[{zeros}]}}]}}')
    assert len(json.decode(Signal.METRICS, text)) < 4.5 * len(text)


JUNK = [
    b"\xff\xff\xff",
    b"\x0a",
    b"\x0a\x05",
    field(1, 2, field(2, 2, field(2, 2, b"\x39\x01"))),  # half of a fixed64
    field(1, 2, field(2, 2, field(2, 2, field(16, 5, b"")))),  # none of a fixed32
    field(1, 2, field(2, 2, field(2, 2, b"\x4a\xff\xff\xff\xff\x0f"))),
    field(1, 2, field(1, 2, b"") + b"\x08\x01"),  # a resource of bytes, and one that is a number
    field(1, 2, field(2, 2, field(2, 2, field(5, 0, b"\x01")))),
    field(1, 2, field(2, 2, field(2, 2, field(9, 0, b"\x01")))),
    field(1, 2, field(2, 2, field(2, 2, field(6, 2, b"\x01")))),
    field(1, 3, b""),
]


@pytest.mark.parametrize("raw", JUNK)
def test_a_batch_that_never_passed_the_door_is_refused(raw):
    """Bytes that are cut off or of the wrong type are an error, and nothing beyond their end is read."""
    with pytest.raises(DecodeError, match=r"^not a protobuf message$"):
        json.encode(Signal.TRACES, raw)


def test_packed_numbers_that_are_cut_off_are_refused():
    """Nine bytes hold one bucket count of eight and the beginning of another."""
    counts = field(9, 2, field(1, 2, field(6, 2, b"\x01" * 9)))
    with pytest.raises(DecodeError, match=r"^not a protobuf message$"):
        json.encode(Signal.METRICS, field(1, 2, field(2, 2, field(2, 2, counts))))


def test_values_nested_deeper_than_the_door_allows_are_refused():
    """Three thousand arrays in one another do not get anywhere near the end of the stack."""
    value = b""
    for _ in range(3_000):
        value = field(5, 2, field(1, 2, value))
    with pytest.raises(DecodeError, match=r"^not a protobuf message$"):
        json.encode(Signal.TRACES, field(1, 2, field(2, 2, field(2, 2, field(9, 2, field(2, 2, value))))))


def test_a_large_batch_is_converted_without_the_interpreter():
    """Above 16 KiB other threads run meanwhile; the outcome is the same, doubles that need Python's help included."""
    attribute = field(9, 2, field(1, 2, b"k") + field(2, 2, field(4, 1, b"\x01" * 8)))
    raw = field(1, 2, field(2, 2, field(2, 2, attribute) * 2_000))
    assert json.decode(Signal.TRACES, json.encode(Signal.TRACES, raw)) == raw
