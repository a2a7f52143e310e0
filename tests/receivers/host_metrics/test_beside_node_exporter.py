"""The same machine, measured by Prometheus' node exporter at the same time."""

from __future__ import annotations

import asyncio
import os
import re

import pytest

from sluiceway.component import SystemClock
from tests.receivers.host_metrics.bench import Bench, Points, values
from tests.servers.prometheus import fetch, node_exporter

EVERYTHING = "{scrapers: {cpu: , memory: , disk: , network: , paging: , processes: , filesystem: , load: , pressure: }}"


def _series(text: str, name: str) -> dict[str, float]:
    """The values of a metric by its labels, as they are written."""
    found = re.findall(rf"^{name}(?:\{{(.*)\}})? (\S+)$", text, re.MULTILINE)
    return {labels: float(value) for labels, value in found}


@pytest.fixture(scope="module")
def both() -> tuple[str, Points, str]:
    """What the exporter says before, what we say, and what the exporter says after."""
    with node_exporter() as endpoint:
        return asyncio.run(_ask_both(f"http://{endpoint}/metrics"))


async def _ask_both(url: str) -> tuple[str, Points, str]:
    async with Bench(EVERYTHING, SystemClock()) as bench:
        before = fetch(url).decode()
        ours = await bench.measure()
        return before, ours, fetch(url).decode()


def _check(both: tuple[str, Points, str], name: str, labels: str, ours: float, slack: float = 0.0) -> None:
    """Ours is between what the exporter said before and after."""
    before, after = _series(both[0], name)[labels], _series(both[2], name)[labels]
    assert before - slack <= ours <= after + slack, (name, labels)


def test_cpus(both: tuple[str, Points, str]) -> None:
    """Each CPU has been in each state for as long as the exporter says."""
    modes = {"wait": "iowait", "interrupt": "irq"}
    states = {"user", "nice", "system", "idle", "wait", "interrupt", "softirq", "steal"}
    found = values(both[1], "system.cpu.time", "cpu", "state")
    assert set(found) == {(f"cpu{number}", state) for number in range(os.cpu_count() or 1) for state in states}
    for (cpu, state), seconds in found.items():
        mode = modes.get(state, state)
        _check(both, "node_cpu_seconds_total", f'cpu="{cpu[3:]}",mode="{mode}"', seconds, slack=0.03)


def test_memory(both: tuple[str, Points, str]) -> None:
    """The states of memory are the exporter's, and add up to its total."""
    states = values(both[1], "system.memory.usage", "state")
    assert sum(states.values()) == _series(both[0], "node_memory_MemTotal_bytes")[""]
    for state, name in (
        ("free", "MemFree"), ("buffered", "Buffers"), ("cached", "Cached"), ("slab_reclaimable", "SReclaimable"),
        ("slab_unreclaimable", "SUnreclaim"),
    ):  # fmt: skip
        theirs = _series(both[0], f"node_memory_{name}_bytes")[""]
        assert states[state] == pytest.approx(theirs, rel=0.05, abs=32 * 2**20), state


def test_disks(both: tuple[str, Points, str]) -> None:
    """Disks have read and written what the exporter says."""
    found = _series(both[0], "node_disk_read_bytes_total")
    assert found
    for label in found:
        device = label.partition('"')[2].rstrip('"')
        for metric, direction, name in (
            ("io", "read", "read_bytes"), ("io", "write", "written_bytes"),
            ("operations", "read", "reads_completed"), ("operations", "write", "writes_completed"),
            ("operation_time", "read", "read_time_seconds"), ("operation_time", "write", "write_time_seconds"),
            ("merged", "read", "reads_merged"), ("merged", "write", "writes_merged"),
        ):  # fmt: skip
            ours = values(both[1], f"system.disk.{metric}", "device", "direction")[device, direction]
            _check(both, f"node_disk_{name}_total", label, ours, slack=1e-9)
        for metric, name in (("io_time", "io_time"), ("weighted_io_time", "io_time_weighted")):
            ours = values(both[1], f"system.disk.{metric}", "device")[device]
            _check(both, f"node_disk_{name}_seconds_total", label, ours, slack=1e-9)


def test_interfaces(both: tuple[str, Points, str]) -> None:
    """Interfaces have sent and received what the exporter says."""
    for metric, name in (("io", "bytes"), ("packets", "packets"), ("errors", "errs"), ("dropped", "drop")):
        found = values(both[1], f"system.network.{metric}", "device", "direction")
        assert {device for device, _ in found} >= {"lo"}
        for (device, direction), ours in found.items():
            series, label = f"node_network_{direction}_{name}_total", f'device="{device}"'
            if label in _series(both[0], series):  # the exporter may leave out some
                _check(both, series, label, ours)


def test_paging(both: tuple[str, Points, str]) -> None:
    """Pages were fetched as often as the exporter says."""
    faults = values(both[1], "system.paging.faults", "type")
    _check(both, "node_vmstat_pgmajfault", "", faults["major"])
    _check(both, "node_vmstat_pgfault", "", faults["major"] + faults["minor"])
    swaps = values(both[1], "system.paging.operations", "direction", "type")
    _check(both, "node_vmstat_pswpin", "", swaps["page_in", "major"])
    _check(both, "node_vmstat_pswpout", "", swaps["page_out", "major"])


def test_processes(both: tuple[str, Points, str]) -> None:
    """As many processes were created as the exporter says."""
    _check(both, "node_forks_total", "", both[1]["system.processes.created"][0]["value"])


def test_filesystems(both: tuple[str, Points, str]) -> None:
    """File systems are as large as the exporter says, and as full."""
    usage = values(both[1], "system.filesystem.usage", "device", "type", "mountpoint", "state")
    assert usage
    for device, kind, mountpoint in {key[:3] for key in usage}:
        label = f'device="{device}",fstype="{kind}",mountpoint="{mountpoint}"'
        sizes = _series(both[0], "node_filesystem_size_bytes")
        if label not in sizes:
            continue  # the exporter leaves out some mount points
        ours = {state: usage[device, kind, mountpoint, state] for state in ("used", "free", "reserved")}
        assert sum(ours.values()) == sizes[label]
        theirs = _series(both[0], "node_filesystem_avail_bytes")[label]
        assert ours["free"] == pytest.approx(theirs, abs=64 * 2**20)


def test_pressure(both: tuple[str, Points, str]) -> None:
    """Work stood still for as long as the exporter says."""
    found = values(both[1], "system.linux.pressure.time", "resource", "kind")
    for resource, kind, name in (
        ("cpu", "some", "cpu_waiting"), ("memory", "some", "memory_waiting"), ("memory", "full", "memory_stalled"),
        ("io", "some", "io_waiting"), ("io", "full", "io_stalled"),
    ):  # fmt: skip
        if theirs := _series(both[0], f"node_pressure_{name}_seconds_total"):
            assert found[resource, kind] >= theirs[""] - 1e-6
            _check(both, f"node_pressure_{name}_seconds_total", "", found[resource, kind], slack=1e-6)


def test_load(both: tuple[str, Points, str]) -> None:
    """The load is the exporter's."""
    ours = both[1]["system.cpu.load_average.15m"][0]["value"]
    assert ours == pytest.approx(_series(both[0], "node_load15")[""], abs=0.2)
