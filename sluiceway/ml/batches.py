"""Records in columns: what the engine is fed, whether it comes from logs, files or SQL.

All columns of a batch have the same length. A column of numbers is float64, with NaN where there is none; one of
anything else is an array of objects, with None where there is none. A column that is None is not there at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from sluiceway.ml.contract import Columns

__all__ = [
    "GroundTruth", "Predictions", "Rejected", "classes", "column", "quantities", "read_ground_truth",
    "read_predictions", "text_of", "times",
]  # fmt: skip

Array: TypeAlias = npt.NDArray[Any]
Table: TypeAlias = Mapping[str, "Sequence[Any] | Array"]
Rejected: TypeAlias = dict[str, int]
"""How many records broke the contract, by the reason: `no_id`, `no_label`, `no_prediction`, `bad_number`."""

_LONGEST: Final = 256
"""Characters of a text that are looked at: longer ids, classes and categories are cut."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """Predictions. Only `id`, `time`, `model` and `version` must be there, and one of the others to make sense."""

    id: Array
    """Texts; empty for predictions that never get a label."""
    time: npt.NDArray[np.int64]
    """When they were made, in ns since the epoch."""
    model: Array
    """Texts."""
    version: Array
    """Texts."""
    prediction: Array | None = None
    """Classes (texts, booleans, integers) or quantities (floats)."""
    scores: npt.NDArray[np.float64] | None = None
    """The positive class's score; or, with `classes`, one row for each record and one column for each class."""
    classes: tuple[str, ...] = ()
    """The classes of the columns of `scores`."""
    latency: npt.NDArray[np.float64] | None = None
    """Seconds."""
    error: npt.NDArray[np.bool_] | None = None
    """Whether the model failed. Failed predictions are counted, and nothing else."""
    label: Array | None = None
    """What is known to be so at once; as in `GroundTruth`."""
    segments: Mapping[str, Array] = field(default_factory=dict)
    """By the segment's name; texts."""
    features: Mapping[str, Array] = field(default_factory=dict)
    """By the feature's name: floats, or texts for categories."""

    def __len__(self) -> int:
        return len(self.id)

    def take(self, rows: Array) -> Predictions:
        """Some of the records: by a mask, or by their places."""

        def some(values: Any) -> Any:
            return None if values is None else values[rows]

        return Predictions(
            self.id[rows],
            self.time[rows],
            self.model[rows],
            self.version[rows],
            some(self.prediction),
            some(self.scores),
            self.classes,
            some(self.latency),
            some(self.error),
            some(self.label),
            {name: values[rows] for name, values in self.segments.items()},
            {name: values[rows] for name, values in self.features.items()},
        )


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """What turned out to be so."""

    id: Array
    """The ids of the predictions; texts."""
    time: npt.NDArray[np.int64]
    """When it was found out, in ns since the epoch."""
    label: Array
    """Classes (texts, booleans, integers) or quantities (floats)."""

    def __len__(self) -> int:
        return len(self.id)

    def take(self, rows: Array) -> GroundTruth:
        """Some of the records: by a mask, or by their places."""
        return GroundTruth(self.id[rows], self.time[rows], self.label[rows])


def read_predictions(
    table: Table,
    columns: Columns,
    segments: Sequence[str],
    now: int,
    model: str = "",
    version: str = "",
    *,
    reference: bool = False,
) -> tuple[Predictions, Rejected]:
    """Predictions out of a table with one sequence for each column; `now` is the time of those that have none.

    `model` and `version` stand in where there is none. Records that break the contract are left out, and counted; those
    of a `reference` need no prediction.
    """
    size = len(next(iter(table.values()), ()))
    probabilities = dict(columns.probability_columns(table))
    scores, wrong = _scores(table, columns, list(probabilities.values()), size)
    latency, bad = _numbers(table.get(columns.latency), size)
    if latency is not None:
        bad |= latency < 0
    error = _flags(table.get(columns.error), size)
    prediction = _values(table.get(columns.prediction), size)
    batch = Predictions(
        _texts(table.get(columns.prediction_id), size),
        times(table.get(columns.timestamp), size, now),
        _texts(table.get(columns.model_name), size, model),
        _texts(table.get(columns.model_version), size, version),
        prediction,
        scores,
        tuple(probabilities),
        latency,
        error,
        _values(table.get(columns.label), size),
        {name: _texts(table.get(columns.segments.get(name, name)), size) for name in segments},
        {name: column(table[key]) for name, key in columns.feature_columns(table)},
    )
    said = np.zeros(size, bool) if error is None else error.copy()
    if prediction is not None:
        said |= _there(prediction)
    if scores is not None:
        said |= ~np.isnan(scores if scores.ndim == 1 else scores.max(axis=1, initial=-np.inf))
    return _keep(batch, {"bad_number": wrong | bad, "no_prediction": ~said & (not reference)})


def read_ground_truth(table: Table, columns: Columns, now: int) -> tuple[GroundTruth, Rejected]:
    """Labels out of a table with one sequence for each column; `now` is the time of those that have none."""
    size = len(next(iter(table.values()), ()))
    label = _values(table.get(columns.label), size)
    label = np.full(size, None, object) if label is None else label
    batch = GroundTruth(
        _texts(table.get(columns.prediction_id), size), times(table.get(columns.timestamp), size, now), label
    )
    return _keep(batch, {"no_id": batch.id == "", "no_label": ~_there(label)})


def column(values: Sequence[Any] | Array) -> Array:
    """A feature as the engine has it: float64 where all are numbers, else texts; booleans are texts."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "iuf":
        return values.astype(np.float64)
    listed = _list(values)
    if {*map(type, listed)} <= {int, float, type(None)}:
        return np.array(listed, np.float64)
    return _objects([None if value is None else text_of(value) for value in listed])


def text_of(value: Any) -> str:
    """A class or category as text: the same for `1`, `1.0` and `"1"`, and for `True` and `"true"`."""
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)[:_LONGEST]


def quantities(values: Array) -> npt.NDArray[np.float64]:
    """Numbers; NaN for what is none."""
    try:
        found = values.astype(np.float64)
    except (TypeError, ValueError):
        found = np.fromiter(map(_number, values.tolist()), np.float64, len(values))
    return np.where(np.isfinite(found), found, np.nan)


def classes(values: Array) -> Array:
    """Texts; None where there is none."""
    listed = values.tolist()
    if {*map(type, listed)} <= {str, type(None)}:
        return values
    made = np.empty(len(listed), object)
    made[:] = [None if value is None or value != value else text_of(value) for value in listed]
    return made


def times(values: Sequence[Any] | Array | None, size: int, now: int) -> npt.NDArray[np.int64]:
    """Times in ns since the epoch, `now` for what is none. Numbers are in s, ms, µs or ns, by how large they are."""
    if values is None:
        return np.full(size, now, np.int64)
    if isinstance(values, np.ndarray) and values.dtype.kind == "M":
        found = values.astype("datetime64[ns]").astype(np.int64)
        return np.where(np.isnat(values), now, found)
    if isinstance(values, np.ndarray) and values.dtype.kind in "iu":
        values = values.astype(np.int64)
        if len(values) == 0 or values.min() >= _SCALES[-1][0]:
            return values
    return np.fromiter((_time(value, now) for value in _list(values)), np.int64, size)


_NO: Final = ("false", "False", "0")
_SCALES: Final = ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3), (2**63, 1))


def _time(value: Any, now: int) -> int:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return now
    if isinstance(value, datetime):
        value = value if value.tzinfo else value.replace(tzinfo=UTC)
        value = value.timestamp()
    if isinstance(value, int | float) and 0 < value < 2**63:
        return min(int(value * next(scale for limit, scale in _SCALES if value < limit)), 2**63 - 1)
    return now


def _list(values: Sequence[Any] | Array) -> list[Any]:
    return values.tolist() if isinstance(values, np.ndarray) else list(values)


def _objects(values: list[Any]) -> Array:
    return np.fromiter(values, object, len(values))  # lists among them would be taken for more dimensions


def _texts(values: Sequence[Any] | Array | None, size: int, instead: str = "") -> Array:
    if values is None:
        return np.full(size, instead, object)
    return _objects([instead if value is None or value == "" else text_of(value) for value in _list(values)])


def _values(values: Sequence[Any] | Array | None, size: int) -> Array | None:
    """Classes or quantities, as they are; None for what is neither, such as NaN or a list."""
    if values is None:
        return None
    if isinstance(values, np.ndarray) and values.dtype.kind == "f":
        return values.astype(np.float64)
    listed = _list(values)
    if size and {*map(type, listed)} == {float}:
        return np.array(listed, np.float64)
    return _objects([value if isinstance(value, str | int | float) and value == value else None for value in listed])


def _there(values: Array) -> npt.NDArray[np.bool_]:
    found = ~np.isnan(values) if values.dtype.kind == "f" else values != None  # noqa: E711 - value by value
    return np.asarray(found, bool)


def _numbers(
    values: Sequence[Any] | Array | None, size: int
) -> tuple[npt.NDArray[np.float64] | None, npt.NDArray[np.bool_]]:
    """Numbers, NaN where there is none, and which of the values are something else."""
    if values is None:
        return None, np.zeros(size, bool)
    if isinstance(values, np.ndarray) and values.dtype.kind in "iuf":
        found = values.astype(np.float64)
        return found, np.isinf(found)
    listed = _list(values)
    try:
        found = np.array(listed, np.float64)
    except (TypeError, ValueError, OverflowError):
        found = np.empty(0)
    if found.shape != (size,):  # texts that are no numbers, or lists
        found = np.fromiter((_number(value) for value in listed), np.float64, size)
    given = _there(_objects(listed))
    return found, np.isinf(found) | (np.isnan(found) & given & np.array([value == value for value in listed], bool))


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return np.nan


def _scores(
    table: Table, columns: Columns, probabilities: list[str], size: int
) -> tuple[npt.NDArray[np.float64] | None, npt.NDArray[np.bool_]]:
    if not probabilities:
        return _numbers(table.get(columns.score), size)
    found = [_numbers(table[name], size) for name in probabilities]
    scores = np.column_stack([np.full(size, np.nan) if numbers is None else numbers for numbers, _ in found])
    return scores, np.logical_or.reduce([wrong for _, wrong in found])


def _flags(values: Sequence[Any] | Array | None, size: int) -> npt.NDArray[np.bool_] | None:
    if values is None:
        return None
    return np.fromiter((bool(value) and value == value and value not in _NO for value in _list(values)), bool, size)


def _keep(batch: Any, wrong: dict[str, npt.NDArray[np.bool_]]) -> tuple[Any, Rejected]:
    """Leave out what is wrong; each record counts once."""
    left = np.ones(len(batch), bool)
    rejected = {}
    for reason, rows in wrong.items():
        if count := int(np.count_nonzero(rows & left)):
            rejected[reason] = count
        left &= ~rows
    return (batch.take(left) if rejected else batch), rejected
