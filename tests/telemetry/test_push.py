"""The exporters of own telemetry that the OpenTelemetry SDK brings, as settings ask for them."""

import asyncio
import threading

import pytest
import trustme
from opentelemetry.sdk._logs.export import ConsoleLogRecordExporter
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter

from sluiceway.config.telemetry_export import Exporter, PeriodicReader
from sluiceway.errors import ConfigError
from sluiceway.telemetry.collection import Collection
from sluiceway.telemetry.metrics import Metrics, Scope
from sluiceway.telemetry.push import log_exporter, metric_exporter, push
from sluiceway.testing import ManualClock, settle


def test_the_console():
    """Metrics and logs can go to standard output."""
    exporter = Exporter.model_validate({"console": {}})
    assert isinstance(metric_exporter(exporter), ConsoleMetricExporter)
    assert isinstance(log_exporter(exporter), ConsoleLogRecordExporter)


@pytest.mark.parametrize("make", [metric_exporter, log_exporter])
def test_grpc_with_certificates(make, tmp_path):
    """Certificates are read when the exporter is made."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(tmp_path / "own.pem")
    files = {"certificate": f"{tmp_path}/ca.pem", "client_key": f"{tmp_path}/own.pem"}
    files["client_certificate"] = files["client_key"]
    make(Exporter.model_validate({"otlp": {"insecure": False, **files}})).shutdown()


@pytest.mark.parametrize("make", [metric_exporter, log_exporter])
def test_a_certificate_that_is_missing(make):
    """The file is named."""
    with pytest.raises(ConfigError, match=r"cannot read /none/ca\.pem"):
        make(Exporter.model_validate({"otlp": {"certificate": "/none/ca.pem"}}))


def test_logs_over_http():
    """A whole URL is taken as it is."""
    otlp = {"protocol": "http/protobuf", "endpoint": "http://127.0.0.1:1/own/logs", "compression": "gzip"}
    exporter = log_exporter(Exporter.model_validate({"otlp": otlp}))
    assert exporter._endpoint == "http://127.0.0.1:1/own/logs"
    exporter.shutdown()


class SlowExporter:
    """An exporter whose export and shutdown take until they are let go."""

    def __init__(self):
        self.exporting, self.closing = threading.Event(), threading.Event()
        self.export_may_end, self.close_may_end = threading.Event(), threading.Event()

    def export(self, data, timeout_millis):
        self.exporting.set()
        self.export_may_end.wait(10)

    def shutdown(self, timeout_millis):
        self.closing.set()
        self.close_may_end.wait(10)


@pytest.fixture
def pushing():
    """Metrics pushed every second by a slow exporter, for at most ten milliseconds; gives exporter, clock and task."""
    metrics = Metrics()
    Scope(metrics).counter("otelcol_x", lambda: 1)
    collection = Collection(metrics, {})
    exporter, clock = SlowExporter(), ManualClock()
    reader = PeriodicReader.model_validate({"interval": 1000, "timeout": 10, "exporter": {"console": {}}})
    yield exporter, clock, lambda: asyncio.create_task(push(collection, exporter, reader, clock))
    exporter.export_may_end.set()
    exporter.close_may_end.set()
    collection.close()


async def test_a_push_that_takes_too_long_is_logged(pushing, caplog):
    """An export that outlives its timeout is given up, which the log says, and the next one comes in its time."""
    exporter, clock, start = pushing
    task = start()
    await clock.advance(1)
    async with asyncio.timeout(10):
        while "Pushing our own metrics took more than 0.01 s" not in caplog.text:
            await settle()
        while not clock.sleepers:
            await settle()
    exporter.export_may_end.set()
    exporter.close_may_end.set()
    task.cancel()
    await asyncio.wait([task])


async def test_shutting_the_exporter_down_does_not_hold_up_the_event_loop(pushing):
    """The SDK may wait for an export under way, and other tasks go on meanwhile."""
    exporter, _, start = pushing
    task = start()
    await settle()
    exporter.export_may_end.set()
    task.cancel()
    assert await asyncio.to_thread(exporter.closing.wait, 10)
    assert not task.done()
    exporter.close_may_end.set()
    await asyncio.wait([task])
    assert task.cancelled()


def test_settings_that_change_nothing_are_named(caplog):
    """What is accepted for the Collector's sake and has no effect is a warning."""
    otlp = {"temporality_preference": "delta", "default_histogram_aggregation": "base2_exponential_bucket_histogram"}
    metric_exporter(Exporter.model_validate({"otlp": {"protocol": "http/protobuf", **otlp}})).shutdown()
    assert "temporality_preference is accepted, but" in caplog.text
    assert "default_histogram_aggregation is accepted, but" in caplog.text
