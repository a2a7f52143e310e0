"""OTLP exporters for our own telemetry, made from `service::telemetry`, and the loop that pushes metrics.

The OpenTelemetry SDK sends; each exporter is imported only when a configuration asks for it.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sluiceway.errors import ConfigError
from sluiceway.telemetry.collection import Collection

if TYPE_CHECKING:
    from opentelemetry.sdk._logs.export import LogRecordExporter
    from opentelemetry.sdk.metrics.export import MetricExporter

    from sluiceway.clock import Clock
    from sluiceway.config.telemetry_export import Exporter, OtlpExporter, PeriodicReader

__all__ = ["log_exporter", "metric_exporter", "push"]

_log = logging.getLogger(__name__)

LAST_PUSH = 5.0
"""Seconds that the last push, at the end, may take."""


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


async def push(collection: Collection, exporter: MetricExporter, reader: PeriodicReader, clock: Clock) -> None:
    """Push metrics at the reader's interval until cancelled, and then once more; shuts the exporter down."""
    try:
        while True:
            try:
                await clock.sleep(reader.interval / 1e3)
            except asyncio.CancelledError:
                await _export(collection, exporter, min(reader.timeout / 1e3, LAST_PUSH))
                raise
            await _export(collection, exporter, reader.timeout / 1e3)
    finally:
        # The SDK waits here for an export that is under way.
        await asyncio.to_thread(exporter.shutdown, timeout_millis=LAST_PUSH * 1e3)


async def _export(collection: Collection, exporter: MetricExporter, timeout: float) -> None:
    data = collection.collect()
    if data is not None:
        # The SDK logs what goes wrong and does not raise. `wait_for` cannot stop the thread, but does not wait for it.
        sending = asyncio.to_thread(exporter.export, data, timeout_millis=timeout * 1e3)
        try:
            await asyncio.wait_for(sending, timeout or None)
        except TimeoutError:
            _log.warning("Pushing our own metrics took more than %g s and was given up", timeout)


def _warn_of_ignored(otlp: OtlpExporter) -> None:
    if otlp.temporality_preference not in (None, "cumulative"):
        _log.warning("temporality_preference is accepted, but our own metrics are always pushed as cumulative")
    if otlp.default_histogram_aggregation not in (None, "explicit_bucket_histogram"):
        _log.warning("default_histogram_aggregation is accepted, but our own histograms always have explicit buckets")


def _headers(otlp: OtlpExporter) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in (otlp.headers_list or "").split(",") if "=" in pair)
    listed = {key.strip(): value.strip() for key, _, value in pairs}
    return listed | {key.lower(): secret.reveal() for key, secret in otlp.headers.items()}


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
