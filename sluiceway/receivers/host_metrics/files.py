"""Files below `root_path`, read with bounds: most are the kernel's, but a tree that was mounted may hold anything."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from types import TracebackType
from typing import Final, Self, TypeVar

__all__ = ["Files", "Folder", "fields"]

MOST: Final = 32 * 2**20
"""Bytes that a file may have. The largest are tables of connections, 150 bytes for each."""
_CHUNK: Final = 2**16
_READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW  # no pipe holds up, no link leads elsewhere
_ENTER: Final = getattr(os, "O_PATH", 0) | os.O_DIRECTORY | os.O_CLOEXEC  # it is imported elsewhere than on Linux too

T = TypeVar("T")


class Files:
    """The files of the machine that is measured. Paths are relative, such as `proc/stat`."""

    def __init__(self, root: str = "") -> None:
        self.root = root.rstrip("/")

    def read(self, path: str) -> bytes:
        """All that is in a file. Raises `OSError`, also when it is too large or a link."""
        return _read(f"{self.root}/{path}")

    def parse(self, path: str, parser: Callable[[bytes], T]) -> T:
        """What a parser makes of a file. Raises `OSError`, which names the file, when it can make nothing of it."""
        data = self.read(path)
        try:
            return parser(data)
        except (ValueError, LookupError) as error:
            raise OSError(f"/{path} is not what Linux writes there: {error}") from error

    def names(self, path: str) -> list[str]:
        """The names in a folder. Raises `OSError`."""
        return os.listdir(f"{self.root}/{path}")  # noqa: PTH208 - names are all that is wanted

    def folder(self, path: str) -> Folder:
        """A folder that stays the same one, whatever comes to be at its path. Raises `OSError`."""
        return Folder(os.open(f"{self.root}/{path}", _ENTER))

    @cached_property
    def boot_time(self) -> int:
        """When the machine was started, in ns since the epoch: where its counters began; 0 when it is not known.

        It is asked once, as the kernel reckons it from the clock each time, and a start must not move.
        """
        try:
            return self.parse("proc/stat", lambda data: int(fields(data)[b"btime"])) * 10**9
        except OSError:
            return 0


class Folder:
    """An open folder. That of a process in /proc is this process's for good: it is not found once that has ended."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def read(self, name: str, most: int = MOST) -> bytes:
        """All that is in a file, or its beginning when `most` is less than that. Raises `OSError`."""
        return _read(name, self._descriptor, most)

    def link(self, name: str) -> str:
        """Where a link leads. Raises `OSError`."""
        return os.readlink(name, dir_fd=self._descriptor)

    def count(self, name: str) -> int:
        """How many entries a folder has. Raises `OSError`."""
        descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._descriptor)
        try:
            return len(os.listdir(descriptor))  # noqa: PTH208 - a path could lead elsewhere by now
        finally:
            os.close(descriptor)


def fields(data: bytes) -> dict[bytes, bytes]:
    """Lines such as `name: value` or `name value` by their names, without the colon; others are passed over."""
    pairs = (line.split(maxsplit=1) for line in data.splitlines())
    return {pair[0].rstrip(b":"): pair[1] for pair in pairs if len(pair) > 1}


def _read(path: str, folder: int | None = None, most: int = MOST) -> bytes:
    descriptor = os.open(path, _READ, dir_fd=folder)
    try:
        chunks = [os.read(descriptor, min(_CHUNK, most))]
        size = len(chunks[0])
        while chunks[-1] and size < most:
            chunks.append(os.read(descriptor, min(_CHUNK, most - size)))
            size += len(chunks[-1])
    finally:
        os.close(descriptor)
    if size >= MOST:
        raise OSError(f"{path} is too large")
    return b"".join(chunks)
