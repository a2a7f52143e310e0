"""Request headers that are read and that nobody keeps are told, with who would have to."""

import logging

import pytest

from sluiceway.config.load import load
from sluiceway.pipelines.headers import missing_headers
from sluiceway.service import Collector

BASE = """
receivers:
  otlp: {protocols: {grpc: {endpoint: 'localhost:0'}}}
  otlp/b: {protocols: {http: {endpoint: 'localhost:0'}}}
  feed: {component: 'sluiceway.testing:Feeder'}
processors:
  tenant: {from: [{header: X-Tenant}], default: none}
  attributes: {actions: [{key: a, action: insert, from_context: metadata.x-tenant}]}
  attributes/auth: {actions: [{key: a, action: insert, from_context: auth.subject}]}
  batch: {}
  circuit_breaker: {on_open: route, route: forward}
  batch/by: {metadata_keys: [x-tenant]}
exporters:
  debug:
  otlp_http: {endpoint: 'http://h', sending_queue: {batch: {partition: {metadata_keys: [X-Tenant]}}}}
connectors: {forward: }
service:
  telemetry: {metrics: {level: none}}
  pipelines:
    traces: {receivers: [otlp], processors: [], exporters: [debug]}
"""
GRPC = "include_metadata is false in receivers::otlp::protocols::grpc"
HTTP = "include_metadata is false in receivers::otlp/b::protocols::http"


def missing(*sets: str) -> list[tuple[str, str]]:
    """Where a header is missing and why, with some values set."""
    config = load([f"yaml:{BASE}"], [f"service.pipelines.{text}" if text[0] != "r" else text for text in sets])
    return [(problem.path, problem.message.partition(": ")[2]) for problem in missing_headers(config)]


@pytest.mark.parametrize(
    ("processor", "path"),
    [
        ("tenant", "processors::tenant::from::0::header"),
        ("attributes", "processors::attributes::actions::0::from_context"),
        ("batch/by", "processors::batch/by::metadata_keys"),
    ],
)
def test_processors_that_read_headers(processor: str, path: str) -> None:
    """Each names its key, and the server that keeps none."""
    assert missing(f"traces.processors=[{processor}]") == [(path, GRPC)]


def test_a_queue_that_reads_headers() -> None:
    """An exporter's partition is told like a processor, and once for two pipelines."""
    path = "exporters::otlp_http::sending_queue::batch::partition::metadata_keys"
    logs = "logs={receivers: [otlp], exporters: [otlp_http]}"
    assert missing("traces.exporters=[otlp_http]", logs) == [(path, GRPC)]


@pytest.mark.parametrize("sets", [
    ("traces.processors=[attributes/auth]",),
    ("traces.processors=[tenant]", "receivers.otlp.protocols.grpc.include_metadata=true"),
    (
        "traces={receivers: [otlp, otlp/b], processors: [tenant]}",
        "receivers.otlp/b.protocols.http.include_metadata=true",
    ),
    ("traces={receivers: [otlp, feed], processors: [tenant]}",),
])  # fmt: skip
def test_silence(sets: tuple[str, ...]) -> None:
    """Nothing is said when no header is read, when one of the receivers keeps them, or when one cannot be known."""
    assert missing(*sets) == []


def test_through_a_connector() -> None:
    """Behind a connector the receivers of the pipelines that feed it count."""
    fed = "traces={receivers: [otlp], exporters: [forward]}"
    behind = "traces/b={receivers: [forward, otlp/b], processors: [tenant], exporters: [debug]}"
    assert missing(fed, behind) == [("processors::tenant::from::0::header", f"{GRPC}, {HTTP}")]
    assert missing(fed, behind, "receivers.otlp.protocols.grpc.include_metadata=true") == []


def test_through_a_route() -> None:
    """A processor that hands batches to a connector does so with what the processors before it have left."""
    kept = "receivers.otlp.protocols.grpc.include_metadata=true"
    behind = "traces/b={receivers: [forward], processors: [tenant], exporters: [debug]}"
    assert missing("traces.processors=[circuit_breaker]", behind) == [("processors::tenant::from::0::header", GRPC)]
    assert missing("traces.processors=[circuit_breaker, batch]", behind, kept) == []
    assert missing("traces.processors=[batch, circuit_breaker]", behind, kept) == [
        ("processors::tenant::from::0::header", "processors::batch forgets it")
    ]


def test_a_batch_forgets() -> None:
    """Behind `batch` only the headers are known that it keeps, whatever the receiver does."""
    kept = "receivers.otlp.protocols.grpc.include_metadata=true"
    assert missing("traces.processors=[batch, tenant]", kept) == [
        ("processors::tenant::from::0::header", "processors::batch forgets it")
    ]
    assert missing("traces.processors=[batch/by, tenant]", kept) == []


def test_it_is_logged_once_when_a_collector_is_made(caplog: pytest.LogCaptureFixture) -> None:
    """Making a collector, and so `validate` and the start, warns in one line with the place."""
    with caplog.at_level(logging.WARNING):
        Collector.from_yaml(BASE, sets=["service.pipelines.traces.processors=[tenant]"])
    assert [record.getMessage() for record in caplog.records] == [
        (
            "yaml::7:28: processors::tenant::from::0::header: "
            f'the request header "X-Tenant" never reaches pipeline traces, and will always be missing: {GRPC}'
        )
    ]
