"""Every operation on files that a log does, in one place: tests put one that fails, kills or forgets in its stead."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

__all__ = ["FILES", "Files", "LockedError"]


class LockedError(OSError):
    """Another process has the folder."""


class Files:
    """The operations of the system, as they are. All raise `OSError`."""

    def create(self, path: Path) -> int:
        """Open a new file for writing, which only its owner reads; it must not be there yet."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def open_for_update(self, path: Path) -> int:
        """Open a file for reading and writing in place, and make it where it is missing."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def close(self, descriptor: int) -> None:
        """Close a file."""
        os.close(descriptor)

    def write(self, descriptor: int, data: memoryview) -> int:
        """Write some of the bytes, at least one, and say how many."""
        return os.write(descriptor, data)

    def write_at(self, descriptor: int, data: bytes, offset: int) -> int:
        """Write bytes in place, and say how many."""
        return os.pwrite(descriptor, data, offset)

    def read(self, path: Path, offset: int = 0, size: int = -1) -> bytes:
        """The bytes of a file from a place on: all, or at most so many. The file does not stay open."""
        with path.open("rb", buffering=0) as file:
            file.seek(offset)
            if size < 0:
                return file.read()
            parts = []
            while size > 0 and (part := file.read(size)):
                parts.append(part)
                size -= len(part)
            return b"".join(parts)

    def sync(self, descriptor: int) -> None:
        """Return when the disk has what was written."""
        os.fdatasync(descriptor)

    def sync_folder(self, path: Path) -> None:
        """Return when the disk knows which files are in a folder."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def check(self, descriptor: int, path: Path, size: int = 0) -> None:
        """Raise where somebody has deleted or moved a file that is open, or cut it off below a size."""
        status = os.fstat(descriptor)
        if status.st_size < size or not os.path.samestat(status, path.stat()):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(path))

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut a file off."""
        os.ftruncate(descriptor, size)

    def delete(self, path: Path) -> None:
        """Delete a file; its space is free at once, since nobody has it open."""
        path.unlink(missing_ok=True)

    def rename(self, path: Path, to: Path) -> None:
        """Give a file another name, in one step."""
        path.replace(to)

    def make_folders(self, path: Path) -> None:
        """Make a folder that only its owner reads, and those above it, and have the disk know them."""
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        path.mkdir(0o700, parents=True, exist_ok=True)
        for folder in missing:
            self.sync_folder(folder.parent)

    def names(self, path: Path) -> Iterable[str]:
        """The names of what is in a folder; none where it is missing."""
        try:
            return [entry.name for entry in path.iterdir()]
        except FileNotFoundError:
            return []

    def size(self, path: Path) -> int:
        """The bytes of a file."""
        return path.stat().st_size

    def lock(self, path: Path, patience: float = 0.3) -> int:
        """Take the lock that a file stands for, until the descriptor is closed.

        Raises `LockedError` when somebody else has it for so many seconds, which is longer than anybody looks at it.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        end = time.monotonic() + patience
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    if time.monotonic() >= end:
                        raise LockedError(errno.EWOULDBLOCK, f"{path.parent} is in use by another process") from None
                    time.sleep(0.02)
                else:
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise


def write_all(files: Files, descriptor: int, data: bytes) -> None:
    """Write all bytes; the system may take them in parts."""
    view = memoryview(data)
    while view:
        view = view[files.write(descriptor, view) :]


FILES: Final = Files()
