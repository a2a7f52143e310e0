"""The engine: takes predictions and labels in columns, and tells how good models are and what has drifted."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

import numpy as np

from sluiceway.clock import Clock
from sluiceway.ml.analysis import Found, analyse
from sluiceway.ml.batches import GroundTruth, Predictions
from sluiceway.ml.join import Join, Match
from sluiceway.ml.metrics import EXPIRED, HELD, REJECTED
from sluiceway.ml.model import Model
from sluiceway.ml.report import record
from sluiceway.ml.rows import OTHER, Array
from sluiceway.ml.settings import EngineSettings
from sluiceway.ml.snapshots import Kept, dump, load
from sluiceway.scraping import Scrape

__all__ = ["Engine"]

_Key = tuple[str, str]
_OTHERS: Final = (OTHER, OTHER)
_Work = dict[int, tuple[Found | None, dict[str, int]]]


class Engine:
    """Measures models. All but `write` is done at once, on the event loop; hand over some 10,000 records at a time."""

    def __init__(self, settings: EngineSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._join = Join(settings.join)
        self._models: dict[_Key, int] = {}
        self._by_slot: dict[int, Model] = {}
        self._given: dict[_Key, Predictions] = {}
        self._restored: dict[_Key, Kept] = {}
        self._rejected: Counter[str] = Counter()
        self._start = clock.time_ns()
        self._end = clock.now() + settings.window.size
        self._writing = asyncio.Lock()
        self._work: asyncio.Future[_Work] | None = None
        self._rolling: dict[int, dict[str, Array]] = {}

    def predictions(self, batch: Predictions) -> None:
        """Take predictions; of those with the same id the first counts."""
        now = self._clock.now()
        fresh = self._join.fresh(batch.id)
        if not fresh.all():
            batch = batch.take(fresh)
        for slot, part in self._parts(batch):
            model = self._by_slot[slot]
            made, columns = model.predictions(part, now)
            if columns:
                self._hold(slot, model, made, columns, now)

    def ground_truth(self, batch: GroundTruth) -> None:
        """Take labels, in any order and at any time; of those with the same id the first counts."""
        now = self._clock.now()
        for match in self._join.labels(batch, now):
            self._label(match, now)

    def reject(self, reasons: Mapping[str, int]) -> None:
        """Count records that broke the contract. Reasons are few: each is a series."""
        self._rejected.update(reasons)

    async def reference(self, batches: Sequence[Predictions]) -> None:
        """Set what drift is measured against, in place of any other reference of the models in the batches.

        An empty version stands for all versions without a reference of their own, an empty model for all models. Of
        more than `max_models` the first are taken. Others get their turn between two models.
        """
        for batch in batches:
            keys = list(zip(batch.model.tolist(), batch.version.tolist(), strict=True))
            for key in dict.fromkeys(keys):
                if key in self._given or len(self._given) < self._settings.max_models:
                    rows = np.fromiter((one == key for one in keys), bool, len(keys))
                    self._given[key] = batch.take(rows)
            await asyncio.sleep(0)
        for key, slot in list(self._models.items()):
            if slot in self._by_slot:
                self._refer(key, self._by_slot[slot])
                await asyncio.sleep(0)

    async def write(self, scrape: Scrape, *, close: bool = False) -> None:
        """Close the window if its time is over, or `close`, and record all metrics and events.

        Statistics are made in a thread. A call that is cancelled loses nothing: the next one goes on with its work.
        """
        async with self._writing:
            if self._work is None:
                self._work = self._begin(close=close)
            try:
                done = await asyncio.shield(self._work)
            finally:
                if self._work.done():  # else the call was cancelled, and the next one goes on with it
                    self._work = None
            for slot, (found, changes) in done.items():
                if (model := self._by_slot.get(slot)) is not None:
                    model.counts.changes = dict(Counter(model.counts.changes) + Counter(changes))
                    if found is not None:
                        model.found = found
                        self._roll(slot, model)
            self._record(scrape)

    def changes(self) -> dict[_Key, int]:
        """How often the references of each model were set: as long as it is the same, so is a snapshot."""
        return {key: self._by_slot[slot].references.changes for key, slot in self._models.items()}

    def snapshot(self) -> Callable[[], bytes]:
        """The references, to be kept where the process ends: what is given makes the bytes, in any thread."""
        seen = {key: self._by_slot[slot].keep() for key, slot in self._models.items()}
        return partial(dump, self._restored | seen)

    def restore(self, snapshot: bytes) -> None:
        """Take references back, for models that have not been seen yet; raises `ValueError` for what is none."""
        self._restored = load(snapshot)

    def _parts(self, batch: Predictions) -> Iterator[tuple[int, Predictions]]:
        """The predictions of each model, with its slot."""
        keys = list(zip(batch.model.tolist(), batch.version.tolist(), strict=True))
        slots = {key: self._slot(key) for key in dict.fromkeys(keys)}
        different = set(slots.values())
        if len(different) == 1:
            yield different.pop(), batch
            return
        of_rows = np.fromiter(map(slots.__getitem__, keys), np.int64, len(keys))
        for slot in sorted(different):
            yield slot, batch.take(of_rows == slot)

    def _slot(self, key: _Key) -> int:
        slot = self._models.get(key)
        if slot is not None:
            return slot
        if len(self._models) - (_OTHERS in self._models) >= self._settings.max_models:
            key = _OTHERS
            if key in self._models:
                return self._models[key]
        slot = next(number for number in range(len(self._by_slot) + 1) if number not in self._by_slot)
        model = Model(self._settings, *key, self._clock.time_ns(), self._rejected, counts_only=key == _OTHERS)
        self._models[key] = slot
        self._by_slot[slot] = model
        self._refer(key, model)
        return slot

    def _refer(self, key: _Key, model: Model) -> None:
        for known in (key, (key[0], ""), ("", "")):
            if known in self._given:
                model.references.give(model.sample(self._given[known]))
                return
        if key in self._restored:
            model.restore(self._restored.pop(key))

    def _hold(self, slot: int, model: Model, batch: Predictions, columns: dict[str, Array], now: float) -> None:
        labelled = np.zeros(len(batch), bool)
        if batch.label is not None:
            labelled = np.asarray(
                ~np.isnan(batch.label) if batch.label.dtype.kind == "f" else batch.label != None,  # noqa: E711
                bool,
            )
            if labelled.any():
                rows = {name: values[labelled] for name, values in columns.items()}
                model.labels(rows, batch.label[labelled], None, now)
        match = self._join.hold(slot, batch.id, batch.time, columns, labelled, now)
        if match is not None:
            self._label(match, now)

    def _label(self, match: Match, now: float) -> None:
        delays = (match.times - match.held["time"]) / 1e9
        self._by_slot[match.slot].labels(match.held, match.labels, delays, now)

    def _begin(self, *, close: bool) -> asyncio.Future[_Work]:
        """Take what is to be looked at, and have a thread look at it."""
        now = self._clock.now()
        self._join.expire(now)
        self._forget(now)
        window = self._settings.window
        sliding = window.type == "sliding"
        due = close or sliding or now >= self._end
        if now >= self._end:
            self._end += ((now - self._end) // window.size + 1) * window.size
        jobs: dict[int, tuple[Callable[[], Found] | None, Callable[[], dict[str, int]]]] = {}
        for slot, model in self._by_slot.items():
            look = partial(model.watch.look, model.watch.take())
            if not due or model.counts_only:
                jobs[slot] = (None, look)
                continue
            taken = model.window(now - window.size if sliding else None)
            if self._settings.reference.type == "rolling":
                self._rolling[slot] = taken.seen | ({"label": taken.joined["truth"]} if "truth" in taken.joined else {})
            references = model.references
            job = partial(analyse, taken, dict(references.columns), references.overflowed(), self._settings)
            jobs[slot] = (job, look)

        def work() -> _Work:
            return {slot: (job() if job is not None else None, look()) for slot, (job, look) in jobs.items()}

        return asyncio.get_running_loop().run_in_executor(None, work)

    def _roll(self, slot: int, model: Model) -> None:
        """Make the window the reference of the next."""
        columns = self._rolling.pop(slot, None)
        if columns is not None and not model.references.given:
            model.references.set({name: values for name, values in columns.items() if name != "arrived"})

    def _forget(self, now: float) -> None:
        """Let go of models of which nothing has come for long."""
        patience = self._settings.join.window + self._settings.window.size
        for key, slot in list(self._models.items()):
            if now - self._by_slot[slot].seen_at > patience and not self._join.holds(slot):
                del self._models[key], self._by_slot[slot]
                self._join.forget(slot)

    def _record(self, scrape: Scrape) -> None:
        rejected = self._rejected.copy()
        rejected["duplicate"] += self._join.duplicates
        for slot, model in self._by_slot.items():
            record(scrape, model, self._join.coverage(slot))
        for reason, count in rejected.items():
            scrape.record(REJECTED, count, {"reason": reason}, start=self._start)
        for kind, count in self._join.expired.items():
            scrape.record(EXPIRED, count, {"kind": kind}, start=self._start)
        for kind, count in self._join.held.items():
            scrape.record(HELD, count, {"kind": kind})
