"""Two parts of a configuration that want one address are found before anything is opened."""

import pytest

from sluiceway.config.load import load
from sluiceway.errors import ConfigError
from sluiceway.pipelines.layout import arrange

BASE = """
receivers:
  otlp: {protocols: {grpc: {endpoint: 'localhost:4317'}}}
  otlp/b:
    protocols:
      http: {endpoint: '0.0.0.0:4317'}
  otlp/c: {protocols: {grpc: , http: }}
exporters: {debug: }
extensions:
  health_check: {endpoint: 'localhost:13133'}
service:
  telemetry: {metrics: {level: none}}
  extensions: [health_check]
  pipelines:
    traces: {receivers: [otlp], exporters: [debug]}
"""


def problems(*sets: str) -> list[str]:
    """The mistakes in the configuration with some values set."""
    with pytest.raises(ConfigError) as caught:
        arrange(load([f"yaml:{BASE}"], sets))
    return [str(problem) for problem in caught.value.problems]


def test_two_receivers() -> None:
    """The second of two is reported where its address was written, and both are named."""
    assert problems("service.pipelines.logs={receivers: [otlp/b], exporters: [debug]}") == [
        (
            "yaml::6:24: receivers::otlp/b::protocols::http::endpoint: cannot listen on 0.0.0.0:4317: "
            "receivers::otlp::protocols::grpc::endpoint listens on localhost:4317"
        )
    ]


def test_a_default_address() -> None:
    """An address that was not written is reported where it could have been."""
    (problem,) = problems("service.pipelines.logs={receivers: [otlp/c], exporters: [debug]}")
    assert problem.startswith(
        "yaml::7:30: receivers::otlp/c::protocols::grpc::endpoint: cannot listen on localhost:4317"
    )


def test_two_protocols_of_one_receiver() -> None:
    """One component may listen twice, and not at one address."""
    (problem,) = problems("receivers.otlp.protocols.http={endpoint: 'localhost:4317'}")
    assert problem.endswith("receivers::otlp::protocols::grpc::endpoint listens on localhost:4317")


@pytest.mark.parametrize("where", ["extensions::health_check", "receivers::otlp::protocols::grpc"])
def test_our_own_metrics(where: str) -> None:
    """The default endpoint of our own metrics counts, unless they are off, and the other is told to go elsewhere."""
    key = where.replace("::", ".")
    assert problems(f"{key}.endpoint=:8888", "service.telemetry.metrics.level=basic") == [
        (
            f"--set {key}.endpoint:1:1: {where}::endpoint: cannot listen on :8888: "
            "service::telemetry::metrics::readers::0::pull::exporter::prometheus listens on localhost:8888"
        )
    ]
    arrange(load([f"yaml:{BASE}"], [f"{key}.endpoint=:8888"]))


def test_two_readers() -> None:
    """Readers that were written are reported themselves."""
    (problem,) = problems("service.telemetry.metrics={level: basic, readers: [{pull: }, {pull: }]}")
    assert problem.startswith("--set service.telemetry.metrics:1:1: service::telemetry::metrics::readers::1::pull")


def test_what_does_not_run_does_not_count() -> None:
    """A receiver that no pipeline names and an extension that does not run are never started."""
    arrange(load([f"yaml:{BASE}"], ["service.extensions=[]", "extensions.health_check.endpoint='localhost:4317'"]))
