"""A few of each of the attempts that `make test-durability` makes at length."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.durability import collectors, crashes, faults


def skip_if_it_did(told: str) -> None:
    """What cannot be tried here is skipped; in CI it must have been."""
    if told.startswith("skipped") and "CI" not in os.environ:
        pytest.skip(told)


def test_a_kill_loses_nothing(tmp_path: Path) -> None:
    """Before, after and in the middle of any operation on files."""
    crashes.kills(tmp_path / "q", 45)


def test_a_power_cut_loses_nothing(tmp_path: Path) -> None:
    """Of what was said to be kept before it."""
    skip_if_it_did(crashes.power_cuts(tmp_path, 5))


def test_without_sync_a_power_cut_loses_something(tmp_path: Path) -> None:
    """So that it is known that these are power cuts."""
    skip_if_it_did(crashes.power_cuts(tmp_path, 5, sync=False))


@pytest.mark.parametrize("lasting", [False, True])
def test_an_operation_that_fails_loses_nothing(tmp_path: Path, lasting: bool) -> None:
    """Whichever it is, for a moment or from then on."""
    faults.each_operation_fails(tmp_path / "q", lasting=lasting)


def test_a_full_disk_refuses_and_drains(tmp_path: Path) -> None:
    """And takes again what there is room for."""
    skip_if_it_did(faults.full_disk(tmp_path / "disk"))


def test_a_collector_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    """Of what it has answered for."""
    collectors.kills(tmp_path, 4)
