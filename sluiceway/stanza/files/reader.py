"""What is read of one file: records, as entries, and the place behind them."""

from __future__ import annotations

from typing import Any, Final, NamedTuple, Protocol

from sluiceway.component import Context
from sluiceway.stanza.entry import Entry, entries
from sluiceway.stanza.files.encodings import NOP, codec, width
from sluiceway.stanza.files.header import HeaderReader
from sluiceway.stanza.files.positions import Position
from sluiceway.stanza.files.settings import FileSettings
from sluiceway.stanza.files.sources import Source
from sluiceway.stanza.files.splitting import Bounded, Cut, splitter
from sluiceway.stanza.files.tracked import Tracked

__all__ = ["Piece", "Reader", "Reads", "TruncatedError"]

_BLOCK: Final = 256 * 1024
_BLANKS: Final = " \t\r\n"


class TruncatedError(Exception):
    """The file is not the one any more that was read, or became shorter."""


class Piece(NamedTuple):
    """What was read of a file at one time, and where reading goes on once the pipeline has it.

    `entries` are what the reader makes of records: `Entry` for lines of logs. `size` is how many
    bytes stood there, or are held now.
    """

    tracked: Tracked
    entries: list[Any]
    position: Position
    size: int


class Reads(Protocol):
    """Makes something of what stands in a file behind its position."""

    def read(self, tracked: Tracked, source: Source, now: int) -> Piece | None:
        """The next records, None where there is nothing new. `now` is ns since the epoch.

        Sets `seen` and `rest` of the file once it has been read to its end. Raises `TruncatedError`, or `OSError`.
        """

    def leave(self, tracked: Tracked) -> None:
        """The file is given up, as it is gone or became another."""


class Reader:
    """Reads blocks. It holds nothing between two calls: what is no whole record is read again next time.

    With `marked` every entry is marked with where in which file it stands.
    """

    def __init__(self, settings: FileSettings, context: Context, *, marked: bool) -> None:
        self._settings = settings
        self._width = width(settings.encoding)
        self._longest = max(settings.max_log_size // self._width, 1) * self._width
        self._truncates = settings.max_log_size_behavior == "truncate"
        self._splitter = splitter(settings)
        self._bounded = Bounded(self._splitter, self._longest, truncate=self._truncates)
        self._header = HeaderReader(settings.header, context) if settings.header else None
        self._codec = None if settings.encoding == NOP else codec(settings.encoding)
        self._resource: dict[str, Any] = {}
        self._marked = marked

    def read(self, tracked: Tracked, source: Source, now: int) -> Piece | None:
        """The next records, None where there is nothing new. `now` is ns since the epoch.

        Raises `TruncatedError`, or `OSError`.
        """
        position, flush = tracked.position, tracked.flush
        data = source.read(position.offset, _BLOCK)
        is_all = len(data) < _BLOCK
        if not position.fits(source):  # after reading, so that it was still the same file when it was read
            raise TruncatedError
        start = 0
        if position.skipping:
            start, is_over = self._splitter.skip(data)
            data = data[start:]
            if not is_over:
                tracked.rest = False
                return self._piece(tracked, source, Cut([], []), start, now, skipping=True) if start else None
        cut = self._bounded.cut(data)
        if not cut.ends and not is_all:
            data = source.read(position.offset + start, self._longest + _BLOCK)
            is_all = len(data) < self._longest + _BLOCK
            cut = self._bounded.cut(data)
        skipping = self._cut_rest(data, cut, flush=flush and is_all)
        end = cut.ends[-1] if cut.ends else 0
        if is_all:
            tracked.seen = tracked.version
            tracked.rest = end < len(data)
        if not end and not start:
            return None
        return self._piece(tracked, source, cut, start, now, skipping=skipping)

    def leave(self, tracked: Tracked) -> None:
        """What has no end, and was not taken after `force_flush_period`, is lost."""

    def _cut_rest(self, data: bytes, cut: Cut, *, flush: bool) -> bool:
        """Add what is to be taken of the last record, which has no end yet; whether the rest of it is passed over."""
        begin = cut.ends[-1] if cut.ends else 0
        longest = self._longest
        if len(data) - begin > longest and self._truncates:
            cut.pieces.append(data[begin : begin + longest])
            cut.ends.append(begin + longest)  # the rest is looked at again, as its end may be there
            return True
        while len(data) - begin > longest:
            cut.pieces.append(data[begin : begin + longest])
            begin += longest
            cut.ends.append(begin)
        if flush and begin < len(data):
            cut.pieces.append(self._splitter.last(data[begin:]))
            cut.ends.append(len(data))
        return False

    def _piece(self, tracked: Tracked, source: Source, cut: Cut, start: int, now: int, *, skipping: bool) -> Piece:
        position = tracked.position
        ends = [start + end for end in cut.ends] if start else cut.ends
        end = ends[-1] if ends else start
        changes: dict[str, Any] = {"skipping": skipping}
        taken = 0
        if self._header is not None and position.heading:
            taken, header = self._header.take(cut.pieces, now)
            changes["header"] = position.header | header
            changes["heading"] = taken == len(cut.pieces)
        named = tracked.attributes | changes.get("header", position.header)
        found = self._entries(tracked, cut.pieces, ends, taken, named, now)
        number = position.number + len(cut.pieces) - taken
        moved = position.moved(source, position.offset + end, path=tracked.path, number=number, **changes)
        return Piece(tracked, found, moved.known(source, self._settings.fingerprint_size), end)

    def _entries(
        self, tracked: Tracked, pieces: list[bytes], ends: list[int], taken: int, named: dict[str, Any], now: int
    ) -> list[Entry]:
        """An entry for each record that is not empty."""
        resource = self._resource
        texts = self._texts(pieces[taken:] if taken else pieces)
        settings = self._settings
        if not (self._marked or settings.include_file_record_number or settings.include_file_record_offset):
            return entries(texts, now, named, resource)
        found = []
        offset, number = tracked.position.offset, tracked.position.number
        for at, text in enumerate(texts):
            if not text:
                continue
            place = at + taken
            begins = offset + (ends[place - 1] if place else 0)
            entry = Entry(text, now, named.copy(), resource)
            if settings.include_file_record_number:
                entry.attributes["log.file.record_number"] = number + at + 1
            if settings.include_file_record_offset:
                entry.attributes["log.file.record_offset"] = begins
            entry.mark = (tracked.name, begins, number + at)
            found.append(entry)
        return found

    def _texts(self, pieces: list[bytes]) -> list[Any]:
        """Records as they become bodies."""
        settings, name = self._settings, self._codec
        if name is None:
            return pieces
        texts = [piece.decode(name, "replace") for piece in pieces]
        if settings.preserve_leading_whitespaces and settings.preserve_trailing_whitespaces:
            return texts
        if settings.preserve_leading_whitespaces:
            return [text.rstrip(_BLANKS) for text in texts]
        if settings.preserve_trailing_whitespaces:
            return [text.lstrip(_BLANKS) for text in texts]
        return [text.strip(_BLANKS) for text in texts]
