"""The settings of the receiver `kafka`. Keys and defaults are the Collector's, unless a text says otherwise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Final, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from sluiceway.config.rules import not_together
from sluiceway.config.settings import mistake
from sluiceway.config.types import Duration, Settings, Size, StringList
from sluiceway.kafka import KafkaClient
from sluiceway.kafka.settings import Metadata, MetadataRetry
from sluiceway.otlp import Signal
from sluiceway.receivers.kafka.sources import Logs, Metrics, Profiles, Source, Traces

__all__ = ["ErrorBackoff", "HeaderExtraction", "KafkaReceiverConfig", "MessageMarking"]

MIB: Final = 1024 * 1024
_STRATEGIES: Final = ("range", "roundrobin", "cooperative-sticky")


class AutoCommit(Settings):
    """When the group's offsets are written to the brokers."""

    enable: bool = True
    """Whether every `interval`; else as soon as the pipeline has answered for messages."""
    interval: Duration = Field(default=1.0, gt=0)
    """Messages answered for since the last commit come again after a crash."""


class MessageMarking(Settings):
    """When a message is done with, so that its offset may be committed."""

    after: bool = True
    """Whether once the pipeline has answered for it; else as soon as it is read, and a crash loses what is held. The
    Collector's default is false."""
    on_error: bool = False
    """Whether a message that the pipeline refuses for now is dropped and counted, at once, or with `error_backoff`
    after its `max_elapsed_time`; else it is offered again without an end."""
    on_permanent_error: bool = True
    """Whether a message that the pipeline refuses for good or that cannot be read is dropped and counted; else it
    holds up its partition. The Collector's default is the value of `on_error`."""


class PartitionProcessing(Settings):
    """Accepted for the Collector's sake: partitions never wait for each other."""

    independent: bool = True
    """Without effect."""
    max_buffered_batches: int = Field(default=1, ge=1)
    """Without effect: see `max_held_size`."""


class ErrorBackoff(Settings):
    """When what the pipeline has refused for now is offered again, where the refusal does not say when."""

    enabled: bool = False
    """Only says whether `max_elapsed_time` counts: what is refused for now is always offered again."""
    initial_interval: Duration = Field(default=5.0, ge=0)
    """The first wait."""
    randomization_factor: float = Field(default=0.5, ge=0, le=1)
    """Each wait is varied at random by up to this part of itself."""
    multiplier: float = Field(default=1.5, ge=0)
    """By how much each wait is longer than the one before."""
    max_interval: Duration = Field(default=30.0, ge=0)
    """The longest wait."""
    max_elapsed_time: Duration = Field(default=300.0, ge=0)
    """With `enabled` and `message_marking::on_error`: the messages are dropped after this time; `0s` never."""


class HeaderExtraction(Settings):
    """Headers of messages as resource attributes."""

    extract_headers: bool = False
    """Whether it is done."""
    headers: StringList = ()
    """The headers that become `kafka.header.<name>` of every resource in their message; of several of one name the
    first counts."""


class Switch(Settings):
    """A metric that can be switched on."""

    enabled: bool = False
    """Whether it is reported."""


class OwnMetrics(Settings):
    """Metrics of the receiver itself that are off unless asked for."""

    kafka_receiver_records_delay: Switch = Switch()
    """The time between the producing and the receiving of messages."""


class OwnTelemetry(Settings):
    """The receiver's own telemetry."""

    metrics: OwnMetrics = OwnMetrics()
    """Metrics that are off unless asked for."""


class _Retry(MetadataRetry):
    max: int = Field(default=20, ge=0)
    """Without effect: librdkafka asks again until it is answered."""


class _Metadata(Metadata):
    retry: _Retry = _Retry()
    """How requests are repeated."""


class KafkaReceiverConfig(KafkaClient):
    """The settings of the receiver `kafka`."""

    model_config = ConfigDict(
        json_schema_extra=not_together(("group_rebalance_strategy", "group_rebalance_strategies"))
    )

    metadata: _Metadata = _Metadata()
    """What is known of the cluster."""
    traces: Traces = Traces()
    """The topics that hold traces."""
    metrics: Metrics = Metrics()
    """The topics that hold metrics."""
    logs: Logs = Logs()
    """The topics that hold logs."""
    profiles: Profiles = Profiles()
    """Without effect: there are no pipelines of profiles."""
    group_id: str = Field(default="otel-collector", min_length=1)
    """The consumer group: its members share the partitions, and its offsets say where reading goes on."""
    group_instance_id: str = ""
    """Makes the member a static one, which has its partitions again when it comes back within `session_timeout`. No
    two may have the same."""
    group_rebalance_strategy: str = ""
    """Deprecated: one of `group_rebalance_strategies`."""
    group_rebalance_strategies: StringList = ()
    """How partitions are shared out, in order of preference: `cooperative-sticky`, the default, by which only those
    that move stop for a moment; `range`, `roundrobin`. The cooperative one does not go with the others."""
    initial_offset: Literal["latest", "earliest"] = "latest"
    """Where a partition of which the group knows no offset is read from. `latest` is the end at the time when the
    partition is first assigned, and is committed at once; what has come since the start is read from its beginning."""
    session_timeout: Duration = Field(default=10.0, gt=0, le=3600)
    """A member that is not heard of for so long is dead, and others get its partitions."""
    heartbeat_interval: Duration = Field(default=3.0, gt=0, le=3600)
    """How often the member is heard of, however slow the pipeline is."""
    min_fetch_size: int = Field(default=1, ge=1, le=100_000_000)
    """Bytes that a broker waits for before it answers, up to `max_fetch_wait`."""
    max_fetch_size: int = Field(default=MIB, ge=1, le=2_000_000_000)
    """Bytes of an answer; a larger message comes all the same."""
    max_fetch_wait: Duration = Field(default=0.25, ge=0, le=50)
    """How long a broker waits for `min_fetch_size`."""
    max_partition_fetch_size: int = Field(default=MIB, ge=1, le=1_000_000_000)
    """Bytes of an answer from one partition; a larger message comes all the same."""
    use_leader_epoch: bool = True
    """Whether committed offsets carry the leader's epoch, by which brokers find out that a log was truncated."""
    conn_idle_timeout: Duration = Field(default=540.0, ge=0)
    """Idle connections are closed after so long; `0s` never."""
    autocommit: AutoCommit = AutoCommit()
    """When offsets are written to the brokers."""
    message_marking: MessageMarking = MessageMarking()
    """When a message is done with."""
    partition_processing: PartitionProcessing = PartitionProcessing()
    """Accepted for the Collector's sake: partitions never wait for each other."""
    error_backoff: ErrorBackoff = ErrorBackoff()
    """When what the pipeline has refused for now is offered again."""
    header_extraction: HeaderExtraction = HeaderExtraction()
    """Headers of messages as resource attributes."""
    include_metadata: bool = False
    """Whether batches carry the headers of their message, `kafka.topic` and `kafka.partition` as request metadata;
    messages whose headers differ are not joined then. The Collector always does it."""
    max_batch_size: Annotated[Size, Field(ge=1)] = MIB
    """Messages of one partition are joined up to so many bytes and handed on at once."""
    max_held_size: Annotated[Size, Field(ge=1)] = 64 * MIB
    """Bytes that wait for the pipeline, in equal parts for the partitions; one whose part is full is paused. All that
    is held is counted, with headers and what is around a message. librdkafka holds up to 16 MiB of values or 2000
    messages, and an answer more."""
    telemetry: OwnTelemetry = OwnTelemetry()
    """The receiver's own telemetry."""

    @model_validator(mode="after")
    def _check_receiver(self) -> Self:
        if self.min_fetch_size > self.max_fetch_size:
            text = f"max_fetch_size ({self.max_fetch_size}) cannot be less than min_fetch_size ({self.min_fetch_size})"
            raise mistake(text, "max_fetch_size")
        if self.heartbeat_interval >= self.session_timeout:
            raise mistake("must be shorter than session_timeout, and should be a third of it", "heartbeat_interval")
        self._check_strategies()
        names = Counter(topic for _, source in self.sources() for topic in set(source.topics))
        if twice := [name for name, times in names.items() if times > 1]:
            raise ValueError(f"a topic holds one signal, and {', '.join(sorted(twice))} is named for several")
        return self

    def _check_strategies(self) -> None:
        if self.group_rebalance_strategy and self.group_rebalance_strategies:
            raise ValueError("group_rebalance_strategy and group_rebalance_strategies cannot both be given")
        key = "group_rebalance_strategy" if self.group_rebalance_strategy else "group_rebalance_strategies"
        for name in self.strategies:
            if name not in _STRATEGIES:
                known = ", ".join(_STRATEGIES)
                raise mistake(f'librdkafka has no strategy "{name[:100]}": use one of {known}', key)
        if len(self.strategies) > 1 and self.is_cooperative:
            raise mistake("cooperative-sticky cannot stand beside others: librdkafka does not change over", key)

    @property
    def strategies(self) -> tuple[str, ...]:
        """How partitions are shared out, in order of preference."""
        given = (self.group_rebalance_strategy,) if self.group_rebalance_strategy else self.group_rebalance_strategies
        return given or ("cooperative-sticky",)

    @property
    def is_cooperative(self) -> bool:
        """Whether partitions come and go one by one; else all are given back before they are shared out anew."""
        return "cooperative-sticky" in self.strategies

    def sources(self) -> Iterator[tuple[Signal, Source]]:
        """The topics of each signal."""
        yield Signal.TRACES, self.traces
        yield Signal.METRICS, self.metrics
        yield Signal.LOGS, self.logs
