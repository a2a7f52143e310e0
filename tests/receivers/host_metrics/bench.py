"""The receiver `host_metrics` from YAML, measured by hand; and trees of files such as Linux has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sluiceway.component import SystemClock
from sluiceway.receivers.host_metrics import COMPONENT, HostMetricsSettings
from sluiceway.scraping import Metric, declared
from sluiceway.testing import ManualClock
from tests.receivers import measuring
from tests.receivers.measuring import Points, ReceiverBench

__all__ = ["TREE", "Bench", "Points", "everything", "make_tree", "names", "values"]

TREE = {
    "stat": "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 100 200 300 400 500 600 700 800 1 1\ncpu1 1 2 3 4 5 6 7 8 0 0\n"
    "intr 5 1 2\nctxt 7\nbtime 1700000000\nprocesses 4242\nprocs_running 1\nprocs_blocked 0\n",
    "loadavg": "0.50 1.50 2.50 1/100 4242\n",
    "meminfo": "MemTotal:       1000 kB\nMemFree:         100 kB\nMemAvailable:    500 kB\nBuffers:          50 kB\n"
    "Cached:          200 kB\nDirty:             8 kB\nShmem:            16 kB\nSlab:             60 kB\n"
    "SReclaimable:     40 kB\nSUnreclaim:       20 kB\nHugePages_Total:    10\nHugePages_Free:      4\n"
    "HugePages_Rsvd:      1\nHugePages_Surp:      2\nHugepagesize:    2048 kB\n",
    "diskstats": "   8       0 sda 10 1 80 5 20 2 160 7 3 11 13 0 0 0 0 0 0\n"
    "   8       1 sda1 1 0 8 1 2 0 16 1 0 2 2 0 0 0 0 0 0\n   7       0 loop0 0 0 0 0 0 0 0 0 0 0 0\n",
    "vmstat": "pswpin 3\npswpout 4\npgpgin 400\npgpgout 800\npgfault 1000\npgmajfault 10\n",
    "swaps": "Filename\tType\tSize\tUsed\tPriority\n/dev/my\\040swap partition 1000 250 -2\n",
    "uptime": "12345.67 0.00\n",
    "filesystems": "nodev\tsysfs\nnodev\ttmpfs\nnodev\tnfs\n\text4\nnodev\tzfs\n",
    "1/mountinfo": "20 1 8:1 / / rw,noatime shared:1 - ext4 /dev/sda1 rw\n"
    "21 20 8:1 / /my\\040disk ro - ext4 /dev/sda1 rw\n22 20 0:5 / /run rw - tmpfs tmpfs rw\n"
    "23 20 0:6 / /gone rw - ext4 /dev/sdb1 rw\n",
    "1/net/dev": "Inter-|   Receive  |  Transmit\n face |bytes packets errs drop\n"
    "    lo: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n  eth0:10 20 30 40 0 0 0 0 50 60 70 80 0 0 0 0\n",
    "1/net/tcp": "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0\n"
    "   1: 0100007F:1F90 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0\n",
    "1/net/tcp6": "  sl  local_address rem_address st\n   0: 00000000000000000000000000000000:0016 "
    "00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 1\n",
    "sys/net/netfilter/nf_conntrack_count": "77\n",
    "sys/net/netfilter/nf_conntrack_max": "1024\n",
    "pressure/cpu": "some avg10=1.50 avg60=0.00 avg300=0.00 total=2500000\n"
    "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
    "1/stat": "1 (init) S 0 1 1 0 -1 4194560 10 0 2 0 100 50 0 0 20 0 3 0 500 4096000 25 18446744073709551615 "
    "1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 30 0 0 0 0 0 0 0 0 0 0\n",
    "1/cmdline": "/sbin/init\0splash\0",
    "1/io": "rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 5\nwrite_bytes: 6\ncancelled_write_bytes: 0\n",
    "1/status": "Name:\tinit\nUid:\t7\t7\t7\t7\nSigQ:\t2/100\nvoluntary_ctxt_switches:\t8\n"
    "nonvoluntary_ctxt_switches:\t9\n",
}  # fmt: skip
"""Files below /proc."""


def make_tree(root: Path, **changed: str | None) -> Path:
    """Write the tree, with some files (`net_dev` being net/dev) changed or, for None, left out; returns its root."""
    contents: dict[str, str | None] = {**TREE, **changed}
    for name, text in contents.items():
        if text is not None:
            file = root / "proc" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    (root / "my disk").mkdir(exist_ok=True)
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc" / "passwd").write_text("root:x:0:0::/root:/bin/sh\nseven:x:7:7::/:/bin/sh\nbroken\n")
    return root


def everything(scraper: str) -> str:
    """A scraper's setting with all its metrics on."""
    return f"{{metrics: {measuring.all_on(HostMetricsSettings, 'scrapers', scraper)}}}"


def names(scraper: str) -> set[str]:
    """The metrics that a scraper declares."""
    return {
        name
        for path, mark in declared(HostMetricsSettings)
        if path[1:2] == (scraper,)
        for name, entry in mark.entries.items()
        if isinstance(entry, Metric)
    }


class Bench(ReceiverBench):
    """A receiver that runs, whose measurements are asked for by `measure`."""

    def __init__(self, yaml: str, clock: SystemClock | None = None) -> None:
        super().__init__(COMPONENT, yaml, clock or ManualClock(wall=1_700_001_000))


def values(found: Points, name: str, *keys: str) -> dict[Any, Any]:
    """The values of a metric by its attributes: by one of them, or by tuples of several."""
    given = {tuple(point["attributes"][key] for key in keys): point["value"] for point in found.get(name, [])}
    return {key[0] if len(key) == 1 else key: value for key, value in given.items()}
