"""The scraper `filesystem`: how full file systems are. Its states add up to all there is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Annotated, Final

from sluiceway.config.types import Settings
from sluiceway.receivers.host_metrics.files import Files
from sluiceway.receivers.host_metrics.filters import DeviceFilter, MountPointFilter, TypeFilter, admits
from sluiceway.receivers.host_metrics.mounts import Mount, Rooms, mounts, room
from sluiceway.scraping import Declares, MetricSettings, Scrape, gauge, updowncounter

__all__ = ["FilesystemScraper", "FilesystemSettings"]

AT: Final = ("device", "mode", "mountpoint", "type")

USAGE = updowncounter(
    "system.filesystem.usage", "By", "Room in each state; all states add up to the size.", *AT, "state"
)
INODES = updowncounter(
    "system.filesystem.inodes.usage", "{inodes}", "Inodes in each state; those that have any.", *AT, "state"
)
UTILIZATION = gauge(
    "system.filesystem.utilization",
    "1",
    "The part in use of what users other than root can have.",
    *AT,
    value=float,
    on=False,
)

ALWAYS_REAL: Final = frozenset({"zfs"})
"""Types that need no device to the kernel, and are on disks nevertheless."""


class FilesystemSettings(Settings):
    """The settings of `filesystem`."""

    include_devices: DeviceFilter | None = None
    """The devices to measure; all when it is left out."""
    exclude_devices: DeviceFilter | None = None
    """The devices not to measure."""
    include_fs_types: TypeFilter | None = None
    """The types to measure; all when it is left out."""
    exclude_fs_types: TypeFilter | None = None
    """The types not to measure."""
    include_mount_points: MountPointFilter | None = None
    """The mount points to measure; all when it is left out."""
    exclude_mount_points: MountPointFilter | None = None
    """The mount points not to measure."""
    include_virtual_filesystems: bool = False
    """Measure file systems that have no device too, such as `tmpfs` and those of the network."""
    metrics: Annotated[MetricSettings, Declares(USAGE, INODES, UTILIZATION)] = MetricSettings()
    """Which metrics are emitted, and how."""

    def admits(self, mount: Mount) -> bool:
        """Whether a file system is to be measured, for all that the filters say."""
        return (
            admits(self.include_devices, self.exclude_devices, mount.device)
            and admits(self.include_fs_types, self.exclude_fs_types, mount.type)
            and admits(self.include_mount_points, self.exclude_mount_points, mount.point)
        )


class FilesystemScraper:
    """Asks what is mounted, and statvfs(3) of each."""

    def __init__(self, settings: FilesystemSettings, files: Files) -> None:
        self._settings = settings
        self._files = files
        self._rooms = Rooms()

    def scrape(self, scrape: Scrape) -> None:
        """Measure once. Raises `OSError` when there is nothing to be had."""
        wanted = self._wanted()
        for mount, answer in self._ask(wanted):
            if isinstance(answer, OSError):
                scrape.problem(f"{mount.point}: {answer.strerror or answer}")
            elif answer.f_blocks:  # what has no room at all only looks like a file system
                _record(scrape, mount, answer)

    def _wanted(self) -> list[Mount]:
        files = self._files
        found = files.parse("proc/1/mountinfo" if files.root else "proc/self/mountinfo", mounts)
        virtual = frozenset() if self._settings.include_virtual_filesystems else self._virtual()
        return [mount for mount in found if mount.type not in virtual and self._settings.admits(mount)]

    def _virtual(self) -> frozenset[str]:
        """The types that need no device, of which the network's are some."""
        return self._files.parse("proc/filesystems", _without_device) - ALWAYS_REAL

    def _ask(self, wanted: list[Mount]) -> Iterator[tuple[Mount, os.statvfs_result | OSError]]:
        elsewhere = {}
        for mount in wanted:
            path = f"{self._files.root}{mount.point}"
            if mount.is_local:
                yield mount, room(path)
            else:
                elsewhere[path] = mount
        for path, answer in self._rooms.ask(elsewhere):
            yield elsewhere[path], answer


def _record(scrape: Scrape, mount: Mount, found: os.statvfs_result) -> None:
    at = {"device": mount.device, "mode": mount.mode, "mountpoint": mount.point, "type": mount.type}
    unit = found.f_frsize
    free, used = found.f_bavail, found.f_blocks - found.f_bfree
    reserved = found.f_bfree - found.f_bavail
    for state, blocks in (("used", used), ("free", free), ("reserved", reserved)):
        scrape.record(USAGE, blocks * unit, {**at, "state": state})
    if used + free:
        scrape.record(UTILIZATION, used / (used + free), at)
    if found.f_files:
        for state, inodes in (("used", found.f_files - found.f_ffree), ("free", found.f_ffree)):
            scrape.record(INODES, inodes, {**at, "state": state})


def _without_device(data: bytes) -> frozenset[str]:
    lines = (line.partition(b"\t") for line in data.splitlines())
    return frozenset(name.decode("ascii") for mark, _, name in lines if mark == b"nodev")
