"""Root works in a folder of somebody else as they would, whatever links they have put there."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sluiceway.segments.shelf import Shelf
from tests.segments.records import opened, record

NOBODY = 65534

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may be somebody else")


@pytest.fixture
def theirs() -> Iterator[Path]:
    """A directory with a dead letter, and one that is damaged; all of it is nobody's."""
    directory = Path(tempfile.mkdtemp())  # pytest's own are behind a folder that only root may enter
    directory.chmod(0o755)
    log = opened(directory / "exporter_out_traces.dead", size=10)
    log.append([record(1)])
    log.append([record(2)])
    log.close()
    path = directory / "exporter_out_traces.dead/0000000000000002.segment"
    path.write_bytes(path.read_bytes().replace(b"2:...", b"3:..."))
    for one in (directory, *directory.rglob("*")):
        os.chown(one, NOBODY, NOBODY)
    yield directory
    shutil.rmtree(directory)


def test_what_root_replays_belongs_to_the_owner(theirs: Path) -> None:
    """The quarantine as well: who has the folder goes on with all of it."""
    assert Shelf(theirs / "exporter_out_traces.dead", None).replay() == (1, 2)
    assert len(list((theirs / "exporter_out_traces.queue/incoming").iterdir())) == 1
    assert len(list((theirs / "exporter_out_traces.dead/quarantine").iterdir())) == 1
    assert {path.stat().st_uid for path in theirs.rglob("*")} == {NOBODY}
    assert os.geteuid() == 0


@pytest.mark.parametrize("link", ["exporter_out_traces.queue/incoming", "exporter_out_traces.queue"])
def test_root_puts_nothing_where_a_link_leads(theirs: Path, tmp_path: Path, link: str) -> None:
    """The folder behind it is as it was, and so are the dead letters."""
    (theirs / link).parent.mkdir(exist_ok=True)
    (theirs / link).symlink_to(tmp_path)
    with pytest.raises(PermissionError):
        Shelf(theirs / "exporter_out_traces.dead", None).replay()
    assert list(tmp_path.iterdir()) == []
    assert tmp_path.stat().st_uid == 0
    assert len(list((theirs / "exporter_out_traces.dead").glob("*.segment"))) == 2


def test_root_writes_to_no_file_that_a_link_names(theirs: Path, tmp_path: Path) -> None:
    """Neither to that which is named as the cursor, nor by looking whether somebody has the folder."""
    for name in ("cursor", "lock"):
        (theirs / "exporter_out_traces.dead" / name).unlink()
        (theirs / "exporter_out_traces.dead" / name).symlink_to(tmp_path / name)
    (tmp_path / "cursor").write_text("a file of root")
    with pytest.raises(PermissionError):
        Shelf(theirs / "exporter_out_traces.dead", None).purge()
    assert (tmp_path / "cursor").read_text() == "a file of root"
    assert not (tmp_path / "lock").exists()


def test_the_owner_of_a_folder_counts_where_the_directory_is_roots(theirs: Path, tmp_path: Path) -> None:
    """As with a directory that was made for a service."""
    os.chown(theirs, 0, 0)
    (theirs / "exporter_out_traces.queue").mkdir()
    os.chown(theirs / "exporter_out_traces.queue", NOBODY, NOBODY)
    Shelf(theirs / "exporter_out_traces.dead", None).replay()
    assert {path.stat().st_uid for path in theirs.rglob("*")} == {NOBODY}
