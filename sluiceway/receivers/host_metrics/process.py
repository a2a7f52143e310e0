"""The scraper `process`: what each process takes. Each is a resource of its own.

What another user's process hides (its I/O, its executable, its open files) is left out, without a word: ten thousand
lines about it help nobody. A process that ends while it is read is left out whole.
"""

from __future__ import annotations

import mmap
import posixpath
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Final, TypeVar

from sluiceway.config.types import Duration, Settings
from sluiceway.otlp.actions import Value
from sluiceway.receivers.host_metrics.cpu import TICK, cpu_ticks
from sluiceway.receivers.host_metrics.files import Files, Folder
from sluiceway.receivers.host_metrics.filters import ProcessFilter, admits
from sluiceway.receivers.host_metrics.memory import meminfo
from sluiceway.receivers.host_metrics.tables import Stat, processes
from sluiceway.receivers.host_metrics.users import Users
from sluiceway.scraping import (
    Declares,
    Metric,
    MetricSettings,
    ResourceAttribute,
    ResourceSettings,
    Scrape,
    counter,
    gauge,
    updowncounter,
)

__all__ = ["RESOURCE", "ProcessScraper", "ProcessSettings"]

CPU_TIME = counter("process.cpu.time", "s", "CPU time in each state.", "state", value=float)
CPU_UTILIZATION = gauge(
    "process.cpu.utilization",
    "1",
    "The part of the time of all logical CPUs since the measurement before, in each state.",
    "state",
    value=float,
    on=False,
)
MEMORY = updowncounter("process.memory.usage", "By", "Memory that is resident.")
MEMORY_UTILIZATION = gauge(
    "process.memory.utilization", "1", "Memory that is resident, in percent of all.", value=float, on=False
)
VIRTUAL = updowncounter("process.memory.virtual", "By", "Virtual memory.")
DISK_IO = counter("process.disk.io", "By", "What was read from disks and written to them.", "direction")
DISK_OPERATIONS = counter(
    "process.disk.operations", "{operations}", "Calls of the system that read and write.", "direction", on=False
)
SWITCHES = counter("process.context_switches", "{count}", "Times that it gave up, or lost, its CPU.", "type", on=False)
DESCRIPTORS = updowncounter("process.open_file_descriptors", "{count}", "File descriptors that are open.", on=False)
FAULTS = counter(
    "process.paging.faults", "{faults}", "Pages that were not there: `major` ones had to be fetched.", "type", on=False
)
SIGNALS = updowncounter("process.signals_pending", "{signals}", "Signals that wait for its user.", on=False)
THREADS = updowncounter("process.threads", "{threads}", "Threads.", on=False)
UPTIME = gauge("process.uptime", "s", "How long it has been running.", value=float, on=False)

RESOURCE = (
    ResourceAttribute("process.pid", "Its number."),
    ResourceAttribute("process.parent_pid", "The number of the process that began it."),
    ResourceAttribute("process.executable.name", "The name of its executable."),
    ResourceAttribute("process.executable.path", "Where its executable is, unless that is hidden."),
    ResourceAttribute("process.command", "What it was called by: its first argument."),
    ResourceAttribute("process.command_line", "All its arguments, at most 4096 characters of them."),
    ResourceAttribute("process.owner", "The name of its user, or its number where it has no name."),
    ResourceAttribute("process.cgroup", "Its control group.", enabled=False),
)

LONGEST_LINE: Final = 4096
"""Bytes of a command line that are read."""
LONGEST_NAME: Final = 15
"""Characters of a name that the kernel keeps."""

STATES: Final = ({"state": "user"}, {"state": "system"}, {"state": "wait"})
OF_IO: Final = (DISK_IO, DISK_OPERATIONS)
COUNTS: Final[tuple[tuple[Metric, dict[str, str], re.Pattern[bytes]], ...]] = (
    (DISK_IO, {"direction": "read"}, re.compile(rb"^read_bytes: (\d+)", re.MULTILINE)),
    (DISK_IO, {"direction": "write"}, re.compile(rb"^write_bytes: (\d+)", re.MULTILINE)),
    (DISK_OPERATIONS, {"direction": "read"}, re.compile(rb"^syscr: (\d+)", re.MULTILINE)),
    (DISK_OPERATIONS, {"direction": "write"}, re.compile(rb"^syscw: (\d+)", re.MULTILINE)),
    (SWITCHES, {"type": "voluntary"}, re.compile(rb"^voluntary_ctxt_switches:\t(\d+)", re.MULTILINE)),
    (SWITCHES, {"type": "involuntary"}, re.compile(rb"^nonvoluntary_ctxt_switches:\t(\d+)", re.MULTILINE)),
    (SIGNALS, {}, re.compile(rb"^SigQ:\t(\d+)", re.MULTILINE)),
)
"""Numbers in /proc/PID/io (those `OF_IO`) and /proc/PID/status."""
_USER: Final = re.compile(rb"^Uid:\t(\d+)", re.MULTILINE)

T = TypeVar("T")


METRICS: Final = (
    CPU_TIME, CPU_UTILIZATION, MEMORY, MEMORY_UTILIZATION, VIRTUAL, DISK_IO, DISK_OPERATIONS, SWITCHES, DESCRIPTORS,
    FAULTS, SIGNALS, THREADS, UPTIME,
)  # fmt: skip


class ProcessSettings(Settings):
    """The settings of `process`."""

    include: ProcessFilter | None = None
    """The processes to measure; all when it is left out."""
    exclude: ProcessFilter | None = None
    """The processes not to measure."""
    scrape_process_delay: Duration = 0.0
    """Leave out processes that are younger."""
    mute_process_all_errors: bool = False
    """Has no effect: what a process hides is never reported."""
    mute_process_name_error: bool = False
    """Has no effect: see `mute_process_all_errors`."""
    mute_process_exe_error: bool = False
    """Has no effect: see `mute_process_all_errors`."""
    mute_process_io_error: bool = False
    """Has no effect: see `mute_process_all_errors`."""
    mute_process_user_error: bool = False
    """Has no effect: see `mute_process_all_errors`."""
    mute_process_cgroup_error: bool = False
    """Has no effect: see `mute_process_all_errors`."""
    metrics: Annotated[MetricSettings, Declares(*METRICS, elsewhere=("process.handles",))] = MetricSettings()
    """Which metrics are emitted, and how. `process.handles`, which only Windows has, is accepted without effect."""
    resource_attributes: Annotated[ResourceSettings, Declares(*RESOURCE)] = ResourceSettings()
    """Which attributes resources have, and which resources are emitted."""


class ProcessScraper:
    """Keeps the ticks of the measurement before, for `process.cpu.utilization`."""

    def __init__(self, settings: ProcessSettings, files: Files) -> None:
        self._settings = settings
        self._files = files
        self._users = Users(files)
        self._on = frozenset(filter(settings.metrics.enables, METRICS))
        self._before: dict[tuple[int, int], tuple[int, int, int]] = {}
        """The ticks of each process, by its number and its start, as numbers come again."""
        self._time = 0

    def scrape(self, scrape: Scrape) -> None:
        """Measure once. Raises `OSError` when there is nothing to be had."""
        settings = self._settings
        delay = int(settings.scrape_process_delay * 1e9)
        machine = self._machine(scrape)
        ticks = {}
        for number, folder, stat in processes(self._files):
            if delay and scrape.time - machine.began(stat) < delay:
                continue
            found = self._read(number, folder, stat)
            if found is not None and admits(settings.include, settings.exclude, found.name):
                key = (number, stat.start)
                ticks[key] = stat.ticks
                self._record(scrape, found, machine, self._before.get(key))
        self._before, self._time = ticks, scrape.time

    def _machine(self, scrape: Scrape) -> _Machine:
        files, on = self._files, self._on
        return _Machine(
            files.boot_time,
            len(files.parse("proc/stat", cpu_ticks)) if CPU_UTILIZATION in on else 1,
            files.parse("proc/meminfo", meminfo)[b"MemTotal"] if MEMORY_UTILIZATION in on else 1,
            (scrape.time - self._time) / 1e9,
        )

    def _read(self, number: int, folder: Folder, stat: Stat) -> _Found | None:
        """All that is needed of a process; None when it ended meanwhile."""
        on = self._on
        line = _unless_hidden(folder.read, "cmdline", LONGEST_LINE) or b""
        arguments = line.decode(errors="replace").rstrip("\0").split("\0")
        name = _name(stat.name, arguments[0])
        path = _unless_hidden(folder.link, "exe")
        io = _unless_hidden(folder.read, "io") if DISK_IO in on or DISK_OPERATIONS in on else None
        open_files = _unless_hidden(folder.count, "fd") if DESCRIPTORS in on else None
        cgroup = _unless_hidden(folder.read, "cgroup") if self._wants_cgroup else None
        status = _unless_hidden(folder.read, "status")  # the last, so that it was there all the time
        user = _USER.search(status or b"")
        if status is None or user is None:
            return None
        texts = {
            "process.executable.name": name,
            "process.executable.path": path,
            "process.command": arguments[0],
            "process.command_line": " ".join(arguments),
            "process.owner": self._users.name(int(user[1])),
            "process.cgroup": cgroup and cgroup.decode(errors="replace").strip(),
        }
        about: dict[str, Value] = {"process.pid": number, "process.parent_pid": stat.parent}
        about |= {key: text for key, text in texts.items() if text}
        return _Found(name, about, stat, status, io or b"", open_files)

    @property
    def _wants_cgroup(self) -> bool:
        chosen = self._settings.resource_attributes.get("process.cgroup")
        return chosen is not None and chosen.enabled is True

    def _record(self, scrape: Scrape, found: _Found, machine: _Machine, before: tuple[int, int, int] | None) -> None:
        on, stat, start = self._on, found.stat, machine.began(found.stat)
        recorder = scrape.resource(found.about)
        for metric, value in (
            (MEMORY, stat.resident * mmap.PAGESIZE),
            (VIRTUAL, stat.virtual),
            (MEMORY_UTILIZATION, 100 * stat.resident * mmap.PAGESIZE / machine.memory),
            (THREADS, stat.threads),
            (UPTIME, max(scrape.time - start, 0) / 1e9),
            (DESCRIPTORS, found.open_files),
        ):
            if value is not None and metric in on:
                recorder.record(metric, value, start=start)
        for state, ticks in zip(STATES, stat.ticks, strict=True):
            recorder.record(CPU_TIME, ticks * TICK, state, start=start)
        if CPU_UTILIZATION in on and before is not None and machine.elapsed > 0:
            for state, ticks, earlier in zip(STATES, stat.ticks, before, strict=True):
                part = (ticks - earlier) * TICK / machine.elapsed / machine.cpus
                recorder.record(CPU_UTILIZATION, part, state)
        for metric, attributes, number in found.counts(on):
            recorder.record(metric, number, attributes, start=start)


@dataclass(frozen=True, slots=True)
class _Machine:
    """What the figures of processes are held against."""

    boot: int
    cpus: int
    memory: int
    elapsed: float
    """Seconds since the measurement before."""

    def began(self, stat: Stat) -> int:
        """When a process began, in ns since the epoch."""
        return self.boot + int(stat.start * TICK * 1e9)


@dataclass(frozen=True, slots=True)
class _Found:
    """What was read of one process."""

    name: str
    about: dict[str, Value]
    stat: Stat
    status: bytes
    io: bytes
    open_files: int | None

    def counts(self, on: frozenset[Metric]) -> Iterator[tuple[Metric, dict[str, str], int]]:
        """The numbers in these files, for the metrics that are on."""
        for metric, attributes, pattern in COUNTS:
            if metric in on and (match := pattern.search(self.io if metric in OF_IO else self.status)) is not None:
                yield metric, attributes, int(match[1])
        if FAULTS in on:
            yield FAULTS, {"type": "major"}, self.stat.major_faults
            yield FAULTS, {"type": "minor"}, self.stat.minor_faults


def _name(short: str, command: str) -> str:
    """The name of an executable: the kernel keeps its first 15 bytes, and the command may have the rest."""
    if len(short.encode()) < LONGEST_NAME:
        return short
    whole = posixpath.basename(command)
    return whole if whole.startswith(short) else short


def _unless_hidden(read: Callable[..., T], *arguments: object) -> T | None:
    try:
        return read(*arguments)
    except OSError:
        return None
