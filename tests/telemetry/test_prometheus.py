"""The Prometheus text format, read back by Prometheus' own parser for Python."""

import math

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sluiceway.telemetry.collection import Collection
from sluiceway.telemetry.metrics import Metrics, Scope
from sluiceway.telemetry.prometheus import Naming, exposition, metric_name

RESOURCE = {"service.name": "sluiceway", "team": 'a "quoted"\nback\\slash'}


def parsed(metrics: Metrics, naming: Naming | None = None):
    """The families that a scrape shows, by name."""
    collection = Collection(metrics, RESOURCE)
    text = exposition(collection.collect(), naming or Naming()).decode()
    collection.close()
    return {family.name: family for family in text_string_to_metric_families(text)}


@pytest.fixture
def metrics():
    """Metrics with one of each type."""
    made = Metrics()
    scope = Scope(made)
    scope.counter("otelcol_receiver_accepted_spans", lambda: 7, "{span}", "Spans.\nTaken.", receiver="otlp")
    scope.gauge("otelcol_exporter_queue_size", lambda: 2.5, "{batch}", exporter='od"d\n')
    scope.histogram("otelcol_wait", "s", "How long.", **{"otel.signal": "traces"}).record(0.02)
    return made


def test_names_are_the_collectors_by_default(metrics):
    """No `_total`, no units, no scope: what dashboards of the Collector look for."""
    families = parsed(metrics)
    (sample,) = families["otelcol_receiver_accepted_spans"].samples
    assert families["otelcol_receiver_accepted_spans"].type == "counter"
    assert families["otelcol_receiver_accepted_spans"].documentation == "Spans.\nTaken."
    assert (sample.labels, sample.value) == ({"receiver": "otlp"}, 7)
    text = exposition(Collection(metrics, RESOURCE).collect(), Naming()).decode()
    assert '\notelcol_receiver_accepted_spans{receiver="otlp"} 7\n' in text  # the parser adds `_total` by itself


def test_label_values_are_escaped(metrics):
    """Quotes, line ends and backslashes come back as they were."""
    families = parsed(metrics)
    assert families["otelcol_exporter_queue_size"].samples[0].labels == {"exporter": 'od"d\n'}
    assert families["target_info"].samples[0].labels == {"service_name": "sluiceway", "team": RESOURCE["team"]}


def test_histograms_are_cumulative(metrics):
    """Every bucket counts all below it, the last is all, and dots become underscores."""
    samples = parsed(metrics)["otelcol_wait"].samples
    buckets = {s.labels["le"]: s.value for s in samples if s.name == "otelcol_wait_bucket"}
    assert (buckets["0.01"], buckets["0.025"], buckets["+Inf"]) == (0, 1, 1)
    assert {s.name: s.value for s in samples if "le" not in s.labels} == {
        "otelcol_wait_sum": 0.02,
        "otelcol_wait_count": 1,
    }
    assert samples[0].labels["otel_signal"] == "traces"


def test_suffixes_units_and_scope_can_be_had(metrics):
    """The three booleans switched off give Prometheus' own conventions."""
    families = parsed(metrics, Naming(False, False, False, {"cluster.name": "eu"}))
    sample = families["otelcol_receiver_accepted_spans"].samples[0]
    assert sample.name == "otelcol_receiver_accepted_spans_total"
    assert sample.labels["otel_scope_name"] == "sluiceway"
    assert sample.labels["cluster_name"] == "eu"
    assert "otelcol_wait_seconds" in families


@pytest.mark.parametrize(
    ("name", "unit", "counter", "expected"),
    [
        ("otelcol.receiver.produced.items", "{item}", True, "otelcol_receiver_produced_items_total"),
        ("uptime_seconds", "s", False, "uptime_seconds"),
        ("usage", "1", False, "usage_ratio"),
        ("usage", "1", True, "usage_total"),
        ("sent_total", "By", True, "sent_bytes_total"),
    ],
)
def test_units_and_suffixes_stand_once(name, unit, counter, expected):
    """A unit that the name has already is not added, and `_total` comes last."""
    naming = Naming(without_units=False, without_type_suffix=False)
    assert metric_name(name, unit, counter=counter, naming=naming) == expected


def test_special_numbers_have_their_words():
    """Infinity and NaN are written as Prometheus reads them."""
    metrics = Metrics()
    Scope(metrics).gauge("size", lambda: 1)
    for name, value in (("up", math.inf), ("down", -math.inf), ("none", math.nan)):
        Scope(metrics).histogram(name).record(value)
    families = parsed(metrics)
    sums = {name: families[name].samples[-2].value for name in ("up", "down", "none")}
    assert (sums["up"], sums["down"]) == (math.inf, -math.inf)
    assert math.isnan(sums["none"])


def test_labels_that_become_equal_are_joined():
    """`a.b` and `a_b` are one label with both values, and a label never begins with a digit."""
    metrics = Metrics()
    Scope(metrics).gauge("size", lambda: 1, **{"a.b": "x", "a_b": "y", "1st": "z"})
    assert parsed(metrics)["size"].samples[0].labels == {"a_b": "x;y", "_1st": "z"}


def test_nothing_is_an_empty_page():
    """Before there is any metric there is no target either."""
    assert exposition(None, Naming()) == b""
