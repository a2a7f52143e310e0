"""The scraper `processes`: how many there are in each state, and how many there were."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Final

from sluiceway.config.types import Settings
from sluiceway.receivers.host_metrics.files import Files, fields
from sluiceway.scraping import Declares, MetricSettings, Scrape, counter, updowncounter

__all__ = ["ProcessesScraper", "ProcessesSettings"]

COUNT = updowncounter("system.processes.count", "{processes}", "Processes in each state.", "status")
CREATED = counter("system.processes.created", "{processes}", "Processes that were ever created.")

STATUSES: Final = {
    b"R": "running", b"S": "sleeping", b"D": "blocked", b"Z": "zombies", b"T": "stopped", b"t": "stopped",
    b"I": "idle", b"W": "paging",
}  # fmt: skip
"""Statuses by the letters of proc(5)."""
UNKNOWN: Final = "unknown"


class ProcessesSettings(Settings):
    """The settings of `processes`."""

    metrics: Annotated[MetricSettings, Declares(COUNT, CREATED)] = MetricSettings()
    """Which metrics are emitted, and how."""


class ProcessesScraper:
    """Reads the state of each process, and /proc/stat."""

    def __init__(self, settings: ProcessesSettings, files: Files) -> None:
        self._settings = settings
        self._files = files

    def scrape(self, scrape: Scrape) -> None:
        """Measure once. Raises `OSError` when there is nothing to be had."""
        created = self._files.parse("proc/stat", lambda data: int(fields(data)[b"processes"]))
        scrape.record(CREATED, created)
        if self._settings.metrics.enables(COUNT):
            counts = Counter(dict.fromkeys((*STATUSES.values(), UNKNOWN), 0))
            counts.update(STATUSES.get(state, UNKNOWN) for state in self._states())
            for status, count in counts.items():
                scrape.record(COUNT, count, {"status": status})

    def _states(self) -> Iterator[bytes]:
        for name in self._files.names("proc"):
            if name.isdecimal():
                try:
                    line = self._files.read(f"proc/{name}/stat")
                except OSError:  # it has ended, or is hidden
                    continue
                after = line.rfind(b")") + 2  # its name, in parentheses, may hold anything
                yield line[after : after + 1]
