"""The settings of `prometheus_remote_write`."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError
from yaml import safe_load

from sluiceway.exporters.prometheus_remote_write import PrometheusRemoteWriteConfig
from sluiceway.prometheus.naming import Strategy

URL = "endpoint: 'http://p/api/v1/write'"


def config(text: str) -> PrometheusRemoteWriteConfig:
    """Settings from YAML."""
    return TypeAdapter(PrometheusRemoteWriteConfig).validate_python(safe_load(f"{{{text}}}"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'requires a non-empty "endpoint"'),
        ("endpoint: 'p:9090'", "endpoint must be a valid URL"),
        (f"{URL}, headers: {{content-encoding: gzip}}", "content-encoding is a protected header"),
        (f"{URL}, headers: {{User-Agent: x}}", "User-Agent is a protected header"),
        (f"{URL}, http: {{endpoint: 'http://q', headers: {{Content-Type: x}}}}", "Content-Type is a protected header"),
        (f"{URL}, compression: gzip", "always compressed by snappy"),
        (f"{URL}, external_labels: {{a: ''}}", "contains an empty key or value"),
        (f"{URL}, remote_write_queue: {{queue_size: 0}}", "a 0 size queue will drop all the data"),
        (f"{URL}, remote_write_queue: {{queue_size: -1}}", "remote write queue size can't be negative"),
        (f"{URL}, remote_write_queue: {{num_consumers: -1}}", "remote write consumer number can't be negative"),
        (f"{URL}, sending_queue: {{num_consumers: 2}}", "max_batch_request_parallelism"),
        (f"{URL}, protobuf_message: x", "Input should be"),
        (f"{URL}, max_batch_size_bytes: 0", "greater than 0"),
    ],
)
def test_mistakes_are_told(text, message):
    """Each with what is wrong."""
    with pytest.raises(ValidationError, match=message):
        config(text)


def test_the_queue_keeps_the_order():
    """`remote_write_queue` makes a queue of one consumer; its own number is how many requests go at the same time."""
    made = config(f"{URL}, remote_write_queue: {{queue_size: 7, num_consumers: 3}}")
    assert (made.sending_queue.queue_size, made.sending_queue.num_consumers, made.parallelism) == (7, 1, 3)
    assert config(URL).sending_queue.queue_size == 10_000
    assert config(f"{URL}, max_batch_request_parallelism: 9").parallelism == 9


def test_the_queue_may_be_off():
    """By either name; `sending_queue` counts where it is given."""
    assert config(f"{URL}, remote_write_queue: {{enabled: false}}").sending_queue is None
    assert config(f"{URL}, sending_queue: {{enabled: false}}").sending_queue is None
    both = config(f"{URL}, remote_write_queue: {{enabled: false}}, sending_queue: {{queue_size: 3}}")
    assert both.sending_queue.queue_size == 3


def test_the_clients_block_counts():
    """`http` takes the place of what stands at the top."""
    made = config("http: {endpoint: 'http://q/write', headers: {A: b}}")
    assert (made.client.endpoint, list(made.client.headers)) == ("http://q/write", ["A"])


def test_the_timeout_of_the_clients_block_counts():
    """Where it is given; what stands at the top is not lost else."""
    assert config("http: {endpoint: 'http://q/write', timeout: 1s}").timeout == 1.0
    assert config("timeout: 2s, http: {endpoint: 'http://q/write', timeout: 1s}").timeout == 1.0
    assert config("timeout: 2s, http: {endpoint: 'http://q/write'}").timeout == 2.0
    assert config("http: {endpoint: 'http://q/write'}").timeout == 5.0


def test_suffixes_and_strategy():
    """The strategy counts where it is given."""
    assert config(URL).strategy is Strategy.UNDERSCORES_SUFFIXES
    assert config(f"{URL}, add_metric_suffixes: false").strategy is Strategy.UNDERSCORES
    assert config(f"{URL}, translation_strategy: NoTranslation").strategy is Strategy.UTF8


def test_external_labels_are_named_as_labels_are():
    """But for those that Prometheus keeps for itself."""
    assert config(f"{URL}, external_labels: {{a.b: c, __tenant__: d}}").labels == {"a_b": "c", "__tenant__": "d"}
