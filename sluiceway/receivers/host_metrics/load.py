"""The scraper `load`: how many threads run, or wait for a CPU or a disk, on the average."""

from __future__ import annotations

from typing import Annotated

from sluiceway.config.types import Settings
from sluiceway.receivers.host_metrics.cpu import cpu_ticks
from sluiceway.receivers.host_metrics.files import Files
from sluiceway.scraping import Declares, MetricSettings, Scrape, gauge

__all__ = ["LoadScraper", "LoadSettings"]

AVERAGES = tuple(
    gauge(f"system.cpu.load_average.{time}", "{thread}", f"The load, on the average of {text}.", value=float)
    for time, text in (("1m", "a minute"), ("5m", "five minutes"), ("15m", "fifteen minutes"))
)


class LoadSettings(Settings):
    """The settings of `load`."""

    cpu_average: bool = False
    """Divide by the number of logical CPUs."""
    metrics: Annotated[MetricSettings, Declares(*AVERAGES)] = MetricSettings()
    """Which metrics are emitted, and how."""


class LoadScraper:
    """Reads /proc/loadavg."""

    def __init__(self, settings: LoadSettings, files: Files) -> None:
        self._settings = settings
        self._files = files

    def scrape(self, scrape: Scrape) -> None:
        """Measure once. Raises `OSError` when there is nothing to be had."""
        loads = self._files.parse("proc/loadavg", _loads)
        share = len(self._files.parse("proc/stat", cpu_ticks)) if self._settings.cpu_average else 1
        for metric, load in zip(AVERAGES, loads, strict=True):
            scrape.record(metric, load / share)


def _loads(data: bytes) -> tuple[float, float, float]:
    one, five, fifteen, *_ = data.split()
    return float(one), float(five), float(fifteen)
