"""Measures the machine: its CPUs, memory, disks, file systems and network, and what each process takes. Linux only.

It reads /proc and /sys, and asks file systems how full they are. It writes nothing, starts no program, and needs no
right beyond reading: what another user's process hides is left out without a word, so that a collector that is not
root measures what it may and logs nothing about the rest.

Each part is a scraper, which is on when its name is there. What a part cannot read is named in the status, and the
others go on. Counters begin when the machine was started, those of a process when that was. The states of memory, swap
and file systems add up to all there is of them. What needs two measurements, such as `system.cpu.utilization`, has no
points in the first. A file system that does not answer (of a network whose server is away) costs one measurement five
seconds, and is then left out until it answers. A measurement that the pipeline refuses is dropped and counted.

```yaml
receivers:
  host_metrics:
    scrapers: {cpu: {}, load: {}, memory: {}, disk: {}, filesystem: {}, network: {}, paging: {}}
```

In a container, mount the machine's file system and name the place as `root_path`: `docker run -v /:/hostfs:ro`, and
`root_path: /hostfs`. The network is then that of the machine's process 1. I/O, executables and open files of other
users' processes take root, or the capability `SYS_PTRACE`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from pydantic import model_validator

from sluiceway.component import Component, Consumer, Context, Kind
from sluiceway.config.types import Duration, Section, Settings
from sluiceway.errors import ConfigError, Problem
from sluiceway.otlp import Signal
from sluiceway.receivers.host_metrics.cpu import CpuScraper, CpuSettings
from sluiceway.receivers.host_metrics.disk import DiskScraper, DiskSettings
from sluiceway.receivers.host_metrics.files import Files
from sluiceway.receivers.host_metrics.filesystem import FilesystemScraper, FilesystemSettings
from sluiceway.receivers.host_metrics.load import LoadScraper, LoadSettings
from sluiceway.receivers.host_metrics.memory import MemoryScraper, MemorySettings
from sluiceway.receivers.host_metrics.network import NetworkScraper, NetworkSettings
from sluiceway.receivers.host_metrics.paging import PagingScraper, PagingSettings
from sluiceway.receivers.host_metrics.pressure import PressureScraper, PressureSettings
from sluiceway.receivers.host_metrics.process import RESOURCE, ProcessScraper, ProcessSettings
from sluiceway.receivers.host_metrics.processes import ProcessesScraper, ProcessesSettings
from sluiceway.receivers.host_metrics.system import SystemScraper, SystemSettings
from sluiceway.scraping import ResourceSettings, Scrape, Scraper, ScrapeSettings, Scraping

__all__ = ["COMPONENT", "HostMetricsReceiver", "HostMetricsSettings", "Scrapers"]

SCRAPERS: Final[dict[str, Callable[[Any, Files], Any]]] = {
    "cpu": CpuScraper,
    "load": LoadScraper,
    "memory": MemoryScraper,
    "disk": DiskScraper,
    "filesystem": FilesystemScraper,
    "network": NetworkScraper,
    "paging": PagingScraper,
    "processes": ProcessesScraper,
    "process": ProcessScraper,
    "system": SystemScraper,
    "pressure": PressureScraper,
}
"""What measures each part, made of the part's settings; the names are those of `Scrapers`."""


class Scrapers(Settings):
    """The parts to measure. One that is not named is not measured; `cpu:` alone is enough."""

    cpu: Section[CpuSettings] = None
    """Where the time of each logical CPU goes."""
    load: Section[LoadSettings] = None
    """How many threads run, or wait for a CPU or a disk."""
    memory: Section[MemorySettings] = None
    """What the memory holds."""
    disk: Section[DiskSettings] = None
    """What block devices read and write."""
    filesystem: Section[FilesystemSettings] = None
    """How full file systems are."""
    network: Section[NetworkSettings] = None
    """What interfaces send and receive, and the states of connections."""
    paging: Section[PagingSettings] = None
    """Swap, and page faults."""
    processes: Section[ProcessesSettings] = None
    """How many processes there are in each state."""
    process: Section[ProcessSettings] = None
    """What each process takes."""
    system: Section[SystemSettings] = None
    """How long the machine has been running."""
    pressure: Section[PressureSettings] = None
    """How long work stood still for want of a CPU, of memory, or of I/O (PSI); not in the Collector."""

    def chosen(self) -> Iterator[tuple[str, Any]]:
        """The names and settings of those that are on."""
        for name in SCRAPERS:
            settings = getattr(self, name)
            if settings is not None:
                yield name, settings


class HostMetricsSettings(ScrapeSettings):
    """The settings of the receiver `host_metrics`."""

    scrapers: Scrapers = Scrapers()
    """The parts to measure, at least one."""
    root_path: str = ""
    """Where the file system of the machine is mounted, when this is not its own: in a container, such as /hostfs."""
    metadata_collection_interval: Duration = 300.0
    """Has no effect: the Collector's experimental events about the machine are not emitted."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not any(self.scrapers.chosen()):
            raise ValueError("must specify at least one scraper when using hostmetrics receiver")
        return self


class HostMetricsReceiver:
    """The receiver: a loop over the scrapers, each of which reads in a thread."""

    def __init__(self, settings: HostMetricsSettings, context: Context, next: Consumer) -> None:
        if sys.platform != "linux":
            raise ConfigError(f"measures Linux only, and this is {sys.platform}")
        root = settings.root_path
        if root and not Path(root, "proc").is_dir():
            raise ConfigError(Problem(f"there is no {root}/proc", "root_path"))
        files = Files(root)
        self.scraping = Scraping(
            settings, context, next, [_scraper(name, chosen, files) for name, chosen in settings.scrapers.chosen()]
        )

    async def __aenter__(self) -> Self:
        await self.scraping.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.scraping.__aexit__(kind, error, trace)


def _scraper(name: str, settings: Any, files: Files) -> Scraper:
    part = SCRAPERS[name](settings, files)

    def measure(scrape: Scrape) -> None:
        scrape.start = files.boot_time or scrape.start
        part.scrape(scrape)

    resource = settings.resource_attributes if name == "process" else ResourceSettings()
    return Scraper(name, measure, settings.metrics, resource, {attribute.name: attribute for attribute in RESOURCE})


COMPONENT = Component(
    type="host_metrics",
    kind=Kind.RECEIVER,
    config=HostMetricsSettings,
    create=HostMetricsReceiver,
    signals=frozenset({Signal.METRICS}),
    aliases=("hostmetrics",),
)
