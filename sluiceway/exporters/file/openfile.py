"""One file that is open for writing: locked, whole messages only, and noticed when somebody takes it away."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sluiceway.exporters.file.messages import Message
from sluiceway.exporters.file.settings import FileConfig
from sluiceway.exporters.file.trail import Trail

__all__ = ["OpenFile", "Written", "explain", "open_file"]

_AT_ONCE: Final = 400
"""Messages of one system call, which takes at most 1024 parts."""
_BLOCK: Final = 1024 * 1024
_HEADER: Final = 4
"""Bytes of a length."""
_LARGEST: Final = 1 << 30
"""Bytes: no message is larger, so that a file whose first length says so is no file of messages."""


@dataclass(frozen=True, slots=True)
class Written:
    """How many of some messages are in the file, whole, and what kept the others out."""

    count: int
    error: OSError | None = None


class OpenFile:
    """A file that only this process writes to. Nothing here is safe from two threads at once.

    What a failed write left behind is cut off before anything else is written.
    """

    def __init__(self, path: str, descriptor: int, *, is_regular: bool, has_lines: bool) -> None:
        self.path = path
        self._unsynced = False
        self._descriptor = descriptor
        self._is_regular = is_regular
        self._torn_at: int | None = None
        self._trail = Trail(descriptor) if is_regular and not has_lines else None

    @property
    def size(self) -> int:
        """Bytes in the file without what is still to be cut off; others may have cut it. Raises `OSError`."""
        size = os.fstat(self._descriptor).st_size
        return size if self._torn_at is None else min(size, self._torn_at)

    def is_current(self) -> bool:
        """Whether the path still leads to this file: it may have been renamed, deleted or replaced."""
        try:
            there, here = os.stat(self.path), os.fstat(self._descriptor)  # noqa: PTH116 - before every write
        except OSError:
            return False
        return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)

    def append(self, messages: Sequence[Message]) -> Written:
        """Write messages behind what is there. What does not fit in whole is taken back."""
        begin = done = 0
        try:
            self._cut_off()
            begin = self.size
            self._unsynced = True
            for parts in _portions(messages):
                done += self._write(parts)
        except _ShortWriteError as short:
            done += short.written
            count, size = _whole(messages, done)
            self.cut(begin + size)
            return Written(count, short.cause)
        except OSError as error:
            return Written(0, error)
        if self._trail is not None and messages:
            self._trail.extend(begin, begin + done - messages[-1].size, begin + done)
        return Written(len(messages))

    def cut(self, size: int) -> None:
        """Make the file end where it did; if that fails, before the next write."""
        if self._is_regular:
            self._torn_at = size
            if self._trail is not None:
                self._trail.cut(size)
            with suppress(OSError):
                self._cut_off()

    def sync(self) -> bool:
        """Return when the disk has all that was written; whether there was anything. Raises `OSError`.

        What failed is not tried again: the system forgets it, and would only say that all is well (fsync(2)).
        """
        if not self._unsynced:
            return False
        self._unsynced = False
        if self._is_regular:
            os.fdatasync(self._descriptor)
        return True

    def close(self) -> None:
        """Close the file, which gives its lock back. Raises `OSError` where what was written may be lost."""
        with suppress(OSError):
            self._cut_off()
        if self._trail is not None:
            self._trail.keep()
        os.close(self._descriptor)

    def empty(self) -> None:
        """Throw away what is in it."""
        if self._is_regular:
            if self._trail is not None:
                self._trail.cut(0)
            os.ftruncate(self._descriptor, 0)

    def mend(self) -> int:
        """Part what will be written from half a message at the end of the file; how many bytes were thrown away.

        Half a line gets an end, so that it costs itself. Half of a message whose length stands in front is cut off.
        Raises `OSError` where the file holds something else.
        """
        size = self.size
        if not self._is_regular or not size:
            return 0
        if self._trail is None:
            if os.pread(self._descriptor, 1, size - 1) != b"\n":
                os.write(self._descriptor, b"\n")
            return 0
        end = self._end_of_messages(self._trail, size)
        if end < size:
            os.ftruncate(self._descriptor, end)
        return size - end

    def _end_of_messages(self, trail: Trail, size: int) -> int:
        """Go from one message to the next, from the last one that is remembered."""
        begin, known = trail.recall()
        end = known
        while end + _HEADER <= size:
            length = int.from_bytes(os.pread(self._descriptor, _HEADER, end), "big")
            if not length and self._is_blank(end, size):
                break
            if not 0 < length <= _LARGEST:
                raise OSError(errno.EILSEQ, "it holds something else than such messages")
            if end + _HEADER + length > size:
                break
            begin, end = end, end + _HEADER + length
        if end > known:
            trail.extend(known, begin, end)
        return end

    def _is_blank(self, begin: int, end: int) -> bool:
        """Whether there are only zeros, as a power cut leaves them where data did not reach the disk."""
        return not any(os.pread(self._descriptor, _BLOCK, at).strip(b"\0") for at in range(begin, end, _BLOCK))

    def _cut_off(self) -> None:
        if self._torn_at is not None:
            if self._torn_at < os.fstat(self._descriptor).st_size:  # somebody else may have cut it meanwhile
                os.ftruncate(self._descriptor, self._torn_at)
            self._torn_at = None

    def _write(self, parts: list[bytes]) -> int:
        """Write all parts; return their bytes."""
        total = sum(map(len, parts))
        done = 0
        views: list[bytes | memoryview] = list(parts)
        while done < total:
            try:
                written = os.writev(self._descriptor, views)
            except OSError as error:
                raise _ShortWriteError(done, error) from error
            done += written
            if done < total:
                views = _behind(views, written)
        return total


class _ShortWriteError(Exception):
    """Not everything was written."""

    def __init__(self, written: int, cause: OSError) -> None:
        super().__init__(str(cause))
        self.written = written
        self.cause = cause


def open_file(path: str, config: FileConfig) -> OpenFile:
    """Open a file to write to its end, and lock it. Raises `OSError`."""
    if config.create_directory or config.group_by.enabled:
        _make_directories(Path(path).parent, config.directory_mode, sync=config.fsync != "none")
    is_regular = _is_regular(path)
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT if is_regular else os.O_WRONLY | os.O_NONBLOCK
    descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOCTTY, config.file_mode)
    try:
        status = os.fstat(descriptor)
        if not is_regular:
            os.set_blocking(descriptor, True)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if config.fsync != "none" and not status.st_size:
                sync_directory(path)
    except BaseException:
        os.close(descriptor)
        raise
    return OpenFile(path, descriptor, is_regular=is_regular, has_lines=config.has_lines)


def sync_directory(path: str) -> None:
    """Return when the disk knows the name of a file. Raises `OSError`."""
    descriptor = os.open(Path(path).parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def explain(error: OSError, path: str) -> str:
    """What is said of an error; `path` is as the settings have it, as what a sender wrote must not be shown."""
    match error.errno:
        case errno.EAGAIN:
            return f"another process or exporter writes to {path}"
        case errno.EISDIR:
            return f"{path} is a directory: name a file in it"
        case errno.ENXIO:
            return f"nobody reads {path}"
        case errno.ENOENT:
            return f"the directory of {path} does not exist: create it, or set create_directory"
        case _:
            return f"cannot write {path}: {error.strerror or error}"


def _is_regular(path: str) -> bool:
    """Whether a path leads to a file, or to nothing yet, and not to a pipe or device such as `/dev/stdout`."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - as before every write
    except FileNotFoundError:
        return True
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


def _make_directories(folder: Path, mode: int, *, sync: bool) -> None:
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for part in reversed(missing):
        part.mkdir(mode, exist_ok=True)
        if sync:
            sync_directory(str(part))


def _portions(messages: Sequence[Message]) -> Iterator[list[bytes]]:
    for start in range(0, len(messages), _AT_ONCE):
        yield [part for message in messages[start : start + _AT_ONCE] for part in message]


def _behind(views: list[bytes | memoryview], written: int) -> list[bytes | memoryview]:
    """What is left of parts."""
    for at, view in enumerate(views):
        if written < len(view):
            return [memoryview(view)[written:], *views[at + 1 :]]
        written -= len(view)
    return []


def _whole(messages: Sequence[Message], written: int) -> tuple[int, int]:
    """How many messages so many bytes hold whole, and their size."""
    size = 0
    for count, message in enumerate(messages):
        if size + message.size > written:
            return count, size
        size += message.size
    return len(messages), size
