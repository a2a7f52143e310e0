"""What can be wrong with a graph is found before anything is made."""

from __future__ import annotations

import pytest

from sluiceway.errors import ConfigError
from sluiceway.otlp import Signal
from sluiceway.pipelines.layout import arrange
from tests.pipelines.graphs import configure


def problems(text: str) -> list[str]:
    """The mistakes in a configuration."""
    with pytest.raises(ConfigError) as caught:
        arrange(configure(text))
    return [f"{problem.path}: {problem.message}" for problem in caught.value.problems]


BASE = """
receivers: {feed: }
processors: {spans: }
exporters: {memory: , traces: }
connectors: {link: , link/2: , count: }
service:
  pipelines:
"""


def test_a_signal_that_a_component_does_not_take_is_an_error() -> None:
    """Processors and exporters are only for the signals that they take; every mistake is told."""
    assert problems(BASE + "    logs: {receivers: [feed], processors: [spans], exporters: [traces]}") == [
        (
            'service::pipelines::logs: failed to create "spans" processor, in pipeline "logs": '
            "telemetry type is not supported"
        ),
        (
            'service::pipelines::logs: failed to create "traces" exporter for data type "logs": '
            "telemetry type is not supported"
        ),
    ]


def test_a_connector_needs_both_ends() -> None:
    """A connector that only ends or only begins a pipeline is an error, in the Collector's words."""
    assert problems(BASE + "    traces: {receivers: [link/2], exporters: [link]}") == [
        (
            'service::pipelines::traces: connector "link" used as exporter in [traces] pipeline but not used in any '
            "supported receiver pipeline"
        ),
        (
            'service::pipelines::traces: connector "link/2" used as receiver in [traces] pipeline but not used in any '
            "supported exporter pipeline"
        ),
    ]


def test_a_connector_needs_ends_of_signals_that_it_connects() -> None:
    """A connector from traces to metrics does not connect traces to logs."""
    found = problems(
        BASE
        + "    traces: {receivers: [feed], exporters: [count]}\n    logs: {receivers: [count], exporters: [memory]}"
    )
    assert len(found) == 2


def test_a_cycle_is_named_step_by_step() -> None:
    """Pipelines that feed each other in a circle are an error that tells the way around."""
    (found,) = problems(
        BASE
        + """
    traces/a: {receivers: [feed, link/2], exporters: [link]}
    traces/b: {receivers: [link], processors: [spans], exporters: [link/2]}
"""
    )
    assert found.startswith("service::pipelines::traces/a: cycle detected: ")
    assert (
        'connector "link" (traces to traces) -> processor "spans" in pipeline "traces/b" -> connector "link/2"' in found
    )


def test_pipelines_are_put_in_the_order_of_flow() -> None:
    """Upstream comes before downstream whatever the order in the file, and a connector knows where it leads."""
    layout = arrange(
        configure(
            BASE
            + """
    metrics: {receivers: [count], exporters: [memory]}
    traces/b: {receivers: [link], exporters: [count]}
    traces/a: {receivers: [feed], exporters: [link]}
"""
        )
    )
    assert [pipeline.id for pipeline in layout.pipelines] == ["traces/a", "traces/b", "metrics"]
    assert [(c.id, c.takes, c.gives, c.to) for c in layout.connections] == [
        ("link", Signal.TRACES, Signal.TRACES, ("traces/b",)),
        ("count", Signal.TRACES, Signal.METRICS, ("metrics",)),
    ]
