"""Where our own telemetry goes: the exporters, readers and processors that `service::telemetry` names.

The keys are those of OpenTelemetry's declarative configuration (0.3.0), which counts intervals in milliseconds.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Literal, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from sluiceway.config.address import Address, check_address
from sluiceway.config.client import RequestHeaders, is_url
from sluiceway.config.rules import exactly_one
from sluiceway.config.settings import mistake
from sluiceway.config.types import Section, Settings, StringList

__all__ = [
    "BatchProcessor",
    "ConsoleExporter",
    "Exporter",
    "MetricReader",
    "OtlpExporter",
    "PeriodicReader",
    "Processor",
    "PrometheusReader",
    "PullExporter",
    "PullReader",
    "SimpleProcessor",
    "TelemetryLevel",
]

_LONGEST: Final = 2**31 - 1
"""Milliseconds: what gRPC can hold, and more overflows in the SDK."""


class TelemetryLevel(StrEnum):
    """How much the collector's own telemetry tells. Written in any case."""

    NONE = "none"
    BASIC = "basic"
    NORMAL = "normal"
    DETAILED = "detailed"


class OtlpExporter(Settings):
    """An OTLP exporter for our own telemetry, in the spelling of OpenTelemetry's declarative configuration."""

    protocol: Literal["grpc", "http/protobuf", "http/json"] = "grpc"
    """How to send: `grpc`, `http/protobuf` or `http/json`."""
    endpoint: str = ""
    """Where to send to: `http://host:4317`, or for http the whole URL."""
    headers: RequestHeaders = Field(default_factory=dict)
    """Headers of each request, such as credentials; they never print."""
    headers_list: str | None = None
    """Headers as one text, `a=b,c=d`; those of `headers` win."""
    compression: Literal["gzip", "none"] | None = None
    """Compression of requests."""
    timeout: int = Field(default=10_000, ge=0, le=_LONGEST)
    """Milliseconds a request may take, as the declarative configuration counts."""
    insecure: bool | None = None
    """Whether gRPC goes without TLS; by default the endpoint's scheme decides."""
    certificate: str | None = None
    """File with the certificates of authorities that the backend is checked against."""
    client_key: str | None = None
    """File with the key of our own certificate."""
    client_certificate: str | None = None
    """File with our own certificate."""
    temporality_preference: Literal["cumulative", "delta", "lowmemory", "low_memory"] | None = None
    """Accepted; our own metrics are always cumulative, and anything else is a warning."""
    default_histogram_aggregation: str | None = None
    """Accepted; our own histograms have explicit buckets, and anything else is a warning."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.protocol == "http/json":
            raise mistake('unsupported protocol "http/json": use grpc or http/protobuf', "protocol")
        if self.endpoint and not (is_url(self.endpoint) if self.protocol != "grpc" else _is_target(self.endpoint)):
            raise mistake("endpoint must be a valid URL", "endpoint")
        if bool(self.client_key) != bool(self.client_certificate):
            raise mistake("client_key and client_certificate must be given together", "client_key")
        return self


def _is_target(endpoint: str) -> bool:
    return is_url(endpoint) if "://" in endpoint else is_url(f"http://{endpoint}")


class ConsoleExporter(Settings):
    """An exporter that writes our own telemetry to standard output."""


class Exporter(Settings):
    """Where our own telemetry goes: to an OTLP backend or to the console."""

    model_config = ConfigDict(json_schema_extra=exactly_one("otlp", "console"))

    otlp: OtlpExporter | None = None
    """An OTLP backend."""
    console: Section[ConsoleExporter] = None
    """Standard output."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.otlp is None) == (self.console is None):
            raise PydanticCustomError("exporter", "must have exactly one exporter: otlp or console")
        return self


class IncludeExclude(Settings):
    """Names to choose, where `*` stands for any text and `?` for one character."""

    included: StringList = ()
    """Which to take; none when empty."""
    excluded: StringList = ()
    """Which of them to leave out."""


class PrometheusReader(Settings):
    """The Prometheus endpoint of our own metrics. Names go without suffixes unless asked for, as in the Collector."""

    host: str = "localhost"
    """Address to listen on."""
    port: int = Field(default=8888, ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""
    without_scope_info: bool = True
    """Leave the scope's labels out."""
    without_units: bool = True
    """Leave units out of names."""
    without_type_suffix: bool = True
    """Leave `_total` off the names of counters."""
    with_resource_constant_labels: IncludeExclude = IncludeExclude()
    """Which resource attributes become labels."""

    @model_validator(mode="after")
    def _check_host(self) -> Self:
        try:
            check_address(self.listens_on.endpoint)
        except ValueError as error:
            raise mistake(str(error), "host") from None
        return self

    @property
    def listens_on(self) -> Address:
        """Where the endpoint listens."""
        host = self.host.removeprefix("[").removesuffix("]")
        return Address(f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}")


class PullExporter(Settings):
    """What a pull reader offers its metrics by."""

    prometheus: PrometheusReader = PrometheusReader()
    """A Prometheus endpoint."""


class PullReader(Settings):
    """A reader that waits until somebody asks."""

    exporter: PullExporter = PullExporter()
    """How to offer the metrics."""


class PeriodicReader(Settings):
    """A reader that pushes at an interval."""

    interval: int = Field(default=60_000, gt=0, le=_LONGEST)
    """Milliseconds between two exports, as the declarative configuration counts."""
    timeout: int = Field(default=30_000, ge=0, le=_LONGEST)
    """Milliseconds an export may take."""
    exporter: Exporter
    """Where to push to."""


class MetricReader(Settings):
    """One reader of our own metrics."""

    model_config = ConfigDict(json_schema_extra=exactly_one("pull", "periodic"))

    pull: Section[PullReader] = None
    """A reader that waits until somebody asks: Prometheus."""
    periodic: Section[PeriodicReader] = None
    """A reader that pushes."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.pull is None) == (self.periodic is None):
            raise PydanticCustomError("reader", "must have exactly one reader: pull or periodic")
        return self


class BatchProcessor(Settings):
    """A processor that gathers our own spans or log records and sends them together."""

    schedule_delay: int = Field(default=5_000, gt=0, le=_LONGEST)
    """Milliseconds between two exports."""
    export_timeout: int = Field(default=30_000, ge=0, le=_LONGEST)
    """Milliseconds an export may take."""
    max_queue_size: int = Field(default=2_048, gt=0)
    """How many items wait at most."""
    max_export_batch_size: int = Field(default=512, gt=0)
    """How many items go at once."""
    exporter: Exporter
    """Where to send to."""

    @model_validator(mode="after")
    def _check_sizes(self) -> Self:
        if self.max_export_batch_size > self.max_queue_size:
            raise mistake("max_export_batch_size must not be greater than max_queue_size", "max_export_batch_size")
        return self


class SimpleProcessor(Settings):
    """A processor that sends each of our own spans or log records by itself."""

    exporter: Exporter
    """Where to send to."""


class Processor(Settings):
    """One way out for our own spans or log records."""

    model_config = ConfigDict(json_schema_extra=exactly_one("batch", "simple"))

    batch: BatchProcessor | None = None
    """Gather, then send."""
    simple: SimpleProcessor | None = None
    """Send each by itself."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.batch is None) == (self.simple is None):
            raise PydanticCustomError("processor", "must have exactly one processor: batch or simple")
        return self
