"""Files that are put aside: no message is lost, names are the Collector's, and no more are kept than asked for."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from sluiceway.exporters.file.rotation import prune, put_aside
from sluiceway.exporters.file.settings import Rotation
from sluiceway.otlp import Batch, Signal
from sluiceway.testing import ManualClock, items
from tests.exporters.file.writing import exporter, files, lines, messages

DAY = 24 * 3600 * 10**9
NOON = 1_767_268_800 * 10**9
"""2026-01-01T12:00:00Z."""


async def test_no_message_is_lost_when_files_are_put_aside(tmp_path: Path) -> None:
    """In the order of their names, which is that of their age, the files hold every batch once; none is too large."""
    path, batches = tmp_path / "a.json", [items(Signal.TRACES, 500 + n) for n in range(40)]
    async with exporter(f"path: '{path}', rotation: {{max_megabytes: 1, max_backups: 0}}") as file:
        for start in range(0, 40, 10):
            await asyncio.gather(*(file.consume(batch) for batch in batches[start : start + 10]))
    found = files(tmp_path)
    assert len(found) > 4
    assert found[-1] == path
    assert all(re.fullmatch(r"a-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}\.json", old.name) for old in found[:-1])
    assert all(old.stat().st_size <= 1024 * 1024 for old in found)
    assert [batch.payload for old in found for batch in lines(old)] == [batch.payload for batch in batches]


async def test_a_message_may_be_larger_than_a_file(tmp_path: Path) -> None:
    """It gets a file of its own."""
    path, large = tmp_path / "a", Batch(Signal.TRACES, items(Signal.TRACES, 20_000).payload, 20_000)
    async with exporter(f"path: '{path}', format: proto, rotation: {{max_megabytes: 1}}") as file:
        for batch in (items(Signal.TRACES), large, items(Signal.TRACES)):
            await file.consume(batch)
    assert [len(list(messages(found))) for found in files(tmp_path)] == [1, 1, 1]


async def test_a_start_goes_on_in_the_file_that_is_there(tmp_path: Path) -> None:
    """With rotation, as in the Collector."""
    for _ in range(2):
        async with exporter(f"path: '{tmp_path}/a.json', rotation: {{}}") as file:
            await file.consume(items(Signal.TRACES))
    assert len(lines(tmp_path / "a.json")) == 2


def test_the_name_has_the_time_and_is_never_taken(tmp_path: Path) -> None:
    """Two files that are put aside in the same millisecond are two."""
    path = tmp_path / "a.json"
    for text in "xyz":
        path.write_text(text)
        put_aside(str(path), Rotation(), NOON)
    names = [f"a-2026-01-01T12-00-00.00{n}.json" for n in range(3)]
    assert [(tmp_path / name).read_text() for name in names] == ["x", "y", "z"]


def test_the_oldest_are_deleted(tmp_path: Path) -> None:
    """Those beyond `max_backups` and those older than `max_days`, also as newer Collectors name them, and no others."""
    names = ["a-2025-12-30T12-00-00.000.json", "a-2025-12-31T12-00-01.000-size.json", "a-2026-01-01T11-00-00.000.json"]
    others = ["a.json", "a-2025-12-30.json", "ab-2025-12-30T12-00-00.000.json", "a-2025-12-30T12-00-00.000.gz"]
    for name in names + others:
        (tmp_path / name).touch()
    prune(str(tmp_path / "a.json"), Rotation(max_days=1), NOON)
    assert sorted(found.name for found in tmp_path.iterdir()) == sorted(names[1:] + others)
    prune(str(tmp_path / "a.json"), Rotation(max_backups=1), NOON)
    assert sorted(found.name for found in tmp_path.iterdir()) == sorted(names[2:] + others)


async def test_no_more_are_kept_than_asked_for(tmp_path: Path) -> None:
    """While the exporter runs."""
    clock = ManualClock()
    keys = f"path: '{tmp_path}/a', format: proto, rotation: {{max_megabytes: 1, max_backups: 2}}"
    async with exporter(keys, clock=clock) as file:
        for _ in range(8):
            await file.consume(items(Signal.TRACES, 5000))
            await clock.advance(1)
    assert len(files(tmp_path)) == 3


@given(st.integers(0, 2**41), st.booleans())
def test_every_name_can_be_read_back(milliseconds: int, localtime: bool) -> None:
    """Whatever the time, what was put aside is found when it is too old."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path, rotation = Path(folder) / "a.b.json", Rotation(max_days=1, localtime=localtime)
        path.touch()
        put_aside(str(path), rotation, milliseconds * 10**6)
        prune(str(path), rotation, milliseconds * 10**6)
        assert len(list(Path(folder).iterdir())) == 1
        prune(str(path), rotation, milliseconds * 10**6 + 2 * DAY)
        assert not list(Path(folder).iterdir())
