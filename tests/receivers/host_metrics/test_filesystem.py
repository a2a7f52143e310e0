"""How full file systems are, and what happens when one does not answer."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from sluiceway.component import Status
from sluiceway.receivers.host_metrics import mounts as module
from sluiceway.receivers.host_metrics.mounts import Mount, Rooms, mounts
from tests.receivers.host_metrics.bench import Bench, everything, make_tree, values

AT = ("device", "mode", "mountpoint", "type")


async def test_states_add_up(tmp_path: Path) -> None:
    """Used, free and reserved add up to the size; those without a device, such as tmpfs, are left out."""
    root = make_tree(tmp_path)
    async with Bench(f"{{root_path: '{root}', scrapers: {{filesystem: {everything('filesystem')}}}}}") as bench:
        found = await bench.measure()
    real = os.statvfs(root)
    usage = values(found, "system.filesystem.usage", "mountpoint", "state")
    assert {mountpoint for mountpoint, _ in usage} == {"/", "/my disk"}
    assert sum(usage["/", state] for state in ("used", "free", "reserved")) == real.f_blocks * real.f_frsize
    assert usage["/", "reserved"] == (real.f_bfree - real.f_bavail) * real.f_frsize
    inodes = values(found, "system.filesystem.inodes.usage", "mountpoint", "state")
    assert sum(inodes["/", state] for state in ("used", "free")) == real.f_files
    parts = values(found, "system.filesystem.utilization", *AT)
    assert set(parts) == {("/dev/sda1", "rw", "/", "ext4"), ("/dev/sda1", "ro", "/my disk", "ext4")}


async def test_one_that_cannot_be_asked(tmp_path: Path) -> None:
    """A file system that cannot be asked is named in the status, and the others have their points."""
    root = make_tree(tmp_path)
    async with Bench(f"{{root_path: '{root}', scrapers: {{filesystem: {{}}}}}}") as bench:
        found = await bench.measure()
    assert bench.status == (Status.OK, "incomplete: filesystem: /gone: No such file or directory")
    assert "system.filesystem.usage" in found


async def test_virtual_ones(tmp_path: Path) -> None:
    """Those without a device are measured when they are asked for; filters go by device, type and mount point."""
    root = make_tree(tmp_path)
    (root / "run").mkdir()
    settings = (
        "{include_virtual_filesystems: true, exclude_mount_points: {match_type: regexp, mount_points: [^/my]},"
        " exclude_devices: {match_type: strict, devices: [/dev/sdb1]},"
        " include_fs_types: {match_type: strict, fs_types: [ext4, tmpfs]}}"
    )
    async with Bench(f"{{root_path: '{root}', scrapers: {{filesystem: {settings}}}}}") as bench:
        found = await bench.measure()
    assert set(values(found, "system.filesystem.usage", "mountpoint")) == {"/", "/run"}


def test_mounts_upon_each_other() -> None:
    """Of what is mounted at one place only the last is seen; names are as the kernel escapes them."""
    found = mounts(
        b"1 0 8:1 / /a\\040b\\134c rw - ext4 /dev/sda1 rw\n"
        b"2 0 0:9 / /a\\040b\\134c ro,nosuid shared:1 master:2 - fuse.sshfs me@host:/x rw\n"
    )
    assert found == [Mount("me@host:/x", "/a b\\c", "fuse.sshfs", "ro")]
    assert not found[0].is_local


def test_one_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that is silent costs the others nothing but a wait, and is asked again once it has answered."""
    answers = threading.Event()
    asked: list[str] = []

    def statvfs(path: str) -> os.statvfs_result:
        asked.append(path)
        if path == "/silent":
            answers.wait()
        return os.statvfs("/")

    monkeypatch.setattr(module, "room", statvfs)
    rooms = Rooms()
    first = dict(rooms.ask(["/silent", "/well"], patience=0.2))
    assert str(first["/silent"]) == "no answer within 0.2s"
    assert isinstance(first["/well"], os.statvfs_result)
    second = dict(rooms.ask(["/silent", "/well"], patience=0.2))
    assert str(second["/silent"]) == "still no answer"
    assert asked.count("/silent") == 1
    answers.set()
    while not isinstance(dict(rooms.ask(["/silent"], patience=5))["/silent"], os.statvfs_result):
        pass
    assert asked.count("/silent") == 2
