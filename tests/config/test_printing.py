"""The configuration in force is printed with defaults, without secrets, and can be loaded again."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sluiceway.config.load import load
from sluiceway.config.model import Config
from sluiceway.config.parse import parse
from sluiceway.config.printing import _Dumper, render, resolved
from sluiceway.config.tree import plain

TEXT = """
receivers: {otlp: {protocols: {http: }}}
processors: {batch: {timeout: 90s}}
exporters: {otlp_http: {endpoint: http://localhost:4318, headers: {token: hunter2}, retry_on_failure: {enabled: false}}}
extensions: {health_check: }
service:
  extensions: [health_check]
  pipelines: {logs: {receivers: [otlp], processors: [batch], exporters: [otlp_http]}}
"""


@pytest.fixture
def config() -> Config:
    """A configuration with a secret."""
    return load([f"yaml:{TEXT}"], environ={})


def test_defaults_and_durations(config: Config) -> None:
    """Defaults are shown, and durations as Go prints them."""
    printed = resolved(config)
    assert printed["processors"]["batch"]["timeout"] == "1m30s"
    assert printed["processors"]["batch"]["send_batch_size"] == 8192
    assert printed["service"]["pipelines"]["logs"]["receivers"] == ["otlp"]
    assert printed["service"]["telemetry"]["metrics"]["level"] == "normal"


@pytest.mark.parametrize("format", ["yaml", "json"])
def test_secrets_are_redacted(config: Config, format: str) -> None:
    """Secrets show only when asked for."""
    assert "hunter2" not in render(config, format=format)
    assert "[REDACTED]" in render(config, format=format)
    assert "hunter2" in render(config, "unredacted", format)


@pytest.mark.parametrize("format", ["yaml", "json"])
def test_round_trip(config: Config, format: str) -> None:
    """What is printed unredacted is the same configuration, with sections that are off still off."""
    again = load([f"yaml:{render(config, 'unredacted', format)}"], environ={})
    assert again == config
    assert again.exporters["otlp_http"].settings.retry_on_failure is None


def test_json(config: Config) -> None:
    """JSON holds the same as YAML."""
    assert json.loads(render(config, format="json")) == plain(parse(render(config)))


def test_own_component_keeps_its_file(tmp_path) -> None:
    """A component of one's own is printed with its file."""
    (tmp_path / "mine.py").write_text(
        "class Mine:\n    def __init__(self, a: int = 1): ...\n    def consume(self, b): ...\n"
    )
    (tmp_path / "c.yaml").write_text(f"{TEXT}\nprocessors::mine: {{component: ./mine.py}}\n")
    assert resolved(load([str(tmp_path / "c.yaml")]))["processors"]["mine"] == {"component": "./mine.py", "a": 1}


@given(st.recursive(st.text() | st.integers(-(2**63), 2**63) | st.booleans() | st.none(), st.lists, max_leaves=5))
@example("\x85")
def test_text_is_quoted_for_our_own_rules(value: object) -> None:
    """What YAML is written from plain data reads back as the same data."""
    import yaml

    assert plain(parse(yaml.dump(value, Dumper=_Dumper, allow_unicode=True))) == value


def test_passwords_in_urls_are_redacted() -> None:
    """A setting that is a URL shows no password in it, and can be loaded again; what only looks like one stays."""
    urls = ["http://u:hide@x/a@b", "http://x/a:b@c", "http://u@x/"]
    entries = "".join(f"{{endpoint: '{url}'}}, " for url in urls)
    text = f"""
receivers: {{http_check: {{targets: [{entries}]}}}}
exporters: {{debug: }}
service: {{pipelines: {{metrics: {{receivers: [http_check], exporters: [debug]}}}}}}
"""
    shown = resolved(load([f"yaml:{text}"]))
    targets = [target["endpoint"] for target in shown["receivers"]["http_check"]["targets"]]
    assert targets == ["http://u:REDACTED@x/a@b", "http://x/a:b@c", "http://u@x/"]
    load([f"yaml:{render(load([f'yaml:{text}']))}"])
    assert "hide" in render(load([f"yaml:{text}"]), "unredacted")
