"""Processes of this machine, and some that are not what they seem."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sluiceway.component import Status, SystemClock
from sluiceway.receivers.host_metrics.files import Files
from sluiceway.receivers.host_metrics.process import ProcessScraper, ProcessSettings
from sluiceway.receivers.host_metrics.tables import processes, stat
from tests.receivers.host_metrics.bench import TREE, Bench, Points, everything, make_tree, values

BUSY = """
import os, sys, time
with open(sys.argv[1], "wb") as file:
    file.write(bytes(8 * 1024 * 1024))
    file.flush()
    os.fsync(file.fileno())
begin = time.process_time()
while time.process_time() - begin < 0.5:
    pass
used = os.times()
print(used.user + used.system, flush=True)
sys.stdin.read()
"""


EXECUTABLE = str(Path(sys.executable).resolve())


@contextmanager
def _running(*commands: list[str], **options: object) -> Iterator[list[subprocess.Popen[str]]]:
    children = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options)  # type: ignore[call-overload]
        for command in commands
    ]
    try:
        yield children
    finally:
        for child in children:
            child.kill()
            child.communicate()


def _of(found: Points, number: int) -> Points:
    return {
        name: [point for point in points if point["resource"]["process.pid"] == number]
        for name, points in found.items()
    }


async def test_what_a_child_uses(tmp_path: Path) -> None:
    """A child that burns CPU and writes a file shows its seconds, its bytes and what it was called by."""
    target = Path.cwd() / f".written-by-{os.getpid()}"  # where files are on a disk
    try:
        with _running([sys.executable, "-c", BUSY, str(target)]) as (child,):
            assert child.stdout is not None
            used = float(child.stdout.readline())
            async with Bench(f"{{scrapers: {{process: {everything('process')}}}}}", SystemClock()) as bench:
                found = _of(await bench.measure(), child.pid)
    finally:
        target.unlink(missing_ok=True)
    seconds = values(found, "process.cpu.time", "state")
    assert seconds["user"] + seconds["system"] == pytest.approx(used, abs=0.05)
    assert values(found, "process.disk.io", "direction")["write"] == pytest.approx(8 * 2**20, rel=0.01)
    about = found["process.cpu.time"][0]["resource"]
    assert about["process.parent_pid"] == os.getpid()
    assert about["process.command"] == sys.executable
    assert about["process.command_line"].endswith(str(target))
    assert about["process.executable.path"] == EXECUTABLE
    assert found["process.threads"][0]["value"] == 1
    assert found["process.open_file_descriptors"][0]["value"] >= 3


async def test_utilization_of_a_process(tmp_path: Path) -> None:
    """Utilization is a part of the time of all CPUs since the measurement before; the first has none."""
    root = make_tree(tmp_path)
    async with Bench(f"{{root_path: '{root}', scrapers: {{process: {everything('process')}}}}}") as bench:
        assert "process.cpu.utilization" not in await bench.measure()
        await bench.clock.advance(10)
        make_tree(root, **{"1/stat": TREE["1/stat"].replace(" 100 50 ", " 600 150 ")})
        found = await bench.measure()
    assert values(found, "process.cpu.utilization", "state") == {"user": 0.25, "system": 0.05, "wait": 0}


async def test_a_number_that_comes_again(tmp_path: Path) -> None:
    """Another process with the number of one that ended is not taken for it."""
    root = make_tree(tmp_path)
    async with Bench(f"{{root_path: '{root}', scrapers: {{process: {everything('process')}}}}}") as bench:
        await bench.measure()
        await bench.clock.advance(10)
        make_tree(root, **{"1/stat": TREE["1/stat"].replace(" 500 4096000 ", " 600 4096000 ")})
        assert "process.cpu.utilization" not in await bench.measure()


async def test_five_hundred(tmp_path: Path) -> None:
    """Each of five hundred processes has its points."""
    with _running(*[["sleep", "600"]] * 500) as children:
        async with Bench("{scrapers: {process: {include: {match_type: strict, names: [sleep]}}}}") as bench:
            found = await bench.measure()
    numbers = {point["resource"]["process.pid"] for point in found["process.memory.usage"]}
    assert numbers >= {child.pid for child in children}
    assert {point["resource"]["process.executable.name"] for point in found["process.cpu.time"]} == {"sleep"}


def test_one_that_ends_while_it_is_read() -> None:
    """A process that ends while it is read has no points, not even of what was read before."""
    files = Files()
    with _running(["sleep", "600"]) as (child,):
        found = {number: folder for number, folder, _ in processes(files)}
        assert child.pid in found
        for number, folder, about in processes(files):
            if number == child.pid:
                child.kill()
                child.wait()
                assert ProcessScraper(ProcessSettings(), files)._read(number, folder, about) is None
                break


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_what_is_hidden_is_left_out() -> None:
    """Who is not root gets no I/O of root's processes, but everything else, and no problem is reported."""
    script = (
        "import os, sys\n"
        "from sluiceway.receivers.host_metrics.files import Files\n"
        "from sluiceway.receivers.host_metrics.process import ProcessScraper, ProcessSettings\n"
        "from sluiceway.scraping import Scrape\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "scrape = Scrape(10**18, 0); ProcessScraper(ProcessSettings(), Files()).scrape(scrape)\n"
        "sys.stdout.buffer.write(scrape.finish()[0]); assert not scrape.problems\n"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

    seen = {
        next(entry.value.int_value for entry in resource.resource.attributes if entry.key == "process.pid"): {
            metric.name for metric in resource.scope_metrics[0].metrics
        }
        for resource in MetricsData.FromString(answer.stdout).resource_metrics
    }
    assert seen[1] == {"process.cpu.time", "process.memory.usage", "process.memory.virtual"}


@pytest.mark.parametrize("name", ["a) R 9 (b", "two\nlines", "((", ")", ""])
def test_names_that_look_like_columns(name: str) -> None:
    """Whatever a process calls itself, its columns are read."""
    line = TREE["1/stat"].replace("(init)", f"({name})").encode()
    found = stat(line)
    assert (found.name, found.parent, found.start, found.wait) == (name, 0, 500, 30)


async def test_whole_names_and_hostile_arguments(tmp_path: Path) -> None:
    """A name of which the kernel keeps 15 bytes is completed; a command line is cut, and may be no Unicode."""
    root = make_tree(tmp_path, **{"1/stat": TREE["1/stat"].replace("(init)", "(a-very-long-nam)")})
    (root / "proc/1/cmdline").write_bytes(b"/bin/a-very-long-name\0\xff\x1b[31m\0" + b"x" * 10_000)
    async with Bench(f"{{root_path: '{root}', scrapers: {{process: {{}}}}}}") as bench:
        about = (await bench.measure())["process.cpu.time"][0]["resource"]
    assert about["process.executable.name"] == "a-very-long-name"
    assert about["process.command_line"].startswith("/bin/a-very-long-name \ufffd\x1b[31m xx")
    assert len(about["process.command_line"]) <= 4096


async def test_young_ones_wait(tmp_path: Path) -> None:
    """A process that is younger than `scrape_process_delay` (995 seconds here) is left out."""
    root = make_tree(tmp_path)
    yaml = f"{{root_path: '{root}', scrapers: {{process: {{scrape_process_delay: 1000s}}}}}}"
    async with Bench(yaml) as bench:
        assert await bench.measure() == {}
        await bench.clock.advance(10)
        assert "process.cpu.time" in await bench.measure()


async def test_a_control_group(tmp_path: Path) -> None:
    """The control group is told when it is asked for."""
    root = make_tree(tmp_path, **{"1/cgroup": "0::/init.scope\n"})
    on = "{resource_attributes: {process.cgroup: {enabled: true}, process.command_line: {enabled: false}}}"
    async with Bench(f"{{root_path: '{root}', scrapers: {{process: {on}}}}}") as bench:
        about = (await bench.measure())["process.cpu.time"][0]["resource"]
    assert about["process.cgroup"] == "0::/init.scope"
    assert "process.command_line" not in about


async def test_noise(tmp_path: Path) -> None:
    """A process that cannot be read at all costs no word."""
    root = make_tree(tmp_path)
    (root / "proc/2").mkdir()
    (root / "proc/3").mkdir()
    (root / "proc/3/stat").write_text("garbage")
    async with Bench(f"{{root_path: '{root}', scrapers: {{process: {{}}}}}}") as bench:
        found = await bench.measure()
    assert {point["resource"]["process.pid"] for point in found["process.cpu.time"]} == {1}
    assert bench.status == (Status.OK, "")
