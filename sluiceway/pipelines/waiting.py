"""What waits in a queue: elements in lanes, one lane for each partition, and which lanes are ready to go."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from sluiceway.config.exporter import Sizer
from sluiceway.otlp import Batch
from sluiceway.pipelines.content import Kept
from sluiceway.pipelines.request import Request, divide

__all__ = ["Element", "Lane", "Policy", "Ticket", "Waiting", "cut", "measure"]

_AT_ONCE: Final = 1e-6
"""Seconds that are not worth waiting for: less than this may be what rounding has left of a wait."""


class Ticket:
    """The room that one accepted request takes in the queue, until every part of it is finished."""

    __slots__ = ("bytes", "error", "kept", "parts", "size")

    def __init__(self, size: int, bytes: int, kept: Kept | None = None) -> None:
        self.size = size
        self.bytes = bytes
        self.kept = kept
        """Where the request is on disk, if it is."""
        self.parts = 1
        self.error: Exception | None = None


class Element:
    """A request that waits, since `arrived`, and the tickets that it is made of with the items of each."""

    __slots__ = ("arrived", "request", "tickets")

    def __init__(self, request: Request, tickets: Sequence[tuple[Ticket, int]], arrived: float) -> None:
        self.request = request
        self.tickets = tickets
        self.arrived = arrived


def measure(batch: Batch, sizer: Sizer) -> int:
    """The room that a batch takes, in units of a queue's sizer."""
    match sizer:
        case "requests":
            return 1
        case "items":
            return batch.items
        case "bytes":
            return len(batch.payload)


def cut(element: Element, pieces: Sequence[Batch]) -> list[Element]:
    """Divide an element along its batch, split into `pieces`; its tickets last until all parts are finished."""
    sizes = [piece.items for piece in pieces]
    shares = divide(element.request.shares, sizes)
    tickets = divide(element.tickets, sizes)
    for ticket, _ in element.tickets:
        ticket.parts -= 1
    for piece in tickets:
        for ticket, _ in piece:
            ticket.parts += 1
    callers, arrived = element.request.callers, element.arrived
    return [Element(Request(b, s, callers), t, arrived) for b, s, t in zip(pieces, shares, tickets, strict=True)]


@dataclass(slots=True, eq=False)
class Lane:
    """What waits and may be joined, oldest first."""

    key: Hashable
    elements: deque[Element] = field(default_factory=deque)
    items: int = 0
    bytes: int = 0
    in_flight: int = 0
    began: float = -math.inf
    """When the last export of the lane began."""
    is_ready: bool = False

    def append(self, element: Element) -> None:
        """Add the youngest element."""
        self.elements.append(element)
        self.items += element.request.batch.items
        self.bytes += len(element.request.batch.payload)

    def put_back(self, elements: Sequence[Element]) -> None:
        """Put elements before the oldest."""
        self.elements.extendleft(reversed(elements))
        self.items += sum(element.request.batch.items for element in elements)
        self.bytes += sum(len(element.request.batch.payload) for element in elements)

    def pop(self) -> Element:
        """Take the oldest element."""
        element = self.elements.popleft()
        self.items -= element.request.batch.items
        self.bytes -= len(element.request.batch.payload)
        return element

    def remove(self, element: Element) -> None:
        """Take one element from wherever it stands."""
        self.elements.remove(element)
        self.items -= element.request.batch.items
        self.bytes -= len(element.request.batch.payload)


class Policy(Protocol):
    """When the requests of a lane go, and how much of them at a time."""

    def key(self, batch: Batch) -> Hashable:
        """The lane of a batch; None where there is only one."""

    def is_ready(self, lane: Lane) -> bool:
        """Whether a lane that is not empty should go now, whatever the time."""

    def due(self, lane: Lane) -> float:
        """When a lane that is not empty goes in any case."""

    def take(self, lane: Lane) -> Element:
        """Take one request's worth from a lane that is not empty."""


class Waiting:
    """What waits in a queue. A lane that is empty and has nothing under way is forgotten."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._lanes: dict[Hashable, Lane] = {}
        self._ready: deque[Lane] = deque()
        self._is_closed = False

    @property
    def ready(self) -> int:
        """How many lanes are ready to go."""
        return len(self._ready)

    @property
    def lanes(self) -> int:
        """How many lanes there are."""
        return len(self._lanes)

    def put(self, element: Element, now: float) -> float | None:
        """Add an element to its lane; return when that is due, or None where it is ready."""
        key = self._policy.key(element.request.batch)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(key)
        lane.append(element)
        return self.look_at(lane, now)

    def take(self, now: float) -> tuple[Lane, Element] | None:
        """Take a request's worth from the lane that has been ready longest; hand the lane to `finish` afterwards."""
        if not self._ready:
            return None
        lane = self._ready.popleft()
        lane.is_ready = False
        element = self._policy.take(lane)
        lane.in_flight += 1
        lane.began = now
        return lane, element

    def finish(self, lane: Lane) -> None:
        """An export of this lane has ended; look at the lane afterwards."""
        lane.in_flight -= 1
        self._forget(lane)

    def withdraw(self, element: Element) -> bool:
        """Take an element out, and say whether it was still there as it was put."""
        lane = self._lanes.get(self._policy.key(element.request.batch))
        if lane is None or element not in lane.elements:
            return False
        lane.remove(element)
        if lane.is_ready and not lane.elements:
            lane.is_ready = False
            self._ready.remove(lane)
        self._forget(lane)
        return True

    def look_at(self, lane: Lane, now: float) -> float | None:
        """Make a lane ready whose time has come, or return when that is; None where there is nothing to wait for."""
        if not lane.elements or lane.is_ready:
            return None
        if not self._is_closed and not self._policy.is_ready(lane):
            due = self._policy.due(lane)
            if due - now > _AT_ONCE:
                return due
        lane.is_ready = True
        self._ready.append(lane)
        return None

    def elements(self) -> list[Element]:
        """All that waits."""
        return [element for lane in self._lanes.values() for element in lane.elements]

    def expire(self, now: float) -> float:
        """Make lanes ready whose time has come; return when that of the next comes, which may be never."""
        dues = (self.look_at(lane, now) for lane in self._lanes.values())
        return min((due for due in dues if due is not None), default=math.inf)

    def close(self) -> None:
        """Make everything ready, now and from now on."""
        self._is_closed = True
        self.expire(math.inf)

    def clear(self) -> Iterator[Element]:
        """Take everything out, as it is."""
        for lane in self._lanes.values():
            while lane.elements:
                yield lane.pop()
        self._lanes.clear()
        self._ready.clear()

    def _forget(self, lane: Lane) -> None:
        is_done = not lane.elements and not lane.in_flight and lane.key is not None
        if is_done and self._lanes.get(lane.key) is lane:  # which it is not once all was taken out
            del self._lanes[lane.key]
