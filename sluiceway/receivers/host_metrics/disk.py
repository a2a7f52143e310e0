"""The scraper `disk`: what block devices read and write, and how long it takes them."""

from __future__ import annotations

from typing import Annotated, Final

from sluiceway.config.types import Settings
from sluiceway.receivers.host_metrics.files import Files
from sluiceway.receivers.host_metrics.filters import DeviceFilter, admits
from sluiceway.scraping import Declares, MetricSettings, Scrape, counter, updowncounter

__all__ = ["DiskScraper", "DiskSettings"]

IO = counter("system.disk.io", "By", "What was read and written.", "device", "direction")
OPERATIONS = counter("system.disk.operations", "{operations}", "Reads and writes.", "device", "direction")
MERGED = counter(
    "system.disk.merged", "{operations}", "Reads and writes that became one with another.", "device", "direction"
)
OPERATION_TIME = counter(
    "system.disk.operation_time", "s", "The time of all reads and writes together.", "device", "direction", value=float
)
IO_TIME = counter("system.disk.io_time", "s", "The time in which the device had anything to do.", "device", value=float)
WEIGHTED_IO_TIME = counter(
    "system.disk.weighted_io_time",
    "s",
    "The time in which the device had anything to do, times what it had to do.",
    "device",
    value=float,
)
PENDING = updowncounter("system.disk.pending_operations", "{operations}", "What the device has to do now.", "device")

SECTOR: Final = 512
"""Bytes in a sector of /proc/diskstats, whatever the device's own are."""
COLUMNS: Final = 11
"""Numbers that each line has since Linux 2.6; later ones have more."""


class DiskSettings(Settings):
    """The settings of `disk`."""

    include: DeviceFilter | None = None
    """The devices to measure; all when it is left out."""
    exclude: DeviceFilter | None = None
    """The devices not to measure."""
    metrics: Annotated[
        MetricSettings, Declares(IO, OPERATIONS, MERGED, OPERATION_TIME, IO_TIME, WEIGHTED_IO_TIME, PENDING)
    ] = MetricSettings()
    """Which metrics are emitted, and how."""


class DiskScraper:
    """Reads /proc/diskstats; its columns are those of the kernel's Documentation/admin-guide/iostats.rst."""

    def __init__(self, settings: DiskSettings, files: Files) -> None:
        self._settings = settings
        self._files = files

    def scrape(self, scrape: Scrape) -> None:
        """Measure once. Raises `OSError` when there is nothing to be had."""
        for device, numbers in self._files.parse("proc/diskstats", _devices).items():
            if not admits(self._settings.include, self._settings.exclude, device):
                continue
            at = {"device": device}
            for direction, first in (("read", 0), ("write", 4)):
                done, merged, sectors, milliseconds = numbers[first : first + 4]
                here = {"device": device, "direction": direction}
                scrape.record(IO, sectors * SECTOR, here)
                scrape.record(OPERATIONS, done, here)
                scrape.record(MERGED, merged, here)
                scrape.record(OPERATION_TIME, milliseconds / 1e3, here)
            scrape.record(PENDING, numbers[8], at)
            scrape.record(IO_TIME, numbers[9] / 1e3, at)
            scrape.record(WEIGHTED_IO_TIME, numbers[10] / 1e3, at)


def _devices(data: bytes) -> dict[str, list[int]]:
    found = {}
    for line in data.splitlines():
        _, _, name, *numbers = line.split()
        if len(numbers) >= COLUMNS:
            found[name.decode(errors="surrogateescape")] = [int(number) for number in numbers[:COLUMNS]]
    return found
