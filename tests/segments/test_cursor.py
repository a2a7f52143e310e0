"""The cursor: what was acknowledged, in two slots of which one is always whole."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from sluiceway.segments import FILES
from sluiceway.segments.cursor import SLOT, Acknowledged, Cursor

ID = b"12345678"


def known(path: Path) -> list[int]:
    """What the cursor says of the one segment."""
    cursor = Cursor(path, FILES)
    cursor.close()
    state = cursor.state.get(ID, Acknowledged())
    return [number for number in range(100) if number in state]


@given(st.sets(st.integers(0, 60)))
def test_acknowledged_numbers_are_counted_from_below(given_numbers: set[int]) -> None:
    """All below `low`, the others in ranges without gaps between them."""
    known_numbers = Acknowledged()
    for number in sorted(given_numbers, reverse=True):
        known_numbers.add(number)
    assert {number for number in range(100) if number in known_numbers} == given_numbers
    assert known_numbers.low not in given_numbers
    assert sum(end - begin for begin, end in known_numbers.ranges()) == len(known_numbers.beyond)


def test_the_newest_state_is_found_again(tmp_path: Path) -> None:
    """However often it was written."""
    cursor = Cursor(tmp_path / "c", FILES)
    state = Acknowledged()
    for number in (0, 1, 2, 7, 9):
        state.add(number)
        cursor.write({ID: state})
    assert known(tmp_path / "c") == [0, 1, 2, 7, 9]


def test_a_torn_write_costs_the_newest_state_alone(tmp_path: Path) -> None:
    """The slot before it is whole."""
    cursor = Cursor(tmp_path / "c", FILES)
    state = Acknowledged()
    for number in range(4):
        state.add(number)
        cursor.write({ID: state})
        newest = cursor._generation % 2
    raw = bytearray((tmp_path / "c").read_bytes())
    raw[SLOT * newest + 24] ^= 1
    (tmp_path / "c").write_bytes(raw)
    assert known(tmp_path / "c") == [0, 1, 2]


def test_the_file_never_grows(tmp_path: Path) -> None:
    """What does not fit is left out, and comes again: the lowest numbers are kept."""
    cursor = Cursor(tmp_path / "c", FILES)
    cursor.write({ID: Acknowledged(3, range(5, 20_000, 2))})
    assert (tmp_path / "c").stat().st_size == 2 * SLOT
    assert known(tmp_path / "c")[:5] == [0, 1, 2, 5, 7]


def test_a_cursor_that_is_damaged_altogether_says_nothing(tmp_path: Path) -> None:
    """And takes new words."""
    (tmp_path / "c").write_bytes(b"\x01" * 3 * SLOT)
    assert known(tmp_path / "c") == []
    cursor = Cursor(tmp_path / "c", FILES)
    cursor.write({ID: Acknowledged(2)})
    assert known(tmp_path / "c") == [0, 1]
