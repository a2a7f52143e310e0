"""The queues that use one store: the first one now, each other when those before it have left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from sluiceway.component import Context
from sluiceway.config.exporter import DeadLetters as LetterSettings
from sluiceway.pipelines.content import Content, Kept
from sluiceway.pipelines.ledger import Account
from sluiceway.pipelines.request import Request
from sluiceway.segments import Log

__all__ = ["Tenant", "Tenants", "Terms", "User"]


class User(Protocol):
    """The queue that a store works for."""

    @property
    def max_age(self) -> float:
        """Seconds after which it does not want a request any more; zero for never."""

    @property
    def portion(self) -> int:
        """How many bytes it wants to be fed with at a time, about, where there is more on the disk."""

    def wants(self, size: int) -> bool:
        """Whether there is room in memory for so many bytes."""

    def feed(self, request: Request, kept: Kept) -> None:
        """Take a request that is on the disk; from a user that is leaving, the next one gets it."""

    def go_on(self, unfinished: Sequence[Any]) -> None:
        """Take over what the queue before has begun with and not finished."""

    def holds(self, content: Content) -> None:
        """Learn how much is on the disk in all, whenever that changes."""

    def expire(self) -> None:
        """Give up what waits and is too old."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What one queue wants of its store: they count from the moment in which it is the first."""

    context: Context
    log: Log
    """One that was made as the settings say, for its keys and whether it syncs; it is not opened."""
    letters: LetterSettings | None
    letters_log: Log


class Tenant(NamedTuple):
    """A queue, how to find a pipeline's account by name, and what it wants."""

    user: User
    account: Callable[[str], Account]
    terms: Terms


class Tenants:
    """In the order in which they came."""

    def __init__(self) -> None:
        self._tenants: list[Tenant] = []

    def __bool__(self) -> bool:
        return bool(self._tenants)

    @property
    def first(self) -> Tenant:
        """The one whose turn it is; there must be one."""
        return self._tenants[0]

    def add(self, tenant: Tenant) -> bool:
        """One more; whether it is the first."""
        self._tenants.append(tenant)
        return len(self._tenants) == 1

    def is_alone(self, user: User) -> bool:
        """Whether there is nobody else."""
        return [tenant.user for tenant in self._tenants] == [user]

    def remove(self, user: User) -> bool:
        """One less; whether it was the first, and there is another one now."""
        was_first = self._tenants[0].user is user
        self._tenants = [tenant for tenant in self._tenants if tenant.user is not user]
        return was_first and bool(self._tenants)

    def clear(self) -> None:
        """None any more."""
        self._tenants.clear()

    def tell(self, content: Content) -> None:
        """All learn how much is on the disk."""
        for tenant in self._tenants:
            tenant.user.holds(content)
