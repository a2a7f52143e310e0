"""`filter`: every form of its settings, what goes with what is dropped, and that the ledger knows."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from sluiceway.component import Reason
from sluiceway.config.decode import decode
from sluiceway.config.parse import parse
from sluiceway.errors import ConfigError, PermanentError, RefusedError
from sluiceway.otlp import Batch, Signal, join
from sluiceway.pipelines.edits import Edits, group_editors
from sluiceway.processors import attributes, probabilistic_sampler, tenant
from sluiceway.processors.filter import COMPONENT, FilterConfig
from tests.processors.samples import Bench, edit, logs, pairs, problems, span_names, spans

EVERY = frozenset(Signal)


def traces() -> Batch:
    """Two resources with two spans each, of which one has two events."""
    data = TracesData()
    for service in ("shop", "stock"):
        entry = data.resource_spans.add()
        entry.resource.attributes.extend(pairs({"service.name": service}))
        scope = entry.scope_spans.add()
        for number in (1, 2):
            span = scope.spans.add(name=f"{service}-{number}", kind=number)
            span.attributes.extend(pairs({"n": number}))
        span.events.add(name="exception")
        span.events.add(name="retry").attributes.extend(pairs({"n": 1}))
    return Batch.from_proto(data)


def metrics() -> Batch:
    """Three metrics of two points each, from one resource, and one of another."""
    data = MetricsData()
    for service, names in (("shop", ("a.load", "a.size", "b.load")), ("stock", ("a.load",))):
        entry = data.resource_metrics.add()
        entry.resource.attributes.extend(pairs({"service.name": service}))
        scope = entry.scope_metrics.add()
        for name in names:
            metric = scope.metrics.add(name=name)
            for number in (1, 2):
                point = metric.sum.data_points.add(as_int=number)
                point.attributes.extend(pairs({"n": str(number)}))
    return Batch.from_proto(data)


def records() -> Batch:
    """Four log records of rising severity, the first without one."""
    data = LogsData()
    entry = data.resource_logs.add()
    entry.resource.attributes.extend(pairs({"service.name": "shop"}))
    scope = entry.scope_logs.add()
    for number, severity in enumerate((0, 5, 9, 17)):
        record = scope.log_records.add(severity_number=severity, severity_text=f"S{severity}")
        record.body.string_value = f"body {number}"
        record.attributes.extend(pairs({"n": number}))
    return Batch.from_proto(data)


def left(settings: str, batch: Batch) -> list[str]:
    """The names or bodies of what is left of a batch; of metrics the values of the points."""
    found: list[str] = []
    data: Any = edit(Bench(signals=EVERY).make(COMPONENT, settings), batch).proto()  # type: ignore[union-attr]  # never None
    for entry in getattr(data, data.DESCRIPTOR.fields[0].name):
        for scope in getattr(entry, entry.DESCRIPTOR.fields_by_number[2].name):
            for item in getattr(scope, scope.DESCRIPTOR.fields_by_number[2].name):
                match batch.signal:
                    case Signal.TRACES:
                        found.append("+".join([item.name, *(event.name for event in item.events)]))
                    case Signal.LOGS:
                        found.append(item.body.string_value.removeprefix("body "))
                    case Signal.METRICS:
                        found += [f"{item.name}={point.as_int}" for point in item.sum.data_points]
    return found


SHOP = ["shop-1", "shop-2+exception+retry"]
OF_STOCK = "{key: service.name, value: stock}"
STOCK = ["stock-1", "stock-2+exception+retry"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("trace_conditions: ['span.attributes[\"n\"] == 1']", [SHOP[1], STOCK[1]]),
        ('trace_conditions: [\'resource.attributes["service.name"] == "shop"\']', STOCK),
        (
            "trace_conditions: ['spanevent.name == \"retry\" and span.kind == 2']",
            ["shop-1", "shop-2+exception", "stock-1", "stock-2+exception"],
        ),
        (
            "trace_conditions: [{context: span, conditions: ['name == \"shop-1\"', 'kind == SPAN_KIND_SERVER']}]",
            ["stock-1"],
        ),
        (
            'traces: {resource: [\'attributes["service.name"] == "shop"\'], span: [\'attributes["n"] > 1\']}',
            ["stock-1"],
        ),
        ("traces: {spanevent: ['true']}", ["shop-1", "shop-2", "stock-1", "stock-2"]),
        ("spans: {include: {match_type: strict, services: [shop]}}", SHOP),
        (
            "spans: {include: {match_type: regexp, span_names: ['1$']}, exclude: {match_type: regexp, services: [st]}}",
            ["shop-1"],
        ),
        ("{}", [*SHOP, *STOCK]),
    ],
)
def test_the_forms_for_traces(settings: str, expected: list[str]) -> None:
    """What a condition holds for goes; `include` keeps only what it matches, and `exclude` comes after it."""
    assert left(settings, traces()) == expected


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("metric_conditions: ['metric.name == \"a.load\"']", ["a.size=1", "a.size=2", "b.load=1", "b.load=2"]),
        (
            'metric_conditions: [\'datapoint.attributes["n"] == "1" or metric.name == "a.load"\']',
            ["a.size=2", "b.load=2"],
        ),
        ('metric_conditions: [{context: metric, conditions: [\'HasAttrOnDatapoint("n", "1")\']}]', []),
        ("metrics: {metric: ['IsMatch(name, \"^a\")'], datapoint: ['value_int > 1']}", ["b.load=1"]),
        ("metrics: {include: {match_type: strict, metric_names: [a.load]}}", ["a.load=1", "a.load=2"] * 2),
        ("metrics: {exclude: {match_type: regexp, metric_names: ['load$', x]}}", ["a.size=1", "a.size=2"]),
        (
            "metrics: {include: {match_type: strict, metric_names: [a.load], resource_attributes: [" + OF_STOCK + "]}}",
            ["a.load=1", "a.load=2"],
        ),
        (
            "metrics: {exclude: {match_type: strict, metric_names: [b.load], resource_attributes: [" + OF_STOCK + "]}}",
            ["a.load=1", "a.load=2", "a.size=1", "a.size=2"],
        ),
    ],
)
def test_the_forms_for_metrics(settings: str, expected: list[str]) -> None:
    """Resource attributes of the oldest form choose whole resources, whatever the names say, as in the Collector."""
    assert left(settings, metrics()) == expected


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("log_conditions: ['log.severity_number < SEVERITY_NUMBER_INFO']", ["2", "3"]),
        ("log_conditions: ['log.severity_number == 0', 'IsMatch(log.body, \"3$\")']", ["1", "2"]),
        ("logs: {log_record: ['attributes[\"n\"] == 1'], resource: ['attributes[\"x\"] != nil']}", ["0", "2", "3"]),
        ("logs: {include: {match_type: strict, severity_number: {min: INFO}}}", ["2", "3"]),
        ("logs: {include: {match_type: strict, severity_number: {min: INFO, match_undefined: true}}}", ["0", "2", "3"]),
        ("logs: {exclude: {match_type: strict, bodies: [body 1, body 2]}}", ["0", "3"]),
        ("logs: {exclude: {match_type: regexp, severity_texts: ['^S[05]$']}}", ["2", "3"]),
        ("logs: {include: {match_type: strict, record_attributes: [{key: n, value: 2}]}}", ["2"]),
        ("logs: {include: {match_type: strict, resource_attributes: [" + OF_STOCK + "]}}", []),
        ("logs: {include: {match_type: strict}}", ["0", "1", "2", "3"]),
    ],
)
def test_the_forms_for_logs(settings: str, expected: list[str]) -> None:
    """A lowest severity, bodies and attributes; a form that says nothing does nothing."""
    assert left(settings, records()) == expected


def test_what_is_empty_then_goes_as_well() -> None:
    """A metric without points, a scope without metrics and a resource without scopes; a span stays."""
    editor = Bench(signals=EVERY).make(COMPONENT, "metrics: {datapoint: ['metric.name == \"a.load\"']}")
    data: Any = edit(editor, metrics()).proto()  # type: ignore[union-attr]  # never None
    assert [len(entry.scope_metrics[0].metrics) for entry in data.resource_metrics] == [2]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            "trace_conditions: ['span.naem == 1']",
            'condition "span.naem == 1": "naem" is not a path of the span context',
        ),
        (
            "trace_conditions: ['name == 1']",
            '"name" must begin with what it is about (spanevent, span, resource, scope)',
        ),
        ("traces: {span: ['a ==']}", 'condition "a ==": expected a value, found the end (column 5)'),
        ("logs: {log_record: ['Len(body) > 5']}", 'the function "Len" is not supported in conditions yet (column 1)'),
        ("log_conditions: [{context: span, conditions: ['true']}]", 'unknown context "span" for logs'),
        ("log_conditions: ['log.body == 1', {conditions: ['true']}]", "configuring multiple configuration styles"),
        (
            "{traces: {span: ['true']}, spans: {include: {match_type: strict, services: [a]}}}",
            'cannot use "traces.resource", "traces.span", "traces.spanevent" and the settings "spans.include"',
        ),
        ("metrics: {metric: ['true'], include: {match_type: strict, metric_names: [a]}}", "at the same time"),
        (
            "{log_conditions: ['log.body == 1'], logs: {log_record: ['true']}}",
            'cannot use context inferred log conditions "log_conditions" and the settings',
        ),
        ("metrics: {include: {match_type: expr, expressions: ['true']}}", "match_type expr is not supported"),
        ("metrics: {include: {match_type: regexp, metric_names: ['(']}}", 'invalid pattern "("'),
        ("logs: {include: {match_type: regexp, record_attributes: [{key: a, value: 1}]}}", "must be a text"),
        ("error_mode: explode", "Input should be 'ignore', 'silent' or 'propagate'"),
    ],
)
def test_a_wrong_setting_is_named(settings: str, message: str) -> None:
    """With the condition, the column, and what to do instead."""
    assert message in problems(COMPONENT, settings)


def test_all_mistakes_are_told_at_once_where_they_stand() -> None:
    """Not only the first, and in every form."""
    text = """
        trace_conditions: [a, b]
        metric_conditions: [{conditions: [c]}, {context: nowhere}]
        logs: {log_record: [d, e]}
    """
    with pytest.raises(ConfigError) as caught:
        decode(FilterConfig, parse(text, "f"))
    places = [(problem.path, problem.line) for problem in caught.value.problems]
    assert places == [
        ("trace_conditions::0", 2), ("trace_conditions::1", 2), ("metric_conditions::0::conditions::0", 3),
        ("metric_conditions::1::context", 3), ("logs::log_record::0", 4), ("logs::log_record::1", 4),
    ]  # fmt: skip


async def test_drops_are_counted_when_the_rest_is_safe() -> None:
    """Not when the next component refuses, and then not twice."""
    bench = Bench()
    edits = Edits([bench.make(COMPONENT, "trace_conditions: ['span.kind == 1']")], bench.sink)
    bench.sink.error = RefusedError("full")
    with pytest.raises(RefusedError):
        await edits.consume(traces())
    assert bench.drops == []
    bench.sink.error = None
    await edits.consume(traces())
    assert bench.drops == [(2, Reason.FILTERED, True)]
    assert span_names(bench.sink.batches) == [["shop-2", "stock-2"]]
    assert bench.sink.batches[0].items == 2
    assert bench.metrics.read("otelcol_processor_filter_spans.filtered", filter="under_test") == 2


async def test_an_empty_batch_goes_no_further() -> None:
    """And what it held is accounted for."""
    bench = Bench()
    await Edits([bench.make(COMPONENT, "trace_conditions: ['span.name != nil']")], bench.sink).consume(traces())
    assert (bench.sink.batches, bench.drops) == ([], [(4, Reason.FILTERED, True)])


async def test_neighbours_in_one_walk_account_for_what_each_dropped() -> None:
    """A filter behind `attributes` sees what that has set; a later filter sees only what is left."""
    bench = Bench()
    editors = [
        bench.make(COMPONENT, "trace_conditions: ['span.name == \"shop-1\"']"),
        bench.make(attributes.COMPONENT, "actions: [{key: n, value: 7, action: update}]"),
        bench.make(COMPONENT, 'traces: {resource: [\'attributes["service.name"] == "shop"\']}'),
        bench.make(COMPONENT, "trace_conditions: ['span.attributes[\"n\"] == 7 and span.kind == 2']"),
        bench.make(probabilistic_sampler.COMPONENT, "sampling_percentage: 0"),
    ]
    assert len(group_editors(editors)) == 1
    await Edits(editors, bench.sink).consume(traces())
    assert [items for items, _, _ in bench.drops] == [1, 1, 1, 1]
    assert bench.drops[-1] == (1, Reason.SAMPLED, True)


def test_an_editor_that_counts_items_begins_a_walk_behind_one_that_drops() -> None:
    """It would count what is gone; one that does not count joins."""
    bench = Bench()
    dropping = bench.make(COMPONENT, "trace_conditions: ['span.kind == 1']")
    counting = bench.make(tenant.COMPONENT, "from: [subject]\ndefault: a")
    plain = bench.make(attributes.COMPONENT, "actions: [{key: n, action: delete}]")
    assert group_editors([dropping, plain, counting]) == [[dropping, plain], [counting]]
    assert group_editors([counting, dropping, plain]) == [[counting, dropping, plain]]


FAILING = 'trace_conditions: [\'HasPrefix(span.attributes["n"], "1")\', \'span.name == "shop-2"\']'


@pytest.mark.parametrize(("mode", "lines"), [("ignore", 1), ("silent", 0)])
def test_a_condition_that_fails_does_not_hold(mode: str, lines: int, caplog: pytest.LogCaptureFixture) -> None:
    """The others are still looked at; `ignore` tells once a minute, `silent` never; both count."""
    bench = Bench()
    editor = bench.make(COMPONENT, f"error_mode: {mode}\n{FAILING}")
    for _ in range(2):
        edited = edit(editor, traces())
    assert edited is not None
    assert edited.items == 3
    assert len(caplog.records) == lines
    assert bench.metrics.read("sluiceway_filter_condition_failures") == 6


async def test_with_propagate_a_failure_refuses_the_whole_batch() -> None:
    """For good, with the condition in the error; a group may have a mode of its own."""
    bench = Bench()
    edits = Edits([bench.make(COMPONENT, f"error_mode: propagate\n{FAILING}")], bench.sink)
    with pytest.raises(PermanentError, match="HasPrefix"):
        await edits.consume(traces())
    assert (bench.drops, bench.sink.batches) == ([], [])
    group = 'trace_conditions: [{error_mode: ignore, conditions: [\'HasPrefix(span.attributes["n"], "1")\']}]'
    await Edits([bench.make(COMPONENT, f"error_mode: propagate\n{group}")], bench.sink).consume(traces())
    assert bench.sink.batches[0].items == 4


def test_each_condition_of_a_list_may_be_about_something_else() -> None:
    """What it is about is told by its own paths; higher levels are looked at first."""
    conditions = """
        - IsMatch(spanevent.name, "^ret")
        - span.name == "shop-1"
        - resource.attributes["service.name"] == "stock"
    """
    edited = edit(Bench().make(COMPONENT, f"trace_conditions: {conditions}"), traces())
    assert edited is not None
    (resource,) = edited.proto().resource_spans
    (span,) = resource.scope_spans[0].spans
    assert (span.name, [event.name for event in span.events]) == ("shop-2", ["exception"])


async def test_ten_thousand_rules_do_not_stall_the_loop() -> None:
    """They ask for equality of as many attributes, and cost little more than those that apply."""
    conditions = [f'span.attributes["k{n}"] == "v{n}"' for n in range(10_000)]
    bench = Bench()
    edits = Edits([COMPONENT.create(FilterConfig(trace_conditions=conditions), bench.context, None)], bench.sink)
    batch = spans(512, k5="v6", b="x")
    before = time.process_time()
    await edits.consume(batch)
    assert time.process_time() - before < 0.1
    assert bench.sink.items == 512
    await edits.consume(spans(2, k77="v77"))
    assert bench.drops == [(2, Reason.FILTERED, True)]


@pytest.mark.parametrize("rule", ['IsMatch(span.attributes["b"], "^x.*{}$")', 'HasPrefix(span.attributes["b"], "y{}")'])
async def test_rules_that_take_long_are_tried_beside_the_loop(rule: str) -> None:
    """They begin on the loop and are left to a thread after some milliseconds, with the same outcome."""
    config = FilterConfig(trace_conditions=[rule.format(number) for number in range(3000)])
    bench = Bench()
    edits = Edits([COMPONENT.create(config, bench.context, None)], bench.sink)
    for batch, is_long in (spans(2, b="ya"), False), (join([spans(512, b="y"), spans(3, b="x y2999"), spans(1)]), True):
        editing = asyncio.create_task(edits.consume(batch))
        await asyncio.sleep(0)
        assert editing.done() is not is_long
        await editing
    assert bench.sink.items == 2 + 512 + 3 * ("HasPrefix" in rule) + 1


async def test_a_hostile_text_costs_no_more_than_its_length() -> None:
    """A mebibyte that a backtracking matcher would not end with, and the loop goes on soon."""
    bench = Bench(signals=EVERY)
    condition = 'IsMatch(log.body, "(a+)+$") or IsMatch(log.body, "^(a|a)*b") or log.body == "x"'
    edits = Edits([bench.make(COMPONENT, f"log_conditions: ['{condition}']")], bench.sink)
    before = time.monotonic()
    await asyncio.gather(edits.consume(logs("a" * 2**20 + "!")), asyncio.sleep(0))
    assert time.monotonic() - before < 1
    assert bench.sink.items == 1
