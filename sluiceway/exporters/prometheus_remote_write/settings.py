"""The settings of `prometheus_remote_write`, by the Collector's names."""

from __future__ import annotations

from typing import Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from sluiceway.config.client import is_url
from sluiceway.config.exporter import CircuitBreaker, RetryOnFailure, SendingQueue, Timeout
from sluiceway.config.http_client import HttpClient
from sluiceway.config.settings import mistake
from sluiceway.config.types import Duration, Section, Settings, Size
from sluiceway.prometheus.naming import Strategy, StrategyName, label_name
from sluiceway.prometheus.translation import SERVICE, Rules

__all__ = ["DeltaToCumulative", "PrometheusRemoteWriteConfig", "RemoteWriteClient", "RemoteWriteQueue"]

SECOND: Final = "io.prometheus.write.v2.Request"
PROTECTED: Final = ("content-encoding", "content-type", "x-prometheus-remote-write-version", "user-agent")


class RemoteWriteClient(HttpClient):
    """How to reach the receiver, under the key `http`."""

    timeout: Timeout = 5.0
    """How long one attempt to send a batch may take; 0s has no limit."""

    @model_validator(mode="after")
    def _check_protocol(self) -> Self:
        for name in self.headers:
            if name.lower() in PROTECTED:
                raise mistake(f"{name} is a protected header, which remote write sets itself", "headers")
        if self.compression not in ("", "none"):
            raise mistake("remote write is always compressed by snappy: remove the key", "compression")
        return self


class RemoteWriteQueue(Settings):
    """The queue by the Collector's name. What `sending_queue` says counts instead, where it is given."""

    queue_size: int = 10_000
    """Batches that the queue takes."""
    num_consumers: int = 5
    """Requests of one batch that are under way at the same time, at most. Batches go one after the other."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.queue_size < 0:
            raise ValueError("remote write queue size can't be negative")
        if self.queue_size == 0:
            raise ValueError("a 0 size queue will drop all the data")
        if self.num_consumers <= 0:
            raise ValueError("remote write consumer number can't be negative or zero")
        return self


class OrderedQueue(SendingQueue):
    """The queue before the exporter, which keeps the order: one batch is under way at a time."""

    num_consumers: int = 1
    """Batches under way at the same time: one, so that the samples of a series arrive in their order."""
    queue_size: int = 10_000
    """What the queue takes, in units of `sizer`, exports under way included."""

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.num_consumers != 1:
            text = "`num_consumers` must be 1, or samples would arrive out of order: see max_batch_request_parallelism"
            raise mistake(text, "num_consumers")
        return self


class RemoteWriteRetry(RetryOnFailure):
    """How failed exports are repeated; begins sooner than elsewhere."""

    initial_interval: Duration = 0.05
    """Wait after the first failure."""


class ResourceToTelemetryConversion(Settings):
    """Whether attributes of resources become labels of every series."""

    enabled: bool = False
    """Whether they do."""
    exclude_service_attributes: bool = False
    """Whether `service.name`, `service.namespace` and `service.instance.id` do not, as `job` and `instance` tell."""


class TargetInfo(Settings):
    """The metric `target_info`, which has a resource's attributes as labels."""

    enabled: bool = True
    """Whether it is sent."""


class Wal(Settings):
    """The Collector's write-ahead log. Without effect, which a warning says: `sending_queue::storage` does its work."""

    directory: str = ""
    """Without effect."""
    buffer_size: int = 300
    """Without effect."""
    truncate_frequency: Duration = 60.0
    """Without effect."""
    lag_record_frequency: Duration = 15.0
    """Without effect."""


class DeltaToCumulative(Settings):
    """Adds delta sums and histograms up, since Prometheus knows cumulative ones only. Ours; off.

    The sums are kept in memory, and through a reload: they begin anew with the process, which Prometheus takes for a
    reset of the counter.
    """

    max_streams: int = Field(default=100_000, gt=0)
    """Series that are added up at the same time; points of further ones are rejected."""
    max_stale: Duration = Field(default=300.0, gt=0)
    """A series that gets no point for so long is forgotten, and begins anew."""


class PrometheusRemoteWriteConfig(RemoteWriteClient):
    """The settings of `prometheus_remote_write`: those of an HTTP client, of names, and of the parts around it."""

    endpoint: str = ""
    """The URL that takes remote write, such as `https://prometheus:9090/api/v1/write`."""
    http: Section[RemoteWriteClient] = None
    """The client's settings as a block of their own; counts instead of those at the top, its `timeout` where given."""
    write_buffer_size: int = 524_288
    """Without effect: a body is written at once."""
    timeout: Timeout = 5.0
    """How long one attempt to send a batch may take, with all requests and halves that it becomes; 0s has no limit."""
    retry_on_failure: Section[RetryOnFailure] = RemoteWriteRetry()
    """How often and when to try again."""
    remote_write_queue: Section[RemoteWriteQueue] = RemoteWriteQueue()
    """The queue by the Collector's name; `enabled: false` has senders wait and see failures."""
    sending_queue: Section[OrderedQueue] = OrderedQueue()
    """The queue with all that it can have, such as `storage`. Counts instead of `remote_write_queue`."""
    circuit_breaker: Section[CircuitBreaker] = None
    """Stops attempts while the receiver is down; off."""
    namespace: str = ""
    """Stands in front of every metric's name, with `_` between."""
    external_labels: dict[str, str] = Field(default_factory=dict)
    """Labels that every series gets which has none of that name."""
    translation_strategy: StrategyName = ""
    """How names are made Prometheus's; empty is what `add_metric_suffixes` says. A receiver must know UTF-8 names for
    the last two."""
    add_metric_suffixes: bool = True
    """Whether names end with unit and type (`_seconds`, `_total`)."""
    resource_to_telemetry_conversion: ResourceToTelemetryConversion = ResourceToTelemetryConversion()
    """Whether attributes of resources become labels of every series."""
    target_info: TargetInfo = TargetInfo()
    """The metric with a resource's attributes as labels."""
    disable_scope_info: bool = False
    """Whether the labels `otel_scope_*` are left out."""
    send_metadata: bool = False
    """Whether types, help and units go along. The second message always has them."""
    protobuf_message: Literal["prometheus.WriteRequest", "io.prometheus.write.v2.Request"] = "prometheus.WriteRequest"
    """The message of remote write 1.0, which all receivers know, or that of 2.0."""
    max_batch_size_bytes: int = Field(default=3_000_000, gt=0)
    """A batch goes as several requests of this size at most, before compression. What belongs together, such as the
    buckets of a histogram, is not divided, and may be larger."""
    max_batch_request_parallelism: int | None = Field(default=None, gt=0)
    """Requests of one batch that are under way at the same time; left out, `remote_write_queue::num_consumers`."""
    series_cache_size: Size = Field(default=134_217_728, gt=0)
    """What may be kept of the names and labels of series: about 1 KB for each, 6 KB for a histogram of ten bounds. When
    it is full all is found out anew, which takes about 20 µs a series."""
    delta_to_cumulative: Section[DeltaToCumulative] = None
    """Adds delta points up. Off, they are rejected."""
    wal: Section[Wal] = None
    """Without effect; see `sending_queue::storage`."""

    @field_validator("external_labels")
    @classmethod
    def _check_labels(cls, labels: dict[str, str]) -> dict[str, str]:
        if any(not name or not text for name, text in labels.items()):
            raise ValueError("prometheus remote write: external labels configuration contains an empty key or value")
        return labels

    @model_validator(mode="after")
    def _check_endpoint(self) -> Self:
        if not self.client.endpoint:
            raise ValueError('requires a non-empty "endpoint"')
        if not is_url(self.client.endpoint):
            hint = ', as "http://prometheus:9090/api/v1/write"'
            raise mistake(f"endpoint must be a valid URL{hint}", *(("http",) if self.http else ()), "endpoint")
        return self

    @model_validator(mode="after")
    def _name_queue(self) -> Self:
        if "sending_queue" not in self.model_fields_set:
            short = self.remote_write_queue
            queue = None if short is None else OrderedQueue(queue_size=short.queue_size)
            self.__dict__["sending_queue"] = queue  # frozen for all others
        return self

    @model_validator(mode="after")
    def _find_timeout(self) -> Self:
        if self.http is not None and "timeout" in self.http.model_fields_set:
            self.__dict__["timeout"] = self.http.timeout
        return self

    @property
    def client(self) -> RemoteWriteClient:
        """How to reach the receiver."""
        return self if self.http is None else self.http

    @property
    def is_second(self) -> bool:
        """Whether the message is that of remote write 2.0."""
        return self.protobuf_message == SECOND

    @property
    def strategy(self) -> Strategy:
        """How names are translated."""
        return Strategy.chosen(self.translation_strategy, add_metric_suffixes=self.add_metric_suffixes)

    @property
    def parallelism(self) -> int:
        """How many requests of a batch are under way at the same time."""
        queue = self.remote_write_queue or RemoteWriteQueue()
        return self.max_batch_request_parallelism or queue.num_consumers

    @property
    def shapes(self) -> str:
        """All that decides what is known of series; where it is the same, a reload keeps their sums."""
        delta = self.delta_to_cumulative
        return repr((
            self.strategy, self.namespace, sorted(self.labels.items()), self.disable_scope_info, self.target_info,
            self.resource_to_telemetry_conversion, self.protobuf_message, self.send_metadata, self.max_batch_size_bytes,
            self.series_cache_size, None if delta is None else delta.max_streams,
        ))  # fmt: skip

    @property
    def rules(self) -> Rules:
        """What is said of names and labels."""
        conversion = self.resource_to_telemetry_conversion
        left_out = SERVICE if conversion.exclude_service_attributes else ()
        return Rules(
            self.strategy, self.namespace, {}, not self.disable_scope_info,
            lambda key: conversion.enabled and key not in left_out,
        )  # fmt: skip

    @property
    def labels(self) -> dict[str, str]:
        """The external labels by names that Prometheus takes; those that begin with `__` are its own."""
        named = {
            name if name.startswith("__") else label_name(name, self.strategy): text
            for name, text in self.external_labels.items()
        }
        return {name: text for name, text in named.items() if name}
