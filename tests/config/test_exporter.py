"""The settings around every exporter: defaults, validation texts."""

from __future__ import annotations

import pytest
import yaml
from pydantic import ValidationError

from sluiceway.config.exporter import CircuitBreaker, RetryOnFailure, SendingQueue, Timeout
from sluiceway.config.types import Section, Settings


class Around(Settings):
    """All sections, with the defaults that most exporters have."""

    timeout: Timeout = 5.0
    retry_on_failure: Section[RetryOnFailure] = RetryOnFailure()
    sending_queue: Section[SendingQueue] = SendingQueue()
    circuit_breaker: Section[CircuitBreaker] = None


def load(text: str) -> Around:
    """Settings from YAML."""
    return Around.model_validate(yaml.safe_load(text))


def test_retry_has_the_collectors_defaults() -> None:
    """5s, growing by half to 30s, varied by half, for 5 minutes."""
    retry = RetryOnFailure()
    assert (retry.initial_interval, retry.multiplier, retry.max_interval) == (5.0, 1.5, 30.0)
    assert (retry.randomization_factor, retry.patience(is_durable=False)) == (0.5, 300.0)


def test_what_is_on_disk_is_not_given_up_unless_somebody_says_so() -> None:
    """The Collector drops it after five minutes."""
    assert RetryOnFailure().patience(is_durable=True) == 0.0
    retry = load("retry_on_failure: {max_elapsed_time: 1h}").retry_on_failure
    assert retry is not None
    assert retry.patience(is_durable=True) == 3600.0


def test_a_queue_on_disk_is_bounded_in_bytes_alone_unless_somebody_says_so() -> None:
    """The Collector's takes 1000 requests."""
    assert SendingQueue.model_validate({"storage": "file_storage"}).capacity > 10**9
    assert SendingQueue.model_validate({"storage": "file_storage", "queue_size": 5}).capacity == 5
    assert SendingQueue.model_validate({"storage": "file_storage"}).max_storage_bytes == 4 * 2**30


def test_queue_has_the_collectors_defaults_and_a_bound_in_bytes() -> None:
    """1000 requests, 10 consumers, refuse when full; and 64 MiB, which is ours."""
    queue = SendingQueue()
    assert (queue.num_consumers, queue.capacity, queue.sizer, queue.max_bytes) == (10, 1000, "requests", 64 * 2**20)
    assert (queue.block_on_overflow, queue.wait_for_result, queue.storage, queue.batch) == (False, False, None, None)


def test_batch_has_the_collectors_defaults() -> None:
    """An empty `batch` section switches it on: 8192 items or 200ms."""
    queue = load("sending_queue: {batch: {}}").sending_queue
    assert queue is not None
    assert queue.batch is not None
    assert (queue.batch.flush_timeout, queue.batch.min_size, queue.batch.max_size) == (0.2, 8192, 0)
    assert queue.batch_sizer == "items"


def test_batch_counts_as_the_queue_does_unless_that_counts_requests() -> None:
    """`batch::sizer` is inherited."""
    assert SendingQueue.model_validate({"sizer": "bytes", "queue_size": 9000, "batch": {}}).batch_sizer == "bytes"
    assert SendingQueue.model_validate({"batch": {"sizer": "bytes"}}).batch_sizer == "bytes"


def test_sections_are_switched_off_and_on() -> None:
    """`enabled: false` switches off, a key without value switches on."""
    around = load("{retry_on_failure: {enabled: false}, sending_queue: {enabled: false}, circuit_breaker: }")
    assert around.retry_on_failure is None
    assert around.sending_queue is None
    assert around.circuit_breaker == CircuitBreaker()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("timeout: -1s", "'timeout' must be non-negative"),
        ("retry_on_failure: {initial_interval: -1s}", "'initial_interval' must be non-negative"),
        ("retry_on_failure: {randomization_factor: 1.5}", "'randomization_factor' must be within [0, 1]"),
        ("retry_on_failure: {multiplier: -1.0}", "'multiplier' must be non-negative"),
        ("retry_on_failure: {max_interval: -1s}", "'max_interval' must be non-negative"),
        ("retry_on_failure: {max_elapsed_time: -1s}", "'max_elapsed_time' must be non-negative"),
        ("retry_on_failure: {max_elapsed_time: 4s}", "'max_elapsed_time' must not be less than 'initial_interval'"),
        ("retry_on_failure: {max_elapsed_time: 9s}", "'max_elapsed_time' must not be less than 'max_interval'"),
        ("retry_on_failure: {enabled: false, multiplier: -1.0}", "'multiplier' must be non-negative"),
        ("sending_queue: {num_consumers: 0}", "`num_consumers` must be positive"),
        ("sending_queue: {queue_size: 0}", "`queue_size` must be positive"),
        ("sending_queue: {max_bytes: 0}", "`max_bytes` must be positive"),
        ("sending_queue: {max_storage_bytes: 0}", "`max_storage_bytes` must be positive"),
        ("sending_queue: {max_age: -1s}", "`max_age` must be non-negative"),
        ("sending_queue: {dead_letters: {max_bytes: 0}}", "`max_bytes` must be positive"),
        ("sending_queue: {storage: a, wait_for_result: true}", "`wait_for_result` is not supported with a persistent"),
        ("sending_queue: {batch: {flush_timeout: 0s}}", "`flush_timeout` must be positive"),
        ("sending_queue: {batch: {min_size: -1}}", "`min_size` must be non-negative"),
        ("sending_queue: {batch: {max_size: -1}}", "`max_size` must be non-negative"),
        ("sending_queue: {batch: {max_size: 5}}", "`max_size` (5) must be greater or equal to `min_size` (8192)"),
        ("sending_queue: {batch: {sizer: requests}}", "`batch` supports only `items` or `bytes` sizer"),
        ("sending_queue: {sizer: items, batch: {}}", "`min_size` must be less than or equal to `queue_size`"),
        ("sending_queue: {batch: {partition: {metadata_keys: [a, A]}}}", 'duplicate entry in metadata_keys: "a"'),
        ("circuit_breaker: {consecutive_failures: -1}", "'consecutive_failures' must be non-negative"),
        ("circuit_breaker: {failure_ratio: 2.0}", "'failure_ratio' must be within [0, 1]"),
        ("circuit_breaker: {slow_call_ratio: 0.0}", "'slow_call_ratio' must be within (0, 1]"),
        ("circuit_breaker: {max_open_delay: 1s}", "'max_open_delay' must not be less than 'open_delay'"),
        ("circuit_breaker: {half_open_probes: 0}", "'half_open_probes' must be positive"),
        ("circuit_breaker: {consecutive_failures: 0, failure_ratio: 0}", "must be on, or it never opens"),
    ],
)
def test_mistakes_are_named_in_the_collectors_words(text: str, message: str) -> None:
    """Every rule has its text."""
    with pytest.raises(ValidationError) as caught:
        load(text)
    assert message in str(caught.value)


def test_settings_survive_being_written_and_read_again() -> None:
    """What is printed can be loaded."""
    queue = SendingQueue.model_validate({"batch": {"max_size": 10_000}})
    assert SendingQueue.model_validate(queue.model_dump(mode="json")) == queue
