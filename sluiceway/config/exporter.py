"""The settings that every exporter has: `timeout`, `retry_on_failure`, `sending_queue` and `circuit_breaker`.

An exporter's settings model declares those that suit it, and the runtime puts the fitting parts around the exporter:

```python
timeout: Timeout = 5.0
retry_on_failure: Section[RetryOnFailure] = RetryOnFailure()
sending_queue: Section[SendingQueue] = SendingQueue()
circuit_breaker: Section[CircuitBreaker] = None
```

Keys, defaults and texts are the Collector's; `max_bytes`, `max_storage_bytes`, `max_age`, `dead_letters` and
`circuit_breaker` are our own. With `storage` two defaults differ from the Collector's, where they lose data: nothing is
given up after five minutes, and the number of requests is not bounded, but their bytes.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import AfterValidator, model_validator

from sluiceway.config.types import Duration, Section, Settings, Size, StringList

__all__ = [
    "UNBOUNDED",
    "CircuitBreaker",
    "DeadLetters",
    "Partition",
    "QueueBatch",
    "RetryOnFailure",
    "SendingQueue",
    "Sizer",
    "Timeout",
]

MEBIBYTE: Final = 1024 * 1024
GIBIBYTE: Final = 1024 * MEBIBYTE
MAX_ELAPSED_TIME: Final = 300.0
QUEUE_SIZE: Final = 1000
UNBOUNDED: Final = 2**62

Sizer: TypeAlias = Literal["requests", "items", "bytes"]


def _check_timeout(seconds: float) -> float:
    if seconds < 0:
        raise ValueError("'timeout' must be non-negative")
    return seconds


Timeout = Annotated[Duration, AfterValidator(_check_timeout)]
"""Seconds that one attempt may take; zero sets no limit."""


def _require(*rules: tuple[bool, str]) -> None:
    for holds, text in rules:
        if not holds:
            raise ValueError(text)


class RetryOnFailure(Settings):
    """How failed exports are repeated. `enabled: false` passes the first failure on."""

    initial_interval: Duration = 5.0
    """Wait after the first failure."""
    randomization_factor: float = 0.5
    """Each wait is varied at random by up to this part of itself, so that senders do not come back all at once."""
    multiplier: float = 1.5
    """By how much each wait is longer than the one before."""
    max_interval: Duration = 30.0
    """The longest wait between two attempts."""
    max_elapsed_time: Duration | None = None
    """Give up after this time of attempts and waits, and drop the data; `0s` never gives up. Left out, it is five
    minutes, and `0s` where the sending queue is on disk. The time during which an open circuit breaker forbids attempts
    does not count."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        limit = self.max_elapsed_time or 0.0
        _require(
            (self.initial_interval >= 0, "'initial_interval' must be non-negative"),
            (0 <= self.randomization_factor <= 1, "'randomization_factor' must be within [0, 1]"),
            (self.multiplier >= 0, "'multiplier' must be non-negative"),
            (self.max_interval >= 0, "'max_interval' must be non-negative"),
            (limit >= 0, "'max_elapsed_time' must be non-negative"),
            (
                not limit or limit >= self.initial_interval,
                "'max_elapsed_time' must not be less than 'initial_interval'",
            ),
            (not limit or limit >= self.max_interval, "'max_elapsed_time' must not be less than 'max_interval'"),
        )
        return self

    def patience(self, *, is_durable: bool) -> float:
        """Seconds after which to give up, zero for never, before a queue in memory or on disk."""
        if self.max_elapsed_time is not None:
            return self.max_elapsed_time
        if is_durable:
            return 0.0
        return max(MAX_ELAPSED_TIME, self.initial_interval, self.max_interval)


class Partition(Settings):
    """By what batches are kept apart."""

    metadata_keys: StringList = ()
    """Names of request headers, whatever their case. Only what has the same values of all of them is joined; an
    absent header differs from an empty one. Receivers keep headers where they have `include_metadata`."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        seen: set[str] = set()
        for key in map(str.lower, self.metadata_keys):
            _require((key not in seen, f'duplicate entry in metadata_keys: "{key}" (case-insensitive)'))
            seen.add(key)
        return self

    @property
    def headers_read(self) -> tuple[tuple[str, str], ...]:
        """The headers that part the data."""
        return tuple(("metadata_keys", name) for name in self.metadata_keys)


class QueueBatch(Settings):
    """Joining by size and time. Without this section what waits while an export is under way goes as one request."""

    flush_timeout: Duration = 0.2
    """The oldest data waits no longer than this for more to come."""
    min_size: int = 8192
    """A request goes as soon as it holds this much; `0` sends each at once."""
    max_size: int = 0
    """Larger requests are split; `0` sets no limit."""
    sizer: Literal["requests", "items", "bytes"] | None = None
    """What the sizes count: `items` or `bytes`. Left out, it is the queue's sizer, or `items` where that counts
    requests."""
    partition: Partition = Partition()
    """By what batches are kept apart."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _require(
            (self.sizer != "requests", "`batch` supports only `items` or `bytes` sizer"),
            (self.flush_timeout > 0, "`flush_timeout` must be positive"),
            (self.min_size >= 0, "`min_size` must be non-negative"),
            (self.max_size >= 0, "`max_size` must be non-negative"),
            (
                not self.max_size or self.max_size >= self.min_size,
                f"`max_size` ({self.max_size}) must be greater or equal to `min_size` ({self.min_size})",
            ),
        )
        return self


class DeadLetters(Settings):
    """What the destination refuses for good is kept beside the queue on disk; `enabled: false` drops it."""

    max_bytes: Size = 256 * MEBIBYTE
    """What is kept at most; the oldest goes first."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _require((self.max_bytes > 0, "`max_bytes` must be positive"))
        return self


class SendingQueue(Settings):
    """The queue before an exporter. `enabled: false` makes senders wait for each export and see it fail."""

    num_consumers: int = 10
    """Exports under way at the same time, at most."""
    queue_size: int | None = None
    """What the queue takes, in units of `sizer`, exports under way included. Left out, it is 1000, and without a bound
    where the queue is on disk, which is bounded by `max_storage_bytes`."""
    sizer: Sizer = "requests"
    """What `queue_size` counts: `requests`, `items` (spans, data points, log records) or `bytes`."""
    max_bytes: Size = 64 * MEBIBYTE
    """What the queue has in memory in bytes, whatever the sizer: bounds the memory that a backend's absence can cost. A
    queue on disk takes more, and has no more than this in memory."""
    block_on_overflow: bool = False
    """Whether senders wait for room when the queue is full, instead of being refused."""
    wait_for_result: bool = False
    """Whether senders wait until their data was exported, and see it fail."""
    storage: str | None = None
    """A storage extension that keeps the queue on disk, such as `file_storage`: senders are answered once the disk has
    their data, which then survives `kill -9` and a power cut, and is retried without end. Without it the queue lives in
    memory, and is lost with the process."""
    max_storage_bytes: Size = 4 * GIBIBYTE
    """What the queue takes on disk, in bytes of telemetry; senders are refused beyond it, and come again."""
    max_age: Duration = 0.0
    """What has waited on disk for longer is dropped instead of being sent; `0s` sets no limit."""
    dead_letters: Section[DeadLetters] = DeadLetters()
    """What the destination refuses for good, kept beside the queue on disk."""
    batch: Section[QueueBatch] = None
    """Joins requests by size and time."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _require(
            (self.num_consumers > 0, "`num_consumers` must be positive"),
            (self.num_consumers <= 10_000, "`num_consumers` must not be greater than 10000"),
            (self.queue_size is None or self.queue_size > 0, "`queue_size` must be positive"),
            (self.max_bytes > 0, "`max_bytes` must be positive"),
            (self.max_storage_bytes > 0, "`max_storage_bytes` must be positive"),
            (self.max_age >= 0, "`max_age` must be non-negative"),
            (not self.max_age or bool(self.storage), "`max_age` is about queues on disk: it needs `storage`"),
            (
                not (self.storage and self.wait_for_result),
                "`wait_for_result` is not supported with a persistent queue configured with `storage`",
            ),
        )
        if self.batch is not None and self.batch_sizer == self.sizer:
            enough = self.batch.min_size <= self.capacity
            _require((enough, "`min_size` must be less than or equal to `queue_size`"))
        return self

    @property
    def capacity(self) -> int:
        """What the queue takes in units of `sizer`."""
        return self.queue_size or (UNBOUNDED if self.storage else QUEUE_SIZE)

    @property
    def batch_sizer(self) -> Sizer:
        """What the sizes of `batch` count, once what was left out is filled in."""
        if self.batch is not None and self.batch.sizer is not None:
            return self.batch.sizer
        return "bytes" if self.sizer == "bytes" else "items"


class CircuitBreaker(Settings):
    """Stops attempts on a backend that keeps failing, and probes it until it answers. Meanwhile data waits."""

    consecutive_failures: int = 5
    """Opens after this many failures in a row; `0` switches the rule off."""
    failure_ratio: float = 0.5
    """Opens when this part of the calls in `window` failed; `0` switches the rule off."""
    slow_call_duration: Duration = 0.0
    """A call that takes longer is slow; `0s` switches the rule off."""
    slow_call_ratio: float = 1.0
    """Opens when this part of the calls in `window` was slow."""
    window: Duration = 30.0
    """The time over which the ratios are taken."""
    minimum_calls: int = 20
    """The ratios mean nothing before the window holds this many calls."""
    open_delay: Duration = 5.0
    """How long attempts are forbidden when the breaker opens."""
    multiplier: float = 2.0
    """By how much the delay grows each time a probe fails."""
    max_open_delay: Duration = 60.0
    """The longest delay."""
    randomization_factor: float = 0.2
    """Each delay is varied at random by up to this part of itself."""
    half_open_probes: int = 1
    """Attempts that are let through after the delay; the breaker closes when all succeed and opens again when one
    fails."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _require(
            (self.consecutive_failures >= 0, "'consecutive_failures' must be non-negative"),
            (0 <= self.failure_ratio <= 1, "'failure_ratio' must be within [0, 1]"),
            (self.slow_call_duration >= 0, "'slow_call_duration' must be non-negative"),
            (0 < self.slow_call_ratio <= 1, "'slow_call_ratio' must be within (0, 1]"),
            (self.window > 0, "'window' must be positive"),
            (self.minimum_calls > 0, "'minimum_calls' must be positive"),
            (self.open_delay > 0, "'open_delay' must be positive"),
            (self.multiplier >= 1, "'multiplier' must be at least 1"),
            (self.max_open_delay >= self.open_delay, "'max_open_delay' must not be less than 'open_delay'"),
            (0 <= self.randomization_factor <= 1, "'randomization_factor' must be within [0, 1]"),
            (self.half_open_probes > 0, "'half_open_probes' must be positive"),
            (
                bool(self.consecutive_failures or self.failure_ratio or self.slow_call_duration),
                "one of 'consecutive_failures', 'failure_ratio' and 'slow_call_duration' must be on, or it never opens",
            ),
        )
        return self
