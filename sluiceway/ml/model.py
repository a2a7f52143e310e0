"""One model in one version: what it has said in the window, what came of it, and counts since it was first seen."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sluiceway.ml.analysis import Found, Watch, Window
from sluiceway.ml.batches import Predictions, classes, quantities
from sluiceway.ml.reference import Numbers, References, Sample
from sluiceway.ml.rows import Array, Codes, Rows
from sluiceway.ml.settings import EngineSettings
from sluiceway.ml.snapshots import Kept, values_of
from sluiceway.otlp.metrics import Histogram

__all__ = ["Distribution", "Model"]

_LATENCIES: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
)  # fmt: skip
_DELAYS: Final = (1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 43_200.0, 86_400.0, 604_800.0)
_SHARES: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
_MOST_CLASSES: Final = 1000
_MOST_SCORES: Final = 100
"""Classes whose probabilities are held."""
_POSITIVE_OF: Final = {"0": "1", "false": "true", "no": "yes"}


class Distribution:
    """Values in buckets, since the start."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = np.zeros(len(bounds) + 1, np.int64)
        self._sum = 0.0

    def add(self, values: npt.NDArray[np.float64]) -> None:
        """Count values; those that are NaN are none."""
        values = values[np.isfinite(values)]
        self._counts += np.bincount(np.searchsorted(self._bounds, values), minlength=len(self._counts))
        self._sum += float(values.sum())

    def __bool__(self) -> bool:
        return bool(self._counts.any())

    def histogram(self) -> Histogram:
        """As a data point has it."""
        return Histogram(self._bounds, self._counts.tolist(), self._sum)


@dataclass
class Counts:
    """What is counted since the start."""

    predictions: int = 0
    errors: int = 0
    labels: int = 0
    changes: dict[str, int] = field(default_factory=dict)


class Model:
    """Takes the records of one model, encodes them, and holds those of the window."""

    def __init__(
        self,
        settings: EngineSettings,
        name: str,
        version: str,
        start: int,
        rejected: Counter[str],
        *,
        counts_only: bool,
    ) -> None:
        self.settings = settings
        self.attributes = {"ml.model.name": name} | ({"ml.model.version": version} if version else {})
        self.start = start
        self.counts_only = counts_only
        """What stands for all models beyond the bound: their records are of no use together."""
        self.seen_at = 0.0
        self.counts = Counts()
        self.durations = Distribution(_LATENCIES)
        self.confidences = Distribution(_SHARES)
        self.delays = Distribution(_DELAYS)
        self.references = References(settings)
        self.found = Found()
        self.watch = Watch(settings)
        self._rejected = rejected
        self.drifting: set[tuple[str, str]] = set()
        self._task = "" if settings.task == "auto" else settings.task
        self._classes = Codes(_MOST_CLASSES)
        self._columns: dict[str, str] = {}
        self._segments = [Codes(settings.max_segments) for _ in settings.segments]
        self._seen = _window()
        self._joined = _window()

    def predictions(self, batch: Predictions, now: float) -> tuple[Predictions, dict[str, Array]]:
        """Take predictions; give those that did not fail, and what is to be held of them for their labels."""
        self.seen_at = now
        self.counts.predictions += len(batch)
        if batch.latency is not None:
            self.durations.add(batch.latency)
        if batch.error is not None and batch.error.any():
            self.counts.errors += int(np.count_nonzero(batch.error))
            batch = batch.take(~batch.error)
        if self.counts_only or len(batch) == 0:
            return batch, {}
        columns = self._said(batch)
        for place, name in enumerate(self.settings.segments):
            if name in batch.segments:
                columns[f"segment:{place}"] = self._segments[place].encode(batch.segments[name])
        self._remember(batch, columns, now)
        return batch, columns

    def labels(self, held: dict[str, Array], labels: Array, delays: npt.NDArray[np.float64] | None, now: float) -> None:
        """Take the labels of predictions that were held; `delays` are in seconds, None where they came together."""
        self.seen_at = now
        if self._task == "regression":
            truth: Array = quantities(labels)
            good = np.isfinite(truth)
        else:
            truth = self._classes.encode(classes(labels))
            good = truth >= 0
        bad = len(truth) - int(np.count_nonzero(good))
        if bad:
            self._rejected["bad_label"] += bad
            truth, held = truth[good], {name: values[good] for name, values in held.items()}
            delays = None if delays is None else delays[good]
        self.counts.labels += len(truth)
        if delays is not None:
            self.delays.add(np.maximum(delays, 0))
        kept = {name: values for name, values in held.items() if name == "predicted" or ":" in name or name == "score"}
        taken = self.references.collect("label", {"label": truth}) if self.settings.drift is not None else 0
        tested = np.arange(len(truth)) >= taken
        self._joined.append(len(truth), {**kept, "truth": truth, "tested": tested, "arrived": now})
        self._cut(self._joined)
        self.watch.errors(truth, held["predicted"])

    def window(self, since: float | None) -> Window:
        """What there is to be analysed: the records since then; or all, which then are the next window's no more."""
        seen, joined = self._seen, self._joined
        if since is None:
            self._seen, self._joined = _window(), _window()
        else:
            for rows in (seen, joined):
                rows.drop(int(np.searchsorted(rows["arrived"], since)))
        positive = self._positive()
        return Window(
            seen.copy() if since is not None else {name: seen[name] for name in seen.names},
            joined.copy() if since is not None else {name: joined[name] for name in joined.names},
            self._task,
            tuple(self._classes.names),
            positive,
            tuple(tuple(codes.names) for codes in self._segments),
        )

    def sample(self, batch: Predictions) -> Sample:
        """The columns of a batch of predictions, encoded, to be a reference."""
        columns = self.references.encode(batch.features)
        if batch.prediction is None and batch.scores is None and not self._task:
            return columns  # features alone do not tell what the model does
        columns |= self._said(batch)
        if batch.label is not None:
            columns["label"] = (
                quantities(batch.label) if self._task == "regression" else self._classes.encode(classes(batch.label))
            )
        return columns

    def keep(self) -> Kept:
        """The references, to be restored."""
        kept: Kept = {}
        for name, reference in self.references.columns.items():
            if isinstance(reference, Numbers):
                kept[name] = reference.values
            else:
                _, _, feature = name.partition(":")
                names = (self.references.categories(feature) if feature else None) or self._classes.names
                kept[name] = {names[code]: int(reference.counts[code]) for code in np.flatnonzero(reference.counts)}
        return kept

    def restore(self, kept: Kept) -> None:
        """Take references back; those of what is of another kind by now are left out."""
        columns = {name: values_of(column) for name, column in kept.items()}
        if not self._task and "predicted" in columns:
            self._task = "regression" if columns["predicted"].dtype.kind == "f" else "classification"
        features = {name.partition(":")[2]: values for name, values in columns.items() if name.startswith("feature:")}
        sample = self.references.encode(features)
        for name in columns.keys() - sample.keys() - {f"feature:{feature}" for feature in features}:
            is_number = columns[name].dtype.kind == "f"
            if is_number == (name == "score" or self._task == "regression"):
                sample[name] = columns[name] if is_number else self._classes.encode(columns[name])
        self.references.restore(sample)

    def _said(self, batch: Predictions) -> dict[str, Array]:
        """What the model said: `predicted`, and `score` or `score:<class>`."""
        columns: dict[str, Array] = {}
        if not self._task:
            numbers = batch.scores is None and batch.prediction is not None and batch.prediction.dtype.kind == "f"
            self._task = "regression" if numbers else "classification"
        if self._task == "regression":
            none = np.full(len(batch), np.nan)
            return {"predicted": none if batch.prediction is None else quantities(batch.prediction)}
        none = np.full(len(batch), -1, np.int32)
        predicted = none if batch.prediction is None else self._classes.encode(classes(batch.prediction))
        if batch.scores is None or not len(batch):
            return {"predicted": predicted}
        if batch.scores.ndim == 1:
            columns["score"] = batch.scores
        else:
            columns |= self._scores(batch.scores, batch.classes)
            predicted = np.where(predicted < 0, self._most_probable(batch), predicted).astype(np.int32)
        return columns | {"predicted": predicted}

    def _scores(self, scores: npt.NDArray[np.float64], names: tuple[str, ...]) -> dict[str, Array]:
        columns = {}
        for place, name in enumerate(names):
            if name not in self._columns and len(self._columns) < _MOST_SCORES:
                (code,) = self._classes.encode(np.array([name], object))
                self._columns[name] = f"score:{code}"
            if name in self._columns:
                columns[self._columns[name]] = scores[:, place]
        return columns

    def _most_probable(self, batch: Predictions) -> Array:
        assert batch.scores is not None  # noqa: S101 - the caller has looked
        codes = self._classes.encode(np.array(batch.classes, object))
        known = ~np.isnan(batch.scores).all(axis=1)
        best = np.where(np.isnan(batch.scores), -np.inf, batch.scores).argmax(axis=1)
        return np.where(known, codes[best], -1)

    def _remember(self, batch: Predictions, columns: dict[str, Array], now: float) -> None:
        """Put predictions into the window, or into the reference while there is none."""
        confidence = confidence_of(batch.scores)
        if confidence is not None:
            self.confidences.add(confidence)
            self.watch.confidences(confidence)
        drift = self.settings.drift is not None
        values: dict[str, Any] = {"predicted": columns["predicted"]}
        if confidence is not None:
            values["score"] = columns.get("score", confidence)
        if drift:
            values |= self.references.encode(batch.features)
        taken = self.references.collect("prediction", values) if drift else 0
        if taken < len(batch):
            rest = {name: column[taken:] for name, column in values.items()}
            self._seen.append(len(batch) - taken, {**rest, "arrived": now})
            self._cut(self._seen)

    def _cut(self, rows: Rows) -> None:
        beyond = len(rows) - self.settings.window.max_records
        if beyond > 0:
            rows.drop(beyond)
            self._rejected["window_full"] += beyond

    def _positive(self) -> int:
        """The class that scores are about; -1 where it is not known."""
        if self._task != "classification":
            return -1
        names = self._classes.names
        wanted = self.settings.positive_label
        if not wanted and len(names) == 1:
            wanted = _POSITIVE_OF.get(names[0], names[0] if names[0] in _POSITIVE_OF.values() else "")
        elif not wanted and len(names) > 1:
            wanted = max(names[:2])
        return int(self._classes.encode(np.array([wanted], object))[0]) if wanted else -1


def confidence_of(scores: npt.NDArray[np.float64] | None) -> npt.NDArray[np.float64] | None:
    """The greatest probability of each record, NaN where scores are none; None where there are no scores."""
    if scores is None or not scores.size:
        return None
    low, high = (scores, np.maximum(scores, 1 - scores)) if scores.ndim == 1 else (scores.min(1), scores.max(1))
    return np.where((low >= 0) & (high <= 1), high, np.nan)


def _window() -> Rows:
    return Rows(arrived=(np.float64, 0))
