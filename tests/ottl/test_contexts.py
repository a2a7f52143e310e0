"""Contexts: which paths and names each has, and how a list's context is guessed."""

from __future__ import annotations

import pytest

from sluiceway.otlp import Signal
from sluiceway.otlp.conditions import Attribute, FieldOf
from sluiceway.otlp.fields import FIELDS
from sluiceway.otlp.levels import Level
from sluiceway.ottl.contexts import Context, enum_value, fact, infer
from sluiceway.ottl.errors import OttlError
from sluiceway.ottl.parser import parse_condition
from sluiceway.ottl.syntax import Comparison, Enum, Path


def path(text: str) -> Path:
    """The path that a text is."""
    tree = parse_condition(f"{text} == nil")
    assert isinstance(tree, Comparison)
    assert isinstance(tree.left, Path)
    return tree.left


@pytest.mark.parametrize(
    ("text", "context", "found"),
    [
        ('attributes["a"]', Context.SPAN, Attribute(Level.ITEM, "a")),
        ('span.attributes["a"]["b"][1]', Context.SPAN, Attribute(Level.ITEM, "a", ("b", 1))),
        ('resource.attributes["a"]', Context.LOG, Attribute(Level.RESOURCE, "a")),
        ('attributes["a"]', Context.SPANEVENT, Attribute(Level.EVENT, "a")),
        ('span.attributes["a"]', Context.SPANEVENT, Attribute(Level.ITEM, "a")),
        ("instrumentation_scope.name", Context.METRIC, FieldOf("scope.name")),
        ("scope.version", Context.SCOPE, FieldOf("scope.version")),
        ("metric.name", Context.DATAPOINT, FieldOf("metric.name")),
        ("value_double", Context.DATAPOINT, FieldOf("datapoint.value_double")),
        ('body["a"]', Context.LOG, FieldOf("log.body", ("a",))),
        ("log.body.string", Context.LOG, FieldOf("log.body.string")),
        ("status.code", Context.SPAN, FieldOf("span.status.code")),
        ("trace_id.string", Context.LOG, FieldOf("log.trace_id.string")),
    ],
)
def test_paths_of_both_styles(text: str, context: Context, found: object) -> None:
    """Relative to the context, or with what they are about in front."""
    assert fact(path(text), context) == found


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_every_field_has_a_path(name: str) -> None:
    """In the context that it is called after, with that in front and without."""
    context = Context(name.partition(".")[0])
    assert fact(path(name), context) == fact(path(name.partition(".")[2]), context) == FieldOf(name)


@pytest.mark.parametrize(
    ("text", "context", "message"),
    [
        ("naem", Context.SPAN, '"naem" is not a path of the span context; did you mean "name"? (column 1)'),
        ("metric.name", Context.SPAN, 'the span context cannot see "metric" (column 1)'),
        ("span.name", Context.RESOURCE, 'the resource context cannot see "span" (column 1)'),
        ("resource", Context.SPAN, '"resource" needs the name of a field behind it (column 1)'),
        ("attributes", Context.SPAN, '"attributes" needs a key here: attributes["key"] (column 1)'),
        ("attributes[0]", Context.SPAN, "attributes are found by text, not by number (column 12)"),
        ('attributes["a"][-1]', Context.SPAN, "an index cannot be negative (column 17)"),
        ("attributes[name]", Context.SPAN, 'a key of "attributes" must be a text or an integer as it stands, for now'),
        ('name["a"]', Context.SPAN, '"name" cannot be indexed in a condition yet (column 6)'),
        ("start_time", Context.SPAN, 'use "start_time_unix_nano"'),
        ("events", Context.SPAN, '"events" is not supported in conditions yet (column 1)'),
        ('cache["a"]', Context.LOG, "conditions here have no cache (column 1)"),
    ],
)
def test_a_path_that_is_not_there_is_named(text: str, context: Context, message: str) -> None:
    """With what one may have meant, or what to write instead."""
    with pytest.raises(OttlError) as caught:
        fact(path(text), context)
    assert message in str(caught.value)


def test_enums_are_those_of_the_protocol() -> None:
    """By the official numbers."""
    from opentelemetry.proto.logs.v1 import logs_pb2
    from opentelemetry.proto.metrics.v1 import metrics_pb2
    from opentelemetry.proto.trace.v1 import trace_pb2

    official = [
        (Context.LOG, "", dict(logs_pb2.SeverityNumber.items())),
        (Context.SPAN, "", dict(trace_pb2.Span.SpanKind.items())),
        (Context.SPAN, "", dict(trace_pb2.Status.StatusCode.items())),
        (Context.METRIC, "", dict(metrics_pb2.AggregationTemporality.items())),
    ]
    for context, prefix, members in official:
        for name, number in members.items():
            assert enum_value(Enum(prefix + name, 1), context) == number
    assert enum_value(Enum("METRIC_DATA_TYPE_EXPONENTIAL_HISTOGRAM", 1), Context.DATAPOINT) == 4


def test_an_enum_of_another_context_is_not_known() -> None:
    """The nearest name is told."""
    with pytest.raises(OttlError, match='"SPAN_KIND_SERVER" is not known in the log context'):
        enum_value(Enum("SPAN_KIND_SERVER", 1), Context.LOG)
    with pytest.raises(OttlError, match='did you mean "SPAN_KIND_SERVER"'):
        enum_value(Enum("SPAN_KIND_SEVRER", 1), Context.SPAN)


@pytest.mark.parametrize(
    ("signal", "condition", "context"),
    [
        (Signal.TRACES, 'resource.attributes["a"] == 1', Context.RESOURCE),
        (Signal.TRACES, 'resource.attributes["a"] == 1 or span.name == nil', Context.SPAN),
        (Signal.TRACES, "span.name == nil and spanevent.name == nil", Context.SPANEVENT),
        (Signal.METRICS, "metric.name == nil or datapoint.count == 1", Context.DATAPOINT),
        (Signal.METRICS, 'metric.name == nil and HasAttrKeyOnDatapoint("a")', Context.METRIC),
        (Signal.METRICS, 'resource.attributes["a"] == 1 and HasAttrKeyOnDatapoint("a")', Context.METRIC),
        (Signal.METRICS, 'HasAttrOnDatapoint("a", "b")', Context.METRIC),
        (Signal.LOGS, 'resource.attributes["a"] == SEVERITY_NUMBER_INFO', Context.LOG),
        (Signal.LOGS, "instrumentation_scope.name == nil", Context.SCOPE),
        (Signal.TRACES, 'span.name == nil and [1, span.kind] == {"a": resource.attributes["b"]}', Context.SPAN),
    ],
)
def test_the_innermost_context_that_knows_all_is_guessed(signal: Signal, condition: str, context: Context) -> None:
    """From the paths, the functions and the enums of a condition together."""
    assert infer(parse_condition(condition), signal) is context


@pytest.mark.parametrize(
    ("signal", "text", "message"),
    [
        (Signal.TRACES, 'attributes["a"] == 1', "must begin with what it is about (spanevent, span, resource, scope)"),
        (Signal.LOGS, "span.name == nil", '"span.name" must begin with what it is about (log, resource, scope)'),
        (Signal.LOGS, "true", "no context of logs can be found for this"),
        (
            Signal.TRACES,
            "span.kind == SPAN_KIND_SEVRER",
            '"SPAN_KIND_SEVRER" is not known; did you mean "SPAN_KIND_SERVER"',
        ),
        (Signal.METRICS, 'datapoint.count == 1 and HasAttrKeyOnDatapoint("a")', "no context of metrics can be found"),
    ],
)
def test_where_nothing_can_be_guessed_the_error_says_so(signal: Signal, text: str, message: str) -> None:
    """And that the group may name it."""
    with pytest.raises(OttlError) as caught:
        infer(parse_condition(text), signal)
    assert message in str(caught.value)
