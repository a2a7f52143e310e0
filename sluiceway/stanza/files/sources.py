"""The bytes of an open file, as they are or decompressed."""

from __future__ import annotations

import fcntl
import os
import stat
import zlib
from typing import Final, Protocol

from sluiceway.stanza.files.settings import FileSettings

__all__ = ["LockedError", "Source", "open_source"]

_MAGIC: Final = b"\x1f\x8b"
_CHUNK: Final = 64 * 1024


class LockedError(OSError):
    """Somebody else has locked the file."""


class Source(Protocol):
    """What an open file holds."""

    is_compressed: bool

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes; fewer only at the end."""

    def reaches(self, offset: int) -> bool:
        """Whether there are so many bytes."""

    def status(self) -> os.stat_result:
        """What the file system knows of the file."""

    def close(self) -> None:
        """Close the file."""


def open_source(path: str, settings: FileSettings) -> Source:
    """Open a file. Raises `OSError`; what is no regular file is none, and opening it waits for nobody."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        _check(descriptor)
        if settings.acquire_fs_lock:
            _lock(descriptor)
        if settings.compression and (settings.compression == "gzip" or os.pread(descriptor, 2, 0) == _MAGIC):
            return _Gzip(descriptor)
        return _Plain(descriptor)
    except BaseException:
        os.close(descriptor)
        raise


def _check(descriptor: int) -> None:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise OSError(0, "it is no regular file")


def _lock(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise LockedError(error.errno, "somebody else has locked it") from error


class _Plain:
    """A file as it is."""

    is_compressed = False

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self, offset: int, size: int) -> bytes:
        return os.pread(self._descriptor, size, offset)

    def reaches(self, offset: int) -> bool:
        return os.fstat(self._descriptor).st_size >= offset

    def status(self) -> os.stat_result:
        return os.fstat(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


class _Gzip:
    """A file of gzip members, read from front to back; going back begins anew. Holds as much as one read asks for.

    Where the file ends in the middle of a member, more may come.
    """

    is_compressed = True

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._head = b""
        self._rewind()

    def _rewind(self) -> None:
        self._raw = 0  # bytes taken from the file
        self._waiting = b""  # of those, what is not yet decompressed
        self._at = 0  # decompressed bytes before `_ready`
        self._ready = b""
        self._member = zlib.decompressobj(31)

    def read(self, offset: int, size: int) -> bytes:
        if offset + size <= len(self._head):
            return self._head[offset : offset + size]
        if offset < self._at or os.fstat(self._descriptor).st_size < self._raw:
            self._rewind()
        self._fill(offset, size)
        found = self._ready[offset - self._at : offset - self._at + size]
        if not offset:
            self._head = found[:_CHUNK]
        return found

    def reaches(self, offset: int) -> bool:
        return not offset or len(self.read(offset - 1, 1)) == 1

    def status(self) -> os.stat_result:
        return os.fstat(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)

    def _fill(self, offset: int, size: int) -> None:
        """Have the bytes ready, as far as there are any."""
        parts = [self._ready]
        end = self._at + len(self._ready)
        while end < offset + size:
            piece = self._next()
            if not piece:
                break
            parts.append(piece)
            end += len(piece)
            while len(parts) > 1 and self._at + len(parts[0]) <= offset - _CHUNK:  # some of the past may be asked for
                self._at += len(parts.pop(0))
        self._ready = b"".join(parts)
        past = offset - _CHUNK - self._at
        if past > 0:
            self._ready = self._ready[past:]
            self._at += past

    def _next(self) -> bytes:
        """The next decompressed bytes; none when the file has no more."""
        while True:
            if not self._waiting:
                self._waiting = os.pread(self._descriptor, _CHUNK, self._raw)
                self._raw += len(self._waiting)
                if not self._waiting:
                    return b""
            try:
                piece = self._member.decompress(self._waiting, 4 * _CHUNK)
            except zlib.error as error:
                raise OSError(0, f"it is no gzip, or damaged: {error}") from None
            if self._member.eof:
                self._waiting = self._member.unused_data.lstrip(b"\0")
                self._member = zlib.decompressobj(31)
            else:
                self._waiting = self._member.unconsumed_tail
            if piece:
                return piece
