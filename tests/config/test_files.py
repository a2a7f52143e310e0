"""Values that follow their files."""

import logging

import pytest

from sluiceway.config.files import FileBacked, stamp_of
from sluiceway.errors import ConfigError
from sluiceway.testing import ManualClock


async def test_a_value_follows_its_file_at_the_interval(tmp_path):
    """The file is looked at when the interval has passed, and read when it has changed."""
    file, clock, loads = tmp_path / "f", ManualClock(), []

    def load():
        loads.append(1)
        return file.read_text()

    file.write_text("one")
    value = FileBacked(load, [str(file), ""], interval=5, clock=clock)
    file.write_text("three")
    assert value.current() == "one"
    await clock.advance(5)
    assert value.current() == value.current() == "three"
    await clock.advance(5)
    assert (value.current(), len(loads)) == ("three", 2)


async def test_what_cannot_be_used_is_told_once(tmp_path, caplog):
    """A broken state is told once, with the file, by its owner's logger; the old value stays till it is good again."""
    file, clock = tmp_path / "f", ManualClock()

    def load():
        if not file.exists():
            raise ConfigError("gone")
        return file.read_text()

    file.write_text("one")
    value = FileBacked(load, [str(file)], clock=clock, logger=logging.getLogger("component"))
    file.unlink()
    for _ in range(3):
        await clock.advance(1)
        assert value.current() == "one"
    assert [(line.name, line.message.split(" cannot")[0]) for line in caplog.records] == [
        ("component", f"a change of {file}")
    ]
    file.write_text("two")
    await clock.advance(1)
    assert value.current() == "two"


def test_the_first_load_must_work():
    """There is no old value to fall back to at the start."""
    with pytest.raises(ZeroDivisionError):
        FileBacked(lambda: 1 / 0, [])
    assert stamp_of(["", "/no/such/file"]) == (None,)
