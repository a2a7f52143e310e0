"""Reads the records of one file, block by block, and makes batches of them."""

from __future__ import annotations

from typing import Final

from sluiceway.errors import SenderError
from sluiceway.otlp import Batch
from sluiceway.receivers.file.framing import Framing, Lines, Sized
from sluiceway.receivers.file.records import ZSTD, Decoder, OtherSignalError
from sluiceway.receivers.file.tally import Tally
from sluiceway.stanza.files.reader import Piece, TruncatedError
from sluiceway.stanza.files.sources import Source
from sluiceway.stanza.files.tracked import UNSEEN, Tracked

__all__ = ["RecordReader"]

_BLOCK: Final = 256 * 1024
_HELD: Final = 16 * 1024 * 1024
"""Bytes of batches after which no more records are made batches of at one time: zstd may make much of little."""
_HIGHEST: Final = 0x08
"""No length begins with a higher byte, and no line with a lower one."""


class RecordReader:
    """Reads batches. It holds nothing between two calls: what is no whole record is read again next time.

    With `ends` half a record at the end of a file is damaged, otherwise the rest of it may come. `lines` says that
    records are lines, or that they are not; None looks at the file.
    """

    def __init__(
        self, decoder: Decoder, tally: Tally, *, limit: int, lines: bool | None, ends: bool, fingerprint: int
    ) -> None:
        self._decoder = decoder
        self._tally = tally
        self._limit = limit
        self._lines, self._sized = Lines(limit), Sized(limit)
        self._is_lines = lines
        self._ends = ends
        self._fingerprint = fingerprint
        self._halves: dict[str, tuple[int, int]] = {}
        """Where in files half a record stands at the end, and its bytes."""

    def read(self, tracked: Tracked, source: Source, now: int) -> Piece | None:  # noqa: ARG002 - part of `Reads`
        """The next batches, None where there is nothing new. Raises `TruncatedError`, or `OSError`."""
        position, flush = tracked.position, tracked.flush
        framing = self._framing(source)
        size = _BLOCK
        while True:
            data = source.read(position.offset, size)
            if not position.fits(source):  # after reading, so that it was still the same file when it was read
                raise TruncatedError
            is_all = len(data) < size
            taken = _Taken(self._decoder, self._tally)
            cut = framing.cut(data, taken, is_all=is_all, is_last=flush and is_all, skipping=position.skipping)
            if cut.end or is_all:
                break
            size = cut.needs + _BLOCK
        for place, length, reason in cut.damaged:
            self._tally.damage(tracked.path, position.offset + place, length, reason)
        self._tally.records += cut.records
        self._halves.pop(tracked.name, None)
        if taken.is_full and cut.end < len(data):
            tracked.seen = UNSEEN
        elif is_all:
            tracked.seen = tracked.version
            tracked.rest = cut.end < len(data) and not flush
            if cut.end < len(data):
                self._halves[tracked.name] = (position.offset + cut.end, len(data) - cut.end)
            if flush and self._ends:
                self.leave(tracked)
        if not cut.end:
            return None
        moved = position.moved(
            source, position.offset + cut.end, path=tracked.path,
            number=position.number + cut.records, skipping=cut.skipping,
        )  # fmt: skip
        return Piece(tracked, taken.batches, moved.known(source, self._fingerprint), max(cut.end, taken.size))

    def leave(self, tracked: Tracked) -> None:
        """Half a record at the end of the file will not become whole any more."""
        if (half := self._halves.pop(tracked.name, None)) is not None:
            self._tally.damage(tracked.path, *half, "the file ends before the record does")

    def _framing(self, source: Source) -> Framing:
        if self._is_lines is not None:
            return self._lines if self._is_lines else self._sized
        head = source.read(0, len(ZSTD))
        if head == ZSTD:
            raise OSError(0, "it is compressed as a whole: decompress it by `zstd -d` first")
        if bytes([_HIGHEST]) < head[:1] != b"{":  # damaged, or lines that are no JSON: only lengths have zeros in them
            return self._sized if b"\0" in source.read(0, _BLOCK) else self._lines
        return self._lines if head[:1] == b"{" else self._sized


class _Taken:
    """The batches of records, up to so many bytes."""

    def __init__(self, decoder: Decoder, tally: Tally) -> None:
        self._decoder = decoder
        self._tally = tally
        self.batches: list[Batch] = []
        self.size = 0

    @property
    def is_full(self) -> bool:
        """Whether it has enough for now."""
        return self.size >= _HELD

    def take(self, record: bytes) -> str:
        """Make a batch of a record; what is wrong with it, or nothing."""
        try:
            batch = self._decoder.decode(record)
        except OtherSignalError:
            self._tally.skip()
            return ""
        except SenderError as error:
            return str(error)
        if batch is not None:
            self.batches.append(batch)
            self.size += len(batch.payload)
        return ""
