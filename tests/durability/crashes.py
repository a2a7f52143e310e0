"""Processes that are killed at every kind of file operation, and power cuts."""

from __future__ import annotations

import fcntl
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.segments.records import Unsynced, opened

ROOT = Path(__file__).parents[2]
HOWS = ("before", "after", "half")
FAR = 100_000
"""Numbers between two lives: none is given twice."""


@dataclass
class Promises:
    """What a log has promised over several lives."""

    kept: set[int] = field(default_factory=set)
    seen: set[int] = field(default_factory=set)
    deaths: Counter[str] = field(default_factory=Counter)

    def learn(self, lines: str) -> None:
        """Take in what a life has printed."""
        for line in lines.splitlines():
            what, *words = line.split()
            if what == "d":
                self.deaths[words[0]] += 1
            else:
                (self.kept if what == "k" else self.seen).update(map(int, words))

    def check(self, folder: Path, *, sync: bool = True) -> set[int]:
        """Hold the log to them; the numbers that it lost. What was delivered must not be missed."""
        log = opened(folder, files=Unsynced())
        found = set()
        while batch := log.read(1_000_000):
            numbers = [int(re.match(rb"\d+", stored.record.payload)[0]) for stored in batch]
            assert len(set(numbers)) == len(numbers)
            assert not found & set(numbers), "a record came twice from one log"
            found |= set(numbers)
        assert not (sync and log.lost), f"missed, and nobody took it away: {log.lost}"
        log.close()
        return self.kept - self.seen - found


def spawn(folder: Path, number: int, *flags: str) -> subprocess.Popen[str]:
    """A life in a process of its own; what it says when the disk goes away is of no interest."""
    command = [sys.executable, "-m", "tests.durability.life", str(folder), str(number), *flags]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def kills(folder: Path, times: int, seed: int = 1) -> str:
    """The process is killed before, after and in the middle of its operations; each life goes on where one ended."""
    dice = random.Random(seed)
    promises = Promises()
    for life in range(times):
        how = HOWS[life % 3]
        process = spawn(folder, life * FAR, "--kill", str(dice.randint(1, 70)), how)
        lines, _ = process.communicate(timeout=60)
        promises.learn(lines)
        assert process.returncode == -signal.SIGKILL, f"life {life} of seed {seed} ended by itself"
        lost = promises.check(folder) if life % 5 == 4 or life == times - 1 else set()
        assert not lost, f"life {life} of seed {seed}, killed {how}: lost {sorted(lost)}"
        if dice.random() < 0.1:
            shutil.rmtree(folder, ignore_errors=True)  # the life may have been killed before it made it
            promises.kept.clear()
    at = ", ".join(f"{name} {n}" for name, n in promises.deaths.most_common())
    return f"{times} kills ({at}); lost 0"


def power_cuts(folder: Path, times: int, *, sync: bool = True, seed: int = 1) -> str:
    """The file system under the log goes away without writing what it has in memory, as at a power cut.

    Only what was printed before counts. Without `sync` something must be lost, or this proves nothing.
    """
    image, mount = folder / "disk.img", folder / "mount"
    if os.geteuid() or not Path("/dev/loop-control").exists():
        return "skipped: only root may mount a loop file"
    mount.mkdir(parents=True)
    image.touch()
    os.truncate(image, 96 * 1024 * 1024)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    if subprocess.run(["mount", "-o", "loop", str(image), str(mount)], check=False).returncode:
        return "skipped: no loop file can be mounted here"
    dice, promises, lost = random.Random(seed), Promises(), 0
    try:
        for life in range(times):
            flags = [] if sync else ["--no-sync"]
            process = spawn(mount / "q", life * FAR, *flags)
            assert process.stdout is not None
            process.stdout.readline()
            before = _listen(process, dice.uniform(0.02, 0.3), mount)
            process.kill()
            rest, _ = process.communicate()
            promises.learn(before)
            promises.seen |= {int(n) for line in rest.splitlines() if line.startswith("s") for n in line.split()[1:]}
            subprocess.run(["umount", str(mount)], check=True)
            subprocess.run(["mount", "-o", "loop", str(image), str(mount)], check=True)
            gone = promises.check(mount / "q", sync=sync)
            assert not (sync and gone), f"cut {life} of seed {seed}: lost {sorted(gone)}"
            lost += len(gone)
            promises.kept -= gone
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=False)
    assert sync or lost, "without sync nothing was lost: these power cuts are none"
    return f"{times} power cuts, {len(promises.kept) + lost} records kept; lost {lost}"


def _listen(process: subprocess.Popen[str], seconds: float, mount: Path) -> str:
    """What it prints for a while, up to the moment in which the file system goes away."""
    assert process.stdout is not None
    descriptor = process.stdout.fileno()
    os.set_blocking(descriptor, False)
    heard = b""
    end = time.monotonic() + seconds
    where = os.open(mount, os.O_RDONLY)
    try:
        while time.monotonic() < end:
            heard += _read(descriptor)
            time.sleep(0.001)
        heard += _read(descriptor)
        fcntl.ioctl(where, 0x8004587D, struct.pack("I", 2))  # EXT4_IOC_SHUTDOWN, without flushing the journal
    finally:
        os.close(where)
        os.set_blocking(descriptor, True)
    whole, _, _ = heard.decode().rpartition("\n")
    return whole


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 20)
    except BlockingIOError:
        return b""
