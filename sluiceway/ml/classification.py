"""How good a classifier is: the figures of predictions whose labels are known.

Each figure is what scikit-learn's function of its name gives, and is left out where it is not defined: precision of a
class that was never predicted, the area under the curve of labels that are all alike, and so on. In macro averages such
a class counts as 0. Classes are numbers from 0 on here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Labelled", "average_precision", "calibration_error", "figures", "roc_auc"]

Ints: TypeAlias = npt.NDArray[np.int32]
Floats: TypeAlias = npt.NDArray[np.float64]
Found: TypeAlias = Iterator[tuple[str, int, float]]
"""A figure, the class that it is of (-1 for all), and its value."""

_ALL: Final = -1
_SMALLEST: Final = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True)
class Labelled:
    """Predictions with their labels."""

    truth: Ints
    predicted: Ints
    """-1 where only a score is known."""
    scores: Floats | None = None
    """The positive class's scores, or a column for each of `columns`; NaN where there is none."""
    columns: Sequence[int] = ()
    """The classes of the columns of `scores`."""

    def __len__(self) -> int:
        return len(self.truth)

    def take(self, rows: npt.NDArray[Any]) -> Labelled:
        """Some of them, by a mask."""
        scores = None if self.scores is None else self.scores[rows]
        return Labelled(self.truth[rows], self.predicted[rows], scores, self.columns)


def figures(data: Labelled, classes: int, positive: int, threshold: float, bins: int, most_classes: int) -> Found:
    """All figures. `classes` is how many there are, and `positive` the one of two that scores are about, or -1."""
    data = _decided(data, classes, positive, threshold)
    if len(data) == 0:
        return
    yield from _counted(data, classes, positive if classes <= 2 else _ALL, most_classes)
    if data.scores is None:
        return
    if data.scores.ndim == 1 or (len(data.columns) == 2 and positive in data.columns):
        scores = data.scores if data.scores.ndim == 1 else data.scores[:, list(data.columns).index(positive)]
        if positive >= 0 and classes <= 2:
            known = np.asarray(~np.isnan(scores))
            yield from _binary(data.truth[known] == positive, scores[known], bins)
    else:
        known = np.asarray(~np.isnan(data.scores).any(axis=1))
        yield from _multiclass(data.truth[known], data.scores[known], np.asarray(data.columns), bins)


def _decided(data: Labelled, classes: int, positive: int, threshold: float) -> Labelled:
    """Predictions of which only a score is known become classes; those that cannot are left out."""
    open_: npt.NDArray[np.bool_] = np.asarray(data.predicted < 0)
    if not open_.any():
        return data
    if data.scores is None or data.scores.ndim == 2 or positive < 0 or classes > 2:
        return data.take(~open_)
    negative = 1 - positive if positive < 2 else 0
    predicted = np.where(open_, np.where(data.scores >= threshold, positive, negative), data.predicted)
    decided = Labelled(data.truth, predicted.astype(np.int32), data.scores)
    return decided.take(np.asarray(~(open_ & np.isnan(data.scores))))


def _counted(data: Labelled, classes: int, positive: int, most_classes: int) -> Found:
    """What follows from how often which class was taken for which."""
    classes = max(classes, 2)
    right = data.truth == data.predicted
    hits = np.bincount(data.truth[right], minlength=classes)
    actual = np.bincount(data.truth, minlength=classes)
    claimed = np.bincount(data.predicted, minlength=classes)
    accuracy = float(right.mean())
    yield "accuracy", _ALL, accuracy
    present = np.flatnonzero(actual + claimed)
    by_class = {
        "precision": (hits, claimed),
        "recall": (hits, actual),
        "f1": (2 * hits, actual + claimed),
    }
    shown = present[np.argsort(-actual[present], kind="stable")][:most_classes]
    for name, (top, bottom) in by_class.items():
        values = top[present] / np.maximum(bottom[present], 1)
        yield f"{name}_macro", _ALL, float(values.mean())
        yield f"{name}_micro", _ALL, accuracy
        for one in shown if positive < 0 else ():
            if bottom[one]:
                yield name, int(one), float(top[one] / bottom[one])
        if positive >= 0 and positive < len(bottom) and bottom[positive]:
            yield name, _ALL, float(top[positive] / bottom[positive])


def _binary(truth: npt.NDArray[np.bool_], scores: Floats, bins: int) -> Found:
    if len(scores) == 0:
        return
    if 0 < truth.sum() < len(truth):
        yield "roc_auc", _ALL, roc_auc(truth, scores)
    if truth.any():
        yield "average_precision", _ALL, average_precision(truth, scores)
    if scores.min() < 0 or scores.max() > 1:  # no probabilities
        return
    sure = np.clip(scores, _SMALLEST, 1 - _SMALLEST)
    yield "log_loss", _ALL, float(-np.where(truth, np.log(sure), np.log1p(-sure)).mean())
    yield "brier_score", _ALL, float(((scores - truth) ** 2).mean())
    yield "calibration_error", _ALL, calibration_error(truth, scores, bins)


def _multiclass(truth: Ints, scores: Floats, columns: npt.NDArray[Any], bins: int) -> Found:
    if len(truth) == 0:
        return
    is_class = truth[:, None] == columns
    mixed = [k for k in range(len(columns)) if 0 < is_class[:, k].sum() < len(truth)]
    if mixed:
        yield "roc_auc", _ALL, float(np.mean([roc_auc(is_class[:, k], scores[:, k]) for k in mixed]))
        areas = [average_precision(is_class[:, k], scores[:, k]) for k in mixed]
        yield "average_precision", _ALL, float(np.mean(areas))
    if scores.min() < 0 or scores.max() > 1:
        return
    of_truth = np.where(is_class, scores, 0).sum(axis=1)
    yield "log_loss", _ALL, float(-np.log(np.clip(of_truth, _SMALLEST, 1 - _SMALLEST)).mean())
    unknown = ~is_class.any(axis=1)
    yield "brier_score", _ALL, float((((scores - is_class) ** 2).sum(axis=1) + unknown).mean())
    top = scores.argmax(axis=1)
    right = is_class[np.arange(len(top)), top]
    yield "calibration_error", _ALL, calibration_error(right, scores[np.arange(len(top)), top], bins)


def roc_auc(truth: npt.NDArray[np.bool_], scores: Floats) -> float:
    """The probability that a positive has a greater score than a negative, by the ranks of Mann and Whitney."""
    from scipy.stats import rankdata

    positives = int(truth.sum())
    negatives = len(truth) - positives
    ranks = float(rankdata(scores)[truth].sum())
    return (ranks - positives * (positives + 1) / 2) / (positives * negatives)


def average_precision(truth: npt.NDArray[np.bool_], scores: Floats) -> float:
    """The sum over thresholds of precision times the recall that is won there."""
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    hits = np.cumsum(truth[order])[ends]
    return float((np.diff(hits, prepend=0) * (hits / (ends + 1))).sum() / hits[-1])


def calibration_error(truth: npt.NDArray[np.bool_], probabilities: Floats, bins: int) -> float:
    """The expected calibration error: how far, on average, a bin's probability is from how often it came true.

    Of two classes it is that of the positive one; of more, that of the one that was most probable (Guo et al. 2017).
    """
    edges = np.linspace(0, 1, bins + 1)[1:-1]
    places = np.searchsorted(edges, probabilities)
    claimed = np.bincount(places, probabilities, minlength=bins)
    seen = np.bincount(places, truth, minlength=bins)
    return float(np.abs(claimed - seen).sum() / len(truth))
