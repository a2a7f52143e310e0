"""What pushes our own telemetry, made from `service::telemetry`: exporters, processors, and the loop for metrics.

The OpenTelemetry SDK sends; each exporter is imported only when a configuration asks for it. It sends from threads of
its own, so a backend that is away or hangs holds up neither the event loop nor, for more than `LAST_PUSH` seconds, a
stop. What waits is bounded: metrics are read anew for each push, and of spans and log records at most `max_queue_size`
are kept, of which the oldest go first.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sluiceway.errors import ConfigError
from sluiceway.telemetry.background import LAST_PUSH, Background
from sluiceway.telemetry.collection import Collection
from sluiceway.telemetry.tracing import OWN_HEADER, own_mark

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import LogRecordProcessor
    from opentelemetry.sdk._logs.export import LogRecordExporter
    from opentelemetry.sdk.metrics.export import MetricExporter
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.sdk.trace.export import SpanExporter

    from sluiceway.clock import Clock
    from sluiceway.config.telemetry_export import Exporter, OtlpExporter, PeriodicReader, Processor

__all__ = ["log_exporter", "log_processor", "metric_exporter", "push", "span_exporter", "span_processor"]

_log = logging.getLogger(__name__)


def metric_exporter(exporter: Exporter) -> MetricExporter:
    """The SDK's exporter for metrics. Raises `ConfigError` when a certificate cannot be read."""
    otlp = exporter.otlp
    if otlp is None:
        from opentelemetry.sdk.metrics.export import ConsoleMetricExporter

        return ConsoleMetricExporter()
    _warn_of_ignored(otlp)
    if otlp.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcExporter

        return GrpcExporter(**_grpc(otlp))
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    return OTLPMetricExporter(**_http(otlp, "/v1/metrics"))


def log_exporter(exporter: Exporter) -> LogRecordExporter:
    """The SDK's exporter for log records. Raises `ConfigError` when a certificate cannot be read."""
    otlp = exporter.otlp
    if otlp is None:
        from opentelemetry.sdk._logs.export import ConsoleLogRecordExporter

        return ConsoleLogRecordExporter()
    if otlp.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcExporter

        return GrpcExporter(**_grpc(otlp))
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter

    return OTLPLogExporter(**_http(otlp, "/v1/logs"))


def span_exporter(exporter: Exporter) -> SpanExporter:
    """The SDK's exporter for spans. Raises `ConfigError` when a certificate cannot be read."""
    otlp = exporter.otlp
    if otlp is None:
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter()
    if otlp.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter

        return GrpcExporter(**_grpc(otlp))
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(**_http(otlp, "/v1/traces"))


def span_processor(processor: Processor) -> SpanProcessor:
    """What takes spans to where the settings say. Raises `ConfigError` when a certificate cannot be read."""
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    return BatchSpanProcessor(span_exporter(_target(processor)), **_batching(processor))


def log_processor(processor: Processor) -> LogRecordProcessor:
    """What takes log records to where the settings say. Raises `ConfigError` when a certificate cannot be read."""
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

    return BatchLogRecordProcessor(log_exporter(_target(processor)), **_batching(processor))


async def push(collection: Collection, exporter: MetricExporter, reader: PeriodicReader, clock: Clock) -> None:
    """Push metrics at the reader's interval until cancelled, and then once more; shuts the exporter down."""
    pusher = _Pusher(collection, exporter)
    seconds = reader.timeout / 1e3
    try:
        while True:
            await clock.sleep(reader.interval / 1e3)
            await pusher.push(seconds)
    finally:
        await pusher.close(min(seconds or LAST_PUSH, LAST_PUSH))


class _Pusher:
    """Pushes one after the other: one that hangs is given up, but none is begun while it still goes on."""

    def __init__(self, collection: Collection, exporter: MetricExporter) -> None:
        self._collection = collection
        self._exporter = exporter
        self._sending: Background | None = None

    async def push(self, seconds: float) -> None:
        """Send what there is to tell now. The SDK logs what goes wrong and does not raise."""
        data = self._collection.collect()
        if data is None or (self._sending is not None and not self._sending.is_over):
            return
        self._sending = Background(partial(self._exporter.export, data, timeout_millis=seconds * 1e3))
        if not await self._sending.wait(seconds):
            _log.warning("Pushing our own metrics took more than %g s and was given up", seconds)

    async def close(self, seconds: float) -> None:
        """Push a last time and shut the exporter down, where the SDK waits for what is under way."""
        closing = asyncio.get_running_loop().time() + LAST_PUSH
        await self.push(seconds)
        left = max(closing - asyncio.get_running_loop().time(), 0.1)
        await Background(partial(self._exporter.shutdown, timeout_millis=left * 1e3)).wait(left)


def _target(processor: Processor) -> Exporter:
    way = processor.batch or processor.simple
    assert way is not None  # noqa: S101 - the settings see to it that there is one
    return way.exporter


def _batching(processor: Processor) -> dict[str, Any]:
    """How spans or records are gathered. `simple` means one a request and at once, and yet not on the event loop."""
    batch = processor.batch
    if batch is None:
        return {"max_export_batch_size": 1}
    return {
        "schedule_delay_millis": batch.schedule_delay,
        "max_export_batch_size": batch.max_export_batch_size,
        "export_timeout_millis": batch.export_timeout,
        "max_queue_size": batch.max_queue_size,
    }


def _warn_of_ignored(otlp: OtlpExporter) -> None:
    if otlp.temporality_preference not in (None, "cumulative"):
        _log.warning("temporality_preference is accepted, but our own metrics are always pushed as cumulative")
    if otlp.default_histogram_aggregation not in (None, "explicit_bucket_histogram"):
        _log.warning("default_histogram_aggregation is accepted, but our own histograms always have explicit buckets")


def _headers(otlp: OtlpExporter) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in (otlp.headers_list or "").split(",") if "=" in pair)
    listed = {key.strip(): value.strip() for key, _, value in pairs}
    written = {key.lower(): secret.reveal() for key, secret in otlp.headers.items()}
    return listed | written | {OWN_HEADER: own_mark()}


def _grpc(otlp: OtlpExporter) -> dict[str, Any]:
    import grpc

    options: dict[str, Any] = {"headers": _headers(otlp), "timeout": otlp.timeout / 1e3}
    if otlp.endpoint:
        options["endpoint"] = otlp.endpoint
    if otlp.insecure is not None:
        options["insecure"] = otlp.insecure
    if otlp.compression:
        options["compression"] = grpc.Compression.Gzip if otlp.compression == "gzip" else grpc.Compression.NoCompression
    if otlp.certificate or otlp.client_key:
        files = (otlp.certificate, otlp.client_key, otlp.client_certificate)
        options["credentials"] = grpc.ssl_channel_credentials(*(_read(file) if file else None for file in files))
    return options


def _read(file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise ConfigError(f"service::telemetry: cannot read {file}: {error.strerror}") from error


def _http(otlp: OtlpExporter, path: str) -> dict[str, Any]:
    from opentelemetry.exporter.otlp.proto.http import Compression

    endpoint = otlp.endpoint or "http://localhost:4318"
    options: dict[str, Any] = {
        "endpoint": endpoint if urlsplit(endpoint).path.strip("/") else endpoint.rstrip("/") + path,
        "headers": _headers(otlp),
        "timeout": otlp.timeout / 1e3,
        "certificate_file": otlp.certificate,
        "client_key_file": otlp.client_key,
        "client_certificate_file": otlp.client_certificate,
    }
    if otlp.compression:
        options["compression"] = Compression.Gzip if otlp.compression == "gzip" else Compression.NoCompression
    return options
