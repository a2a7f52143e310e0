"""What a window shows: figures, drift and quality. This is the costly part, and runs in a thread."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from sluiceway.ml import classification, regression
from sluiceway.ml.distances import (
    Distance,
    adjusted,
    bin_counts,
    chi_square,
    jensen_shannon,
    ks_and_wasserstein,
    psi,
)
from sluiceway.ml.reference import Categories, Numbers, Reference
from sluiceway.ml.rows import Array
from sluiceway.ml.settings import DriftSettings, EngineSettings

__all__ = ["Drift", "Found", "Quality", "Value", "Watch", "Window", "analyse"]

_FEATURE: Final = "feature"


@dataclass(frozen=True, slots=True)
class Window:
    """The records of one model that are looked at, in columns."""

    seen: dict[str, Array]
    joined: dict[str, Array]
    task: str
    classes: Sequence[str]
    positive: int
    segments: Sequence[Sequence[str]]
    """The values of each segment."""


class Value(NamedTuple):
    """One point of `ml.performance`."""

    figure: str
    name: str
    """The class, or empty for all."""
    segment: str
    """`<name>=<value>`, or empty for all."""
    value: float


@dataclass(frozen=True, slots=True)
class Drift:
    """How far one column is from its reference."""

    kind: str
    """`feature`, `prediction`, `score` or `label`."""
    feature: str
    distances: Mapping[str, Distance]
    """By method."""
    decides: str
    """The method whose p-value decides."""
    adjusted: float
    """This p-value, corrected for the number of features."""
    detected: bool


class Quality(NamedTuple):
    """What is wrong with the values of one feature, as shares; None where it cannot be told."""

    feature: str
    missing: float
    new_category: float | None
    out_of_range: float | None


@dataclass(frozen=True, slots=True)
class Found:
    """What a window has shown."""

    predictions: int = 0
    labels: int = 0
    performance: Sequence[Value] = ()
    drift: Sequence[Drift] = ()
    quality: Sequence[Quality] = ()


def analyse(
    window: Window, references: Mapping[str, Reference], overflowed: set[str], settings: EngineSettings
) -> Found:
    """Look at a window. It changes nothing that it is given."""
    predictions, labels = len(window.seen["arrived"]), len(window.joined["arrived"])
    with np.errstate(all="ignore"):
        return Found(
            predictions,
            labels,
            [value for value in _performance(window, settings) if isfinite(value.value)],
            list(_drift(window, references, settings)) if settings.drift is not None else [],
            list(_quality(window, references, overflowed)) if predictions >= settings.window.min_records else [],
        )


def _performance(window: Window, settings: EngineSettings) -> Iterator[Value]:
    size = len(window.joined["arrived"])
    if size < settings.window.min_records:
        return
    for segment, rows in _segments(window, settings):
        for figure, name, value in _figures(window, rows, settings):
            if figure in settings.performance:
                yield Value(figure, name, segment, value)


def _segments(window: Window, settings: EngineSettings) -> Iterator[tuple[str, Array | slice]]:
    """Every part of the window that has enough records, the whole first."""
    yield "", slice(None)
    for place, name in enumerate(settings.segments):
        codes = window.joined.get(f"segment:{place}")
        if codes is None:
            continue
        counts = np.bincount(codes[codes >= 0])
        for code in np.flatnonzero(counts >= settings.window.min_records).tolist():
            yield f"{name}={window.segments[place][code]}", codes == code


def _figures(window: Window, rows: Array | slice, settings: EngineSettings) -> Iterator[tuple[str, str, float]]:
    joined = window.joined
    truth, predicted = joined["truth"][rows], joined["predicted"][rows]
    if window.task == "regression":
        there = ~np.isnan(predicted)
        yield from ((figure, "", value) for figure, value in regression.figures(truth[there], predicted[there]))
        return
    columns = [name for name in joined if name.startswith("score:")]
    scores: Array | None
    if columns:
        scores = np.column_stack([joined[name][rows] for name in columns])
    else:
        scores = joined["score"][rows] if "score" in joined else None
    data = classification.Labelled(truth, predicted, scores, [int(name.partition(":")[2]) for name in columns])
    found = classification.figures(
        data, len(window.classes), window.positive, settings.threshold, settings.calibration_bins, settings.max_classes
    )
    for figure, code, value in found:
        yield figure, "" if code < 0 else window.classes[code], value


def _drift(window: Window, references: Mapping[str, Reference], settings: EngineSettings) -> Iterator[Drift]:
    drift = settings.drift
    assert drift is not None  # noqa: S101 - the caller has looked
    measured: list[tuple[str, str, dict[str, Distance], str]] = []
    for name, reference in references.items():
        column = _values(window, name)
        if column is None:
            continue
        values = column[~np.isnan(column)] if isinstance(reference, Numbers) else column[column >= 0]
        if min(len(values), len(reference)) < settings.window.min_records:
            continue
        kind, _, feature = name.partition(":")
        distances, decides = _distances(reference, values)
        measured.append((_KINDS.get(kind, kind), feature, distances, decides))
    tests = np.array([distances[decides].p_value for _, _, distances, decides in measured], np.float64)
    is_feature = np.array([kind == _FEATURE for kind, *_ in measured], bool)
    corrected = tests.copy()
    corrected[is_feature] = adjusted(tests[is_feature])
    for (kind, feature, distances, decides), p_value in zip(measured, corrected.tolist(), strict=True):
        yield Drift(kind, feature, distances, decides, p_value, p_value <= drift.alpha and _large(distances, drift))


_KINDS: Final = {"predicted": "prediction"}


def _values(window: Window, name: str) -> Array | None:
    if name != "label":
        return window.seen.get(name)
    truth = window.joined.get("truth")
    return None if truth is None else truth[window.joined["tested"]]


def _distances(reference: Reference, values: Array) -> tuple[dict[str, Distance], str]:
    """The scores by method, and which of them decides."""
    found: dict[str, Distance] = {}
    if isinstance(reference, Numbers):
        ks, wasserstein = ks_and_wasserstein(reference.values, np.sort(values), reference.deviation)
        found |= {"ks": ks, "wasserstein": wasserstein}
        before, now = reference.counts, bin_counts(reference.edges, values)
    else:
        size = max(len(reference.counts), int(values.max()) + 1)
        before = np.bincount(reference.values[reference.values >= 0], minlength=size)
        now = np.bincount(values, minlength=size)
    found["psi"] = psi(before, now)
    found["jensen_shannon"] = jensen_shannon(before, now)
    if isinstance(reference, Categories) or reference.is_discrete:
        found["chi_square"] = chi_square(before, now)
        return found, "chi_square"
    return found, "ks"


def _large(distances: Mapping[str, Distance], drift: DriftSettings) -> bool:
    """Whether the scores that have a threshold reach it."""
    return all(distances[name].score >= least for name, least in drift.thresholds.items() if name in distances)


def _quality(window: Window, references: Mapping[str, Reference], overflowed: set[str]) -> Iterator[Quality]:
    for name, values in window.seen.items():
        kind, _, feature = name.partition(":")
        if kind != _FEATURE:
            continue
        reference = references.get(name)
        new_category = out_of_range = None
        if values.dtype.kind == "f":
            there = values[~np.isnan(values)]
            if isinstance(reference, Numbers) and len(there):
                outside = (there < reference.values[0]) | (there > reference.values[-1])
                out_of_range = float(outside.mean())
        else:
            there = values[values >= 0]
            if isinstance(reference, Categories) and len(there) and name not in overflowed:
                known = np.zeros(max(len(reference.counts), int(there.max()) + 1), bool)
                known[np.flatnonzero(reference.counts)] = True
                new_category = float((~known[there]).mean())
        yield Quality(feature, 1 - len(there) / len(values), new_category, out_of_range)


@dataclass
class Watch:
    """ADWIN on a model's errors and on the confidence of its predictions; values wait here to be looked at."""

    settings: EngineSettings
    waiting: dict[str, list[npt.NDArray[np.float64]]] = field(default_factory=dict)
    _detectors: dict[str, Any] = field(default_factory=dict)

    def errors(self, truth: Array, predicted: Array) -> None:
        """Add errors: 1 for a wrong class, the absolute difference of quantities."""
        if truth.dtype.kind == "f":
            wrong = np.abs(truth - predicted)
            self._add("error", wrong[np.isfinite(wrong)])
        else:
            there = predicted >= 0
            self._add("error", (truth != predicted)[there].astype(np.float64))

    def confidences(self, values: npt.NDArray[np.float64]) -> None:
        """Add the probabilities of the classes that were predicted."""
        self._add("confidence", values[~np.isnan(values)])

    def take(self) -> dict[str, npt.NDArray[np.float64]]:
        """What waits, in order; it waits no more."""
        taken = {kind: np.concatenate(values) for kind, values in self.waiting.items()}
        self.waiting = {}
        return taken

    def look(self, taken: Mapping[str, npt.NDArray[np.float64]]) -> dict[str, int]:
        """Feed values to ADWIN, in a thread; give the number of changes that it found."""
        adwin = self.settings.drift.adwin if self.settings.drift is not None else None
        if adwin is None:
            return {}
        from river.drift import ADWIN

        changes = {}
        for kind, values in taken.items():
            detector = self._detectors.get(kind)
            if detector is None:
                detector = self._detectors[kind] = ADWIN(delta=adwin.delta)  # type: ignore[no-untyped-call]
            count = 0
            for value in values.tolist():
                detector.update(value)
                count += detector.drift_detected
            changes[kind] = count
        return changes

    def _add(self, kind: str, values: npt.NDArray[np.float64]) -> None:
        if self.settings.drift is None or self.settings.drift.adwin is None or not len(values):
            return
        waiting = self.waiting.setdefault(kind, [])
        waiting.append(values)
        if len(waiting) > 256:
            waiting[:] = [np.concatenate(waiting)[-self.settings.window.max_records :]]
