"""What a component must remember, such as where reading stands, kept in a storage extension."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from sluiceway.component import Context, Status, Storage, StorageClient
from sluiceway.errors import ConfigError, Problem

__all__ = ["Checkpoints"]


class Checkpoints:
    """Keeps values by name. Where no storage is named they are in memory, and survive a reload and no more.

    What could not be written is tried again with the next change; until then a restart begins with what was kept last.
    """

    def __init__(
        self,
        storage: str | None,
        context: Context,
        name: str = "",
        *,
        what: str = "where reading stands",
        otherwise: str = "after a restart lines come again",
    ) -> None:
        """`what` is kept, and what happens `otherwise`, as messages have it."""
        self._context = context
        self._name = name
        self._what = what
        self._otherwise = otherwise
        self._storage = _find(storage, context) if storage else None
        self._client: StorageClient | None = None
        self._memory: dict[str, bytes] = context.kept.setdefault(f"checkpoints/{name}", {})
        self._stack = AsyncExitStack()
        self._unsaved: dict[str, bytes | None] = {}
        self._is_failing = False

    @property
    def is_durable(self) -> bool:
        """Whether there is a storage."""
        return self._storage is not None

    async def __aenter__(self) -> Self:
        """Open the store. Raises `StartError`."""
        if self._storage is not None:
            self._client = await self._stack.enter_async_context(self._storage.client(self._context, self._name))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what is left, and close the store."""
        await self.save({})
        await self._stack.aclose()

    async def load(self) -> dict[str, bytes]:
        """What was kept. Raises `OSError`."""
        if self._client is None:
            return dict(self._memory)
        return await self._client.items()

    async def save(self, changes: Mapping[str, bytes | None]) -> None:
        """Keep values, None to forget one. Returns when they are kept, or when it was told that they cannot be."""
        if self._client is None:
            self._memory |= {key: value for key, value in changes.items() if value is not None}
            for key in [key for key, value in changes.items() if value is None]:
                self._memory.pop(key, None)
            return
        self._unsaved |= changes
        if not self._unsaved:
            return
        written = dict(self._unsaved)
        try:
            await self._client.batch(written)
        except OSError as error:
            self._tell(f"cannot keep {self._what}: {error.strerror or error}")
            return
        self._unsaved = {key: value for key, value in self._unsaved.items() if written.get(key, b"") != value}
        self._tell("")

    def _tell(self, problem: str) -> None:
        if problem and not self._is_failing:
            self._context.logger.error("%s; %s", problem, self._otherwise)
            self._context.report(Status.RECOVERABLE_ERROR, problem)
        elif not problem and self._is_failing:
            self._context.logger.info("What is to be remembered is kept again")
            self._context.report(Status.OK)
        self._is_failing = bool(problem)


def _find(storage: str, context: Context) -> Storage:
    try:
        found: Storage = context.extension(storage)
    except LookupError:
        raise ConfigError(Problem(f'storage extension "{storage}" not found', "storage")) from None
    if not hasattr(found, "client"):
        raise ConfigError(Problem(f'"{storage}" is no storage extension', "storage"))
    return found
