"""The exporters of own telemetry that the OpenTelemetry SDK brings, as settings ask for them."""

import pytest
import trustme
from opentelemetry.sdk._logs.export import ConsoleLogRecordExporter
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter

from sluiceway.config.telemetry_export import Exporter
from sluiceway.errors import ConfigError
from sluiceway.telemetry.push import log_exporter, metric_exporter


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
