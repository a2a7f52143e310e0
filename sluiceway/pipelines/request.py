"""What travels around an exporter: a batch, and whose items it holds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias, TypeVar

from sluiceway.caller import Caller, have_gone
from sluiceway.component import Reason
from sluiceway.errors import SluicewayError
from sluiceway.otlp import Batch, Origin, causes_of, join
from sluiceway.pipelines.ledger import Account

if TYPE_CHECKING:
    from opentelemetry.trace import Span

__all__ = ["ExpiredError", "Letter", "Request", "Sender", "Shares", "divide", "join_requests"]

T = TypeVar("T")

Shares: TypeAlias = tuple[tuple[Account, int], ...]
"""Accounts and how many items of each, in the order in which the items stand in the batch."""


class ExpiredError(SluicewayError):
    """A request has waited for too long, in part at least; it was not sent, or not again."""


class Letter(NamedTuple):
    """Items of a request that the backend rejected, how many it says they are, and why."""

    batch: Batch
    rejected: int
    message: str


@dataclass(slots=True)
class Request:
    """A batch on its way to one exporter, and the accounts that its items belong to."""

    batch: Batch
    shares: Shares
    callers: tuple[Caller, ...] = ()
    """Who waits for the outcome; empty where the batch was accepted, so that it must be seen through."""
    span: Span | None = None
    """The span of our own that follows the request through all attempts, where there is one."""
    letter: Letter | None = None
    """What the exporter rejected of it: nothing is settled until that is among the dead letters."""
    expires: float = math.inf
    """When its first item has waited for too long: seconds of the clock, from which on it is not to be sent."""

    @property
    def is_abandoned(self) -> bool:
        """Whether nobody waits for the outcome any more, so that it is not worth another attempt."""
        return have_gone(self.callers)

    def require_fresh(self, now: float) -> None:
        """Raise `ExpiredError` where it has waited for too long."""
        if now >= self.expires:
            raise ExpiredError("it has waited for longer than max_age")

    def hold(self) -> None:
        """Count the items as held."""
        for account, items in self.shares:
            account.held += items

    def release(self) -> None:
        """Count the items as held no longer."""
        for account, items in self.shares:
            account.held -= items

    def deliver(self, rejected: int = 0, reason: Reason = Reason.REJECTED) -> None:
        """Count the items as delivered, and the first `rejected` as dropped: nobody says which ones they were."""
        for account, items in self.shares:
            lost = min(items, rejected)
            rejected -= lost
            account.delivered += items - lost
            if lost:
                account.drop(lost, reason)

    def drop(self, reason: Reason) -> None:
        """Count all items as lost."""
        for account, items in self.shares:
            account.drop(items, reason)


class Sender(Protocol):
    """One of the parts around an exporter; each wraps the next, and the last calls the exporter."""

    async def send(self, request: Request) -> None:
        """Return when the request is safe. What raises was not settled in the ledger and is still the caller's."""


def join_requests(requests: Sequence[Request]) -> Request:
    """Make one request of several of the same signal. A request alone comes back as it is.

    Of their origins only what they have in common remains: nobody's data may go out under the name of another. It is
    abandoned when every one of them is.
    """
    if len(requests) == 1:
        return requests[0]
    shares = _add_up([share for request in requests for share in request.shares])
    batch = join([request.batch for request in requests])
    origin = _common([request.batch.origin for request in requests])
    callers = [request.callers for request in requests]
    joined = tuple(chain.from_iterable(callers)) if all(callers) else ()
    return Request(batch if origin is batch.origin else replace(batch, origin=origin), shares, joined)


def divide(shares: Sequence[tuple[T, int]], sizes: Sequence[int]) -> list[tuple[tuple[T, int], ...]]:
    """Cut shares along a batch that was split into pieces of `sizes` items, keeping their order and their sum."""
    pieces = []
    left = iter(shares)
    owner, items = next(left)
    for size in sizes:
        piece: list[tuple[T, int]] = []
        wanted = size
        while wanted > 0:
            if not items:
                owner, items = next(left)
            part = min(items, wanted)
            piece.append((owner, part))
            items -= part
            wanted -= part
        pieces.append(tuple(piece))
    return pieces


def _add_up(shares: Sequence[tuple[Account, int]]) -> Shares:
    """Make one share of neighbours that belong to the same account."""
    joined: list[tuple[Account, int]] = []
    for account, items in shares:
        if joined and joined[-1][0] is account:
            joined[-1] = (account, joined[-1][1] + items)
        else:
            joined.append((account, items))
    return tuple(joined)


def _common(origins: Sequence[Origin]) -> Origin:
    """What is true of all origins, with the arrival of the first, and the causes and names of all."""
    first = origins[0]
    names = tuple(chain.from_iterable(origin.names for origin in origins))
    if all(_is_same(first, origin) for origin in origins):
        return replace(first, names=names) if names else first
    return Origin(
        received=first.received,
        peer=first.peer if all(origin.peer == first.peer for origin in origins) else "",
        transport=first.transport if all(origin.transport == first.transport for origin in origins) else "",
        subject=first.subject if all(origin.subject == first.subject for origin in origins) else None,
        auth=_in_all([origin.auth for origin in origins]),
        headers=_in_all([origin.headers for origin in origins]),
        causes=causes_of(origins),
        names=names,
    )


def _is_same(one: Origin, other: Origin) -> bool:
    return one is other or (
        one.peer == other.peer
        and one.subject == other.subject
        and one.headers == other.headers
        and one.auth == other.auth
        and one.transport == other.transport
        and one.causes == other.causes
    )


def _in_all(mappings: Sequence[Mapping[str, T]]) -> Mapping[str, T]:
    first, *others = mappings
    return {key: value for key, value in first.items() if all(other.get(key) == value for other in others)}
