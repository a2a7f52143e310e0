"""What becomes of known files."""

from __future__ import annotations

from pathlib import Path

import pytest

from sluiceway.component import Status
from sluiceway.receivers.host_metrics import COMPONENT, SCRAPERS
from sluiceway.testing import check_metrics
from tests.receivers.host_metrics.bench import TREE, Bench, Points, everything, make_tree, names, values

TICK = 0.01


async def _measure(root: Path, scraper: str, settings: str = "") -> Points:
    async with Bench(f"{{root_path: '{root}', scrapers: {{{scraper}: {settings or everything(scraper)}}}}}") as bench:
        return await bench.measure()


async def test_time_of_cpus(tmp_path: Path) -> None:
    """Each logical CPU has its seconds in each state, counted since the machine was started."""
    found = await _measure(make_tree(tmp_path), "cpu")
    seconds = values(found, "system.cpu.time", "cpu", "state")
    states = ("user", "nice", "system", "idle", "wait", "interrupt", "softirq", "steal")
    assert seconds == pytest.approx(
        {("cpu0", state): 100 * at * TICK for at, state in enumerate(states, 1)}
        | {("cpu1", state): at * TICK for at, state in enumerate(states, 1)}
    )
    assert {point["point"].start_time_unix_nano for point in found["system.cpu.time"]} == {1_700_000_000 * 10**9}
    assert found["system.cpu.logical.count"][0]["value"] == 2


async def test_parts_of_time(tmp_path: Path) -> None:
    """Utilization is of the time between two measurements, so that the first has none; it adds up to 1."""
    root = make_tree(tmp_path)
    async with Bench(f"{{root_path: '{root}', scrapers: {{cpu: {everything('cpu')}}}}}") as bench:
        assert "system.cpu.utilization" not in await bench.measure()
        later = TREE["stat"].replace("cpu0 100 200 300 400 500", "cpu0 130 200 310 460 490")  # less `wait`, as may be
        make_tree(root, stat=later)
        found = values(await bench.measure(), "system.cpu.utilization", "cpu", "state")
    assert {key: value for key, value in found.items() if value} == pytest.approx(
        {("cpu0", "user"): 0.3, ("cpu0", "system"): 0.1, ("cpu0", "idle"): 0.6}
    )


async def test_cores(tmp_path: Path) -> None:
    """Logical CPUs of one core are counted once, and run as fast as /sys says."""
    root = make_tree(tmp_path)
    for cpu in ("cpu0", "cpu1"):
        folder = root / "sys/devices/system/cpu" / cpu
        (folder / "topology").mkdir(parents=True)
        (folder / "topology/core_cpus_list").write_text("0-1\n")
        (folder / "cpufreq").mkdir()
        (folder / "cpufreq/scaling_cur_freq").write_text("2100000\n")
    found = await _measure(root, "cpu")
    assert found["system.cpu.physical.count"][0]["value"] == 1
    assert values(found, "system.cpu.frequency", "cpu") == {"cpu0": 2.1e9, "cpu1": 2.1e9}


async def test_frequency_of_cpuinfo(tmp_path: Path) -> None:
    """Where /sys does not say how fast a CPU runs, /proc/cpuinfo may."""
    found = await _measure(make_tree(tmp_path, cpuinfo="processor\t: 1\ncpu MHz\t\t: 1800.5\n"), "cpu")
    assert values(found, "system.cpu.frequency", "cpu") == {"cpu1": 1.8005e9}


@pytest.mark.parametrize(("settings", "share"), [("{}", 1), ("{cpu_average: true}", 2)])
async def test_load(tmp_path: Path, settings: str, share: int) -> None:
    """The load is that of the machine, or of each logical CPU."""
    found = await _measure(make_tree(tmp_path), "load", settings)
    averages = [found[f"system.cpu.load_average.{time}"][0]["value"] for time in ("1m", "5m", "15m")]
    assert averages == [0.5 / share, 1.5 / share, 2.5 / share]


async def test_everything_counts_from_the_start_of_the_machine(tmp_path: Path) -> None:
    """Also sums that may become smaller begin when the machine was started, as in the Collector."""
    found = await _measure(make_tree(tmp_path), "memory")
    assert {point["point"].start_time_unix_nano for point in found["system.memory.usage"]} == {1_700_000_000 * 10**9}


async def test_states_of_memory(tmp_path: Path) -> None:
    """What is not told is used, so that the states add up to all the memory."""
    found = await _measure(make_tree(tmp_path), "memory")
    assert values(found, "system.memory.usage", "state") == {
        "free": 100 * 1024,
        "buffered": 50 * 1024,
        "cached": 200 * 1024,
        "slab_reclaimable": 40 * 1024,
        "slab_unreclaimable": 20 * 1024,
        "used": 590 * 1024,
    }
    assert sum(values(found, "system.memory.utilization", "state").values()) == pytest.approx(1)
    single = {name: found[name][0]["value"] for name in found if len(found[name]) == 1}
    assert single["system.memory.limit"] == 1000 * 1024
    assert single["system.linux.memory.available"] == 500 * 1024
    assert single["system.linux.memory.dirty"] == 8 * 1024
    assert single["system.memory.linux.shared"] == 16 * 1024


async def test_huge_pages(tmp_path: Path) -> None:
    """Huge pages are counted in pages."""
    found = await _measure(make_tree(tmp_path), "memory")
    huge = "system.memory.linux.hugepages"
    assert values(found, f"{huge}.usage", f"{huge}.state") == {"free": 4, "used": 6}
    assert values(found, f"{huge}.utilization", f"{huge}.state") == {"free": 0.4, "used": 0.6}
    single = {name: found[f"{huge}.{name}"][0]["value"] for name in ("limit", "page_size", "reserved", "surplus")}
    assert single == {"limit": 10, "page_size": 2**21, "reserved": 1, "surplus": 2}


async def test_disks(tmp_path: Path) -> None:
    """Sectors are of 512 bytes and times in milliseconds, whatever the device."""
    found = await _measure(make_tree(tmp_path), "disk", "{include: {match_type: strict, devices: [sda]}}")
    both = ("device", "direction")
    assert values(found, "system.disk.io", *both) == {("sda", "read"): 40960, ("sda", "write"): 81920}
    assert values(found, "system.disk.operations", *both) == {("sda", "read"): 10, ("sda", "write"): 20}
    assert values(found, "system.disk.merged", *both) == {("sda", "read"): 1, ("sda", "write"): 2}
    assert values(found, "system.disk.operation_time", *both) == {("sda", "read"): 0.005, ("sda", "write"): 0.007}
    assert values(found, "system.disk.pending_operations", "device") == {"sda": 3}
    assert values(found, "system.disk.io_time", "device") == {"sda": 0.011}
    assert values(found, "system.disk.weighted_io_time", "device") == {"sda": 0.013}


async def test_interfaces(tmp_path: Path) -> None:
    """Below a `root_path` the network is that of process 1."""
    found = await _measure(make_tree(tmp_path), "network", "{exclude: {match_type: regexp, interfaces: [^lo$]}}")
    both = ("device", "direction")
    assert values(found, "system.network.io", *both) == {("eth0", "receive"): 10, ("eth0", "transmit"): 50}
    assert values(found, "system.network.packets", *both) == {("eth0", "receive"): 20, ("eth0", "transmit"): 60}
    assert values(found, "system.network.errors", *both) == {("eth0", "receive"): 30, ("eth0", "transmit"): 70}
    assert values(found, "system.network.dropped", *both) == {("eth0", "receive"): 40, ("eth0", "transmit"): 80}


async def test_connections(tmp_path: Path) -> None:
    """Connections of IPv4 and IPv6 are counted together, and each state has a point."""
    found = await _measure(make_tree(tmp_path), "network")
    states = values(found, "system.network.connections", "state")
    assert {state: count for state, count in states.items() if count} == {"LISTEN": 2, "ESTABLISHED": 1}
    assert len(states) == 12
    assert found["system.network.conntrack.count"][0]["value"] == 77
    assert found["system.network.conntrack.max"][0]["value"] == 1024


async def test_swap(tmp_path: Path) -> None:
    """The states of swap add up to its size."""
    found = await _measure(make_tree(tmp_path), "paging")
    both = ("device", "state")
    assert values(found, "system.paging.usage", *both) == {
        ("/dev/my swap", "used"): 250 * 1024, ("/dev/my swap", "free"): 750 * 1024,
    }  # fmt: skip
    assert sum(values(found, "system.paging.utilization", *both).values()) == 1


async def test_paging(tmp_path: Path) -> None:
    """Operations are counted in pages; faults that were not major are minor."""
    found = await _measure(make_tree(tmp_path), "paging")
    assert values(found, "system.paging.operations", "direction", "type") == {
        ("page_in", "major"): 3, ("page_out", "major"): 4, ("page_in", "minor"): 100, ("page_out", "minor"): 200,
    }  # fmt: skip
    assert values(found, "system.paging.faults", "type") == {"major": 10, "minor": 990}


async def test_pressure(tmp_path: Path) -> None:
    """The kernel's microseconds are seconds, its percents parts of 1; what this kernel does not tell is left out."""
    found = await _measure(make_tree(tmp_path), "pressure")
    assert values(found, "system.linux.pressure.time", "resource", "kind") == {("cpu", "some"): 2.5, ("cpu", "full"): 0}
    assert values(found, "system.linux.pressure.ratio", "resource", "kind", "window")["cpu", "some", "10s"] == 0.015


async def test_processes(tmp_path: Path) -> None:
    """Each state that Linux has is counted, also where there is none in it."""
    found = await _measure(make_tree(tmp_path), "processes")
    states = values(found, "system.processes.count", "status")
    assert {state: count for state, count in states.items() if count} == {"sleeping": 1}
    assert set(states) == {"running", "sleeping", "blocked", "zombies", "stopped", "idle", "paging", "unknown"}
    assert found["system.processes.created"][0]["value"] == 4242


async def test_uptime(tmp_path: Path) -> None:
    """The uptime is in seconds."""
    found = await _measure(make_tree(tmp_path), "system")
    assert found["system.uptime"][0]["value"] == 12345.67


async def test_a_process(tmp_path: Path) -> None:
    """A process is a resource, with its user's name in the tree, and counts from when it began."""
    found = await _measure(make_tree(tmp_path), "process")
    (resource,) = {tuple(point["resource"].items()) for points in found.values() for point in points}
    assert dict(resource) == {
        "process.pid": 1, "process.parent_pid": 0, "process.executable.name": "init", "process.command": "/sbin/init",
        "process.command_line": "/sbin/init splash", "process.owner": "seven",
    }  # fmt: skip
    assert values(found, "process.cpu.time", "state") == {"user": 1.0, "system": 0.5, "wait": 0.3}
    (start,) = {point["point"].start_time_unix_nano for point in found["process.cpu.time"]}
    assert start == 1_700_000_005 * 10**9
    assert values(found, "process.disk.io", "direction") == {"read": 5, "write": 6}
    assert values(found, "process.disk.operations", "direction") == {"read": 3, "write": 4}
    assert values(found, "process.context_switches", "type") == {"voluntary": 8, "involuntary": 9}
    assert values(found, "process.paging.faults", "type") == {"minor": 10, "major": 2}
    single = {name: points[0]["value"] for name, points in found.items() if len(points) == 1}
    assert single["process.memory.usage"] == 25 * 4096
    assert single["process.memory.virtual"] == 4096000
    assert single["process.memory.utilization"] == 10.0  # percent, as the Collector has it
    assert single["process.threads"] == 3
    assert single["process.signals_pending"] == 2


@pytest.mark.parametrize("scraper", SCRAPERS)
async def test_every_metric_is_declared_and_emitted(scraper: str, tmp_path: Path) -> None:
    """A scraper emits what it declares, all of it where the machine has it, and nothing else."""
    root = make_tree(tmp_path, cpuinfo="processor\t: 0\ncpu MHz\t\t: 1800\n")
    (root / "proc/1/fd").mkdir()
    async with Bench(f"{{root_path: '{root}', scrapers: {{{scraper}: {everything(scraper)}}}}}") as bench:
        await bench.measure()
        await bench.clock.advance(60)
        make_tree(root, stat=TREE["stat"].replace("cpu0 100", "cpu0 160"))
        await bench.measure()
    missing = check_metrics(COMPONENT, bench.sink.batches) & names(scraper)
    assert missing == set()
    assert bench.status[0] is Status.OK
