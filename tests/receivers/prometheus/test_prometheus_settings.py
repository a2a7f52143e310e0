"""Prometheus' configuration: what is taken, and what is refused in which words."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sluiceway.component import Context, Kind
from sluiceway.errors import ConfigError
from sluiceway.receivers.prometheus import COMPONENT, PrometheusSettings
from sluiceway.receivers.prometheus.discovery import TargetKey, targets_of
from sluiceway.receivers.prometheus.troubles import Troubles
from sluiceway.testing import settings


def read(config: str, more: str = "") -> PrometheusSettings:
    """The settings of a receiver with this `config`."""
    chosen = settings(COMPONENT, f"receivers: {{prometheus: {{config: {config}{more}}}}}")
    assert isinstance(chosen, PrometheusSettings)
    return chosen


def targets(config: str) -> list[TargetKey]:
    """The targets of the first job."""
    chosen = read(config).config
    return list(targets_of(chosen, chosen.scrape_configs[0], []))


@pytest.mark.parametrize(("config", "text"), [
    ("{scrape_configs: [{job_name: a, kubernetes_sd_configs: [{role: pod}]}]}",
     "kubernetes_sd_configs is not supported: write the targets to a file and name it in file_sd_configs"),
    ("{scrape_configs: [{job_name: a, consul_sd_configs: []}]}", "scrape_configs::0::consul_sd_configs"),
    ("{scrape_configs: [{job_name: a, oauth2: {}}]}", "oauth2 is not supported"),
    ("{scrape_configs: [{job_name: a}], rule_files: [x]}", "rule_files is not supported"),
    ("{scrape_configs: [{job_name: a}], remote_write: [{url: x}]}", "remote_write is not supported: use an exporter"),
    ("{scrape_configs: [{job_name: a}, {job_name: a}]}", 'found multiple scrape configs with job name "a"'),
    ("{scrape_configs: []}", "no Prometheus scrape_configs or target_allocator set"),
    ("{scrape_configs: [{job_name: a, scrape_interval: 1s, scrape_timeout: 2s}]}",
     'scrape timeout greater than scrape interval for scrape config with job name "a"'),
    ("{scrape_configs: [{job_name: a, static_configs: [{targets: ['http://x']}]}]}",
     '"http://x" is not a valid hostname'),
    ("{scrape_configs: [{job_name: a, scrape_interval: 1.5s}]}", "not a valid duration string"),
    ("{scrape_configs: [{job_name: a, bearer_token: x, basic_auth: {username: u}}]}", "at most one of basic_auth"),
    ("{scrape_configs: [{job_name: a, authorization: {type: Basic}}]}", 'authorization type cannot be set to "basic"'),
    ("{scrape_configs: [{job_name: a, file_sd_configs: [{files: [targets.txt]}]}]}", "is not valid for file discovery"),
    ("{scrape_configs: [{job_name: a, tls_config: {cert_file: x}}]}", "must include both certificate and key"),
])  # fmt: skip
def test_what_cannot_be_is_refused(config: str, text: str) -> None:
    """With the key, the words of Prometheus, and what to do instead."""
    with pytest.raises(ConfigError) as refused:
        read(config)
    assert text in str(refused.value)


def test_what_is_not_supported_does_not_hide_other_mistakes() -> None:
    """They are told with the values that were written."""
    with pytest.raises(ConfigError) as refused:
        read("{rule_files: [x], scrape_configs: [{job_name: a, scheme: ftp}]}")
    assert "rule_files is not supported" in str(refused.value)
    assert "should be 'http' or 'https', got \"ftp\"" in str(refused.value)


def test_the_status_counts_targets_and_jobs_apart() -> None:
    """A job whose files cannot be read is no target."""
    statuses: list[str] = []
    context = Context("prometheus", Kind.RECEIVER, report=lambda _, message="": statuses.append(message))
    troubles = Troubles(context)
    troubles.targets = 1
    troubles.tell("a", "job a", "no such file")
    troubles.tell(1, "a/h:1", "refused")
    assert statuses == ["1 job: job a: no such file", "1 of 1 targets and 1 job: job a: no such file; a/h:1: refused"]


def test_a_target_allocator_is_refused_with_what_is_possible() -> None:
    """What is switched off is no mistake."""
    with pytest.raises(ConfigError, match="target_allocator is not supported"):
        read("{scrape_configs: [{job_name: a}]}", ", target_allocator: {endpoint: http://x}")
    read("{scrape_configs: [{job_name: a}]}", ", api_server: {enabled: false}")


def test_durations_and_sizes_are_those_of_prometheus() -> None:
    """Days and weeks are durations, and sizes are powers of 1024."""
    job = read("{scrape_configs: [{job_name: a, scrape_interval: 1w2d3h4m5s6ms, body_size_limit: 2MB}]}").config
    assert job.scrape_configs[0].scrape_interval == ((9 * 24 + 3) * 60 + 4) * 60 + 5.006
    assert job.scrape_configs[0].body_size_limit == 2 * 1024 * 1024


def test_targets_are_made_of_labels() -> None:
    """Address, path, scheme, parameters, interval and timeout can be relabelled; `instance` is the address."""
    rules = yaml.safe_dump([
        {"source_labels": ["__address__"], "target_label": "__param_target"},
        {"source_labels": ["__param_target"], "target_label": "instance"},
        {"target_label": "__address__", "replacement": "127.0.0.1:9115"},
        {"target_label": "__scheme__", "replacement": "https"},
        {"target_label": "__scrape_interval__", "replacement": "30s"},
    ], default_flow_style=True, width=10_000).strip()  # fmt: skip
    (found,) = targets(
        "{scrape_configs: [{job_name: probe, metrics_path: /probe, params: {module: [http_2xx]}, "
        f"static_configs: [{{targets: [example.com], labels: {{zone: eu}}}}], relabel_configs: {rules}}}]}}"
    )
    assert found.url == "https://127.0.0.1:9115/probe?module=http_2xx&target=example.com"
    assert dict(found.labels) == {"job": "probe", "instance": "example.com", "zone": "eu"}
    assert (found.interval, found.timeout) == (30, 10)


def test_targets_are_spread_over_the_interval() -> None:
    """Each has a place of its own in it, which is the same after a restart, and together they fill it evenly."""
    addresses = ", ".join(f"'h{index}:1'" for index in range(1000))
    found = targets(f"{{scrape_configs: [{{job_name: a, static_configs: [{{targets: [{addresses}]}}]}}]}}")
    offsets = [target.offset(60.0) for target in found]
    assert offsets == [target.offset(60.0) for target in found]
    tenths = [sum(index * 6 <= offset < index * 6 + 6 for offset in offsets) for index in range(10)]
    assert min(tenths) > 60


def test_the_same_target_is_scraped_once() -> None:
    """Even where it is listed twice."""
    assert len(targets("{scrape_configs: [{job_name: a, static_configs: [{targets: ['h:1', 'h:1']}]}]}")) == 1


def test_secrets_are_not_shown() -> None:
    """Neither passwords nor tokens stand in what is printed of the settings."""
    chosen = read("{scrape_configs: [{job_name: a, basic_auth: {username: u, password: s3cret}}]}")
    assert "s3cret" not in repr(chosen) + chosen.model_dump_json()


def test_the_whole_configuration_names_file_and_line(tmp_path: Path) -> None:
    """An unsupported key is reported where it stands in the file."""
    from sluiceway.service import Collector

    file = tmp_path / "collector.yaml"
    file.write_text(
        "receivers:\n  prometheus:\n    config:\n      scrape_configs:\n        - job_name: a\n"
        "          consul_sd_configs: []\nexporters: {debug: {}}\n"
        "service: {pipelines: {metrics: {receivers: [prometheus], exporters: [debug]}}}\n"
    )
    with pytest.raises(ConfigError) as refused:
        Collector.from_yaml(file)
    assert f"{file}:6:" in str(refused.value)
