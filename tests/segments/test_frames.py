"""The form of segments: damages cost what they hit, and nothing that a sender chose is taken for a record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sluiceway.segments.frames import BEGIN, Header, Totals, encode, encode_seal, read_seal, scan
from tests.durability.damage import SEGMENT, cut_at_every_byte, flip
from tests.segments.records import KEYS, numbers, opened, record


def test_a_cut_costs_what_was_cut_off(tmp_path: Path) -> None:
    """At every byte."""
    cut_at_every_byte(tmp_path / "q")


@pytest.mark.parametrize("keys", [None, KEYS])
def test_a_flipped_bit_costs_the_record_it_hits(tmp_path: Path, keys: dict[str, bytes] | None) -> None:
    """At most; `make test-durability` tries them all."""
    flip(tmp_path / "q", keys, every=61)


def test_a_frame_within_a_payload_is_no_record(tmp_path: Path) -> None:
    """Not even when it is a copy of one of another segment, and reading begins anew before it."""
    other = opened(tmp_path / "other")
    other.append([record(7)])
    forged = (tmp_path / "other" / SEGMENT).read_bytes()[BEGIN:]
    log = opened(tmp_path / "q")
    log.append([record(0), replace(record(1), payload=forged), record(2)])
    log.close()
    path = tmp_path / "q" / SEGMENT
    raw = bytearray(path.read_bytes())
    raw[raw.index(forged) - 30] ^= 1
    path.write_bytes(raw)
    assert numbers(opened(tmp_path / "q")) == [0, 2]


def test_what_is_damaged_is_kept_for_somebody_to_look_at(tmp_path: Path) -> None:
    """And what was known to be there, and is not, is told."""
    log = opened(tmp_path / "q")
    log.append([record(0), record(1), record(2)])
    log.close()
    path = tmp_path / "q" / SEGMENT
    raw = bytearray(path.read_bytes())
    place = raw.index(b"1:....")
    raw[place] ^= 1
    path.write_bytes(raw)
    log = opened(tmp_path / "q")
    assert numbers(log) == [0, 2]
    assert log.lost == [Totals(1, 2, 20, 1_700_000_000, {"traces": 2})]
    (kept,) = (tmp_path / "q/quarantine").iterdir()
    assert kept.read_bytes() in raw
    assert log.damaged_bytes == kept.stat().st_size


def test_a_segment_whose_headers_are_both_damaged_is_left_alone(tmp_path: Path) -> None:
    """It is never deleted, and never a reason not to start."""
    log = opened(tmp_path / "q")
    log.append([record(0)])
    log.close()
    path = tmp_path / "q" / SEGMENT
    path.write_bytes(bytes(BEGIN) + path.read_bytes()[BEGIN:])
    log = opened(tmp_path / "q")
    assert log.unreadable == [f"{SEGMENT}: its header is damaged"]
    log.append([record(1)])
    assert numbers(log) == [1]
    assert path.exists()


def test_a_seal_tells_the_totals() -> None:
    """Only where it stands at the end, whole."""
    header = Header.make(None)
    totals = Totals(3, 6, 90, 12, {"traces": 6})
    seal = encode_seal(header, totals)
    assert read_seal(header, b"before" + seal) == totals
    assert read_seal(header, seal + b"x") is None
    assert read_seal(header, seal[:-1]) is None
    assert read_seal(Header.make(None), seal) is None


def test_records_with_numbers_that_were_passed_do_not_count() -> None:
    """A copy of a frame behind the original is a damage, and no second record."""
    header = Header.make(None)
    frame = b"".join(encode(header, 3, record(3)))
    assert [type(found).__name__ for found in scan(header, frame * 2, BEGIN)] == ["Found", "Damage"]
