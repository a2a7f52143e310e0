"""One file of records: what is known of it, and writing to the youngest."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

from sluiceway.segments.cursor import Acknowledged
from sluiceway.segments.files import Files, write_all
from sluiceway.segments.frames import BEGIN, Found, Header, Record, Totals, encode, encode_seal, read_seal, scan
from sluiceway.segments.keyring import Keyring

__all__ = ["SUFFIX", "Segment", "Tail", "number_of"]

SUFFIX: Final = ".segment"
_SEAL_BYTES: Final = 64 * 1024


def number_of(name: str) -> int | None:
    """The place of a segment among the others, by its file's name; None where that is no segment."""
    stem = name.removesuffix(SUFFIX)
    return int(stem) if name.endswith(SUFFIX) and stem.isascii() and stem.isdigit() else None


class Segment:
    """A file of records, up to `size`; `expected` are those not acknowledged when it was opened, and those since."""

    def __init__(self, number: int, path: Path, header: Header, size: int) -> None:
        self.number = number
        self.path = path
        self.header = header
        self.size = size
        self.expected = Totals()
        self._given = Totals()
        self._is_counted = True
        self.acknowledged = Acknowledged()
        self.is_sealed = True
        """Whether nothing will be added."""
        self.is_read = False
        """Whether all of its records were handed out."""
        self.out = 0
        """Records that were handed out and not yet acknowledged."""

    @property
    def is_done(self) -> bool:
        """Whether it may be deleted."""
        return self.is_sealed and self.is_read and not self.out

    def expect(self, record: Record) -> None:
        """A record was added."""
        self.expected.add(record)

    def give_out(self, record: Record) -> None:
        """A record is handed out."""
        self.out += 1
        if self._is_counted:
            self._given.add(record)

    def missing(self) -> Totals:
        """What was expected and never handed out."""
        return self.expected.less(self._given) if self._is_counted else Totals()

    def rewind(self) -> None:
        """Everything that was not acknowledged will be handed out again."""
        self.is_read, self.out, self._is_counted = False, 0, False

    def acknowledge(self, number: int) -> None:
        """One record that was handed out has been seen to."""
        self.acknowledged.add(number)
        self.out -= 1

    @classmethod
    def open(
        cls, number: int, path: Path, files: Files, keyring: Keyring | None, known: dict[bytes, Acknowledged]
    ) -> Segment:
        """Look at a file of an earlier run.

        Raises `ValueError` where it is no segment, `MissingKeyError` where it cannot be read, or `OSError`.
        """
        size = files.size(path)
        header = Header.decode(files.read(path, 0, BEGIN), keyring)
        segment = cls(number, path, header, size)
        segment.acknowledged = known.get(header.id) or Acknowledged()
        totals = read_seal(header, files.read(path, max(BEGIN, size - _SEAL_BYTES), _SEAL_BYTES))
        if totals is None or segment.acknowledged:
            totals = Totals()
            for found in scan(header, files.read(path, BEGIN), BEGIN):
                if isinstance(found, Found) and found.number not in segment.acknowledged:
                    totals.add(found.record)
        segment.expected = totals
        return segment


class Tail:
    """The segment that is written to. After any failure it is ended, and must not be used again."""

    def __init__(self, number: int, path: Path, files: Files, keyring: Keyring | None, *, fsync: bool) -> None:
        """Make the file, with nothing in it that anybody would miss. Raises `OSError`, and then it is not there."""
        self._files = files
        self._fsync = fsync
        self._next = 0
        self._is_known = False
        self._written = Totals()
        self._descriptor = files.create(path)
        self.segment = Segment(number, path, Header.make(keyring), BEGIN)
        self.segment.is_sealed = False
        try:
            write_all(files, self._descriptor, self.segment.header.encode())
        except BaseException:
            self._discard()
            raise

    def append(self, records: list[Record]) -> list[tuple[int, int]]:
        """Have records on the disk; the number of each, and where its frame ends. Raises `OSError`."""
        segment, places = self.segment, []
        pieces: list[bytes] = []
        end = segment.size
        for number, record in enumerate(records, self._next):
            frame = encode(segment.header, number, record)
            end += sum(map(len, frame))
            pieces += frame
            places.append((number, end))
        try:
            write_all(self._files, self._descriptor, b"".join(pieces))
            self._sync()
        except BaseException:
            self._give_up()
            raise
        self._next += len(records)
        segment.size = end
        for record in records:
            self._written.add(record)
        return places

    def seal(self) -> None:
        """End it in order. What fails is of no consequence: it is then read to its end when it is opened."""
        with suppress(OSError):
            write_all(self._files, self._descriptor, encode_seal(self.segment.header, self._written))
            self._sync()
        self._close()

    def _sync(self) -> None:
        if not self._fsync:
            return
        self._files.sync(self._descriptor)
        if not self._is_known:
            self._files.sync_folder(self.segment.path.parent)
            self._is_known = True

    def _give_up(self) -> None:
        """End it where it was good; a file without any record goes."""
        if self.segment.size == BEGIN:
            self._discard()
            return
        with suppress(OSError):
            self._files.truncate(self._descriptor, self.segment.size)
        self._close()

    def _discard(self) -> None:
        self._close()
        with suppress(OSError):
            self._files.delete(self.segment.path)

    def _close(self) -> None:
        self.segment.is_sealed = True
        with suppress(OSError):
            self._files.close(self._descriptor)
