"""The conformance run: what every component must hold, ours without exception."""

import tempfile
from pathlib import Path

import pytest

from sluiceway.component import Component, Kind
from sluiceway.registry import components
from sluiceway.testing import check_component

EVERY = [component for kind in Kind for component in components(kind)]

FOLDER = tempfile.mkdtemp()

YAML = {
    "receiver otlp": """
        receivers:
          otlp: {protocols: {grpc: {endpoint: "127.0.0.1:0"}, http: {endpoint: "127.0.0.1:0"}}}
    """,
    "receiver http_check": """
        receivers:
          http_check: {targets: [{endpoint: "http://127.0.0.1:1"}]}
    """,
    "receiver syslog": """
        receivers:
          syslog: {tcp: {listen_address: "127.0.0.1:0"}, protocol: rfc5424}
    """,
    "receiver file_log": """
        receivers:
          file_log: {include: [/nowhere/at/all/*.log]}
    """,
    "receiver file": """
        receivers:
          file: {path: /nowhere/at/all.json, format: json}
    """,
    "exporter file": f"""
        exporters:
          file: {{path: '{FOLDER}/exported.json'}}
    """,
    "extension file_storage": f"""
        extensions:
          file_storage: {{directory: '{FOLDER}/storage'}}
    """,
    "receiver kafka": """
        receivers:
          kafka: {brokers: ["127.0.0.1:1"]}
    """,
    "receiver journald": """
        receivers:
          journald: {files: [/nowhere/at/all.journal]}
    """,
    "receiver security_log": """
        receivers:
          security_log: {include: [/nowhere/at/all.log], presets: [sshd, sudo]}
    """,
    "receiver postgresql": """
        receivers:
          postgresql: {endpoint: "127.0.0.1:1", username: otel, password: secret}
    """,
    "receiver ml_model": """
        receivers:
          ml_model: {files: {predictions: {include: [/nowhere/at/all.jsonl]}}}
    """,
    "extension health_check": """
        extensions:
          health_check: {endpoint: "127.0.0.1:0"}
    """,
    "processor python": f"""
        processors:
          python: {{file: {Path(__file__).parents[1]}/examples/enrich.py, function: enrich}}
    """,
    "exporter otlp_grpc": """
        exporters:
          otlp_grpc: {endpoint: "127.0.0.1:1", tls: {insecure: true}}
    """,
    "exporter kafka": """
        exporters:
          kafka: {brokers: ["127.0.0.1:1"], timeout: 100ms}
    """,
    "exporter prometheus": """
        exporters:
          prometheus: {endpoint: "127.0.0.1:0"}
    """,
    "exporter otlp_http": """
        exporters:
          otlp_http: {endpoint: "http://127.0.0.1:1"}
    """,
    "exporter prometheus_remote_write": """
        exporters:
          prometheus_remote_write: {endpoint: "http://127.0.0.1:1/api/v1/write"}
    """,
    "exporter timescaledb": """
        exporters:
          timescaledb: {endpoint: "127.0.0.1:1", database: a, username: b}
    """,
}
"""Settings for those whose example names a port, a backend or a file that a test must not touch."""


@pytest.mark.parametrize("component", EVERY, ids=lambda component: f"{component.kind}-{component.type}")
async def test_conformance(component: Component) -> None:
    """Settings, starting, stopping, refusal and cancellation are as the contract has them."""
    await check_component(component, YAML.get(f"{component.kind} {component.type}", ""))
