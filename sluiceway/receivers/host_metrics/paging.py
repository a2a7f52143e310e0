"""The scraper `paging`: what is swapped out, and how often pages had to be fetched."""

from __future__ import annotations

import mmap
from typing import Annotated, NamedTuple

from sluiceway.config.types import Settings
from sluiceway.receivers.host_metrics.files import Files, fields
from sluiceway.receivers.host_metrics.mounts import unescape
from sluiceway.scraping import Declares, MetricSettings, Scrape, counter, gauge, updowncounter

__all__ = ["PagingScraper", "PagingSettings"]

USAGE = updowncounter(
    "system.paging.usage", "By", "Swap in each state; the states add up to the size.", "device", "state"
)
UTILIZATION = gauge(
    "system.paging.utilization", "1", "The part of the swap in each state.", "device", "state", value=float, on=False
)
OPERATIONS = counter(
    "system.paging.operations",
    "{operations}",
    "Pages swapped in and out (`major`), and pages that block devices read and wrote (`minor`).",
    "direction",
    "type",
)
FAULTS = counter(
    "system.paging.faults", "{faults}", "Pages that were not there: `major` ones had to be fetched from a disk.", "type"
)


class PagingSettings(Settings):
    """The settings of `paging`."""

    metrics: Annotated[MetricSettings, Declares(USAGE, UTILIZATION, OPERATIONS, FAULTS)] = MetricSettings()
    """Which metrics are emitted, and how."""


class PagingScraper:
    """Reads /proc/swaps and /proc/vmstat."""

    def __init__(self, _settings: PagingSettings, files: Files) -> None:
        self._files = files

    def scrape(self, scrape: Scrape) -> None:
        """Measure once. Raises `OSError` when there is nothing to be had."""
        counts = self._files.parse("proc/vmstat", _counts)
        for direction, major, minor in (
            ("page_in", counts.swapped_in, counts.read),
            ("page_out", counts.swapped_out, counts.written),
        ):
            scrape.record(OPERATIONS, major, {"direction": direction, "type": "major"})
            scrape.record(OPERATIONS, minor, {"direction": direction, "type": "minor"})
        scrape.record(FAULTS, counts.major_faults, {"type": "major"})
        scrape.record(FAULTS, counts.faults - counts.major_faults, {"type": "minor"})
        self._record_swaps(scrape)

    def _record_swaps(self, scrape: Scrape) -> None:
        try:
            swaps = self._files.parse("proc/swaps", _swaps)
        except FileNotFoundError:  # a kernel without swap
            return
        except OSError as error:
            scrape.problem(str(error))
            return
        for device, (size, used) in swaps.items():
            for state, part in (("used", used), ("free", size - used)):
                here = {"device": device, "state": state}
                scrape.record(USAGE, part, here)
                scrape.record(UTILIZATION, part / size if size else 0.0, here)


class _Counts(NamedTuple):
    """Pages and faults since the machine was started."""

    swapped_in: int
    swapped_out: int
    read: int
    written: int
    faults: int
    major_faults: int


def _counts(data: bytes) -> _Counts:
    found = fields(data)
    pages = mmap.PAGESIZE // 1024  # pgpgin and pgpgout are KiB
    return _Counts(
        int(found.get(b"pswpin", 0)), int(found.get(b"pswpout", 0)),
        int(found[b"pgpgin"]) // pages, int(found[b"pgpgout"]) // pages,
        int(found[b"pgfault"]), int(found[b"pgmajfault"]),
    )  # fmt: skip


def _swaps(data: bytes) -> dict[str, tuple[int, int]]:
    found = {}
    for line in data.splitlines()[1:]:
        name, _, size, used, *_ = line.split()
        found[unescape(name)] = (int(size) * 1024, int(used) * 1024)
    return found
