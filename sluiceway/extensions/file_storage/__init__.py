"""Keeps what components must remember over a restart, in files on this machine: where a log is read up to, for one.

A component that names this extension in its setting `storage` gets a store of its own: a SQLite database in
`directory`, named after the component (`receiver_file_log_eu` for `file_log/eu`). When a change was confirmed it is on
the disk, and survives `kill -9` as well as a power cut; with `fsync: false` it survives only the former. Of several
changes that belong together all are made or none. Nothing is kept that a component did not hand over.

An exporter that names it in `sending_queue::storage` gets two folders for each signal: for `kafka/eu` and logs
`exporter_kafka~eu_logs.queue`, with what was accepted and not yet delivered, and `exporter_kafka~eu_logs.dead`, with
what its destination refused for good; see [reliability](../../reliability.md). With `encryption` what is in them is
encrypted; the databases, which hold positions and no telemetry, are not.

A database belongs to one process: a second collector that wants it does not start. A queue does as well, but the second
collector starts, refuses data for it, and takes it over when the first one has gone. A database that is damaged keeps
the collector from starting, and the error says which one it is; move it away, or set `recreate`, and the component
begins anew. When the disk is full the component is told so, goes on with what it remembers, and tries again.

```yaml
extensions:
  file_storage:
    directory: /var/lib/otelcol/file_storage
```
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from pydantic import Field, field_validator, model_validator

from sluiceway.component import Component, Context, Kind, Stability, Status, StorageClient
from sluiceway.config.types import Duration, Section, Settings
from sluiceway.errors import StartError
from sluiceway.extensions.file_storage.database import DamagedError, Database
from sluiceway.extras import require
from sluiceway.keys import AesKeyConfig
from sluiceway.personal.keys import parse_key
from sluiceway.segments import Keyring, Log
from sluiceway.segments.shelf import waiting_queues

__all__ = ["COMPONENT", "Compaction", "EncryptionConfig", "FileStorage", "FileStorageConfig", "keyring_of"]

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.-]")


class Compaction(Settings):
    """Making files smaller. Unlike the Collector's they give back what they do not need with every change."""

    on_start: bool = False
    """Whether each file is written anew when it is opened."""
    on_rebound: bool = False
    """Has no effect, as nothing is left to do."""
    directory: str = ""
    """Has no effect."""
    rebound_needed_threshold_mib: int = 100
    """Has no effect."""
    rebound_trigger_threshold_mib: int = 10
    """Has no effect."""
    max_transaction_size: int = 65536
    """Has no effect."""
    check_interval: Duration = 5.0
    """Has no effect."""
    cleanup_on_start: bool = False
    """Has no effect."""


class EncryptionConfig(Settings):
    """Which keys. New files are encrypted by the first one; the others are there to read older files."""

    keys: tuple[AesKeyConfig, ...] = Field(min_length=1)
    """To rotate, put a new key first, and take an old one away once its files have gone: files whose key is missing are
    left alone, and reported, until it is there again."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len({key.id for key in self.keys}) < len(self.keys):
            raise ValueError("several keys have the same id")
        return self


class FileStorageConfig(Settings):
    """Settings of `file_storage`."""

    directory: str = Field(default="/var/lib/otelcol/file_storage", min_length=1)
    """Where the files are."""
    timeout: Duration = Field(default=1.0, gt=0)
    """How long to wait for a file that another process has open."""
    create_directory: bool = True
    """Whether the directory is created where it is missing."""
    directory_permissions: str = "0750"
    """The permissions of a directory that is created, as octal digits."""
    fsync: bool = True
    """Whether each change waits until the disk has it. Unlike in the Collector it does, by default."""
    recreate: bool = False
    """Whether a damaged file is moved aside and begun anew, instead of keeping the collector from starting."""
    compaction: Compaction = Compaction()
    """Making files smaller."""
    encryption: Section[EncryptionConfig] = None
    """Encryption of queues and dead letters, with AES-256-GCM."""

    @field_validator("directory_permissions")
    @classmethod
    def _check_permissions(cls, text: str) -> str:
        if not re.fullmatch("0?[0-7]{3}", text, re.ASCII):
            raise ValueError(f"'{text[:20]}' are no permissions: expected octal digits such as 0750")
        return text


class FileStorage:
    """Hands out one store per component."""

    def __init__(self, config: FileStorageConfig, context: Context) -> None:
        if config.encryption is not None:
            require("encryption", "privacy", "cryptography")
        self._config = config
        self._context = context
        self._directory = Path(config.directory)
        self._used: set[Path] = set()
        """The folders of logs that were handed out."""

    async def __aenter__(self) -> Self:
        """Have the directory ready. Raises `StartError`."""
        try:
            if self._config.create_directory:
                mode = int(self._config.directory_permissions, 8)
                self._directory.mkdir(mode, parents=True, exist_ok=True)
            elif not self._directory.is_dir():
                raise StartError(f"directory must exist: {self._directory}. You can enable create_directory")
        except OSError as error:
            raise StartError(f"cannot create {self._directory}: {error.strerror}") from error
        if abandoned := await asyncio.to_thread(self._abandoned):
            text = f"no exporter has what waits in {', '.join(abandoned)}: see `sluiceway queue list`"
            self._context.logger.warning(text)
            self._context.report(Status.OK, text)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing: who opened a store has closed it."""

    @asynccontextmanager
    async def client(self, context: Context, name: str = "") -> AsyncIterator[StorageClient]:
        """The store of one component while the body runs. Raises `StartError`."""
        path = self._directory / _file_name(context, name)
        database = Database(path, timeout=self._config.timeout, fsync=self._config.fsync)
        try:
            await self._open(database, path)
            yield database
        finally:
            await database.close()

    def log(self, context: Context, name: str) -> Log:
        """A log in a folder of the component's own. Making it does no I/O."""
        # A name of its own also where another component is called otlp_http, and this one otlp/http.
        kind, _, own = context.id.partition("/")
        id = f"{kind}~{own}" if own else kind
        folder = self._directory / _file_name(replace(context, id=id), name, keep="~")
        self._used.add(folder)
        return Log(folder, keyring=keyring_of(self._config), fsync=self._config.fsync)

    def _abandoned(self) -> list[str]:
        """The names of queues that hold something, and that no exporter of the configuration asked for."""
        with suppress(OSError):
            return [queue.name for queue in waiting_queues(self._directory) if queue not in self._used]
        return []

    async def _open(self, database: Database, path: Path) -> None:
        compact = self._config.compaction.on_start
        try:
            await database.open(compact=compact)
        except DamagedError as error:
            if not self._config.recreate:
                raise StartError(
                    f"{path} is damaged ({error}): move it away, or set recreate, to begin without what it remembers"
                ) from error
            aside = path.with_name(f"{path.name}.damaged.{self._context.clock.time_ns() // 10**9}")
            self._context.logger.error(  # noqa: TRY400 - where it happened says nothing
                "%s is damaged (%s): it is now %s, and a new one is begun", path, error, aside
            )
            _move_aside(path, aside)
            await database.open(compact=compact)


def keyring_of(config: FileStorageConfig) -> Keyring | None:
    """The keys of queues and dead letters, where they are encrypted."""
    if config.encryption is None:
        return None
    return Keyring({key.id: parse_key(key.key.reveal()) for key in config.encryption.keys})


def _file_name(context: Context, name: str, keep: str = "") -> str:
    """The Collector's name for a component's file; what a file system might not take is `~` and four digits."""
    kind, _, own = context.id.partition("/")
    parts = [part for part in (context.kind.value, kind, own, name) if part]
    return _UNSAFE.sub(lambda match: match[0] if match[0] == keep else f"~{ord(match[0]):04X}", "_".join(parts))


def _move_aside(path: Path, aside: Path) -> None:
    """Rename a database with all its files."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        found = path.with_name(path.name + suffix)
        if found.exists():
            found.replace(aside.with_name(aside.name + suffix))


COMPONENT = Component(
    type="file_storage",
    kind=Kind.EXTENSION,
    config=FileStorageConfig,
    create=FileStorage,
    stability=Stability.BETA,
)
