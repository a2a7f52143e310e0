"""Own metrics: read when somebody looks, summed, frozen and bounded."""

import logging

import pytest

from sluiceway.telemetry.metrics import MAX_SERIES, Distribution, Level, Metrics, Scope, level_of


def test_a_counter_is_read_when_somebody_looks():
    """Counting is an addition in the component; the metric follows it."""
    metrics, counts = Metrics(), {"spans": 1}
    Scope(metrics).counter("taken", lambda: counts["spans"], receiver="otlp")
    counts["spans"] += 4
    assert metrics.read("taken") == 5


def test_equal_series_are_summed():
    """Two components may count into one series, and series with other attributes stay apart."""
    metrics = Metrics()
    for value, name in ((1, "a"), (2, "a"), (4, "b")):
        Scope(metrics).counter("taken", lambda value=value: value, receiver=name)
    assert metrics.read("taken", receiver="a") == 3
    assert metrics.read("taken") == 7


def test_a_counter_never_goes_back_when_its_component_is_replaced():
    """After close the last value stays, and the successor's is added to it."""
    metrics = Metrics()
    first, second = Scope(metrics), Scope(metrics)
    first.counter("taken", lambda: 10)
    first.close()
    first.close()
    second.counter("taken", lambda: 1)
    assert metrics.read("taken") == 11


def test_a_gauge_vanishes_with_its_component():
    """What is gone has no size."""
    metrics = Metrics()
    scope = Scope(metrics)
    scope.gauge("size", lambda: 3)
    scope.close()
    (family,) = metrics.families()
    assert list(family.values()) == []


def test_one_name_has_one_type():
    """A gauge cannot be a counter as well."""
    scope = Scope()
    scope.counter("taken", lambda: 1)
    with pytest.raises(ValueError, match="taken is a counter, not a gauge"):
        scope.gauge("taken", lambda: 1)


def test_series_are_bounded():
    """What comes after the limit is summed into one series that says so."""
    metrics = Metrics()
    scope = Scope(metrics)
    for number in range(MAX_SERIES + 10):
        scope.counter("taken", lambda: 1, tenant=str(number))
    (family,) = metrics.families()
    assert len(family.series) == MAX_SERIES
    assert metrics.read("taken", **{"otel.metric.overflow": "true"}) == 11
    assert metrics.read("taken") == MAX_SERIES + 10


def test_a_broken_reading_hides_no_other(caplog):
    """One series that cannot be read is left out and logged."""
    metrics = Metrics()
    scope = Scope(metrics)
    scope.gauge("size", lambda: 1 // 0, queue="broken")
    scope.gauge("size", lambda: 2, queue="sound")
    with caplog.at_level(logging.ERROR):
        assert metrics.read("size") == 2
    assert "Reading own metric failed" in caplog.text


def test_a_value_on_a_bound_counts_below_it():
    """Buckets include their upper bound, as Prometheus has it."""
    distribution = Distribution((1, 10))
    for value in (1, 2, 10, 11):
        distribution.record(value)
    assert distribution.buckets == [1, 2, 1]
    assert (distribution.count, distribution.total, distribution.lowest, distribution.highest) == (4, 24, 1, 11)


def test_two_scopes_share_a_histogram():
    """A histogram outlives its component, like a counter."""
    metrics = Metrics()
    Scope(metrics).histogram("duration", "s").record(0.1)
    Scope(metrics).histogram("duration", "s").record(0.2)
    ((_, distribution),) = metrics.families()[0].distributions()
    assert distribution.count == 2
    assert distribution.bounds[0] == 0.005


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("otelcol_receiver_accepted_spans", Level.BASIC),
        ("otelcol_processor_batch_timeout_trigger_send", Level.NORMAL),
        ("otelcol_processor_batch_batch_send_size_bytes", Level.DETAILED),
    ],
)
def test_levels_are_the_collectors(name, level):
    """A metric is shown from its level on."""
    assert level_of(name) is level
    metrics = Metrics()
    Scope(metrics).counter(name, lambda: 1)
    shown = []
    for metrics.level in Level:
        shown.append(bool(metrics.families()))
    assert shown == [chosen >= level for chosen in Level]


def test_a_histogram_that_is_not_shown_costs_nothing():
    """Below its level nothing is kept of what is recorded."""
    metrics = Metrics(Level.NORMAL)
    scope = Scope(metrics)
    scope.histogram("otelcol_processor_batch_batch_send_size_bytes", "By").record(1)
    assert not scope.detailed
    assert metrics.read("otelcol_processor_batch_batch_send_size_bytes") == 0
    metrics.level = Level.DETAILED
    assert metrics.families() == []
