"""Reading the records of a log in order, through whatever happened to its files."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from sluiceway.segments.files import Files, write_all
from sluiceway.segments.frames import Damage, Found, Record, Totals, scan
from sluiceway.segments.segment import Segment

__all__ = ["OVERHEAD", "QUARANTINE", "Reader"]

OVERHEAD: Final = 512
"""Bytes that a record costs in memory beside its payload, for whoever counts them."""
QUARANTINE: Final = "quarantine"
_MOST_QUARANTINED: Final = 64 * 1024 * 1024

_log = logging.getLogger("sluiceway.segments")


class Reader:
    """Stands before the oldest record that was not handed out. It loads one segment at a time."""

    def __init__(self, folder: Path, segments: dict[int, Segment], files: Files) -> None:
        self.damaged_bytes = 0
        """Bytes that are no records."""
        self.lost: list[Totals] = []
        """What is known to have been in segments and was not found there, as it is noticed."""
        self._folder = folder
        self._segments = segments
        self._files = files
        self._place: Segment | None = None
        self._ahead: Iterator[Found | Damage] = iter(())
        self._loaded = 0
        self._failure: OSError | None = None
        self._goes_back = False
        """Whether something that stands before the place can be read again."""

    @property
    def has_more(self) -> bool:
        """Whether there is something that was not handed out and can be read."""
        return any(segment.is_waiting for segment in tuple(self._segments.values()))

    def leave(self) -> None:
        """Forget where it stands; it begins anew with the oldest that was not handed out."""
        self._place, self._ahead, self._loaded = None, iter(()), 0

    def pass_by(self, segment: Segment, end: int) -> None:
        """The oldest record that is there was handed out otherwise: it stands in this segment, up to `end`."""
        if self._place is not None and self._place is not segment and self._place.is_sealed:
            self._finish(self._place)
        self._place, self._ahead, self._loaded = segment, iter(()), end
        segment.resume = end

    def read(self, size: int) -> list[tuple[Segment, int, Record]]:
        """The next records with their segments and numbers: about so many bytes, at least one where there is one.

        A segment that cannot be read is set aside until `retry`, and told once: raises `OSError` when there is nothing
        else to give.
        """
        found: list[tuple[Segment, int, Record]] = []
        if self._goes_back:
            self._goes_back = False
            self.leave()
        while size > 0:
            next_one = self._next()
            if next_one is None:
                break
            found.append(next_one)
            size -= next_one[2].weight + OVERHEAD
        if self._failure is not None and not found:
            failure, self._failure = self._failure, None
            raise failure
        return found

    def retry(self) -> None:
        """Try again what was set aside."""
        for segment in tuple(self._segments.values()):
            if segment.is_aside:
                segment.is_aside = False
                self._goes_back = True

    def finish_place(self) -> None:
        """Count the segment where it stands as read, if it stands at its end: it will not grow any more."""
        if self._place is not None and self._place.resume >= self._place.size:
            self._finish(self._place)

    def _next(self) -> tuple[Segment, int, Record] | None:
        while True:
            if self._place is None:
                self._place = next((s for s in tuple(self._segments.values()) if not (s.is_read or s.is_aside)), None)
                if self._place is None:
                    return None
                self._ahead, self._loaded = iter(()), self._place.resume
            segment = self._place
            for found in self._ahead:
                segment.resume = found.end
                if isinstance(found, Damage):
                    self._damaged(segment, found)
                elif found.number not in segment.acknowledged:
                    segment.give_out(found.number, found.record)
                    return segment, found.number, found.record
            segment.resume = self._loaded  # whatever the file lacks
            was_sealed = segment.is_sealed  # before its size is looked at: it may be added to and sealed in between
            if self._loaded < segment.size:
                self._load(segment)
            elif was_sealed:
                self._finish(segment)
            else:
                self._write_off(segment)
                return None

    def _load(self, segment: Segment) -> None:
        begin, size = segment.resume, segment.size
        try:
            content = self._files.read(segment.path, begin, size - begin)
        except FileNotFoundError:
            _log.error("%s is gone: somebody deleted it", segment.path)
            self._ahead, self._loaded = iter(()), size
        except OSError as error:
            segment.is_aside = True
            self._failure = error
            self.leave()
        else:
            self._ahead, self._loaded = scan(segment.header, content, begin), size

    def _finish(self, segment: Segment) -> None:
        """All that a segment has was handed out, and it will not grow any more."""
        self.leave()
        self._write_off(segment)
        segment.is_read = True

    def _write_off(self, segment: Segment) -> None:
        """What a segment was known to have, and was not found up to its end, is lost."""
        lost = segment.write_off()
        if lost.records:
            self.lost.append(lost)

    def _damaged(self, segment: Segment, damage: Damage) -> None:
        size = damage.end - damage.start
        self.damaged_bytes += size
        is_torn_end = damage.end >= segment.size
        text = "ends with %d bytes of a write that was cut off" if is_torn_end else "is damaged: %d bytes are no record"
        kept = self._quarantine(segment, damage)
        _log.warning(f"%s {text}%s", segment.path, size, f"; they are kept in {kept}" if kept else "")

    def _quarantine(self, segment: Segment, damage: Damage) -> Path | None:
        """Keep a copy of damaged bytes, where there is room for it."""
        folder = self._folder / QUARANTINE
        with suppress(OSError):
            self._files.make_folders(folder)
            if sum(self._files.size(folder / name) for name in self._files.names(folder)) < _MOST_QUARANTINED:
                kept = folder / f"{segment.path.stem}-{segment.header.id.hex()}-{damage.start}"
                self._keep(kept, self._files.read(segment.path, damage.start, damage.end - damage.start))
                return kept
        return None

    def _keep(self, path: Path, content: bytes) -> None:
        """Have bytes in a file, all of them or none, before that in which they were is deleted."""
        self._files.delete(path)  # what an earlier run has copied, be it all or not
        descriptor = self._files.create(path)
        try:
            write_all(self._files, descriptor, content)
            self._files.sync(descriptor)
            self._files.sync_folder(path.parent)
        except BaseException:
            self._files.delete(path)
            raise
        finally:
            self._files.close(descriptor)
