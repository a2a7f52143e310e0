"""Conditions: each construct of OTTL says of a span, record or metric what it is to say."""

from __future__ import annotations

from typing import Any

import pytest

from sluiceway.otlp import Batch, Signal
from sluiceway.otlp.conditions import Rule
from sluiceway.otlp.plan import Drop, Plan
from sluiceway.ottl import Context, OttlError, compile_condition
from tests.processors.samples import gauge, logs, spans

TRACE = bytes(range(16))
SPAN: dict[str, Any] = {
    "text": "checkout", "int": 5, "double": 2.5, "bool": True, "list": [1, "x"], "map": {"k": {"j": "v"}, "n": 1},
    "empty": "",
}  # fmt: skip


def span() -> Batch:
    """A batch of one span that has everything."""
    message: Any = spans(name="GET", resource={"service.name": "shop"}, **SPAN).proto()
    entry = message.resource_spans[0].scope_spans[0]
    entry.scope.name, entry.scope.version = "lib", "1.2"
    one = entry.spans[0]
    one.trace_id, one.span_id, one.kind, one.trace_state = TRACE, TRACE[:8], 2, "a=b"
    one.status.code, one.status.message = 2, "broken"
    one.start_time_unix_nano, one.end_time_unix_nano = 10, 2**63 - 1
    one.attributes.add(key="bytes").value.bytes_value = b"\x0a\xff"
    one.attributes.add(key="nothing").value.SetInParent()
    return Batch.from_proto(message)


def says(text: str, batch: Batch | None = None, context: Context = Context.SPAN) -> bool | None:
    """What a condition says of the only item of a batch; None where it fails."""
    batch = batch or span()
    outcome = Plan([Drop(context.level, (Rule(compile_condition(text, context)),))]).outcome(batch)
    return None if outcome.tallies[0][1] else outcome.batch.items == 0


@pytest.mark.parametrize(
    "text",
    [
        'attributes["text"] == "checkout"',
        '"checkout" == attributes["text"]',
        'attributes["text"] != "x"',
        'attributes["text"] > "a" and attributes["text"] <= "checkout" and "z" > attributes["text"]',
        'attributes["int"] == 5 and attributes["int"] == 5.0 and attributes["int"] < 5.5 and 6 >= attributes["int"]',
        'attributes["double"] == 2.5 and attributes["double"] > 2 and attributes["double"] != 2',
        'attributes["bool"] == true and attributes["bool"] != false and attributes["bool"] > false',
        'attributes["bytes"] == 0x0aff and attributes["bytes"] < 0x0b',
        'attributes["list"] == [1, "x"] and attributes["list"] != [1]',
        'attributes["map"] == {"n": 1, "k": {"j": "v"}}',
        'attributes["map"]["k"]["j"] == "v" and attributes["list"][1] == "x"',
        'attributes["map"]["no"] == nil and attributes["no"]["deeper"] == nil',
        'attributes["no"] == nil and nil == attributes["nothing"] and attributes["int"] != nil',
        'attributes["no"] <= nil and not attributes["no"] < nil',
        'attributes["int"] != "5" and not attributes["int"] == "5" and not attributes["int"] < "6"',
        'attributes["text"] == attributes["text"] and attributes["int"] != attributes["double"]',
        'attributes["double"] < attributes["int"] and attributes["list"] == attributes["list"]',
        'name == "GET-0" and kind == SPAN_KIND_SERVER and kind.string == "Server"',
        'kind.deprecated_string == "SPAN_KIND_SERVER" and status.code == STATUS_CODE_ERROR',
        'status.message == "broken" and trace_state == "a=b"',
        "trace_id == TraceID(0x000102030405060708090a0b0c0d0e0f)",
        'trace_id == TraceID("000102030405060708090a0b0c0d0e0f") and trace_id != TraceID(0x' + "00" * 16 + ")",
        'trace_id.string == "000102030405060708090a0b0c0d0e0f" and parent_span_id.string == "0000000000000000"',
        "parent_span_id == SpanID(0x0000000000000000) and IsRootSpan() and span_id != SpanID(0x0000000000000000)",
        "start_time_unix_nano == 10 and end_time_unix_nano > start_time_unix_nano and dropped_links_count == 0",
        'resource.attributes["service.name"] == "shop" and instrumentation_scope.name == "lib"',
        'scope.version == "1.2" and span.attributes["int"] == 2 + 3 and span.attributes["int"] == (7 - 2) * 2 / 2',
        'IsMatch(attributes["text"], "^check") and IsMatch(attributes["text"], "c.*k") and IsMatch(name, "GET")',
        'IsMatch(attributes["text"], "^checkout$") and IsMatch(attributes["text"], "out$")',
        'not IsMatch(attributes["text"], "^heck") and not IsMatch(attributes["no"], ".*")',
        'IsMatch(attributes["int"], "^5$") and IsMatch(attributes["bool"], "e") and IsMatch(attributes["double"], "5")',
        'IsMatch(attributes["bytes"], "^0aff$") and IsMatch(attributes["map"], "\\"j\\"") and IsMatch(kind, "2")',
        'IsMatch(attributes["text"], "") and IsMatch(attributes["text"], "out|in") and IsMatch(trace_id, "^0001")',
        'HasPrefix(attributes["text"], "check") and HasSuffix(attributes["text"], "out")',
        'IsMatch(target=name, pattern="^G") == true and (IsMatch(name, "x") == false) and true != IsMatch(name, "x")',
        'IsString(attributes["text"]) and IsInt(attributes["int"]) and IsDouble(attributes["double"])',
        'IsBool(attributes["bool"]) and IsList(attributes["list"]) and IsMap(attributes["map"])',
        'not IsString(attributes["int"]) and not IsString(attributes["no"])',
        "true and not false or false",
    ],
)  # fmt: skip
def test_what_is_true_of_a_span(text: str) -> None:
    """Every construct on a span that has everything, and its opposite is false."""
    assert says(text) is True
    assert says(f"not ({text})") is False


@pytest.mark.parametrize(
    "text",
    [
        'HasPrefix(attributes["int"], "5")',
        'HasSuffix(attributes["no"], "5")',
        'attributes["text"]["deeper"] == 1',
        'attributes["list"][2] == 1',
        'attributes["map"][0] == 1',
        'name == "GET-0" and HasPrefix(kind, "S")',
    ],
)
def test_what_fails_is_neither_true_nor_false(text: str) -> None:
    """As an error of the Collector: the condition does not hold, and neither does its opposite."""
    assert says(text) is None
    assert says(f"not ({text})") is None
    assert says(f"false and {text}") is False


@pytest.mark.parametrize(
    "text",
    [
        'body == "down" and body.string == "down" and severity_number >= SEVERITY_NUMBER_WARN',
        'severity_number < SEVERITY_NUMBER_FATAL and attributes["a"] == 1',
        'IsMatch(body, "^do") and event_name == "" and flags == 0 and observed_time_unix_nano == 0',
    ],
)
def test_what_is_true_of_a_log_record(text: str) -> None:
    """Its body is a value of any kind."""
    assert says(text, logs("down", 17, a=1), Context.LOG) is True


def test_a_body_that_is_a_map_is_indexed() -> None:
    """And has a text, in JSON; a body of text cannot be indexed."""
    message: Any = logs("x").proto()
    body = message.resource_logs[0].scope_logs[0].log_records[0].body
    body.kvlist_value.values.add(key="k").value.int_value = 3
    batch = Batch.from_proto(message)
    assert says('body["k"] == 3 and body.string == "{\\"k\\":3}" and body["no"] == nil', batch, Context.LOG) is True
    assert says('body["k"] == 3', logs("x"), Context.LOG) is None


@pytest.mark.parametrize(
    ("context", "text"),
    [
        (Context.METRIC, 'name == "load" and type == METRIC_DATA_TYPE_GAUGE and unit == "" and is_monotonic == nil'),
        (
            Context.METRIC,
            'HasAttrKeyOnDatapoint("a") and HasAttrOnDatapoint("b", "x") and aggregation_temporality == nil',
        ),
        (Context.METRIC, 'not HasAttrKeyOnDatapoint("c") and not HasAttrOnDatapoint("b", "y")'),
        (Context.DATAPOINT, 'value_int == 1 and value_double == 0.0 and count == nil and metric.name == "load"'),
        (Context.DATAPOINT, 'attributes["b"] == "x" and flags == 0 and scale == nil'),
    ],
)
def test_what_is_true_of_a_metric(context: Context, text: str) -> None:
    """What a kind of metric does not have is nothing."""
    assert says(text, gauge("load", a=1, b="x"), context) is True


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('Len(attributes["a"]) > 1', 'the function "Len" is not supported in conditions yet (column 1)'),
        ('ismatch(name, "a")', 'converter names must start with an uppercase letter but got "ismatch" (column 1)'),
        ('IsMtch(name, "a")', 'undefined function "IsMtch"; did you mean "IsMatch"? (column 1)'),
        ("IsMatch(name)", '"IsMatch" takes 2 arguments (target, pattern), not 1 (column 1)'),
        ('IsMatch(name, patern="a")', '"IsMatch" has no argument "patern", or has it already (column 22)'),
        ('IsMatch(name, "(")', 'invalid pattern "("'),
        ('IsMatch(name, attributes["p"])', '"IsMatch" takes a text as it stands, for now (column 15)'),
        ('IsMatch("a", "a")', '"IsMatch" can only look at a path yet (column 9)'),
        ('IsMatch(name, "a") == 1', '"IsMatch" can only be compared with true or false (column 1)'),
        ('IsMatch(name, "a")["b"] == true', 'what "IsMatch" gives cannot be indexed (column 20)'),
        ('HasAttrKeyOnDatapoint("a")', '"HasAttrKeyOnDatapoint" belongs to the metric context (column 1)'),
        ('attributes["a"] + 1 == 2', 'arithmetic ("+") with paths is not supported in conditions yet (column 17)'),
        ("name == 1 / 0", "division by zero (column 11)"),
        ("name == 9223372036854775807 + 1", "the result does not fit into 64 bits (column 29)"),
        ("name == 1 + 1.5", '"+" takes two integers or two numbers with a point (column 11)'),
        ("1 == 1", "both sides of the comparison are constant (column 1)"),
        ("name == [name]", "only constants can stand here yet (column 10)"),
        ("trace_id == TraceID(0x00)", '"TraceID" takes 16 bytes, such as 0x'),
        ("name == FOO", 'enum symbol "FOO" is not known in the span context (column 9)'),
        ("name == IsRootSpan()", '"IsRootSpan" can only be compared with true or false (column 9)'),
        ("TraceID(0x00)", '"TraceID" does not say true or false (column 1)'),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_named_with_its_column(text: str, message: str) -> None:
    """At validation, so that nothing is dropped or kept by a misunderstanding."""
    with pytest.raises(OttlError) as caught:
        compile_condition(text, Context.SPAN)
    assert message in str(caught.value)


def test_signals_do_not_meet() -> None:
    """A drop for one signal leaves the others alone."""
    drop = Drop(Context.SPAN.level, (Rule(compile_condition("true", Context.SPAN)),), signal=Signal.TRACES)
    batch = logs("x")
    assert Plan([drop]).run(batch) is batch
