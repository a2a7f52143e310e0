"""A batch on its way: the requests that it became, and which of them have arrived."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from secrets import randbits
from typing import TYPE_CHECKING, Final, TypeVar

from sluiceway.errors import PermanentError
from sluiceway.exporters.prometheus_remote_write._encoder import RemoteWriteEncoder
from sluiceway.exporters.prometheus_remote_write._pick import pick
from sluiceway.exporters.prometheus_remote_write.answers import Written
from sluiceway.exporters.prometheus_remote_write.series import SeriesNames
from sluiceway.exporters.prometheus_remote_write.settings import PrometheusRemoteWriteConfig
from sluiceway.otlp import Batch, split

if TYPE_CHECKING:
    from sluiceway.component import Clock

T = TypeVar("T")

__all__ = ["ABOUT_DATA", "MOST_IN_VAIN", "Encoding", "Request", "Work"]

INLINE: Final = 256 * 1024
"""Bytes: larger batches are encoded in a thread, so that the event loop stays free."""
MOST_WORKS: Final = 64
"""Batches that are remembered while they wait to be sent again. With the queue there is one: the next comes when the
one before is over."""
MOST_IN_VAIN: Final = 10_000
"""Requests that are refused one after the other, none taken meanwhile, until parts of them are not tried any more: who
takes nothing whatever it is sent is not asked for each point."""
NOWHERE: Final = 0xFFFFFFFF

ABOUT_DATA: Final = frozenset({"INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"})
"""Codes of errors that speak of the data or of its size: what else is in the request may be taken."""


@dataclass(frozen=True, slots=True)
class Request:
    """One body, compressed, and what it holds."""

    number: int
    body: bytes
    holds: Written
    has_points: bool
    """Or it tells of resources alone, and nothing is lost with it."""


@dataclass(slots=True)
class Work:
    """A batch, the requests of it that have not arrived, and what is known of those that never will."""

    batch: Batch
    requests: dict[int, Request]
    owners: bytes
    """For each point the number of its request, as a uint32."""
    left_out: dict[str, int]
    """How many points no request has, by reason."""
    refused: dict[int, tuple[PermanentError, bool]] = field(default_factory=dict)
    """Why requests were refused, and whether parts of them may be sent: what they added up was taken back."""
    unwritten: int = 0
    """Points of which samples were not written, as far as the receiver tells."""
    parts: list[Batch] = field(default_factory=list)
    """What was refused, and goes again in parts; the next one last."""
    lost: list[Batch] = field(default_factory=list)
    errors: list[PermanentError] = field(default_factory=list)
    """Why it was lost."""

    def __post_init__(self) -> None:
        if self.left_out:
            self.lost.append(self.points_of(NOWHERE))

    @property
    def rejected(self) -> int:
        """Points that did not arrive and never will."""
        return sum(batch.items for batch in self.lost) + self.unwritten

    def points_of(self, number: int) -> Batch:
        """The points of one request, as a batch."""
        return self.batch.with_payload(*pick(self.batch.payload, self.owners, number))

    def divide(self, points: Batch, error: PermanentError, *, tries: bool) -> None:
        """Have points that were refused sent in halves, or count them as lost where that would not help."""
        if tries and points.items > 1 and error.code in ABOUT_DATA:
            self.parts += split(points, items=(points.items + 1) // 2)[::-1]
        else:
            self.lost.append(points)
            self.errors.append(error)

    def settle(self, part: Work) -> None:
        """Take over what is known of a part that is settled."""
        self.lost += part.lost
        self.unwritten += part.unwritten
        for why, points in part.left_out.items():
            self.left_out[why] = self.left_out.get(why, 0) + points


class Encoding:
    """Makes work of batches, once of each: a batch that is sent again is the same work, as far as it is left.

    Not for two callers at once. What is encoded in a thread is waited for, even by one who is cancelled.
    """

    def __init__(self, config: PrometheusRemoteWriteConfig, clock: Clock) -> None:
        names = SeriesNames(config.rules, external=config.labels, target_info=config.target_info.enabled)
        self._delta = config.delta_to_cumulative
        self.kernel = RemoteWriteEncoder(
            names.describe, names.label_exemplar, second=config.is_second, metadata=config.send_metadata,
            accumulate=self._delta is not None, max_bytes=config.max_batch_size_bytes,
            max_streams=self._delta.max_streams if self._delta else 0, max_cached=config.series_cache_size,
            seed=randbits(64),
        )  # fmt: skip
        self._clock = clock
        self._most_works = 1 if config.sending_queue is not None else MOST_WORKS
        self._works: OrderedDict[int, Work] = OrderedDict()
        self._newest: Work | None = None
        self._expired = clock.time_ns()

    async def work(self, batch: Batch) -> Work:
        """The work that a batch is."""
        known = self._works.get(id(batch.payload))
        if known is not None and known.batch.payload is batch.payload:
            return known
        self._expire()
        return await _called(self._begin, batch)

    async def part(self, points: Batch) -> Work:
        """The work that a part of a batch is. It is not remembered: unless it is settled it has to be taken back."""
        try:
            return await _called(self._encode, points)
        except asyncio.CancelledError:
            if self._newest is not None and self._newest.batch is points:
                self.take_back(self._newest)
            raise

    def take_back(self, work: Work, request: int | None = None) -> bool:
        """Forget the deltas that were added up for work, or for one of its requests; False where that is too late."""
        if work is not self._newest:
            return self._delta is None
        self.kernel.revert(request)
        return True

    @property
    def nothing(self) -> Request:
        """A request that holds no series."""
        from cramjam import snappy

        return Request(0, bytes(snappy.compress_raw(b"")), Written(), has_points=False)

    def done(self, work: Work) -> None:
        """Forget work of which nothing is left."""
        self._works.pop(id(work.batch.payload), None)

    def _begin(self, batch: Batch) -> Work:
        work = self._encode(batch)
        self._works[id(batch.payload)] = work
        if len(self._works) > self._most_works:
            self._works.popitem(last=False)
        return work

    def _encode(self, batch: Batch) -> Work:
        from cramjam import snappy

        self._newest = None
        bodies, owners, left_out = self.kernel.encode(batch.payload, self._clock.time_ns())
        requests = {
            number: Request(number, bytes(snappy.compress_raw(body)), Written(*counts), has_points)
            for number, (body, *counts, has_points) in enumerate(bodies)
        }
        self._newest = Work(batch, requests, owners, dict(left_out))
        return self._newest

    def _expire(self) -> None:
        if self._delta is None:
            return
        now, age = self._clock.time_ns(), int(self._delta.max_stale * 1e9)
        if now - self._expired >= age // 4:
            self._expired = now
            self.kernel.expire(max(now - age, 0))


async def _called(call: Callable[[Batch], T], batch: Batch) -> T:
    """Call, for a large batch in a thread; a cancellation then comes through when the call has ended."""
    if len(batch.payload) <= INLINE:
        return call(batch)
    running = asyncio.get_running_loop().run_in_executor(None, call, batch)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([running])
        running.exception()  # is nobody's any more
        raise
