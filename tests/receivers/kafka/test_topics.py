"""Which topics are read."""

from __future__ import annotations

from sluiceway.component import ALL_SIGNALS
from sluiceway.otlp import Signal
from sluiceway.receivers.kafka.topics import Topics
from tests.receivers.kafka.bench import settings


def chosen(yaml: str, *names: str, signals: frozenset[Signal] = ALL_SIGNALS) -> dict[str, Signal]:
    """What is read of some topics."""
    return Topics(settings(yaml), signals).choose(names)


def test_defaults() -> None:
    """Each signal has a topic, which is read whether it is there or not; those nobody wants are not."""
    assert chosen("{}") == {"otlp_spans": Signal.TRACES, "otlp_metrics": Signal.METRICS, "otlp_logs": Signal.LOGS}
    assert chosen("{}", signals=frozenset({Signal.LOGS})) == {"otlp_logs": Signal.LOGS}


def test_patterns() -> None:
    """A pattern chooses names that it matches at their beginning; excluded patterns match anywhere."""
    yaml = "logs: {topics: ['^app-', one], exclude_topics: [test]}"
    logs = frozenset({Signal.LOGS})
    found = chosen(yaml, "app-a", "my-app-a", "app-tested", "one", "two", signals=logs)
    assert found == {"app-a": Signal.LOGS, "one": Signal.LOGS}


def test_internal_topics() -> None:
    """Kafka's own topics are read only where a pattern says so."""
    logs = frozenset({Signal.LOGS})
    assert "__consumer_offsets" not in chosen("logs: {topics: ['^.*']}", "__consumer_offsets", signals=logs)
    assert "__consumer_offsets" in chosen("logs: {topics: ['^__c']}", "__consumer_offsets", signals=logs)


def test_a_name_comes_before_a_pattern() -> None:
    """A topic that one signal names is not taken by another's pattern; of patterns the first signal's counts."""
    yaml = "{traces: {topics: ['^a']}, metrics: {topics: ['^ab']}, logs: {topics: [abc]}}"
    found = chosen(yaml, "abc", "abd")
    assert found == {"abc": Signal.LOGS, "abd": Signal.TRACES}
