"""Libraries that only some need are asked for by the command that installs them."""

from __future__ import annotations

import sys

import pytest

from sluiceway.errors import ConfigError
from sluiceway.extras import require
from sluiceway.service import Collector

CERTIFICATE = "metrics: {httpcheck.tls.cert_remaining: {enabled: true}}"


def test_what_is_there_is_enough() -> None:
    """Nothing is said, and nothing imported, where the modules are installed."""
    require("this", "columns", "json", "numpy")


@pytest.mark.parametrize(("module", "extra", "receiver"), [
    ("asyncpg", "postgresql", "postgresql: {endpoint: 'localhost:1', username: a, password: b}"),
    ("redis", "redis", "redis: {endpoint: 'localhost:1'}"),
    ("pyarrow", "parquet", "ml_model: {files: {a: {include: [/nowhere/a.parquet]}}}"),
    ("asyncpg", "postgresql", "ml_model: {sql: {a: {datasource: 'postgresql://a/a', query: SELECT $1, cursor: id}}}"),
    ("cryptography", "http-check", f"http_check: {{targets: [{{endpoint: 'https://localhost:1'}}], {CERTIFICATE}}}"),
])  # fmt: skip
async def test_what_is_missing_is_told_when_a_configuration_is_checked(
    module: str, extra: str, receiver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the library and the extra, before anything has started."""
    monkeypatch.setitem(sys.modules, module, None)
    text = f"""
        receivers: {{{receiver}}}
        exporters: {{debug: }}
        service: {{pipelines: {{metrics: {{receivers: [{receiver.partition(":")[0]}], exporters: [debug]}}}}}}
    """
    with pytest.raises(ConfigError, match=rf"needs {module}: pip install 'sluiceway\[{extra}\]'"):
        Collector.from_yaml(text)
