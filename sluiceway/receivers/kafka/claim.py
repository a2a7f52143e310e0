"""A partition that the group has assigned to us, as the thread that reads it and the event loop both see it."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from sluiceway.otlp import Batch, Signal

__all__ = ["Chunk", "Claim", "News"]


@dataclass(slots=True, eq=False)
class Claim:
    """What the thread that reads and the event loop tell each other about a partition.

    Every field is written by one of them alone, so that no lock is needed.
    """

    topic: str
    partition: int
    signal: Signal

    # The thread writes:
    taken: int = 0
    """The weight of what was handed to the event loop, in bytes."""
    is_paused: bool = False
    """Whether nothing more is fetched at the moment."""
    stored: int = -1
    """The offset that is committed next, or has been."""
    end: int = -1
    """The offset that the next message written gets, as far as the brokers have told; -1 where they have not."""

    # The event loop writes:
    settled: int = 0
    """The weight of what is done with."""
    is_refused: bool = False
    """Whether the pipeline has refused its messages for now."""
    is_over: bool = False
    """Whether the partition is no longer ours, or about to be."""
    offset: int = -1
    """The first message that is not done with, which is what may be committed; -1 where none is done with yet."""
    epoch: int = -1
    """The leader's epoch of the message before it, -1 where it is not known."""

    @property
    def held(self) -> int:
        """Bytes that wait for the pipeline or are under way in it."""
        return self.taken - self.settled

    @property
    def lag(self) -> int:
        """Messages that are not done with, as far as is known."""
        return max(self.end - self.offset, 0) if self.end >= 0 and self.offset >= 0 else 0

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive messages of one partition, read into one batch; or one message that could not be, and why."""

    batch: Batch | None
    weight: int
    """The bytes that it takes to hold it."""
    offset: int
    """That of the message behind it."""
    epoch: int
    size: int
    """Bytes of the messages' values."""
    messages: int
    delay: float
    """Seconds between the producing of the last message and its reading."""
    problem: str = ""

    @property
    def length(self) -> int:
        """The bytes of its batch."""
        return 0 if self.batch is None else len(self.batch.payload)


class News:
    """What the event loop tells the thread: the claims of which something has changed."""

    def __init__(self) -> None:
        self.wake = threading.Event()
        """Set when there are any."""
        self._claims: deque[Claim] = deque()

    def tell(self, claim: Claim) -> None:
        """Something of a partition is done with, or it begins or ends to be refused."""
        self._claims.append(claim)
        self.wake.set()

    def take(self) -> list[Claim]:
        """The claims that were told since the last time, each once."""
        self.wake.clear()
        found: dict[Claim, None] = {}
        while self._claims:
            found[self._claims.popleft()] = None
        return list(found)
