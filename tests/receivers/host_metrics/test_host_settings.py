"""What may be written, and what is refused and how."""

from __future__ import annotations

from pathlib import Path

import pytest

from sluiceway.component import Status
from sluiceway.config.decode import decode
from sluiceway.config.parse import parse
from sluiceway.errors import ConfigError
from sluiceway.receivers.host_metrics import HostMetricsSettings
from tests.receivers.host_metrics.bench import Bench, make_tree


def _refused(yaml: str) -> str:
    with pytest.raises(ConfigError) as error:
        decode(HostMetricsSettings, parse(yaml, "host.yaml"))
    return str(error.value)


@pytest.mark.parametrize("yaml", ["{}", "{scrapers: }", "{scrapers: {}}", "{scrapers: {cpu: {enabled: false}}}"])
def test_no_scraper(yaml: str) -> None:
    """Without a scraper there is nothing to do, which is the Collector's mistake too."""
    assert "must specify at least one scraper when using hostmetrics receiver" in _refused(yaml)


def test_unknown_scraper() -> None:
    """A scraper that there is none of is named, with one that it may have been meant to be."""
    text = _refused("{scrapers: {memmory: {}}}")
    assert "host.yaml:1:13" in text
    assert "memory" in text


def test_a_switch_of_another_system_has_no_effect() -> None:
    """What the Collector measures on Windows alone may be switched in a configuration for all systems."""
    yaml = "{scrapers: {process: {metrics: {process.handles: {enabled: true}}}}}"
    assert decode(HostMetricsSettings, parse(yaml, "host.yaml")).scrapers.process is not None


def test_filters_say_how_they_match() -> None:
    """A list of names needs to say whether it has patterns, as in the Collector."""
    assert "match_type" in _refused("{scrapers: {disk: {include: {devices: [sda]}}}}")


def test_a_pattern_that_is_none() -> None:
    """A pattern that is none is told with its place."""
    text = _refused("{scrapers: {network: {exclude: {match_type: regexp, interfaces: [lo, '(']}}}}")
    assert "host.yaml:1:" in text
    assert "missing )" in text


def test_a_metric_of_another_scraper() -> None:
    """A metric is switched where it is measured."""
    assert "system.cpu.time" in _refused("{scrapers: {memory: {metrics: {system.cpu.time: {enabled: false}}}}}")


def test_a_root_that_is_none() -> None:
    """A `root_path` without a /proc is told at the start."""
    with pytest.raises(ConfigError, match="root_path: there is no /nowhere/at/all/proc"):
        Bench("{root_path: /nowhere/at/all, scrapers: {cpu: }}")


async def test_a_part_that_fails(tmp_path: Path) -> None:
    """A file that is missing, or is not what Linux writes, is named; the other parts have their points."""
    root = make_tree(tmp_path, loadavg=None, meminfo="nonsense\n")
    async with Bench(f"{{root_path: '{root}', scrapers: {{load: , memory: , system: }}}}") as bench:
        found = await bench.measure()
    assert "system.uptime" in found
    status, text = bench.status
    assert status is Status.RECOVERABLE_ERROR
    assert "load: [Errno 2] No such file or directory" in text
    assert "memory: /proc/meminfo is not what Linux writes there" in text


async def test_hostile_files(tmp_path: Path) -> None:
    """A pipe holds nothing up, a link leads nowhere, and what has no end is cut off."""
    import os

    root = make_tree(tmp_path, loadavg=None, uptime=None, swaps=None, stat=None)
    os.mkfifo(root / "proc/loadavg")
    (root / "proc/uptime").symlink_to("/proc/uptime")
    with (root / "proc/stat").open("wb") as file:
        file.truncate(10**9)
    async with Bench(f"{{root_path: '{root}', scrapers: {{load: , system: , cpu: , paging: }}}}") as bench:
        found = await bench.measure()
    assert set(found) == {"system.paging.operations", "system.paging.faults"}
    text = bench.status[1]
    assert "load: /proc/loadavg is not what Linux writes there" in text
    assert "system: [Errno 40]" in text
    assert "cpu: " in text
    assert "too large" in text


def test_another_system_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere than on Linux its settings are known, and it is refused with the reason."""
    monkeypatch.setattr("sluiceway.receivers.host_metrics.sys.platform", "darwin")
    with pytest.raises(ConfigError, match="measures Linux only, and this is darwin"):
        Bench("{scrapers: {cpu: }}")
