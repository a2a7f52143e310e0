"""The scraper `system`: how long the machine has been running."""

from __future__ import annotations

from typing import Annotated

from sluiceway.config.types import Settings
from sluiceway.receivers.host_metrics.files import Files
from sluiceway.scraping import Declares, MetricSettings, Scrape, gauge

__all__ = ["SystemScraper", "SystemSettings"]

UPTIME = gauge("system.uptime", "s", "How long the machine has been running.", value=float)


class SystemSettings(Settings):
    """The settings of `system`."""

    metrics: Annotated[MetricSettings, Declares(UPTIME)] = MetricSettings()
    """Which metrics are emitted, and how."""


class SystemScraper:
    """Reads /proc/uptime."""

    def __init__(self, _settings: SystemSettings, files: Files) -> None:
        self._files = files

    def scrape(self, scrape: Scrape) -> None:
        """Measure once. Raises `OSError` when there is nothing to be had."""
        scrape.record(UPTIME, self._files.parse("proc/uptime", lambda data: float(data.split()[0])))
