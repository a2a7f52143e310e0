"""One store: a SQLite database with one table, used by one thread of its own."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from sluiceway.errors import StartError

__all__ = ["DamagedError", "Database"]

T = TypeVar("T")

_TABLE: Final = "CREATE TABLE IF NOT EXISTS entries (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"
_PUT: Final = "INSERT INTO entries VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
_FULL: Final = "the storage extension has run out of available space"
_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT)


class DamagedError(Exception):
    """The file is no database, or is inconsistent."""


class Database:
    """A `StorageClient`. Calls wait for each other; one that was cancelled is carried out all the same."""

    def __init__(self, path: Path, *, timeout: float, fsync: bool) -> None:
        self._path = path
        self._timeout = timeout
        self._fsync = fsync
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"file_storage {path.name}")
        self._connection: sqlite3.Connection | None = None

    async def open(self, *, compact: bool = False) -> None:
        """Open the file, or create it. Raises `DamagedError`, or `StartError` for what is not the file's fault."""
        await self._run(partial(self._open, compact))

    async def close(self) -> None:
        """Close the file."""
        try:
            await self._run(self._close)
        finally:
            self._thread.shutdown(wait=False)

    async def get(self, key: str) -> bytes | None:
        """The value of a key, None where it has none."""
        rows = await self._run(partial(self._query, "SELECT value FROM entries WHERE key = ?", key))
        return rows[0][0] if rows else None

    async def set(self, key: str, value: bytes) -> None:
        """Give a key its value."""
        await self.batch({key: value})

    async def delete(self, key: str) -> None:
        """Forget a key, if it is there."""
        await self.batch({key: None})

    async def batch(self, changes: Mapping[str, bytes | None]) -> None:
        """Give keys their values, None to forget them: all of them or, when it raises, none."""
        await self._run(partial(self._change, dict(changes)))

    async def items(self) -> dict[str, bytes]:
        """All keys with their values."""
        rows = await self._run(partial(self._query, "SELECT key, value FROM entries"))
        return dict(rows)

    async def _run(self, work: Callable[[], T]) -> T:
        running = asyncio.get_running_loop().run_in_executor(self._thread, work)
        running.add_done_callback(lambda done: done.cancelled() or done.exception())  # who was cancelled does not ask
        return await asyncio.shield(running)

    def _open(self, compact: bool) -> None:
        try:
            is_new = _create(self._path)
            self._connection = self._connect(is_new)
            if compact and not is_new:
                self._connection.execute("VACUUM")
            if is_new and self._fsync:
                _sync_directory(self._path.parent)
        except sqlite3.Error as error:
            self._close()
            if _code(error) in _DAMAGED:
                raise DamagedError(str(error)) from error
            if _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise StartError(f"timeout: {self._path} is in use by another process") from error
            raise StartError(f"cannot open {self._path}: {error}") from error
        except OSError as error:
            raise StartError(f"cannot open {self._path}: {error.strerror}") from error

    def _connect(self, is_new: bool) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, self._timeout, isolation_level=None, check_same_thread=False)
        self._connection = connection
        # One connection that nobody shares: other processes are kept out, and there is no shared memory to be damaged.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        if is_new:
            connection.execute("PRAGMA auto_vacuum = FULL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'FULL' if self._fsync else 'NORMAL'}")
        connection.execute(_TABLE)
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            self._close()
            raise DamagedError(found.splitlines()[-1])
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("COMMIT")
        return connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _query(self, statement: str, *values: str) -> list[Any]:
        with _Told(self._path):
            return self._opened().execute(statement, values).fetchall()

    def _change(self, changes: dict[str, bytes | None]) -> None:
        with _Told(self._path):
            connection = self._opened()
            connection.execute("BEGIN IMMEDIATE")
            try:
                connection.executemany(_PUT, [item for item in changes.items() if item[1] is not None])
                gone = [(key,) for key, value in changes.items() if value is None]
                connection.executemany("DELETE FROM entries WHERE key = ?", gone)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise OSError(errno.EBADF, "the store is closed")
        return self._connection


class _Told:
    """Has what goes wrong be told as `OSError`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        """Nothing."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, sqlite3.Error):
            if _code(error) == sqlite3.SQLITE_FULL:
                raise OSError(errno.ENOSPC, _FULL) from error
            raise OSError(errno.EIO, f"{self._path}: {error}") from error


def _code(error: sqlite3.Error) -> int:
    """The primary result code of SQLite."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def _create(path: Path) -> bool:
    """Have a file that only its owner reads; whether nothing is in it yet."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        return os.fstat(descriptor).st_size == 0
    finally:
        os.close(descriptor)


def _sync_directory(directory: Path) -> None:
    """Have the disk know that the file is there."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
