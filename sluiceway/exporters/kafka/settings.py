"""The settings of `kafka`, the exporter. Names and defaults are the Collector's; ours are marked where they differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from sluiceway.config.client import RequestHeaders
from sluiceway.config.exporter import CircuitBreaker, RetryOnFailure, SendingQueue, Timeout
from sluiceway.config.metadata import ReadsHeaders
from sluiceway.config.settings import mistake
from sluiceway.config.types import Duration, Section, Settings, Size, StringList
from sluiceway.kafka import KafkaClient, is_topic
from sluiceway.otlp import Signal

__all__ = ["KafkaExporterConfig", "ProducerSettings", "RecordPartitioner", "SignalSettings"]

MEBIBYTE: Final = 1024 * 1024
_OTLP: Final = ("otlp_proto", "otlp_json")
_LEVELS: Final = {"gzip": 9, "lz4": 12, "zstd": 12}
"""The highest level that librdkafka takes."""


def _acks(value: object) -> object:
    return -1 if value == "all" else value


class CompressionParams(Settings):
    """How hard messages are compressed."""

    level: int = 0
    """`gzip` 1 to 9, `lz4` and `zstd` 1 to 12; 0 and -1 are the codec's own default."""


class ProducerSettings(Settings):
    """How messages are written."""

    max_message_bytes: int = Field(default=1_000_000, ge=1000, le=1_000_000_000)
    """The largest message, before compression; what is larger is split. Keep it at or below `max.message.bytes` of the
    topics."""
    max_broker_write_bytes: int = Field(default=104_857_600, gt=0)
    """Without effect."""
    required_acks: Annotated[Literal[-1, 0, 1], BeforeValidator(_acks)] = -1
    """Who must have a message before it counts as delivered: `all` (or -1) replicas in sync, `1` for the leader alone,
    which can lose it with its machine, `0` for nobody. The Collector's default is 1. Only `all` is idempotent."""
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = "none"
    """The codec."""
    compression_params: CompressionParams = CompressionParams()
    """How hard."""
    flush_max_messages: int = Field(default=10_000, ge=0, le=1_000_000)
    """Messages that go in one request, at most; 0 is 10000."""
    allow_auto_topic_creation: bool = True
    """Whether the brokers may create a topic that is missing, if they are set up to."""
    linger: Duration = Field(default=0.01, ge=0, le=900)
    """How long a message waits for others that can go in the same request."""
    max_buffered_bytes: Size = Field(default=64 * MEBIBYTE, ge=1024)
    """What may be on its way to the brokers. Where that is full, batches wait. Ours."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        highest = _LEVELS.get(self.compression, 0)
        if not -1 <= self.compression_params.level <= highest:
            text = f"{self.compression} has levels up to {highest}" if highest else f"{self.compression} has no levels"
            raise mistake(text, "compression_params", "level")
        if self.max_buffered_bytes < self.max_message_bytes:
            raise mistake("must hold a message of max_message_bytes", "max_buffered_bytes")
        return self


class SignalSettings(Settings):
    """Where messages of one signal go, and how they are written."""

    encodings: ClassVar[tuple[str, ...]] = _OTLP

    topic: str
    """The topic."""
    encoding: str = "otlp_proto"
    """`otlp_proto`, as batches are, or `otlp_json`."""
    topic_from_metadata_key: str = ""
    """A request header that names the topic; it comes before `topic_from_attribute` and `topic`."""
    message_key_from_metadata_key: str = ""
    """A request header whose value is the message's key."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not is_topic(self.topic):
            raise mistake("a topic has 1 to 249 of the letters a-z, A-Z, 0-9, '.', '_' and '-'", "topic")
        if self.encoding not in self.encodings:
            known = ", ".join(self.encodings[:-1]) + f" or {self.encodings[-1]}"
            raise mistake(f'encoding "{self.encoding[:50]}" is not supported here: use {known}', "encoding")
        return self

    @property
    def headers_read(self) -> tuple[tuple[str, str], ...]:
        """The request headers by which topics and keys are chosen."""
        keys = ("topic_from_metadata_key", "message_key_from_metadata_key")
        return tuple((key, getattr(self, key)) for key in keys if getattr(self, key))


class TracesSettings(SignalSettings):
    """Where spans go."""

    topic: str = "otlp_spans"
    """The topic."""


class MetricsSettings(SignalSettings):
    """Where data points go."""

    topic: str = "otlp_metrics"
    """The topic."""


class LogsSettings(SignalSettings):
    """Where log records go."""

    encodings: ClassVar[tuple[str, ...]] = (*_OTLP, "raw", "text")

    topic: str = "otlp_logs"
    """The topic."""
    encoding: str = "otlp_proto"
    """`otlp_proto`, as batches are, `otlp_json`, or the bodies alone, a message each: `raw` writes bytes as they are,
    the rest as JSON, so that texts have quotes, as with the Collector; `text` (ours) writes texts as they are too."""


class ProfilesSettings(SignalSettings):
    """Read but not used, as there are no pipelines of profiles."""

    topic: str = "otlp_profiles"
    """The topic."""


class StickyKey(Settings):
    """The key's hash names the partition; without a key one is kept for a while."""

    hasher: Literal["sarama_compat", "murmur2"] = "sarama_compat"
    """`sarama_compat` (FNV-1a), or `murmur2` as Java's clients."""


class Empty(Settings):
    """Nothing more to say."""


class RecordPartitioner(Settings):
    """How a message finds its partition: at most one of these ways; `sticky_key` where there is none."""

    sticky_key: Section[StickyKey] = None
    """By the key's hash."""
    round_robin: Section[Empty] = None
    """Spread evenly, by chance and whatever the key."""
    least_backup: Section[Empty] = None
    """The same as `round_robin`: librdkafka does not tell how much waits for a partition."""
    extension: str | None = None
    """Not supported."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.extension is not None:
            raise mistake("partitioners of one's own are not supported", "extension")
        if sum(way is not None for way in (self.sticky_key, self.round_robin, self.least_backup)) > 1:
            raise ValueError("at most one record_partitioner strategy may be configured")
        return self

    @property
    def name(self) -> str:
        """Librdkafka's name of it."""
        if self.round_robin is not None or self.least_backup is not None:
            return "random"
        return "murmur2_random" if self.sticky_key and self.sticky_key.hasher == "murmur2" else "fnv1a_random"


class KafkaExporterConfig(KafkaClient):
    """The settings of `kafka`: those of a client of Kafka, of its messages, and of the parts around an exporter."""

    traces: TracesSettings = TracesSettings()
    """Where spans go, and how they are written."""
    metrics: MetricsSettings = MetricsSettings()
    """Where data points go, and how they are written."""
    logs: LogsSettings = LogsSettings()
    """Where log records go, and how they are written."""
    profiles: ProfilesSettings = ProfilesSettings()
    """Read but not used, as there are no pipelines of profiles."""
    topic: str = ""
    """Deprecated: `traces::topic`, `metrics::topic` and `logs::topic`, which win."""
    encoding: str = ""
    """Deprecated: `traces::encoding`, `metrics::encoding` and `logs::encoding`, which win."""
    topic_from_attribute: str = ""
    """A resource attribute that names the topic."""
    include_metadata_keys: StringList = ()
    """Request headers that become headers of the messages."""
    record_headers: RequestHeaders = Field(default_factory=dict)
    """Headers of every message."""
    partition_traces_by_id: bool = False
    """One message for each trace, with its id in hex as the key."""
    partition_metrics_by_resource_attributes: bool = False
    """One message for each resource, with a hash of its attributes as the key."""
    partition_logs_by_resource_attributes: bool = False
    """One message for each resource, with a hash of its attributes as the key."""
    partition_logs_by_trace_id: bool = False
    """One message for each trace, with its id in hex as the key; records without one have no key."""
    message_key_from_attribute: str = ""
    """A resource attribute, such as `tenant.id`: one message for each value, which is the key. Ours."""
    record_partitioner: RecordPartitioner = RecordPartitioner()
    """How a message finds its partition."""
    producer: ProducerSettings = ProducerSettings()
    """How messages are written."""
    attempt_timeout: Timeout = Field(default=5.0, alias="timeout")
    """How long one attempt may take; 0s has no limit. What is on its way by then is not sent again."""
    retry_on_failure: Section[RetryOnFailure] = RetryOnFailure()
    """How often and when to try again."""
    sending_queue: Section[SendingQueue] = SendingQueue()
    """The queue that takes responsibility for batches."""
    circuit_breaker: Section[CircuitBreaker] = None
    """Stops attempts while the brokers are away; off."""

    @model_validator(mode="after")
    def _check_messages(self) -> Self:
        if self.topic and not is_topic(self.topic):
            raise mistake("a topic has 1 to 249 of the letters a-z, A-Z, 0-9, '.', '_' and '-'", "topic")
        if self.encoding and self.encoding not in LogsSettings.encodings:
            raise mistake(f'encoding "{self.encoding[:50]}" is not supported', "encoding")
        self._check_keys()
        self._check_batching()
        return self

    def _check_keys(self) -> None:
        both = self.partition_logs_by_resource_attributes and self.partition_logs_by_trace_id
        if both:
            text = "partition_logs_by_resource_attributes and partition_logs_by_trace_id cannot both be enabled"
            raise ValueError(text)
        for signal in Signal:
            given = list(self._keys_of(signal))
            if len(given) > 1:
                raise ValueError(f"{given[0]} cannot be combined with {given[1]}")

    def _keys_of(self, signal: Signal) -> Iterator[str]:
        """The settings that give the messages of a signal a key."""
        if self.of(signal).message_key_from_metadata_key:
            yield f"{signal.value}::message_key_from_metadata_key"
        if self.message_key_from_attribute:
            yield "message_key_from_attribute"
        if self.by_trace(signal):
            yield "partition_traces_by_id" if signal is Signal.TRACES else "partition_logs_by_trace_id"
        if self.by_resource(signal):
            yield f"partition_{signal.value}_by_resource_attributes"

    def _check_batching(self) -> None:
        """Batches that are joined keep only the headers by which they are kept apart."""
        batch = self.sending_queue.batch if self.sending_queue is not None else None
        if batch is None:
            return
        kept = {key.lower() for key in batch.partition.metadata_keys}
        place = "sending_queue::batch::partition::metadata_keys"
        parts: tuple[ReadsHeaders, ...] = (self, self.traces, self.metrics, self.logs)
        for key, name in (read for part in parts for read in part.headers_read):
            if name.lower() not in kept:
                raise ValueError(f'{place} must include "{name}", which {key} names')

    def of(self, signal: Signal) -> SignalSettings:
        """The settings for a signal, with what is deprecated where nothing newer is written."""
        own: SignalSettings = getattr(self, signal.value)
        old = {"topic": self.topic, "encoding": self.encoding}
        return own.model_copy(
            update={key: value for key, value in old.items() if value and key not in own.model_fields_set}
        )

    def by_trace(self, signal: Signal) -> bool:
        """Whether each trace of the signal is a message."""
        return {Signal.TRACES: self.partition_traces_by_id, Signal.LOGS: self.partition_logs_by_trace_id}.get(
            signal, False
        )

    def by_resource(self, signal: Signal) -> bool:
        """Whether each resource of the signal is a message."""
        return {
            Signal.METRICS: self.partition_metrics_by_resource_attributes,
            Signal.LOGS: self.partition_logs_by_resource_attributes,
        }.get(signal, False)

    @property
    def headers_read(self) -> tuple[tuple[str, str], ...]:
        """The request headers that go along."""
        return tuple(("include_metadata_keys", name) for name in self.include_metadata_keys)

    @property
    def properties(self) -> dict[str, str | int | float | bool]:
        """What librdkafka's producer is told besides where the brokers are."""
        producer, seconds = self.producer, self.attempt_timeout or 30.0
        found: dict[str, str | int | float | bool] = {
            "acks": producer.required_acks,
            "enable.idempotence": producer.required_acks == -1,
            "linger.ms": producer.linger * 1000,
            "message.max.bytes": producer.max_message_bytes,
            "batch.size": min(producer.max_message_bytes, 1_000_000),
            "batch.num.messages": producer.flush_max_messages or 10_000,
            # rounded up, with room for what a message of the largest size has beside its value
            "queue.buffering.max.kbytes": (producer.max_buffered_bytes + 64 * 1024) // 1024,
            "message.timeout.ms": 0,  # nothing is given up in there: whoever waits for it decides
            "request.timeout.ms": min(max(round(seconds * 1000), 1000), 900_000),
            "topic.metadata.propagation.max.ms": min(max(round(seconds * 500), 1000), 30_000),
            "allow.auto.create.topics": producer.allow_auto_topic_creation,
            "partitioner": self.record_partitioner.name,
            "compression.codec": producer.compression,
        }
        if producer.compression_params.level > 0:
            found["compression.level"] = producer.compression_params.level
        if self.record_partitioner.name == "random":
            found["sticky.partitioning.linger.ms"] = 0
        return found
