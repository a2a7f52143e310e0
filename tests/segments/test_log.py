"""A log: what was appended is there until it was acknowledged, and then is not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sluiceway.segments import Files, Keyring, LockedError, Log
from sluiceway.segments.shelf import Shelf
from tests.segments.records import KEYS, abandon, numbers, opened, record


@pytest.mark.parametrize("keys", [None, KEYS])
def test_what_was_appended_is_found_by_the_next_run(tmp_path: Path, keys: dict[str, bytes] | None) -> None:
    """In order, with its items by pipeline, whether it was closed or not."""
    log = opened(tmp_path / "q", keys=keys)
    for number in range(100):
        log.append([record(number)])
    log.close()
    again = Log(tmp_path / "q", keyring=log.keyring)
    totals = again.open()
    assert (totals.records, totals.items, totals.shares) == (100, 5050, {"traces": 5050})
    assert numbers(again) == list(range(100))
    assert not again.has_more


def test_what_was_acknowledged_does_not_come_again(tmp_path: Path) -> None:
    """Single records too, from the middle of a segment."""
    log = opened(tmp_path / "q")
    log.append([record(number) for number in range(50)])
    stored = log.read(10**7)
    log.acknowledge([s.position for s in stored if s.record.notes["n"] % 3])
    log.close()
    assert numbers(opened(tmp_path / "q")) == [n for n in range(50) if not n % 3]


def test_a_segment_is_deleted_when_all_of_it_was_acknowledged(tmp_path: Path) -> None:
    """Not before, however little is missing; and its space is then free."""
    log = opened(tmp_path / "q", size=500)
    for number in range(40):
        log.append([record(number)])
    before = log.segments
    *stored, last = log.read(10**7)
    log.acknowledge([s.position for s in stored[1:]])
    log.save(now=True)
    assert log.segments == 2  # that of the first record, and the youngest
    log.acknowledge([stored[0].position, last.position])
    log.close()
    assert before > 5
    assert sorted(os.listdir(tmp_path / "q")) == ["cursor", "lock"]  # noqa: PTH208


def test_what_is_handed_out_when_it_is_appended_is_not_read(tmp_path: Path) -> None:
    """Its caller has it; what comes later is read as ever."""
    log = opened(tmp_path / "q", size=500)
    for number in range(10):
        (stored,) = log.append([record(number)])
        log.hand_out(stored)
    assert not log.has_more
    log.append([record(10)])
    assert log.has_more
    assert numbers(log) == [10]


def test_a_folder_belongs_to_one_process(tmp_path: Path) -> None:
    """The second one is told, and the first goes on."""
    log = opened(tmp_path / "q")
    with pytest.raises(LockedError, match="is in use by another process"):
        opened(tmp_path / "q")
    log.append([record(0)])
    log.close()
    assert numbers(opened(tmp_path / "q")) == [0]


def test_without_its_cursor_everything_comes_again(tmp_path: Path) -> None:
    """The price of losing it are duplicates, never losses."""
    log = opened(tmp_path / "q")
    log.append([record(number) for number in range(9)])
    log.acknowledge([s.position for s in log.read(10**7)[:4]])
    log.close()
    (tmp_path / "q/cursor").write_bytes(b"\xff" * 40_000)
    assert numbers(opened(tmp_path / "q")) == list(range(9))


def test_an_encrypted_segment_without_its_key_is_left_alone(tmp_path: Path) -> None:
    """It is reported, everything else goes on, and with the key it is there again."""
    old = opened(tmp_path / "q", keys={"old": KEYS["old"]})
    old.append([record(0)])
    old.close()
    log = opened(tmp_path / "q", keys={"new": KEYS["new"]})
    assert log.unreadable == ['0000000000000001.segment: there is no key "old"']
    log.append([record(1)])
    assert numbers(log) == [1]
    log.close()
    assert numbers(opened(tmp_path / "q", keys=KEYS)) == [0, 1]


def test_what_was_acknowledged_of_a_segment_stays_known_while_its_key_is_missing(tmp_path: Path) -> None:
    """It is not delivered a second time when the key is there again."""
    log = opened(tmp_path / "q", keys={"old": KEYS["old"]})
    log.append([record(number) for number in range(4)])
    log.acknowledge([stored.position for stored in log.read(10**7)[:2]])
    log.close()
    for _ in range(2):
        without = opened(tmp_path / "q", keys={"new": KEYS["new"]})
        without.append([record(9)])
        without.acknowledge([stored.position for stored in without.read(10**7)])
        without.close()
    assert numbers(opened(tmp_path / "q", keys=KEYS)) == [2, 3]


def test_another_key_of_the_same_name_is_noticed(tmp_path: Path) -> None:
    """Nothing is deleted and nothing wrong is read."""
    log = opened(tmp_path / "q", keys={"old": KEYS["old"]})
    log.append([record(0)])
    log.close()
    log = opened(tmp_path / "q", keys={"old": KEYS["new"]})
    assert log.unreadable == ['0000000000000001.segment: the key "old" is another one than that of the segment']
    assert numbers(log) == []


def test_nothing_of_an_encrypted_record_is_readable(tmp_path: Path) -> None:
    """Neither the payload nor the notes."""
    log = opened(tmp_path / "q", keys=KEYS)
    log.append([record(123_456_789)])
    log.close()
    raw = (tmp_path / "q/0000000000000001.segment").read_bytes()
    assert b"123456789" not in raw
    assert b"traces" not in raw


def test_other_keys_and_fsync_count_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reload sets them on a log that is written to: nothing goes to the file of before, which is read as ever."""
    synced = []
    monkeypatch.setattr(Files, "sync", lambda self, descriptor: synced.append(descriptor))
    log = Log(tmp_path / "q", fsync=False)
    log.open()
    synced.clear()
    log.append([record(0)])
    assert not synced
    log.fsync = True
    log.append([record(1)])
    assert len(synced) == 1
    log.keyring = Keyring({"old": KEYS["old"]})
    log.append([record(123_456)])
    log.keyring = Keyring({"old": KEYS["old"]})  # those are the same: no new file
    log.append([record(123_457)])
    assert log.segments == 3
    assert not any(b"12345" in path.read_bytes() for path in (tmp_path / "q").glob("*.segment"))
    assert numbers(log) == [0, 1, 123_456, 123_457]
    log.close()


def test_only_its_owner_reads_a_log(tmp_path: Path) -> None:
    """The folder and all files."""
    log = opened(tmp_path / "a/q")
    log.append([record(0)])
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "a/q").iterdir()} == {0o600}
    assert (tmp_path / "a/q").stat().st_mode & 0o777 == 0o700


def test_segments_from_outside_are_taken_over(tmp_path: Path) -> None:
    """Behind what is there, while it runs and when it starts."""
    other = opened(tmp_path / "other")
    other.append([record(7), record(8)])
    other.close()
    log = opened(tmp_path / "q")
    log.append([record(0)])
    (tmp_path / "q/incoming").mkdir()
    (tmp_path / "other/0000000000000001.segment").rename(tmp_path / "q/incoming/0000000000000001.segment")
    assert log.adopt().items == 8 + 9
    log.append([record(1)])
    assert numbers(log) == [0, 7, 8, 1]
    assert not list((tmp_path / "q/incoming").iterdir())


def test_a_record_may_be_larger_than_a_segment(tmp_path: Path) -> None:
    """It has one for itself."""
    log = opened(tmp_path / "q", size=500)
    log.append([record(0, 10_000)])
    log.append([record(1)])
    assert numbers(log) == [0, 1]


def test_the_oldest_are_forgotten_first(tmp_path: Path) -> None:
    """Whole segments, until the rest is small enough; that which is written to stays."""
    log = opened(tmp_path / "q", size=1_500)
    for number in range(200):
        log.append([record(number)])
    forgotten = log.forget_oldest(40_000)
    assert log.bytes_on_disk <= 40_000
    assert numbers(log) == list(range(forgotten, 200))


def test_a_read_that_fails_loses_nothing_that_it_had_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The segment that cannot be read is set aside and tried again; those behind it go on."""
    log = opened(tmp_path / "q", size=10)
    for number in range(4):
        log.append([record(number)])
    real = Files.read

    def read(self: Files, path: Path, offset: int = 0, size: int = -1) -> bytes:
        if path.name.endswith("2.segment"):
            raise OSError(5, "Input/output error")
        return real(self, path, offset, size)

    monkeypatch.setattr(Files, "read", read)
    assert [stored.record.notes["n"] for stored in log.read(10**7)] == [0, 2, 3]
    with pytest.raises(OSError, match="Input/output error"):
        log.read(10**7)
    monkeypatch.undo()
    log.adopt()
    assert numbers(log) == [1]


def test_a_file_that_somebody_deleted_counts_as_lost(tmp_path: Path) -> None:
    """It does not hold up the others."""
    log = opened(tmp_path / "q", size=10)
    for number in range(3):
        log.append([record(number)])
    (tmp_path / "q/0000000000000002.segment").unlink()
    assert numbers(log) == [0, 2]
    assert [lost.items for lost in log.lost] == [2]


@pytest.mark.parametrize("moved", [False, True])
def test_nothing_is_kept_in_a_file_that_somebody_took_away(tmp_path: Path, *, moved: bool) -> None:
    """What is appended from then on is in a new one, and the next run finds it; what was in the old one is lost."""
    log = opened(tmp_path / "q")
    log.append([record(0)])
    assert numbers(log) == [0]
    log.append([record(1)])
    youngest = tmp_path / "q/0000000000000001.segment"
    if moved:
        youngest.rename(tmp_path / "elsewhere")
    else:
        youngest.unlink()
    log.append([record(2)])
    assert numbers(log) == [2]
    assert [lost.items for lost in log.lost] == [2]
    abandon(log)
    assert numbers(opened(tmp_path / "q")) == [2]


@pytest.mark.parametrize("size", [0, 8192, 8300])
def test_what_somebody_cut_off_the_youngest_file_is_lost_and_what_follows_is_not(tmp_path: Path, size: int) -> None:
    """It is counted as soon as it is not found; what is appended then is in a new file, also for the next run."""
    log = opened(tmp_path / "q")
    log.append([record(0), record(1)])
    os.truncate(tmp_path / "q/0000000000000001.segment", size)
    found = numbers(log)
    assert not log.has_more
    assert [lost.records for lost in log.lost] == [2 - len(found)]
    log.append([record(2)])
    assert numbers(log) == [2]
    assert len(log.lost) == 1
    log.close()
    again = opened(tmp_path / "q")
    assert numbers(again) == [*found, 2]
    assert (again.lost, again.unreadable) == ([], [])


def test_damage_of_a_segment_that_was_acknowledged_in_part_is_told(tmp_path: Path) -> None:
    """What its end says was there counts."""
    log = opened(tmp_path / "q")
    log.append([record(0), record(1)])
    log.acknowledge([log.read(1)[0].position])
    log.close()
    path = tmp_path / "q/0000000000000001.segment"
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"1:....")] ^= 1
    path.write_bytes(raw)
    log = opened(tmp_path / "q")
    assert numbers(log) == []
    assert [lost.items for lost in log.lost] == [2]
    assert list((tmp_path / "q/quarantine").iterdir())


class Sparing(Files):
    """Files that take seven bytes at a time of what goes to the quarantine, and from the third time on fail, or not."""

    def __init__(self, *, fails: bool) -> None:
        self.fails = fails
        self.times = -1

    def create(self, path: Path) -> int:
        """Begin to count with the copy."""
        self.times = 0 if path.parent.name == "quarantine" else -1
        return super().create(path)

    def write(self, descriptor: int, data: memoryview) -> int:
        """Write a part."""
        if self.times < 0:
            return super().write(descriptor, data)
        self.times += 1
        if self.fails and self.times > 2:
            raise OSError(28, "No space left on device")
        return super().write(descriptor, data[:7])


@pytest.mark.parametrize("runs", [1, 2])
def test_the_copy_of_damaged_bytes_is_whole_or_not_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, runs: int
) -> None:
    """Also when the disk takes it in parts, or an earlier run has begun it; only what is kept is said to be."""
    log = opened(tmp_path / "q")
    log.append([record(0), record(1)])
    log.close()
    path = tmp_path / "q/0000000000000001.segment"
    raw = bytearray(path.read_bytes())
    raw[8192 + 40] ^= 1
    path.write_bytes(raw)
    log = opened(tmp_path / "q", files=Sparing(fails=True))
    assert numbers(log) == [1]
    assert list((tmp_path / "q/quarantine").iterdir()) == []
    assert "they are kept in" not in caplog.text
    for _ in range(runs):
        abandon(log)
        log = opened(tmp_path / "q", files=Sparing(fails=False))
        assert numbers(log) == [1]
    (kept,) = (tmp_path / "q/quarantine").iterdir()
    assert kept.read_bytes() == raw[8192:][: log.damaged_bytes]
    assert caplog.text.count(f"they are kept in {kept}") == runs


def test_segments_that_come_in_while_the_disk_fails_are_read_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many records are written before that."""
    other = opened(tmp_path / "other")
    other.append([record(7)])
    other.close()
    log = opened(tmp_path / "q", size=10)
    (stored,) = log.append([record(0)])
    log.hand_out(stored)
    (tmp_path / "q/incoming").mkdir()
    (tmp_path / "other/0000000000000001.segment").rename(tmp_path / "q/incoming/1.segment")

    def sync_folder(self: Files, path: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Files, "sync_folder", sync_folder)
    assert log.adopt().records == 1
    monkeypatch.undo()
    log.append([record(1)])
    assert numbers(log) == [7, 1]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from("aaarrdkc"), max_size=60), st.sampled_from([200, 1_000, 100_000]))
def test_a_log_is_a_queue(tmp_path_factory: pytest.TempPathFactory, steps: list[str], size: int) -> None:
    """Whatever is appended (a), read (r), done with (d) and restarted, in order (c) or not (k), in any sequence."""
    folder = tmp_path_factory.mktemp("model") / "q"
    log = opened(folder, size=size)
    count, pending, out = 0, [], []
    for step in steps:
        if step == "a":
            log.append([record(count), record(count + 1)])
            pending += [count, count + 1]
            count += 2
        elif step == "r":
            for stored in log.read(30):
                assert stored.record.notes["n"] == pending[0]
                out.append((pending.pop(0), stored.position))
        elif step == "d" and out:
            log.acknowledge([out.pop(len(out) // 2)[1]])
            log.save(now=True)
        elif step in "ck":
            if step == "c":
                log.close()
            else:  # a crash: nothing is put in order
                abandon(log)
            pending = sorted([*pending, *(number for number, _ in out)])
            out = []
            log = opened(folder, size=size)
    assert numbers(log) == pending
    log.close()


def test_what_is_acknowledged_while_the_cursor_is_put_down_is_put_down_next(tmp_path: Path) -> None:
    """Also when nothing is acknowledged after it: it would come again after a crash, however much later."""

    class Busy(Files):
        def __init__(self) -> None:
            self.then: list[Callable[[], None]] = []

        def write_at(self, descriptor: int, data: bytes, offset: int) -> int:
            written = super().write_at(descriptor, data, offset)
            while self.then:
                self.then.pop()()
            return written

    files = Busy()
    log = opened(tmp_path / "q", files=files)
    log.append([record(0), record(1)])
    first, second = (stored.position for stored in log.read(10**7))
    log.acknowledge([first])
    files.then.append(lambda: log.acknowledge([second]))
    log.save(now=True)
    log.save()
    abandon(log)
    assert numbers(opened(tmp_path / "q")) == []


class Unwritable(Files):
    """Files of which none can be written to in place, for as long as that is said."""

    is_bad = False

    def write_at(self, descriptor: int, data: bytes, offset: int) -> int:
        """Write, or not."""
        if self.is_bad:
            raise OSError(5, "Input/output error")
        return super().write_at(descriptor, data, offset)


def test_what_was_delivered_while_the_cursor_could_not_be_written_is_not_missed(tmp_path: Path) -> None:
    """Its files are deleted, so that a disk can be drained, and a crash makes no losses of them."""
    files = Unwritable()
    log = opened(tmp_path / "q", size=10, files=files)
    for number in range(4):
        log.append([record(number)])
    log.save(now=True)
    files.is_bad = True
    log.acknowledge([stored.position for stored in log.read(10**7)])
    log.save()
    assert log.segments == 1
    abandon(log)
    again = opened(tmp_path / "q")
    assert again.lost == []
    assert numbers(again) == [3]  # it was delivered, which nothing tells any more


def test_a_cursor_is_made_anew_when_the_disk_takes_it_again(tmp_path: Path) -> None:
    """What was acknowledged meanwhile does not come twice then."""
    files = Unwritable()
    log = opened(tmp_path / "q", size=10, files=files)
    for number in range(4):
        log.append([record(number)])
    log.append([record(4), record(5)])
    files.is_bad = True
    log.acknowledge([stored.position for stored in log.read(10**7)[:5]])
    log.save()
    log.adopt()
    files.is_bad = False
    log.adopt()
    log.save(now=True)
    abandon(log)
    assert numbers(opened(tmp_path / "q")) == [5]


@pytest.mark.parametrize("is_closed", [True, False])
def test_a_segment_that_somebody_deleted_meanwhile_is_missed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, *, is_closed: bool
) -> None:
    """Once, with what was left in it."""
    log = opened(tmp_path / "q", size=10)
    for number in range(4):
        log.append([record(number), record(number)])
        log.save()
    log.acknowledge([log.read(1)[0].position])
    log.save()
    if is_closed:
        log.close()
    else:
        abandon(log)
    for number in (1, 3):
        (tmp_path / f"q/{number:016}.segment").unlink()
    log = Log(tmp_path / "q")
    assert log.open().records == 7
    assert [(lost.records, lost.items, lost.shares) for lost in log.lost] == [
        (1, 1, {"traces": 1}),
        (2, 6, {"traces": 6}),
    ]
    assert "0000000000000003.segment is gone, with 2 records: somebody deleted it" in caplog.text
    log.close()
    log = Log(tmp_path / "q")
    assert log.open().records == 4
    assert log.lost == []
    log.close()


@pytest.mark.parametrize("size", [0, 8192, 8400])
def test_a_segment_that_somebody_cut_off_meanwhile_is_missed(tmp_path: Path, size: int) -> None:
    """Though the totals at its end are gone as well."""
    log = opened(tmp_path / "q", size=10**6)
    log.append([record(number, 100) for number in range(9)])
    log.close()
    os.truncate(tmp_path / "q/0000000000000001.segment", size)
    log = opened(tmp_path / "q")
    found = numbers(log)
    assert len(found) + sum(lost.records for lost in log.lost) == 9
    assert len(log.lost) == 1
    log.close()


def test_what_was_delivered_or_forgotten_is_not_missed(tmp_path: Path) -> None:
    """Nor what `sluiceway queue purge` deletes, or what cannot be read for want of a key."""
    log = opened(tmp_path / "q", size=10, keys={"old": KEYS["old"]})
    for number in range(9):
        log.append([record(number)])
        log.save(now=True)
    log.acknowledge([log.read(1)[0].position])
    log.save()
    assert log.forget_oldest(log.bytes_on_disk // 2)
    abandon(log)
    other = opened(tmp_path / "q", keys={"new": KEYS["new"]})
    assert other.lost == []
    other.close()
    log = opened(tmp_path / "q", keys=KEYS)
    assert log.lost == []
    abandon(log)
    Shelf(tmp_path / "q", Keyring(KEYS)).purge()
    log = opened(tmp_path / "q", keys=KEYS)
    assert (log.lost, log.segments) == ([], 0)
