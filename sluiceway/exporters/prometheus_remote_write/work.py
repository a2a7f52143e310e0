"""A batch on its way: the requests that it became, and which of them have arrived."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from secrets import randbits
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import WeakValueDictionary

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

__all__ = ["ABOUT_DATA", "MOST_IN_VAIN", "Encoding", "Request", "Series", "Work"]

INLINE: Final = 64 * 1024
"""Bytes: larger batches are encoded in a thread, which takes 0.05 ms to ask. A batch below holds the event loop for 0.4
ms, and for 12 ms where it is of histograms that are all new."""
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


@dataclass(slots=True, eq=False)
class Work:
    """A batch, the requests of it that have not arrived, and what is known of those that never will."""

    batch: Batch
    requests: dict[int, Request]
    owners: bytes
    """For each point the number of its request, as a uint32."""
    left_out: dict[str, int]
    """How many points no request has, by reason."""
    refused: dict[int, PermanentError] = field(default_factory=dict)
    """Why requests were refused, by their number."""
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

    def divide(self, points: Batch, error: PermanentError, *, tries: bool) -> bool:
        """Have points that were refused sent in halves, or count them as lost where that would not help."""
        divides = tries and points.items > 1 and error.code in ABOUT_DATA
        if divides:
            self.parts += split(points, items=(points.items + 1) // 2)[::-1]
        else:
            self.lost.append(points)
            self.errors.append(error)
        return divides

    def settle(self, part: Work) -> None:
        """Take over what is known of a part that is settled."""
        self.lost += part.lost
        self.unwritten += part.unwritten
        for why, points in part.left_out.items():
            self.left_out[why] = self.left_out.get(why, 0) + points


class Series:
    """What is known of series, with the sums of their deltas. An exporter before a reload has it with its successor."""

    def __init__(self, config: PrometheusRemoteWriteConfig) -> None:
        names = SeriesNames(config.rules, external=config.labels, target_info=config.target_info.enabled)
        delta = config.delta_to_cumulative
        self.kernel = RemoteWriteEncoder(
            names.describe, names.label_exemplar, second=config.is_second, metadata=config.send_metadata,
            accumulate=delta is not None, max_bytes=config.max_batch_size_bytes,
            max_streams=delta.max_streams if delta else 0, max_cached=config.series_cache_size, seed=randbits(64),
        )  # fmt: skip
        self.turn = asyncio.Lock()
        """Held by whoever has a batch under way."""
        self.newest: Work | None = None
        """What was encoded last: its deltas can be taken back."""

    @classmethod
    def of(cls, config: PrometheusRemoteWriteConfig, kept: dict[str, Any]) -> Series:
        """Those of an exporter of the same kind that is still there, or new ones."""
        known: WeakValueDictionary[str, Series] = kept.setdefault("series", WeakValueDictionary())
        series = known[config.shapes] = known.get(config.shapes) or cls(config)
        return series


class Encoding:
    """Makes work of batches, once of each: a batch that is sent again is the same work, as far as it is left.

    Only for who has the turn. What is encoded in a thread is waited for, even by one who is cancelled.
    """

    def __init__(self, config: PrometheusRemoteWriteConfig, clock: Clock, series: Series) -> None:
        self._delta = config.delta_to_cumulative
        self._series = series
        self._clock = clock
        self._works: deque[Work] = deque(maxlen=1 if config.sending_queue is not None else MOST_WORKS)
        self._expired = clock.time_ns()

    async def work(self, batch: Batch) -> Work:
        """The work that a batch is. Whoever sends it again may have made it anew: it is known by its bytes."""
        for work in self._works:
            if work.batch.payload == batch.payload:
                return work
        self._expire()
        return await _called(self._begin, batch)

    async def part(self, points: Batch) -> Work:
        """The work that a part of a batch is. It is not remembered: if it is cut off it is made anew."""
        newest = self._series.newest
        if newest is not None and newest.batch is points:
            self.take_back(newest)
        return await _called(self._encode_again, points)

    def take_back(self, work: Work, request: int | None = None) -> None:
        """Have the parts of work, or of one of its requests, add their deltas up anew, so that each has its own sums.

        Where another batch came meanwhile it is too late for that: what was added stays, and the parts have the newest
        sums.
        """
        if work is self._series.newest:
            self._series.kernel.revert(request)

    @property
    def nothing(self) -> Request:
        """A request that holds no series."""
        from cramjam import snappy

        return Request(0, bytes(snappy.compress_raw(b"")), Written(), has_points=False)

    def done(self, work: Work) -> None:
        """Forget work of which nothing is left."""
        self._works.remove(work)

    def _begin(self, batch: Batch) -> Work:
        work = self._encode(batch)
        self._works.append(work)
        return work

    def _encode_again(self, points: Batch) -> Work:
        return self._encode(points, again=True)

    def _encode(self, batch: Batch, *, again: bool = False) -> Work:
        from cramjam import snappy

        series = self._series
        series.newest = None
        bodies, owners, left_out = series.kernel.encode(batch.payload, self._clock.time_ns(), again=again)
        requests = {
            number: Request(number, bytes(snappy.compress_raw(body)), Written(*counts), has_points)
            for number, (body, *counts, has_points) in enumerate(bodies)
        }
        series.newest = Work(batch, requests, owners, dict(left_out))
        return series.newest

    def _expire(self) -> None:
        if self._delta is None:
            return
        now, age = self._clock.time_ns(), int(self._delta.max_stale * 1e9)
        if now - self._expired >= age // 4:
            self._expired = now
            self._series.kernel.expire(max(now - age, 0))


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
