"""What may stand in the settings."""

from __future__ import annotations

import pytest

from sluiceway.errors import ConfigError
from sluiceway.receivers.kafka.librdkafka import properties
from tests.receivers.kafka.bench import settings


@pytest.mark.parametrize(
    ("yaml", "text"),
    [
        ("traces: {encoding: zipkin_json}", "traces are read as otlp_proto or otlp_json"),
        ("metrics: {encoding: text}", "metrics are read as otlp_proto or otlp_json"),
        ("logs: {encoding: avro}", "logs are read as otlp_proto, otlp_json, text, raw, json or text_<CHARSET>"),
        ("logs: {encoding: text_klingon}", "no such charset is known"),
        ("logs: {encoding: text_base64}", "no such charset is known"),
        ("logs: {topics: []}", "at least one topic is needed"),
        ("logs: {topics: ['a b']}", "cannot be the name of a topic"),
        ("logs: {topics: ['^(']}", "missing )"),
        ("logs: {topics: ['^a'], exclude_topics: ['(']}", "missing )"),
        ("logs: {topics: [a], exclude_topics: [b]}", "needs a pattern in topics"),
        ("{logs: {topics: [a]}, traces: {topics: [a]}}", "a topic holds one signal, and a is named for several"),
        ("group_rebalance_strategies: [sticky]", "use one of range, roundrobin, cooperative-sticky"),
        ("group_rebalance_strategies: [range, cooperative-sticky]", "cannot stand beside others"),
        ("{group_rebalance_strategy: range, group_rebalance_strategies: [range]}", "cannot both be given"),
        ("{session_timeout: 3s, heartbeat_interval: 3s}", "must be shorter than session_timeout"),
        ("{min_fetch_size: 5, max_fetch_size: 4}", "cannot be less than min_fetch_size"),
        ("initial_offset: newest", "latest"),
        ("message_marking: {befor: true}", "befor"),
    ],
)
def test_mistakes(yaml: str, text: str) -> None:
    """A mistake is named, with what may stand there instead."""
    with pytest.raises(ConfigError) as caught:
        settings(yaml)
    assert text in str(caught.value)


def test_properties() -> None:
    """Settings reach librdkafka under its names."""
    found = properties(
        settings("""
            group_id: g
            group_instance_id: i
            group_rebalance_strategy: range
            initial_offset: earliest
            session_timeout: 20s
            heartbeat_interval: 2s
            min_fetch_size: 10
            max_fetch_size: 200000000
            max_fetch_wait: 500ms
            max_partition_fetch_size: 30
            autocommit: {enable: true, interval: 3s}
        """)
    )
    expected = {
        "group.id": "g",
        "group.instance.id": "i",
        "partition.assignment.strategy": "range",
        "auto.offset.reset": "earliest",
        "session.timeout.ms": 20_000,
        "heartbeat.interval.ms": 2_000,
        "fetch.min.bytes": 10,
        "fetch.max.bytes": 200_000_000,
        "fetch.wait.max.ms": 500,
        "max.partition.fetch.bytes": 30,
        "auto.commit.interval.ms": 3_000,
        "enable.auto.commit": True,
        "enable.auto.offset.store": False,
    }
    assert {key: found[key] for key in expected} == expected
    assert found["receive.message.max.bytes"] > 200_000_000  # type: ignore[operator]  # it is a number
