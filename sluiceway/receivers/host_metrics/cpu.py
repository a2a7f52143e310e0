"""The scraper `cpu`: where the time of each logical CPU goes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Annotated, Final

from sluiceway.config.types import Settings
from sluiceway.receivers.host_metrics.files import Files
from sluiceway.scraping import Declares, MetricSettings, Scrape, counter, gauge, updowncounter

__all__ = ["CpuScraper", "CpuSettings", "cpu_ticks"]

TIME = counter(
    "system.cpu.time", "s", "Seconds that each logical CPU spent in each state.", "cpu", "state", value=float
)
UTILIZATION = gauge(
    "system.cpu.utilization",
    "1",
    "The part of the time since the measurement before that each logical CPU spent in each state.",
    "cpu",
    "state",
    value=float,
    on=False,
)
FREQUENCY = gauge("system.cpu.frequency", "Hz", "How fast a logical CPU runs now.", "cpu", value=float, on=False)
LOGICAL = updowncounter("system.cpu.logical.count", "{cpu}", "Logical CPUs that are online.", on=False)
PHYSICAL = updowncounter("system.cpu.physical.count", "{cpu}", "Cores that are online.", on=False)

STATES: Final = ("user", "nice", "system", "idle", "wait", "interrupt", "softirq", "steal")
"""The columns of /proc/stat. Time of guests is in `user` and `nice` too, and not counted again."""
TICK: Final = 1 / os.sysconf("SC_CLK_TCK")
"""Seconds in a tick of the kernel's counters."""


class CpuSettings(Settings):
    """The settings of `cpu`."""

    metrics: Annotated[MetricSettings, Declares(TIME, UTILIZATION, FREQUENCY, LOGICAL, PHYSICAL)] = MetricSettings()
    """Which metrics are emitted, and how."""


class CpuScraper:
    """Keeps the ticks of the measurement before, for `system.cpu.utilization`."""

    def __init__(self, settings: CpuSettings, files: Files) -> None:
        self._settings = settings
        self._files = files
        self._before: dict[str, list[int]] = {}

    def scrape(self, scrape: Scrape) -> None:
        """Measure once. Raises `OSError` when there is nothing to be had."""
        metrics = self._settings.metrics
        ticks = self._files.parse("proc/stat", cpu_ticks)
        for cpu, spent in ticks.items():
            for state, count in zip(STATES, spent, strict=False):
                scrape.record(TIME, count * TICK, {"cpu": cpu, "state": state})
            for state, part in _parts(self._before.get(cpu), spent):
                scrape.record(UTILIZATION, part, {"cpu": cpu, "state": state})
        self._before = ticks
        scrape.record(LOGICAL, len(ticks))
        if metrics.enables(PHYSICAL):
            scrape.record(PHYSICAL, len({self._core(cpu) for cpu in ticks}))
        if metrics.enables(FREQUENCY):
            self._record_frequencies(scrape, list(ticks))

    def _core(self, cpu: str) -> bytes:
        """What the logical CPUs of one core have alike; on its own where the kernel does not say."""
        for name in ("core_cpus_list", "thread_siblings_list"):
            try:
                return self._files.read(f"sys/devices/system/cpu/{cpu}/topology/{name}")
            except OSError:
                continue
        return cpu.encode()

    def _record_frequencies(self, scrape: Scrape, cpus: list[str]) -> None:
        found = {}
        for cpu in cpus:
            try:  # kHz
                path = f"sys/devices/system/cpu/{cpu}/cpufreq/scaling_cur_freq"
                found[cpu] = self._files.parse(path, int) * 1e3
            except OSError:
                continue
        if not found:
            try:
                found = self._files.parse("proc/cpuinfo", _frequencies)
            except OSError as error:
                scrape.problem(str(error))
        for cpu, frequency in found.items():
            scrape.record(FREQUENCY, frequency, {"cpu": cpu})


def cpu_ticks(data: bytes) -> dict[str, list[int]]:
    """The ticks in each of `STATES` by the logical CPU, such as `cpu0`, in /proc/stat. Raises `ValueError`."""
    found = {}
    for line in data.splitlines():
        if not line.startswith(b"cpu"):
            break
        name, *counts = line.split()
        if name != b"cpu":
            found[name.decode("ascii")] = [int(count) for count in counts[: len(STATES)]]
    if not found:
        raise ValueError("no CPU in it")
    return found


def _parts(before: list[int] | None, now: list[int]) -> Iterator[tuple[str, float]]:
    if before is None:
        return
    spent = [max(b - a, 0) for a, b in zip(before, now, strict=False)]  # `wait` may become less, says proc(5)
    if total := sum(spent):
        yield from ((state, count / total) for state, count in zip(STATES, spent, strict=False))


def _frequencies(data: bytes) -> dict[str, float]:
    found, cpu = {}, ""
    for line in data.splitlines():
        name, _, value = line.partition(b":")
        if name.strip() == b"processor":
            cpu = f"cpu{int(value)}"
        elif name.strip() == b"cpu MHz":
            found[cpu] = float(value) * 1e6
    return found
