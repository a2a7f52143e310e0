"""The settings of the exporter."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from sluiceway.exporters.kafka import KafkaExporterConfig
from sluiceway.otlp import Signal


def problem(**settings: object) -> str:
    """What is wrong with these settings, and where."""
    with pytest.raises(ValidationError) as caught:
        KafkaExporterConfig.model_validate(settings)
    return "; ".join(f"{'::'.join(map(str, error['loc']))}: {error['msg']}" for error in caught.value.errors())


def of(**settings: object) -> KafkaExporterConfig:
    """The settings."""
    return KafkaExporterConfig.model_validate(settings)


def test_without_settings_topics_and_encodings_are_the_collectors() -> None:
    """A file that names nothing but brokers runs."""
    found = {signal: (of().of(signal).topic, of().of(signal).encoding) for signal in Signal}
    assert found == {
        Signal.TRACES: ("otlp_spans", "otlp_proto"),
        Signal.METRICS: ("otlp_metrics", "otlp_proto"),
        Signal.LOGS: ("otlp_logs", "otlp_proto"),
    }


def test_what_is_deprecated_gives_way_to_what_is_newer() -> None:
    """`topic` and `encoding` count where a signal says nothing of its own, its defaults notwithstanding."""
    config = of(topic="old", encoding="otlp_json", traces={"topic": "new"}, logs={"encoding": "raw"})
    found = {signal: (config.of(signal).topic, config.of(signal).encoding) for signal in Signal}
    assert found == {
        Signal.TRACES: ("new", "otlp_json"), Signal.METRICS: ("old", "otlp_json"), Signal.LOGS: ("old", "raw"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "acks", "idempotent"), [("all", -1, True), (-1, -1, True), (1, 1, False), (0, 0, False)]
)
def test_who_must_acknowledge(value: object, acks: int, idempotent: bool) -> None:
    """Only where all replicas acknowledge nothing can come twice."""
    found = of(producer={"required_acks": value}).properties
    assert (found["acks"], found["enable.idempotence"]) == (acks, idempotent)


def test_librdkafka_gives_up_nothing_by_itself() -> None:
    """Whoever waits for a message decides."""
    assert of().properties["message.timeout.ms"] == 0


def test_librdkafka_takes_every_property() -> None:
    """What is made of all settings together is no mistake to the library that is installed."""
    kafka = pytest.importorskip("confluent_kafka")
    for producer in (
        {},
        {"required_acks": 0, "compression": "lz4", "compression_params": {"level": 12}, "linger": "0s"},
    ):
        for partitioner in ({}, {"round_robin": {}}, {"sticky_key": {"hasher": "murmur2"}}, {"least_backup": {}}):
            found = of(producer=producer, record_partitioner=partitioner, timeout="0s").properties
            kafka.Producer(found | {"log_level": 0})


@pytest.mark.parametrize(("settings", "text"), [
    ({"traces": {"topic": "a b"}}, "traces::topic: a topic has 1 to 249 of the letters"),
    ({"topic": "a/b"}, "topic: a topic has 1 to 249 of the letters"),
    ({"traces": {"encoding": "jaeger_proto"}}, 'traces::encoding: encoding "jaeger_proto" is not supported here'),
    ({"metrics": {"encoding": "raw"}}, 'metrics::encoding: encoding "raw" is not supported here'),
    ({"producer": {"required_acks": 2}}, "producer::required_acks: "),
    ({"producer": {"compression": "gzip", "compression_params": {"level": 10}}}, "gzip has levels up to 9"),
    ({"producer": {"compression": "snappy", "compression_params": {"level": 1}}}, "snappy has no levels"),
    ({"producer": {"max_buffered_bytes": 1024}}, "producer::max_buffered_bytes: must hold a message"),
    ({"record_partitioner": {"extension": "mine"}}, "partitioners of one's own are not supported"),
    ({"record_partitioner": {"round_robin": {}, "least_backup": {}}},
     "at most one record_partitioner strategy may be configured"),
    ({"partition_logs_by_resource_attributes": True, "partition_logs_by_trace_id": True},
     "partition_logs_by_resource_attributes and partition_logs_by_trace_id cannot both be enabled"),
    ({"logs": {"message_key_from_metadata_key": "a"}, "partition_logs_by_trace_id": True},
     "logs::message_key_from_metadata_key cannot be combined with partition_logs_by_trace_id"),
    ({"message_key_from_attribute": "tenant.id", "partition_traces_by_id": True},
     "message_key_from_attribute cannot be combined with partition_traces_by_id"),
    ({"include_metadata_keys": ["a"], "sending_queue": {"batch": {}}},
     'sending_queue::batch::partition::metadata_keys must include "a", which include_metadata_keys names'),
    ({"logs": {"topic_from_metadata_key": "a"}, "sending_queue": {"batch": {}}},
     'sending_queue::batch::partition::metadata_keys must include "a", which topic_from_metadata_key names'),
    ({"timeout": "-1s"}, "timeout: "),
])  # fmt: skip
def test_mistakes(settings: dict[str, object], text: str) -> None:
    """Each is told where it stands, the Collector's in its words."""
    assert text in problem(**settings)


def test_headers_that_batches_are_kept_apart_by_may_go_along() -> None:
    """Whatever their case."""
    batch = {"partition": {"metadata_keys": ["X-Tenant"]}}
    assert of(include_metadata_keys=["x-tenant"], sending_queue={"batch": batch})
