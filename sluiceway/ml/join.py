"""Predictions and labels that wait for each other, bounded in time and number."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from itertools import repeat
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from sluiceway.ml.batches import GroundTruth
from sluiceway.ml.rows import Array, Rows
from sluiceway.ml.settings import JoinSettings

__all__ = ["Join", "Match"]

_SLOTS: Final = 1024
"""More than there can be models; a handle is a record's number, times this, plus its model's."""


class Match(NamedTuple):
    """Predictions of one model, and the labels that came for them."""

    slot: int
    held: dict[str, Array]
    """The columns that were held, and `time`, when the predictions were made."""
    labels: Array
    times: npt.NDArray[np.int64]
    """When the labels were found out, in ns since the epoch."""


class Join:
    """Holds predictions, by model (its `slot`), and labels that came first. Of those with the same id the first counts.

    A prediction stays for the whole window, with its label or without, so that what comes twice is seen.
    """

    def __init__(self, settings: JoinSettings) -> None:
        self._window = settings.window
        self._most = settings.max_records
        self._next = 0
        self._handles: dict[str, int] = {}
        self._early_ids: dict[str, int] = {}
        self._early = Rows(
            seq=(np.int64, 0), arrived=(np.float64, 0), time=(np.int64, 0), id=(object, None), label=(object, None),
            used=(bool, False),
        )  # fmt: skip
        self._tables: dict[int, Rows] = {}
        self.duplicates = 0
        self.expired = {"prediction": 0, "label": 0}

    @property
    def held(self) -> dict[str, int]:
        """How many predictions, and early labels, wait or are remembered."""
        return {"prediction": len(self._handles), "label": len(self._early_ids)}

    def coverage(self, slot: int) -> float | None:
        """The share of a model's predictions that have a label."""
        table = self._tables.get(slot)
        return float(table["labelled"].mean()) if table else None

    def holds(self, slot: int) -> bool:
        """Whether there are predictions of a model."""
        return bool(self._tables.get(slot))

    def forget(self, slot: int) -> None:
        """A model is gone, and its number may be another's."""
        self._tables.pop(slot, None)

    def fresh(self, ids: Array) -> npt.NDArray[np.bool_]:
        """Which predictions are the first of their id; those without an id all are. The others count as duplicates."""
        first = _first(ids.tolist(), self._handles) | (ids == "")
        self.duplicates += len(ids) - int(np.count_nonzero(first))
        return np.asarray(first, bool)

    def hold(
        self, slot: int, ids: Array, time: Array, columns: Mapping[str, Array], labelled: Array, now: float
    ) -> Match | None:
        """Hold predictions that are `fresh`; give those of them whose label has come already.

        Those that are `labelled` are only remembered.
        """
        kept = ids != ""
        ids, labelled = ids[kept], labelled[kept]
        size = len(ids)
        if not size:
            return None
        columns = {name: values[kept] for name, values in columns.items()} | {"time": time[kept]}
        listed = ids.tolist()
        early = np.fromiter(map(self._early_ids.pop, listed, repeat(-1)), np.int64, size)
        seqs = self._number(size)
        self._handles.update(zip(listed, (seqs * _SLOTS + slot).tolist(), strict=True))
        table = self._tables.setdefault(
            slot, Rows(seq=(np.int64, 0), arrived=(np.float64, 0), id=(object, None), labelled=(bool, False))
        )
        table.append(size, {**columns, "seq": seqs, "arrived": now, "id": ids, "labelled": labelled | (early >= 0)})
        rows = np.flatnonzero(early >= 0)
        places = np.searchsorted(self._early["seq"], early[rows])
        self._early["used"][places] = True
        new = ~labelled[rows]
        self.duplicates += int(np.count_nonzero(~new))
        rows, places = rows[new], places[new]
        match = Match(
            slot,
            {name: values[rows] for name, values in columns.items()},
            self._early["label"][places],
            self._early["time"][places],
        )
        self._trim(now)
        return match if len(rows) else None

    def labels(self, batch: GroundTruth, now: float) -> Iterator[Match]:
        """Find the predictions of labels; labels whose prediction has not come yet are held."""
        first = _first(batch.id.tolist(), self._early_ids)
        self.duplicates += len(batch) - int(np.count_nonzero(first))
        batch = batch.take(first)
        handles = np.fromiter(map(self._handles.get, batch.id.tolist(), repeat(-1)), np.int64, len(batch))
        for slot in np.unique(handles[handles >= 0] % _SLOTS).tolist():
            chosen = np.flatnonzero((handles >= 0) & (handles % _SLOTS == slot))
            table = self._tables[slot]
            rows = np.searchsorted(table["seq"], handles[chosen] // _SLOTS)
            new = ~table["labelled"][rows]
            self.duplicates += int(np.count_nonzero(~new))
            rows, chosen = rows[new], chosen[new]
            table["labelled"][rows] = True
            if len(rows):
                yield Match(slot, table.take(rows), batch.label[chosen], batch.time[chosen])
        self._wait(batch.take(handles < 0), now)

    def expire(self, now: float) -> None:
        """Let go of what has waited for too long."""
        for table in self._tables.values():
            self._drop(table, int(np.searchsorted(table["arrived"], now - self._window)))
        self._drop_early(int(np.searchsorted(self._early["arrived"], now - self._window)))

    def _wait(self, batch: GroundTruth, now: float) -> None:
        size = len(batch)
        if not size:
            return
        seqs = self._number(size)
        self._early_ids.update(zip(batch.id.tolist(), seqs.tolist(), strict=True))
        label = batch.label.astype(object)
        self._early.append(size, {"seq": seqs, "arrived": now, "time": batch.time, "id": batch.id, "label": label})
        if (beyond := len(self._early_ids) - self._most) > 0:
            waiting = np.flatnonzero(~self._early["used"])
            self._drop_early(int(waiting[beyond - 1]) + 1)
        if len(self._early) > 2 * self._most + 1024:
            self._compact()

    def _compact(self) -> None:
        """Let go of labels that have found their predictions."""
        kept = self._early.take(~self._early["used"])
        self._early.drop(len(self._early))
        self._early.append(len(kept["seq"]), kept)

    def _number(self, size: int) -> npt.NDArray[np.int64]:
        self._next += size
        return np.arange(self._next - size, self._next, dtype=np.int64)

    def _trim(self, now: float) -> None:
        """Let the oldest predictions go, whosoever they are, with some to spare, so that it is not done every time."""
        if len(self._handles) <= self._most:
            return
        self.expire(now)
        beyond = len(self._handles) - self._most
        if beyond > 0:
            seqs = np.concatenate([table["seq"] for table in self._tables.values()])
            count = min(beyond + self._most // 16, len(seqs))
            last = np.partition(seqs, count - 1)[count - 1]
            for table in self._tables.values():
                self._drop(table, int(np.searchsorted(table["seq"], last, side="right")))

    def _drop(self, table: Rows, size: int) -> None:
        if size:
            _remove(self._handles, table["id"][:size])
            self.expired["prediction"] += size - int(np.count_nonzero(table["labelled"][:size]))
            table.drop(size)

    def _drop_early(self, size: int) -> None:
        if size:
            unused = ~self._early["used"][:size]
            _remove(self._early_ids, self._early["id"][:size][unused])
            self.expired["label"] += int(np.count_nonzero(unused))
            self._early.drop(size)


def _first(ids: list[str], known: Mapping[str, Any]) -> npt.NDArray[np.bool_]:
    """Which are the first of their id, and not known."""
    size = len(ids)
    found = np.zeros(size, bool)
    found[list(dict(zip(reversed(ids), range(size - 1, -1, -1), strict=True)).values())] = True
    found &= ~np.fromiter(map(known.__contains__, ids), bool, size)
    return found


def _remove(known: dict[str, int], ids: Array) -> None:
    deque(map(known.pop, ids.tolist(), repeat(None)), maxlen=0)
