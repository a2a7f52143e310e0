"""Files that are cut off, or that have a flipped bit."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

from sluiceway.segments.frames import BEGIN, BLOCK
from tests.segments.records import Unsynced, numbers, opened, record

RECORDS = 20
HEADER = 180
"""Bytes of a header that mean something; the rest of its block is empty."""
SEGMENT = "0000000000000001.segment"


def sample(folder: Path, *, sealed: bool, keys: dict[str, bytes] | None = None) -> tuple[bytes, list[int]]:
    """A segment of some records, as it is after a crash or after an orderly end, and where each of them ends."""
    log = opened(folder, keys=keys, size=1_000_000, files=Unsynced())
    ends = [log.append([record(number)])[0].end for number in range(RECORDS)]
    if sealed:
        log.close()
    content = (folder / SEGMENT).read_bytes()
    log.close()
    shutil.rmtree(folder)
    return content, ends


def read_back(folder: Path, content: bytes, keys: dict[str, bytes] | None) -> list[int]:
    """What a log finds that is opened on these bytes; nothing else may be in the way of the next record."""
    folder.mkdir()
    (folder / SEGMENT).write_bytes(content)
    log = opened(folder, keys=keys, files=Unsynced())
    found = numbers(log)
    log.append([record(99)])
    assert numbers(log) == [99]
    log.close()
    shutil.rmtree(folder)
    return found


def cut_at_every_byte(folder: Path, keys: dict[str, bytes] | None = None) -> str:
    """Whatever is missing at the end, the whole records before it are all there; headers are cut at some bytes."""
    content, ends = sample(folder, sealed=False, keys=keys)
    sizes = [*range(0, BEGIN, 61), *range(BEGIN - 1, len(content))]
    for size in sizes:
        whole = sum(end <= size for end in ends)
        assert read_back(folder, content[:size], keys) == list(range(whole)), f"cut at byte {size}"
    return f"{len(sizes)} places"


def flip(folder: Path, keys: dict[str, bytes] | None = None, every: int = 1) -> str:
    """Any flipped bit costs at most the record that it hits, and makes no record that was not there."""
    bits = 0
    for sealed in (False, True):
        content, ends = sample(folder, sealed=sealed, keys=keys)
        starts = [0, *ends]
        used = [*range(HEADER), *range(BLOCK, BLOCK + HEADER), *range(BEGIN, len(content))]
        for bit in [8 * byte + bit for byte in used for bit in range(8)][::every]:
            damaged = bytearray(content)
            damaged[bit // 8] ^= 1 << bit % 8
            found = read_back(folder, bytes(damaged), keys)
            hit = next((n for n, (a, b) in enumerate(itertools.pairwise(starts)) if a <= bit // 8 < b), None)
            assert set(found) >= set(range(RECORDS)) - {hit}, f"bit {bit} cost more than record {hit}: {found}"
            assert found == sorted(found), f"bit {bit} brought them out of order"
            bits += 1
    return f"{bits} bits"
