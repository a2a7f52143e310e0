"""`service::telemetry` takes the Collector's keys, in both spellings of the resource."""

import logging
from typing import Any

import pytest
from pydantic import ValidationError

from sluiceway.config.telemetry import TelemetryConfig, TelemetryLevel
from sluiceway.config.types import Opaque

OTLP = {"otlp": {"protocol": "http/protobuf", "endpoint": "http://localhost:4318", "headers": {"token": "x"}}}


DROP = {"selector": {"instrument_name": "otelcol_exporter_*"}, "stream": {"aggregation": {"drop": {}}}}


def read(**sections: Any) -> TelemetryConfig:
    """Decode the section."""
    return TelemetryConfig.model_validate(sections)


def test_defaults() -> None:
    """By default there are logs on stderr and a Prometheus endpoint on localhost:8888 with plain names."""
    telemetry = read()
    assert (telemetry.logs.level, telemetry.logs.encoding, telemetry.logs.output_paths) == (
        "info",
        "console",
        ("stderr",),
    )
    (reader,) = telemetry.metrics.readers
    prometheus = reader.pull.exporter.prometheus
    assert (prometheus.host, prometheus.port) == ("localhost", 8888)
    assert (prometheus.without_scope_info, prometheus.without_units, prometheus.without_type_suffix) == (True,) * 3
    assert telemetry.traces.processors == ()


def test_levels_in_any_case() -> None:
    """Levels may be written in any case."""
    telemetry = read(metrics={"level": "Detailed", "views": [DROP]}, logs={"level": "DEBUG"}, traces={"level": "None"})
    assert telemetry.metrics.level is TelemetryLevel.DETAILED
    assert telemetry.traces.level is TelemetryLevel.NONE
    assert telemetry.logs.level == "debug"


def test_readers() -> None:
    """Readers are pulled from or push at an interval in milliseconds; a hand-written one keeps the plain names."""
    pull = {"pull": {"exporter": {"prometheus": {"host": "0.0.0.0", "port": 1}}}}
    first, second = read(metrics={"readers": [pull, {"periodic": {"interval": 5, "exporter": OTLP}}]}).metrics.readers
    assert first.pull.exporter.prometheus.without_type_suffix
    assert (second.periodic.interval, second.periodic.exporter.otlp.headers) == (5, {"token": Opaque("x")})


@pytest.mark.parametrize(("value", "on"), [(None, False), ({"enabled": False}, False), ({"tick": "1s"}, True)])
def test_log_sampling(value: object, on: bool) -> None:
    """Null or `enabled: false` switches sampling off."""
    sampling = read(logs={"sampling": value}).logs.sampling
    assert (sampling is not None) is on


def test_address_is_ignored(caplog: pytest.LogCaptureFixture) -> None:
    """The removed address is accepted with a warning."""
    with caplog.at_level(logging.WARNING):
        assert read(metrics={"address": ":8888"}) == read()
    assert "service::telemetry::metrics::address is ignored" in caplog.text


def test_resource_as_plain_map() -> None:
    """A plain map sets attributes, and null takes a default away."""
    attributes = read(resource={"service.name": "x", "service.instance.id": None, "zone": 5}).resource.attributes
    assert [(entry.name, entry.value) for entry in attributes] == [
        ("service.name", "x"),
        ("service.instance.id", None),
        ("zone", 5),
    ]


def test_resource_as_declared() -> None:
    """The declarative form lists attributes and detectors, and may be mixed with a plain map."""
    resource = read(
        resource={
            "schema_url": "s",
            "attributes": [{"name": "a", "value": True}],
            "detection/development": {"detectors": [{"host": None}]},
            "plain": "p",
        }
    ).resource
    assert [(entry.name, entry.value) for entry in resource.attributes] == [("plain", "p"), ("a", True)]
    assert list(resource.detection.detectors[0]) == ["host"]


def test_processors_of_logs_and_traces() -> None:
    """Own logs and spans go out by batch or simple processors."""
    batch = {"batch": {"exporter": OTLP}}
    telemetry = read(logs={"processors": [batch]}, traces={"processors": [{"simple": {"exporter": {"console": None}}}]})
    assert telemetry.logs.processors[0].batch.max_export_batch_size == 512
    assert telemetry.traces.processors[0].simple.exporter.console is not None


@pytest.mark.parametrize(
    ("section", "value", "message"),
    [
        ("metrics", {"readers": []}, "collector telemetry metrics reader should exist when metric level is not none"),
        (
            "metrics", {"views": [{}]},
            "service::telemetry::metrics::views can only be set when service::telemetry::metrics::level is detailed",
        ),
        (
            "metrics", {"level": "detailed", "views": [{"selector": 5}]},
            "only views that drop metrics by instrument_name are supported",
        ),
        (
            "logs", {"processors": [{"batch": {"max_queue_size": 5, "exporter": {"console": None}}}]},
            "max_export_batch_size must not be greater than max_queue_size",
        ),
        ("logs", {"output_paths": ["a\0b"]}, "Value error, 'a\\x00b' is not a path"),
        (
            "logs", {"processors": [{"simple": {"exporter": {"otlp": {"client_key": "k"}}}}]},
            "client_key and client_certificate must be given together",
        ),
        (
            "logs", {"processors": [{"simple": {"exporter": {"otlp": {"endpoint": "http://[::1"}}}}]},
            "endpoint must be a valid URL",
        ),
        (
            "metrics", {"readers": [{"pull": {"exporter": {"prometheus": {"host": "a b"}}}}]}, 'invalid host "a b"',
        ),
        ("metrics", {"readers": [{}]}, "must have exactly one reader: pull or periodic"),
        ("metrics", {"readers": [{"periodic": {"exporter": {}}}]}, "must have exactly one exporter: otlp or console"),
        ("traces", {"processors": [{}]}, "must have exactly one processor: batch or simple"),
        ("resource", 5, "Input should be a valid dictionary or instance of ResourceConfig"),
        ("metrics", 5, "Input should be a valid dictionary or instance of MetricsConfig"),
    ],
)  # fmt: skip
def test_mistakes(section: str, value: object, message: str) -> None:
    """Rules between keys have the Collector's texts."""
    with pytest.raises(ValidationError) as caught:
        read(**{section: value})
    assert caught.value.errors()[0]["msg"] == message


def test_no_reader_is_needed_for_no_metrics() -> None:
    """With level none there may be no reader."""
    assert read(metrics={"level": "none", "readers": []}).metrics.readers == ()
