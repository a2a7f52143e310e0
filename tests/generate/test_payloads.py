"""Payloads: what is in them, and that each filling is new."""

import json
import random

import pytest

from sluiceway.generate.payloads import templates
from sluiceway.otlp import Signal, accept

NOW = 1_700_000_000_000_000_000


def filled(signal, items=20, number=7, **options):
    """One payload, as protobuf."""
    (template,) = templates(signal, items, distinct=1, **options)
    batch = accept(signal, template.fill(number, NOW, random.Random(1)))
    assert batch.items == items
    return batch.proto()


def test_traces_are_trees():
    """Spans of a trace share its id, parents exist, times are around the moment of sending, and ids are new."""
    (resource, *_) = filled(Signal.TRACES).resource_spans
    spans = resource.scope_spans[0].spans
    known = {span.span_id for span in spans}
    assert len(known) == 20
    assert len({span.trace_id for span in spans}) == 3
    assert all(span.parent_span_id in known for span in spans if span.parent_span_id)
    assert all(NOW - 500_000_000 <= span.start_time_unix_nano < span.end_time_unix_nano == NOW for span in spans)
    assert {len(span.attributes) for span in spans} == {10}


def test_metrics_have_points_of_both_kinds():
    """Counters and gauges by turns, with times around now."""
    metrics = filled(Signal.METRICS, 60).resource_metrics[0].scope_metrics[0].metrics
    assert [metric.WhichOneof("data") for metric in metrics] == ["sum", "gauge", "gauge"]
    assert {
        point.time_unix_nano for metric in metrics for point in getattr(metric, metric.WhichOneof("data")).data_points
    } == {NOW}


def test_logs_belong_to_traces():
    """Half of the records carry ids, all carry a body and both times."""
    records = filled(Signal.LOGS).resource_logs[0].scope_logs[0].log_records
    assert sum(bool(record.trace_id and record.span_id) for record in records) == 10
    assert all(record.body.string_value and record.time_unix_nano == NOW for record in records)


@pytest.mark.parametrize("signal", Signal)
def test_the_number_of_the_request_can_be_carried(signal):
    """With `sequence` the first item says which request it was in, in twelve digits."""
    (template,) = templates(signal, 3, distinct=1, sequence=True)
    assert template.fill(41, NOW, random.Random(1)).count(b"000000000041") == 1


def test_attributes_and_size_can_be_chosen():
    """As many attributes as asked for, and one with so many bytes of text."""
    span = filled(Signal.TRACES, 1, attributes=15, size=300).resource_spans[0].scope_spans[0].spans[0]
    assert len(span.attributes) == 16
    assert len(span.attributes[-1].value.string_value) == 300


@pytest.mark.parametrize("attributes", [0, 3])
def test_few_attributes(attributes):
    """Fewer than the known ones is fine."""
    assert (
        len(filled(Signal.LOGS, 1, attributes=attributes).resource_logs[0].scope_logs[0].log_records[0].attributes)
        == attributes
    )


def test_the_same_seed_makes_the_same_data():
    """And another makes other data."""
    first, again, other = (filled(Signal.LOGS, seed=seed).SerializeToString() for seed in (1, 1, 2))
    assert first == again != other


def test_each_filling_has_new_ids():
    """A template is used many times, and no span comes twice."""
    (template,) = templates(Signal.TRACES, 8, distinct=1)
    chance = random.Random(1)
    spans = [
        span.span_id
        for number in range(5)
        for span in accept(Signal.TRACES, template.fill(number, NOW + number * 10**9, chance))
        .proto()
        .resource_spans[0]
        .scope_spans[0]
        .spans
    ]
    assert len(set(spans)) == 40


def test_json_is_otlp_json():
    """Ids are hexadecimal, times are texts, enums are numbers."""
    (template,) = templates(Signal.TRACES, 2, distinct=1, encoding="json", sequence=True)
    (span, _) = json.loads(template.fill(5, NOW, random.Random(1)))["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert len(bytes.fromhex(span["traceId"])) == 16
    assert len(bytes.fromhex(span["spanId"])) == 8
    assert span["endTimeUnixNano"] == str(NOW)
    assert isinstance(span["kind"], int)
    assert span["attributes"][0]["value"]["stringValue"] == "000000000005"
