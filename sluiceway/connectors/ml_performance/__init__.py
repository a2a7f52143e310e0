"""Tells how good models are, and what has drifted, from the predictions and labels that applications log.

It takes two kinds of log records, told by their event name (or the attribute `event.name`), and makes metrics of them
at an interval; in a logs pipeline behind it, it also tells by a record `ml.drift` when drift begins and ends. The
records themselves go no further by this way; others are passed over.

`ml.prediction` has the attributes `ml.model.name` and `ml.model.version` (or its resource has), `ml.prediction.id`,
and of the following those that there are: `ml.prediction.label` (the class or quantity), `ml.prediction.score` (the
positive class's), `ml.prediction.probability.<class>`, `ml.inference.duration` in seconds, `error.type` when the model
failed, `ml.ground_truth.label` when it is known at once, and features: `ml.feature.<name>`, or a body that is a map of
them. `ml.ground_truth` has `ml.prediction.id` and `ml.ground_truth.label`; it may come late, twice, in any order, and
before its prediction. A record that breaks this is left out and counted in `ml.records.rejected`.

Of features and labels nothing leaves but statistics: names of features and classes, values of segments, and numbers of
them are bounded. Drift is told when its test, Kolmogorov-Smirnov for numbers and chi-square for categories, is
significant after the correction of Benjamini and Hochberg over the features of a model, and where `drift::thresholds`
are set, large enough as well. Windows follow the time at which records come, not the one that they bear.

What is held is in memory: when the process ends, the window and what waits for its label are lost, and references
unless `storage` names where to keep them. Cumulative series then start anew. Needs the extra `ml`: `pip install
'sluiceway[ml]'`.

```yaml
connectors:
  ml_performance:
    segments: [country]
    window: {size: 10m}
```
"""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from pydantic import Field

from sluiceway import __version__
from sluiceway.component import Component, Consumer, Context, Kind, Reason, Stability
from sluiceway.config.types import Duration
from sluiceway.ml import EngineSettings, make_engine
from sluiceway.onward import Onward
from sluiceway.otlp import Batch, Origin, Signal
from sluiceway.parts import Parts
from sluiceway.scraping import Scrape
from sluiceway.stanza import Entry, encode

if TYPE_CHECKING:
    from sluiceway.connectors.ml_performance.records import Reader
    from sluiceway.ml.engine import Engine
    from sluiceway.ml.keeping import Keeper

__all__ = ["COMPONENT", "MlPerformance", "MlPerformanceConfig"]

_SCOPE: Final = "sluiceway/connectors/ml_performance"
_MOST_EVENTS: Final = 10_000
"""Records that wait for the pipeline to take them; the oldest are dropped and counted when there are more."""


class MlPerformanceConfig(EngineSettings):
    """The settings of `ml_performance`."""

    metrics_flush_interval: Duration = Field(default=60.0, gt=0)
    """How often metrics are sent."""


class MlPerformance:
    """Reads records as they come and sends metrics at an interval; one such for each signal that it makes.

    All made from one entry of the configuration have one engine, which the first of them feeds and asks.
    """

    def __init__(self, config: MlPerformanceConfig, context: Context, next: Consumer) -> None:
        self._config = config
        self._context = context
        self._parts = Parts(context)
        self._engine: Engine = context.shared.setdefault("engine", None) or make_engine(config, context.clock)
        context.shared["engine"] = self._engine
        self._keeper: Keeper | None = None
        self._running: list[MlPerformance] = context.shared.setdefault("running", [])
        self._start = context.clock.time_ns()
        self._reader = self._make_reader()
        self._onward = Onward(self._parts.part(), next)
        self._events: deque[Entry] = deque()
        self._flushing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._tasks = asyncio.TaskGroup()
        context.telemetry.counter(
            "otelcol_connector_ml_performance_other_records",
            lambda: self._reader.others,
            "{record}",
            "Log records that are neither predictions nor ground truths.",
            connector=context.id,
            gives=self.gives.value,
        )

    @property
    def gives(self) -> Signal:
        """What this one makes."""
        return self._context.gives or Signal.METRICS

    async def __aenter__(self) -> Self:
        """Read what was kept, and begin to send. Raises `StartError`."""
        if not self._running:
            from sluiceway.ml.keeping import Keeper

            self._keeper = await Keeper(self._engine, self._config.storage, self._parts.part()).__aenter__()
        self._running.append(self)
        await self._tasks.__aenter__()
        self._task = self._tasks.create_task(self._run(), name=f"{self._context.id} flush")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the window and send what it shows; what is refused now is dropped."""
        try:
            await self._close_window()
        finally:
            if self in self._running:
                self._running.remove(self)
            keeper, self._keeper = self._keeper, None
            if keeper is not None:
                await keeper.__aexit__(None, None, None)
            if self._events:
                self._context.drop(len(self._events), Reason.SHUTDOWN)
            if self._task is not None:
                self._task.cancel()
            await self._tasks.__aexit__(None, None, None)

    @property
    def records(self) -> int:
        """How many records were read."""
        return self._reader.records

    async def consume(self, batch: Batch) -> None:
        """Return when the records have been taken."""
        if self._leads:
            for _ in self._reader.read(batch, self._context.clock.time_ns()):
                await asyncio.sleep(0)

    @property
    def _leads(self) -> bool:
        return bool(self._running) and self._running[0] is self

    def _make_reader(self) -> Reader:
        from sluiceway.connectors.ml_performance.records import Reader

        return Reader(self._engine, self._config)

    async def _run(self) -> None:
        while True:
            await self._context.clock.sleep(self._config.metrics_flush_interval)
            if self._leads:
                try:
                    await self.flush()
                except Exception:  # a fault of ours must not end the task that flushes
                    self._context.logger.exception("Measuring failed")

    async def _close_window(self) -> None:
        """Close the window while all are still there to send what it shows; the others, who leave later, need not."""
        if not self._running:
            return
        leader = self._running[0]
        records = leader.records
        if records != self._context.shared.get("closed_at", 0):
            self._context.shared["closed_at"] = records
            await leader.flush(last=True)

    async def flush(self, *, last: bool = False) -> None:
        """Measure, and have all that run hand on what is theirs; the `last` time the window is closed."""
        async with self._flushing:
            scrape = Scrape(
                self._context.clock.time_ns(), self._start, self._config.metrics, scope=_SCOPE, version=__version__
            )
            await self._engine.write(scrape, close=last)
            if self._keeper is not None:
                await self._keeper.save()
            payload, points = scrape.finish()
            for one in list(self._running):
                if one.gives is Signal.METRICS:
                    await one.send_metrics(payload, points, last=last)
                else:
                    await one.send_events(scrape.events, last=last)

    async def send_metrics(self, payload: bytes, points: int, *, last: bool) -> None:
        """Hand on metrics. Those that are refused for now are not kept: the next flush tells of the same and more."""
        if points:
            await self._onward.send(Batch(Signal.METRICS, payload, points, self._origin()), last=last)

    async def send_events(self, events: list[Entry], *, last: bool) -> None:
        """Hand on what happened, behind what was refused before."""
        self._events.extend(events)
        if (beyond := len(self._events) - _MOST_EVENTS) > 0:
            for _ in range(beyond):
                self._events.popleft()
            self._context.drop(beyond, Reason.QUEUE_FULL)
        if self._events:
            batch = Batch(Signal.LOGS, encode(list(self._events)), len(self._events), self._origin())
            if await self._onward.send(batch, last=last):
                self._events.clear()

    def _origin(self) -> Any:
        return Origin(self._context.clock.now())


COMPONENT = Component(
    type="ml_performance",
    kind=Kind.CONNECTOR,
    config=MlPerformanceConfig,
    create=MlPerformance,
    signals=frozenset({Signal.LOGS}),
    emits={Signal.LOGS: frozenset({Signal.METRICS, Signal.LOGS})},
    stability=Stability.ALPHA,
)
