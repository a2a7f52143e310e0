"""Names of metrics and labels for Prometheus."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.prometheus.naming import Kind, Strategy, is_legacy, label_name, metric_name, unit_words, without_utf8

S = Strategy


@pytest.mark.parametrize(("name", "unit", "kind", "monotonic", "expected"), [
    ("http.server.duration", "ms", Kind.HISTOGRAM, False, "http_server_duration_milliseconds"),
    ("http.server.duration", "s", Kind.EXPONENTIAL_HISTOGRAM, False, "http_server_duration_seconds"),
    ("system.filesystem.usage", "By", Kind.SUM, False, "system_filesystem_usage_bytes"),
    ("system.filesystem.usage.bytes", "By", Kind.SUM, False, "system_filesystem_usage_bytes"),
    ("system.network.io", "By", Kind.SUM, True, "system_network_io_bytes_total"),
    ("requests.total", "", Kind.SUM, True, "requests_total"),
    ("total.requests", "", Kind.SUM, True, "requests_total"),
    ("total", "", Kind.SUM, True, "total"),
    ("queue.total", "", Kind.SUM, False, "queue_total"),
    ("system.network.dropped", "{packets}", Kind.SUM, True, "system_network_dropped_total"),
    ("system.network.dropped", "packets", Kind.SUM, True, "system_network_dropped_packets_total"),
    ("system.memory.utilization", "1", Kind.GAUGE, False, "system_memory_utilization_ratio"),
    ("system.memory.ratio", "1", Kind.GAUGE, False, "system_memory_ratio"),
    ("system.cpu.count", "1", Kind.SUM, False, "system_cpu_count"),
    ("requests", "1", Kind.SUM, True, "requests_total"),
    ("disk.speed", "By/s", Kind.GAUGE, False, "disk_speed_bytes_per_second"),
    ("disk.speed", "{ops}/s", Kind.GAUGE, False, "disk_speed_per_second"),
    ("disk.speed", "By/{op}", Kind.GAUGE, False, "disk_speed_bytes"),
    ("pace", "km/fortnight", Kind.GAUGE, False, "pace_km_per_fortnight"),
    ("load", "%", Kind.GAUGE, False, "load_percent"),
    ("odd", "a-b  c", Kind.GAUGE, False, "odd_a_b_c"),
    ("(lambda).function.executions(#)", "", Kind.GAUGE, False, "lambda_function_executions"),
    ("5xx", "", Kind.GAUGE, False, "_5xx"),
    ("job:rate5m", "", Kind.GAUGE, False, "job:rate5m"),
    ("température", "Cel", Kind.GAUGE, False, "temp_rature_celsius"),
    ("日本", "", Kind.GAUGE, False, ""),
    ("", "s", Kind.SUM, True, ""),
])  # fmt: skip
def test_names_are_escaped_and_say_unit_and_type(
    name: str, unit: str, kind: Kind, monotonic: bool, expected: str
) -> None:
    """By default a name has neither dots nor other odd characters, and ends with its unit and its type."""
    assert metric_name(name, unit, kind, monotonic, S.UNDERSCORES_SUFFIXES) == expected


@pytest.mark.parametrize(("strategy", "expected"), [
    (S.UNDERSCORES_SUFFIXES, "my_app_http_request_duration_seconds_total"),
    (S.UNDERSCORES, "my_app_http_request_duration"),
    (S.UTF8_SUFFIXES, "my app_http.request.duration_seconds_total"),
    (S.UTF8, "my app_http.request.duration"),
])  # fmt: skip
def test_each_strategy(strategy: Strategy, expected: str) -> None:
    """A strategy says whether names are escaped and whether they get suffixes; the namespace stands in front."""
    assert metric_name("http.request.duration", "s", Kind.SUM, True, strategy, "my app") == expected


@pytest.mark.parametrize(("name", "unit", "kind", "expected"), [
    ("a.b.total", "By", Kind.SUM, "a.b_bytes_total"),
    ("a.b.bytes.total", "By", Kind.SUM, "a.b.bytes_total"),
    ("io.per_second", "By/s", Kind.GAUGE, "io_bytes_per_second"),
    ("use.ratio", "1", Kind.GAUGE, "use_ratio"),
    ("日本", "s", Kind.GAUGE, "日本_seconds"),
    ("total", "", Kind.SUM, "total_total"),
])  # fmt: skip
def test_a_suffix_is_not_repeated_without_escaping(name: str, unit: str, kind: Kind, expected: str) -> None:
    """What a name ends with already is put in order rather than added again."""
    assert metric_name(name, unit, kind, True, S.UTF8_SUFFIXES) == expected


@pytest.mark.parametrize(("key", "expected"), [
    ("http.method", "http_method"), ("a..b__c", "a_b_c"), ("5xx", "key_5xx"), ("_hidden", "key_hidden"),
    ("__name__", "key_name_"), ("日本", ""), ("", ""), ("é.x", "key_x"), ("plain", "plain"), ("a:b", "a_b"),
])  # fmt: skip
def test_labels_are_escaped(key: str, expected: str) -> None:
    """A label has only ASCII letters, digits and single underscores, and begins with a letter."""
    assert label_name(key, S.UNDERSCORES) == expected


def test_labels_stay_without_escaping() -> None:
    """Without escaping a label is the attribute's key, but none is one of Prometheus' own."""
    assert label_name("http.method", S.UTF8) == "http.method"
    assert label_name("__name__", S.UTF8_SUFFIXES) == "key__name__"


@pytest.mark.parametrize(("unit", "expected"), [
    ("s", ("seconds", "")), ("By/s", ("bytes", "per_second")), ("{x}", ("", "")), ("1", ("", "")), ("", ("", "")),
    ("/s", ("", "per_second")), ("m/m", ("meters", "per_minute")), (" ms ", ("milliseconds", "")),
    ("__x__", ("x", "")), ("a/b/c", ("a", "per_b_c")),
])  # fmt: skip
def test_units_become_words(unit: str, expected: tuple[str, str]) -> None:
    """A unit that is known becomes a word, one that is not stays, and one in braces is none."""
    assert unit_words(unit) == expected


def test_names_for_scrapers_without_utf8() -> None:
    """For a scraper that does not take UTF-8 each odd character becomes an underscore."""
    assert without_utf8("http.duration:rate") == "http_duration:rate"
    assert without_utf8("5xx") == "_xx"
    assert without_utf8("a:b.c", label=True) == "a_b_c"
    assert without_utf8("plain") == "plain"


@given(st.text(max_size=20), st.text(max_size=8), st.sampled_from(Kind), st.booleans(), st.text(max_size=5))
def test_escaped_names_are_always_valid(name: str, unit: str, kind: Kind, monotonic: bool, namespace: str) -> None:
    """Whatever the metric is called, Prometheus takes the name."""
    for strategy in (S.UNDERSCORES_SUFFIXES, S.UNDERSCORES):
        built = metric_name(name, unit, kind, monotonic, strategy, namespace)
        assert not built or is_legacy(built)


@given(st.text(max_size=20))
def test_escaped_labels_are_always_valid(key: str) -> None:
    """Whatever the attribute is called, Prometheus takes the label, and it is none of its own."""
    built = label_name(key, S.UNDERSCORES_SUFFIXES)
    assert not built or re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_]*", built)
    assert is_legacy(without_utf8(key, label=True), label=True) or not key
