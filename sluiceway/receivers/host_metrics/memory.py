"""The scraper `memory`: what the memory holds. Its states add up to all of it."""

from __future__ import annotations

import mmap
from typing import Annotated, Final

from sluiceway.config.types import Settings
from sluiceway.receivers.host_metrics.files import Files
from sluiceway.scraping import Declares, MetricSettings, Scrape, gauge, updowncounter

__all__ = ["MemoryScraper", "MemorySettings", "meminfo"]

HUGE: Final = "system.memory.linux.hugepages"
STATE: Final = f"{HUGE}.state"

USAGE = updowncounter("system.memory.usage", "By", "Memory in each state; all states add up to the limit.", "state")
UTILIZATION = gauge(
    "system.memory.utilization", "1", "The part of the memory in each state.", "state", value=float, on=False
)
LIMIT = updowncounter("system.memory.limit", "By", "The memory that there is.", on=False)
PAGE_SIZE = gauge("system.memory.page_size", "By", "The size of a page.", on=False)
AVAILABLE = updowncounter(
    "system.linux.memory.available", "By", "What programs can take before the machine has to swap.", on=False
)
DIRTY = updowncounter("system.linux.memory.dirty", "By", "What waits to be written to disks.", on=False)
SHARED = updowncounter("system.memory.linux.shared", "By", "Shared memory and file systems in memory.", on=False)
HUGE_LIMIT = updowncounter(f"{HUGE}.limit", "{page}", "Huge pages that there are.", on=False)
HUGE_SIZE = updowncounter(f"{HUGE}.page_size", "By", "The size of a huge page.", on=False)
HUGE_RESERVED = updowncounter(
    f"{HUGE}.reserved", "{page}", "Huge pages that are promised, and not in use yet.", on=False
)
HUGE_SURPLUS = updowncounter(f"{HUGE}.surplus", "{page}", "Huge pages beyond those that were set up.", on=False)
HUGE_USAGE = updowncounter(f"{HUGE}.usage", "{page}", "Huge pages in each state.", STATE, on=False)
HUGE_UTILIZATION = gauge(
    f"{HUGE}.utilization", "1", "The part of the huge pages in each state.", STATE, value=float, on=False
)

KEPT: Final = {
    "free": b"MemFree",
    "buffered": b"Buffers",
    "cached": b"Cached",
    "slab_reclaimable": b"SReclaimable",
    "slab_unreclaimable": b"SUnreclaim",
}
"""The states that the kernel tells; `used` is what remains."""


class MemorySettings(Settings):
    """The settings of `memory`."""

    metrics: Annotated[
        MetricSettings,
        Declares(
            USAGE, UTILIZATION, LIMIT, PAGE_SIZE, AVAILABLE, DIRTY, SHARED,
            HUGE_LIMIT, HUGE_SIZE, HUGE_RESERVED, HUGE_SURPLUS, HUGE_USAGE, HUGE_UTILIZATION,
        ),
    ] = MetricSettings()  # fmt: skip
    """Which metrics are emitted, and how."""


class MemoryScraper:
    """Reads /proc/meminfo."""

    def __init__(self, _settings: MemorySettings, files: Files) -> None:
        self._files = files

    def scrape(self, scrape: Scrape) -> None:
        """Measure once. Raises `OSError` when there is nothing to be had."""
        found = self._files.parse("proc/meminfo", meminfo)
        total = found[b"MemTotal"]
        states = {state: found.get(name, 0) for state, name in KEPT.items()}
        states["used"] = max(total - sum(states.values()), 0)
        for state, size in states.items():
            scrape.record(USAGE, size, {"state": state})
            scrape.record(UTILIZATION, size / total, {"state": state})
        scrape.record(LIMIT, total)
        scrape.record(PAGE_SIZE, mmap.PAGESIZE)
        for metric, name in ((AVAILABLE, b"MemAvailable"), (DIRTY, b"Dirty"), (SHARED, b"Shmem")):
            if name in found:
                scrape.record(metric, found[name])
        if b"HugePages_Total" in found:
            _record_huge_pages(scrape, found)


def _record_huge_pages(scrape: Scrape, found: dict[bytes, int]) -> None:
    total = found[b"HugePages_Total"]
    free = min(found.get(b"HugePages_Free", 0), total)
    scrape.record(HUGE_LIMIT, total)
    scrape.record(HUGE_SIZE, found.get(b"Hugepagesize", 0))
    scrape.record(HUGE_RESERVED, found.get(b"HugePages_Rsvd", 0))
    scrape.record(HUGE_SURPLUS, found.get(b"HugePages_Surp", 0))
    for state, pages in (("free", free), ("used", total - free)):
        scrape.record(HUGE_USAGE, pages, {STATE: state})
        scrape.record(HUGE_UTILIZATION, pages / total if total else 0.0, {STATE: state})


def meminfo(data: bytes) -> dict[bytes, int]:
    """What /proc/meminfo says, in bytes or, for numbers of huge pages, in pages. Raises `ValueError`, `KeyError`."""
    found = {}
    for line in data.splitlines():
        name, _, value = line.partition(b":")
        number, *unit = value.split()
        found[name] = int(number) * 1024 if unit else int(number)
    if found[b"MemTotal"] <= 0:
        raise ValueError("no memory")
    return found
