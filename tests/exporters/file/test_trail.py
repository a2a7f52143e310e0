"""A start finds the end of a large file in bounded time, and half a message behind it as ever."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sluiceway.errors import RetryableError
from sluiceway.exporters.file import trail
from sluiceway.otlp import Signal
from sluiceway.testing import items
from tests.exporters.file.writing import exporter, largest_file, messages

KEYS = "append: true, format: proto"
BATCH = items(Signal.TRACES)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is remembered every 10000 bytes, on a file system that can."""
    monkeypatch.setattr(trail, "EVERY", 10_000)
    (tmp_path / "probe").touch()
    try:
        os.setxattr(tmp_path / "probe", "user.probe", b"")
    except OSError:
        pytest.skip("this file system has no extended attributes")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Where lengths are read from."""
    found: list[int] = []
    read = os.pread

    def noted(descriptor: int, size: int, offset: int) -> bytes:
        if size == 4:
            found.append(offset)
        return read(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", noted)
    return found


async def write(path: Path, count: int, keys: str = KEYS) -> None:
    """Write so many batches, in one life of the exporter."""
    async with exporter(f"path: '{path}', {keys}") as file:
        for _ in range(count):
            await file.consume(BATCH)


async def test_a_start_looks_at_no_message_of_the_life_before(tmp_path: Path, reads: list[int]) -> None:
    """It goes on behind the last one."""
    await write(tmp_path / "a", 200)
    reads.clear()
    await write(tmp_path / "a", 1)
    assert reads == []
    assert list(messages(tmp_path / "a")) == [BATCH.payload] * 201


async def test_a_start_after_a_crash_looks_at_what_came_since(tmp_path: Path, reads: list[int]) -> None:
    """A copy of the file with its attributes is what a crash would leave behind."""
    path, crashed = tmp_path / "a", tmp_path / "crashed"
    async with exporter(f"path: '{path}', {KEYS}") as file:
        for _ in range(200):
            await file.consume(BATCH)
        crashed.write_bytes(path.read_bytes() + b"\0\0\1\0half")
        for name in os.listxattr(path):
            os.setxattr(crashed, name, os.getxattr(path, name))
    reads.clear()
    await write(crashed, 1)
    assert 0 < len(reads) * (4 + len(BATCH.payload)) < 15_000
    assert list(messages(crashed)) == [BATCH.payload] * 201


async def test_half_a_message_behind_what_is_remembered_is_cut_off(tmp_path: Path) -> None:
    """As many bytes as are too many."""
    await write(tmp_path / "a", 200)
    with (tmp_path / "a").open("ab") as torn:
        torn.write(b"\0\0\1\0half")
    await write(tmp_path / "a", 1)
    assert list(messages(tmp_path / "a")) == [BATCH.payload] * 201


@pytest.mark.parametrize("kept", [0, 1])
async def test_what_is_remembered_of_a_file_that_was_written_anew_is_no_news(tmp_path: Path, kept: int) -> None:
    """Whoever empties it, or cuts it, and writes as much of his own leaves the attribute behind."""
    path, other = tmp_path / "a", items(Signal.TRACES, 3)
    await write(path, 200)
    size = path.stat().st_size
    message = len(other.payload).to_bytes(4, "big") + other.payload
    with path.open("rb+") as file:
        file.truncate(kept * (4 + len(BATCH.payload)))
        file.seek(0, os.SEEK_END)
        count = size // len(message)
        file.write(message * count + message[:-1])
    await write(path, 1)
    expected = [BATCH.payload] * kept + [other.payload] * count + [BATCH.payload]
    assert list(messages(path)) == expected


async def test_nothing_is_remembered_behind_what_somebody_else_wrote(tmp_path: Path) -> None:
    """His bytes may be no messages: the next start says so, as if nothing had been remembered."""
    path = tmp_path / "a"
    async with exporter(f"path: '{path}', {KEYS}") as file:
        await file.consume(BATCH)
        with path.open("ab") as other:
            other.write(b"no message at all")
        for _ in range(200):
            await file.consume(BATCH)
    async with exporter(f"path: '{path}', {KEYS}") as file:
        with pytest.raises(RetryableError, match="it holds something else than such messages"):
            await file.consume(BATCH)


async def test_what_is_taken_back_is_not_remembered(tmp_path: Path) -> None:
    """A disk that is full now and then leaves nothing wrong behind."""
    path, written = tmp_path / "a", 0
    async with exporter(f"path: '{path}', {KEYS}") as file:
        for number in range(200):
            if number % 7 == 3:
                with largest_file(path.stat().st_size + 20), pytest.raises(RetryableError, match="File too large"):
                    await file.consume(BATCH)
            else:
                await file.consume(BATCH)
                written += 1
    await write(path, 1)
    assert list(messages(path)) == [BATCH.payload] * (written + 1)
