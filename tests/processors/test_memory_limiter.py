"""`memory_limiter`: when it refuses, when it collects garbage, and what it tells."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from sluiceway.component import Status
from sluiceway.errors import RefusedError
from sluiceway.otlp import Signal
from sluiceway.processors.memory_limiter import COMPONENT
from sluiceway.processors.memory_limiter.usage import ProcessMemory
from tests.processors.samples import Bench, configure, logs, problems, spans

MIB = 1 << 20
SETTINGS = "{check_interval: 1s, limit_mib: 100, spike_limit_mib: 20}"


class Memory:
    """Memory that a test moves; each collection frees `garbage` MiB."""

    def __init__(self, mib: int = 0, garbage: int = 0) -> None:
        self.mib = mib
        self.garbage = garbage
        self.collections = 0

    def used(self) -> int:
        return self.mib * MIB

    def total(self) -> int:
        return 1000 * MIB

    def free(self) -> None:
        self.mib -= self.garbage
        self.collections += 1


def make(memory: Memory, settings: str = SETTINGS, bench: Bench | None = None) -> tuple[Bench, Any]:
    """Build a limiter of the given memory, with what surrounds it."""
    bench = bench or Bench()
    return bench, bench.make(COMPONENT, settings, memory=memory)


def test_what_must_be_set_is_asked_for_at_once() -> None:
    """An empty section lacks the interval and a limit; the texts are the Collector's."""
    assert problems(COMPONENT, "{}") == (
        "Value error, 'limit_mib' or 'limit_percentage' must be greater than zero; "
        "'check_interval' must be greater than zero"
    )


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ("limit_mib: 10, spike_limit_mib: 10", "'spike_limit_mib' must be smaller than 'limit_mib'"),
        ("limit_percentage: 50, spike_limit_percentage: 50", "'spike_limit_percentage' must be smaller"),
        ("limit_percentage: 101", "must be less than or equal to hundred"),
        ("limit_mib: 1, min_gc_interval_when_soft_limited: 1s, min_gc_interval_when_hard_limited: 2s",
         "'min_gc_interval_when_soft_limited' should be larger than 'min_gc_interval_when_hard_limited'"),
        ("limit_mib: 1, max_gc_interval_when_soft_limited: 20s", "'max_gc_interval_when_soft_limited' should be"),
        ("limit_mib: 1, max_gc_interval_when_soft_limited: 9s, max_gc_interval_when_hard_limited: 0s",
         "'max_gc_interval_when_soft_limited' should be 0 or larger"),
        ("limit_mib: 1, min_gc_interval_when_hard_limited: 9s, max_gc_interval_when_hard_limited: 8s",
         "'max_gc_interval_when_hard_limited' should be 0 or larger"),
    ],
)  # fmt: skip
def test_limits_and_intervals_must_fit_together(settings: str, text: str) -> None:
    """Each contradiction is told with its keys."""
    assert text in problems(COMPONENT, f"{{check_interval: 1s, {settings}}}")


@pytest.mark.parametrize(
    ("settings", "soft", "hard"),
    [
        ("limit_mib: 100", 80, 100),
        ("limit_mib: 100, spike_limit_mib: 30", 70, 100),
        ("limit_percentage: 50", 400, 500),
        ("limit_percentage: 50, spike_limit_percentage: 30", 200, 500),
        ("limit_mib: 100, limit_percentage: 50", 80, 100),
    ],
)
def test_the_spike_is_a_fifth_of_the_limit_unless_set(settings: str, soft: int, hard: int) -> None:
    """MiB win over percentages, which are of the memory there is."""
    limits = configure(COMPONENT, f"{{check_interval: 1s, {settings}}}").limits(1000 * MIB)
    assert (limits.soft, limits.hard) == (soft * MIB, hard * MIB)


async def test_data_is_refused_above_the_soft_limit_and_taken_below(caplog: pytest.LogCaptureFixture) -> None:
    """The refusal asks the sender to come again; both turns are logged and reported, once."""
    memory = Memory(79)
    bench, processor = make(memory)
    caplog.set_level(logging.INFO)
    async with processor:
        await processor.consume(spans(2))
        memory.mib = 80
        await bench.clock.advance(2)
        with pytest.raises(RefusedError, match=r"^data refused due to high memory usage$") as refused:
            await processor.consume(spans(3))
        memory.mib = 79
        await bench.clock.advance(2)
        await processor.consume(spans(4))
    assert refused.value.retry_after == 1.0
    assert bench.statuses == [Status.RECOVERABLE_ERROR, Status.OK]
    assert [record.getMessage() for record in caplog.records] == [
        "Memory usage is above soft limit. Refusing data.",
        "Memory usage back within limits. Resuming normal operation.",
    ]
    assert bench.metrics.read("otelcol_processor_memory_limiter_accepted_spans") == 6
    assert bench.metrics.read("otelcol_processor_memory_limiter_refused_spans") == 3


async def test_memory_is_looked_at_before_the_first_batch() -> None:
    """A process that starts above its limit refuses from the start."""
    _, processor = make(Memory(200))
    async with processor:
        with pytest.raises(RefusedError):
            await processor.consume(spans(1))


async def test_garbage_that_suffices_avoids_the_refusal() -> None:
    """A collection that brings memory below the soft limit leaves data flowing."""
    _, processor = make(Memory(mib=85, garbage=10))
    async with processor:
        await processor.consume(spans(1))


async def test_garbage_is_collected_at_most_every_ten_seconds_above_the_soft_limit() -> None:
    """Effective collections come at the shortest interval."""
    memory = Memory(mib=85, garbage=5)
    bench, processor = make(memory)
    async with processor:
        for _ in range(20):
            memory.mib = 85
            await bench.clock.advance(1)
    assert memory.collections == 3


async def test_garbage_is_collected_at_every_check_above_the_hard_limit() -> None:
    """Where the process is about to be killed, every effective collection counts."""
    memory = Memory(mib=120, garbage=10)
    bench, processor = make(memory)
    async with processor:
        for _ in range(5):
            memory.mib = 120
            await bench.clock.advance(1)
    assert memory.collections == 6


async def test_collections_that_free_little_become_rarer() -> None:
    """The interval doubles up to its maximum, so that an outage is no storm of collections."""
    memory = Memory(mib=120)
    bench, processor = make(memory)
    async with processor:
        await bench.clock.advance(120)
    assert 6 <= memory.collections <= 9


async def test_a_maximum_of_zero_never_puts_collections_off() -> None:
    """0s switches the backoff off."""
    memory = Memory(mib=120)
    bench, processor = make(memory, SETTINGS[:-1] + ", max_gc_interval_when_hard_limited: 0s}")
    async with processor:
        await bench.clock.advance(10)
    assert memory.collections == 11


async def test_instances_of_one_entry_share_their_limiter() -> None:
    """One look a second for all pipelines, and all refuse together."""
    shared: dict[str, Any] = {}
    memory = Memory(120)
    first, one = make(memory, bench=Bench(shared=shared))
    _, two = make(Memory(0), bench=Bench(shared=shared, signals=frozenset({Signal.LOGS})))
    async with one, two:
        await first.clock.advance(1)
        with pytest.raises(RefusedError):
            await two.consume(logs())
    assert memory.collections <= 2


def test_used_memory_is_that_of_this_process() -> None:
    """A Python process has between one MiB and one TiB resident, and can give some back."""
    memory = ProcessMemory()
    memory.free()
    assert MIB < memory.used() < MIB * MIB
    assert memory.used() < memory.total()


def test_used_memory_can_be_told_without_proc(tmp_path: Path) -> None:
    """Where there is no /proc the figure comes from psutil."""
    assert ProcessMemory(tmp_path).used() > MIB
    assert ProcessMemory(tmp_path).total() > MIB


@pytest.mark.parametrize(
    ("group", "files", "expected"),
    [
        ("0::/a/b\n", {"sys/fs/cgroup/a/b/memory.max": "max\n", "sys/fs/cgroup/a/memory.max": "7340032\n"}, 7),
        ("0::/not/seen\n", {"sys/fs/cgroup/memory.max": "5242880\n"}, 5),
        ("4:cpu:/x\n9:memory:/x\n", {"sys/fs/cgroup/memory/x/memory.limit_in_bytes": "3145728\n"}, 3),
        ("9:memory:/x\n", {"sys/fs/cgroup/memory/memory.limit_in_bytes": "2097152\n"}, 2),
    ],
)
def test_the_lowest_limit_of_all_groups_counts(
    tmp_path: Path, group: str, files: dict[str, str], expected: int
) -> None:
    """Cgroups of both versions, seen from outside and from inside a container."""
    for name, text in {"proc/self/cgroup": group, **files}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert ProcessMemory(tmp_path).total() == expected * MIB
