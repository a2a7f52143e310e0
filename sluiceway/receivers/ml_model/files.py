"""Predictions and labels from files: JSON lines that grow, and Parquet that is written once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from sluiceway.receivers.ml_model.intake import Intake
from sluiceway.receivers.ml_model.matching import Found, Key, find
from sluiceway.receivers.ml_model.parquet import read_parquet
from sluiceway.receivers.ml_model.records import Read, Reader, missing_text, parse_lines
from sluiceway.receivers.ml_model.settings import FileSource, is_parquet
from sluiceway.receivers.ml_model.tail import Piece, Tail

__all__ = ["Files"]

_MOST_REMEMBERED: Final = 100_000
_SHOWN: Final = 3
_PIECES: Final = 64
"""Pieces of a file that are read before the next file has its turn."""
_LOOKED_AT: Final = 65_536
"""Bytes at the end of a file that are looked at when it is not read."""
_PATIENCE: Final = 60.0
"""Seconds without anything new after which a file that no longer matches is let go: a program that was not told yet
that its file was renamed goes on writing to it."""


class Files:
    """One source of files."""

    def __init__(self, source: FileSource, reader: Reader, intake: Intake) -> None:
        self.poll_interval = source.poll_interval
        self._source = source
        self._reader = reader
        self._intake = intake
        self._tails: dict[Key, Tail] = {}
        self._gone: dict[Key, float] = {}
        """When something was read last from files that no longer match."""
        self._offsets: dict[Key, int] = {}
        """How far files were read that are not held open."""
        self._whole: dict[Key, tuple[int, int]] = {}
        """The size and time of Parquet files that were read, or could not be."""
        self._troubles: dict[str, str] = {}
        self._first = True

    async def poll(self) -> str:
        """Read all that is new; returns what is wrong."""
        found = await self._intake.run(find, self._source)
        parquet = [file for file in found if self._is_parquet(file.path)]
        lines = [file for file in found if not self._is_parquet(file.path)]
        await self._intake.run(self._open, lines)
        self._skip_old(parquet)
        if self._first:
            await self._begin(found)
        self._first = False
        present = {file.key for file in lines}
        for key, tail in list(self._tails.items()):
            try:
                if key in present:
                    self._gone.pop(key, None)
                    await self._follow(tail)
                else:
                    await self._follow_gone(key, tail)
            except OSError as error:  # such as a file on a server that has gone; it is opened again
                self._troubles[tail.path] = f"{tail.path}: {error}"
                self._let_go(key, tail)
        for file in parquet:
            await self._read_whole(file)
        paths = {file.path for file in found}
        self._troubles = {path: text for path, text in self._troubles.items() if path in paths}
        return self._text()

    def close(self) -> None:
        """Close all files."""
        while self._tails:
            self._tails.popitem()[1].close()

    async def _begin(self, found: list[Found]) -> None:
        """Say at once what may be wrong, and not only when something new has come."""
        if not found:
            self._intake.warn("no files match the configured criteria")
        elif text := await self._intake.run(self._check, found[-1]):
            self._troubles[found[-1].path] = text

    def _check(self, file: Found) -> str:
        """What is wrong with the last records of a file."""
        try:
            if self._is_parquet(file.path):
                next(self._parts(file.path), None)
                return ""
            with Path(file.path).open("rb") as opened:
                opened.seek(max(file.size - _LOOKED_AT, 0))
                lines = opened.read(_LOOKED_AT)
        except (OSError, ValueError) as error:
            return f"{file.path}: {error}"
        rows = list(parse_lines(lines, _LOOKED_AT, Counter()))
        return self._reader.rows(rows, file.path).trouble if rows else ""

    def _open(self, found: list[Found]) -> None:
        at_end = self._first and self._source.start_at == "end"
        for file in found:
            if file.key in self._tails:
                self._tails[file.key].path = file.path
                continue
            offset = self._offsets.pop(file.key, None if at_end else 0)
            try:
                self._tails[file.key] = Tail(file.path, offset=offset, longest=self._source.max_record_size)
            except OSError as error:
                self._troubles[file.path] = str(error)
                self._offsets[file.key] = file.size if offset is None else offset
            else:
                self._troubles.pop(file.path, None)

    async def _follow(self, tail: Tail, *, last: bool = False) -> None:
        """Read a file to its end, or as much as others may wait for; the `last` time with a line that has no end."""
        for _ in range(_PIECES):
            piece, read = await self._intake.run(self._read, tail, last)
            tail.advance(piece)
            self._intake.take(read)
            if read.trouble:
                self._troubles[tail.path] = read.trouble
            elif read.batches:
                self._troubles.pop(tail.path, None)
            if not piece.more:
                return

    async def _follow_gone(self, key: Key, tail: Tail) -> None:
        """Read a file that no longer matches, and let it go when nothing more comes, or when there are too many."""
        before, now = tail.offset, self._intake.now()
        await self._follow(tail)
        since = self._gone.setdefault(key, now)
        if tail.offset != before:
            self._gone[key] = now
        elif now - since >= _PATIENCE or len(self._tails) > 2 * self._source.max_files:
            await self._follow(tail, last=True)
            self._let_go(key, tail)

    def _read(self, tail: Tail, last: bool) -> tuple[Piece, Read]:
        piece = tail.read(last=last)
        rejected: Counter[str] = Counter(too_long=piece.too_long) if piece.too_long else Counter()
        rows = list(parse_lines(piece.lines, self._source.max_record_size, rejected))
        read = self._reader.rows(rows, tail.path) if rows else Read()
        read.rejected += rejected
        return piece, read

    def _let_go(self, key: Key, tail: Tail) -> None:
        del self._tails[key]
        self._gone.pop(key, None)
        tail.close()
        self._offsets[key] = tail.offset
        while len(self._offsets) > _MOST_REMEMBERED:
            del self._offsets[next(iter(self._offsets))]

    def _skip_old(self, found: list[Found]) -> None:
        if self._first and self._source.start_at == "end":
            self._whole = {file.key: (file.size, file.changed) for file in found}

    async def _read_whole(self, file: Found) -> None:
        """Read a Parquet file, unless it is as it was before."""
        seen = (file.size, file.changed)
        if self._whole.get(file.key) == seen:
            return
        try:
            seen = await self._intake.run(_state, file.path)  # it may have been written since it was found
            parts = self._parts(file.path)
            while (read := await self._intake.run(_next, parts)) is not None:
                self._intake.take(read)
        except (OSError, ValueError) as error:
            self._troubles[file.path] = f"{file.path}: {error}"
        else:
            self._troubles.pop(file.path, None)
        self._whole.pop(file.key, None)
        self._whole[file.key] = seen
        while len(self._whole) > _MOST_REMEMBERED:
            del self._whole[next(iter(self._whole))]

    def _parts(self, path: str) -> Iterator[Read]:
        def choose(names: Sequence[str]) -> list[str]:
            if missing := self._reader.missing(names):
                raise ValueError(missing_text(missing, names))
            return self._reader.wanted(names)

        for table in read_parquet(path, choose):
            yield self._reader.table(table)

    def _is_parquet(self, path: str) -> bool:
        return self._source.format == "parquet" or (self._source.format == "auto" and is_parquet(path))

    def _text(self) -> str:
        texts = list(dict.fromkeys(self._troubles.values()))
        more = f"; and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
        return "; ".join(texts[:_SHOWN]) + more


def _state(path: str) -> tuple[int, int]:
    """The size of a file, and when it was changed; raises `OSError`."""
    found = Path(path).stat()
    return found.st_size, found.st_mtime_ns


def _next(parts: Iterator[Read]) -> Read | None:
    return next(parts, None)
