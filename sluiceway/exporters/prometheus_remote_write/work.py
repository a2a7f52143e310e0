"""A batch on its way: the requests that it became, and which of them have arrived."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
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

__all__ = ["Encoding", "Request", "Work"]

INLINE: Final = 256 * 1024
"""Bytes: larger batches are encoded in a thread, so that the event loop stays free."""
MOST_WORKS: Final = 64
"""Batches that are remembered while they wait to be sent again. With the queue there is one: the next comes when the
one before is over."""
MOST_DIVIDED: Final = 64
"""How often parts of one batch are divided. One bad point among n takes log2(n)."""
NOWHERE: Final = 0xFFFFFFFF

_ABOUT_DATA: Final = frozenset({"INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"})


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
    left_out: Mapping[str, int]
    """How many points no request has, by reason."""
    total: int
    """Requests with points."""
    refused: dict[int, PermanentError] = field(default_factory=dict)
    unwritten: int = 0
    """Points of which samples were not written, as far as the receiver tells."""
    parts: list[Batch] = field(default_factory=list)
    """What was refused while other requests arrived, and goes again in parts; the next one last."""
    lost: list[Batch] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    divided: int = 0

    @property
    def is_refused(self) -> bool:
        """Whether nothing of it arrived, as the receiver refused all requests."""
        return bool(self.refused) and len(self.refused) == self.total

    def points_of(self, number: int) -> Batch:
        """The points of one request, as a batch."""
        return self.batch.with_payload(*pick(self.batch.payload, self.owners, number))

    def points_left_out(self) -> Batch:
        """The points that no request has."""
        return self.points_of(NOWHERE)

    def part(self, *, divides: bool) -> None:
        """See to the requests that were refused while others arrived: in parts they may yet be taken."""
        for number, error in reversed(self.refused.items()):
            self.divide(self.points_of(number), error, divides=divides)
        self.refused.clear()

    def divide(self, points: Batch, error: PermanentError, *, divides: bool = True) -> None:
        """Have points that were refused sent in halves, or count them as lost where that would not help."""
        if divides and points.items > 1 and error.code in _ABOUT_DATA and self.divided < MOST_DIVIDED:
            self.divided += 1
            self.parts += split(points, items=(points.items + 1) // 2)[::-1]
            return
        self.lost.append(points)
        self.reasons = self.reasons or [str(error)]


class Encoding:
    """Makes work of batches, once of each: a batch that is sent again is the same work, as far as it is left.

    Not for two callers at once. What is encoded in a thread is waited for, even by one who is cancelled.
    """

    def __init__(self, config: PrometheusRemoteWriteConfig, clock: Clock) -> None:
        names = SeriesNames(
            config.strategy,
            namespace=config.namespace,
            external=config.labels,
            scope_info=not config.disable_scope_info,
            target_info=config.target_info.enabled,
            resource_labels=config.resource_to_telemetry_conversion.enabled,
            without_identity=config.resource_to_telemetry_conversion.exclude_service_attributes,
        )
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

    async def requests(self, points: Batch) -> list[Request]:
        """The requests for a part of a batch that is at work; not where deltas are added up, which it would again."""
        return list((await _called(self._encode, points))[0].values())

    @property
    def divides(self) -> bool:
        """Whether a part of a batch may be encoded anew."""
        return self._delta is None

    def done(self, work: Work) -> None:
        """Forget work of which nothing is left."""
        self._works.pop(id(work.batch.payload), None)

    def refused(self, work: Work) -> None:
        """Forget work of which nothing arrived, deltas included: it may come again in parts."""
        self.done(work)
        if work is self._newest:
            self.kernel.revert()

    def _begin(self, batch: Batch) -> Work:
        requests, owners, left_out = self._encode(batch)
        total = sum(request.has_points for request in requests.values())
        work = self._newest = Work(batch, requests, owners, left_out, total)
        self._works[id(batch.payload)] = work
        if len(self._works) > self._most_works:
            self._works.popitem(last=False)
        return work

    def _encode(self, batch: Batch) -> tuple[dict[int, Request], bytes, Mapping[str, int]]:
        from cramjam import snappy

        bodies, owners, left_out = self.kernel.encode(batch.payload, self._clock.time_ns())
        requests = {
            number: Request(number, bytes(snappy.compress_raw(body)), Written(*counts), has_points)
            for number, (body, *counts, has_points) in enumerate(bodies)
        }
        return requests, owners, left_out

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
