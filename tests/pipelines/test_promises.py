"""What breaks the promise of a queue on disk is told."""

from __future__ import annotations

import pytest

from sluiceway.config.load import load
from sluiceway.pipelines.promises import answered_early

BASE = """
extensions: {file_storage: }
receivers: {feed: {component: 'sluiceway.testing:Feeder'}}
processors: {batch: , memory_limiter: {check_interval: 1s, limit_mib: 400}}
exporters:
  debug:
  otlp_http: {endpoint: 'http://h', sending_queue: {storage: file_storage}}
connectors: {forward: , span_metrics: }
service:
  extensions: [file_storage]
  pipelines:
    traces: {receivers: [feed], processors: [batch], exporters: [otlp_http]}
    traces/2: {receivers: [feed], exporters: [debug]}
"""


def told(*sets: str) -> list[str]:
    """Where and in which pipeline, with some values set."""
    config = load([f"yaml:{BASE}"], [f"service.pipelines.{text}" for text in sets])
    return [f"{problem.path} {problem.message.split()[4]}" for problem in answered_early(config)]


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        ([], ["processors::batch traces"]),
        (["traces.processors=[memory_limiter]"], []),
        (["traces.exporters=[debug]"], []),
        (["traces.exporters=[debug, otlp_http]", "traces/2.processors=[batch]"], ["processors::batch traces"]),
        (
            ["traces.exporters=[forward]", "traces/2={receivers: [forward], exporters: [otlp_http]}"],
            ["processors::batch traces"],
        ),
        (["traces.exporters=[span_metrics]", "metrics={receivers: [span_metrics], exporters: [otlp_http]}"], []),
    ],
)
def test_a_processor_that_answers_before_the_disk_has_the_data(sets: list[str], expected: list[str]) -> None:
    """Once for each, wherever the queue is; not where something else is made of the data, or all is in memory."""
    assert told(*sets) == expected
