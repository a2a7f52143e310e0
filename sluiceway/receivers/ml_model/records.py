"""Rows and tables on their way into batches of the engine: which columns are worth reading, and which are missing."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, TypeAlias

import numpy as np
import orjson

from sluiceway.clock import Clock
from sluiceway.config.nearest import nearest
from sluiceway.escape import escape
from sluiceway.ml import EngineSettings
from sluiceway.ml.batches import GroundTruth, Predictions, Rejected, read_ground_truth, read_predictions
from sluiceway.receivers.ml_model.settings import RecordSource

__all__ = ["Read", "Reader", "Row", "missing_text", "parse_lines"]

Row: TypeAlias = dict[str, Any]

_MOST_PROBABILITIES: Final = 1000
_MOST_CELLS: Final = 1_000_000
"""Values that are held in one table; what would be more is taken as several."""
_SHOWN: Final = 20


@dataclass(slots=True)
class Read:
    """What was made of some records: batches, how many broke the contract, and what is wrong with all of them."""

    batches: list[Predictions | GroundTruth] = field(default_factory=list)
    rejected: Counter[str] = field(default_factory=Counter)
    trouble: str = ""


class Reader:
    """Makes batches of one source's records. Called in threads, one call at a time."""

    def __init__(
        self,
        source: RecordSource,
        settings: EngineSettings,
        clock: Clock,
        *,
        reference: bool = False,
        joined: bool = False,
    ) -> None:
        """A `reference` is one batch, since the next would replace it, and needs no predictions.

        Predictions that are to be `joined` with labels of another source need an id.
        """
        self._joined = joined
        self._reference = reference
        self._source = source
        self._settings = settings
        self._clock = clock
        self._features: set[str] = set()
        self._probabilities: set[str] = set()
        columns = source.columns
        self._fixed = {
            columns.prediction_id, columns.timestamp, columns.model_name, columns.model_version, columns.prediction,
            columns.score, columns.latency, columns.error, columns.label, *columns.probabilities.values(),
            *(columns.segments.get(name, name) for name in settings.segments),
        } - {""}  # fmt: skip

    def missing(self, names: Collection[str]) -> list[str]:
        """The columns that are needed and not there."""
        found = self._source.missing(frozenset(names))
        own_id = self._source.columns.prediction_id
        if self._joined and own_id not in names and own_id not in found:
            found.insert(0, own_id)
        return found

    def wanted(self, names: Collection[str]) -> list[str]:
        """The columns that are read. Of features there are as many as the engine looks at, those that came first."""
        source, settings = self._source, self._settings
        found = [name for name in names if name in self._fixed]
        if source.records == "ground_truth":
            return found
        named = {*settings.features, *settings.segments}
        for feature, column in source.columns.feature_columns(names):
            room = len(self._features) < settings.max_features
            if column not in self._features and (feature in named or (room and not settings.features)):
                self._features.add(column)
        for _, column in source.columns.probability_columns(names):
            if len(self._probabilities) < _MOST_PROBABILITIES:
                self._probabilities.add(column)
        more = self._features | self._probabilities
        return found + [name for name in names if name in more and name not in self._fixed]

    def rows(self, rows: Sequence[Row], where: str) -> Read:
        """Batches of records, each with the columns that it has."""
        read = Read()
        names = dict.fromkeys(name for row in rows for name in row)
        if missing := self.missing(names):
            read.trouble = f"{where}: {missing_text(missing, names)}"
            read.rejected["no_column"] = len(rows)
            return read
        columns = self.wanted(names)
        step = len(rows) if self._reference else max(_MOST_CELLS // max(len(columns), 1), 1)
        for begin in range(0, len(rows), step):
            part = rows[begin : begin + step]
            table = {name: [row.get(name) for row in part] for name in columns}
            for name in (self._source.columns.prediction, self._source.columns.label):
                if name in table:
                    table[name] = _quantities(table[name])
            self._add(read, table)
        return read

    def table(self, table: Mapping[str, Any]) -> Read:
        """A batch of a table whose columns were looked at before."""
        read = Read()
        self._add(read, table)
        return read

    def _add(self, read: Read, table: Mapping[str, Any]) -> None:
        source = self._source
        parts: Iterable[Mapping[str, Any]] = (table,)
        if source.records == "predictions":
            names = (source.columns.model_name, source.columns.model_version)
            parts = _by_model(table, [table[name] for name in names if name in table])
        for part in parts:
            try:
                batch, rejected = self._batch(part)
            except Exception as error:  # noqa: BLE001 - what cannot be read must not be read again and again
                read.trouble = f"records that cannot be read: {type(error).__name__}: {error}"
                read.rejected["unreadable"] += len(next(iter(part.values())))
                continue
            read.rejected.update(rejected)
            if len(batch):
                read.batches.append(batch)

    def _batch(self, table: Mapping[str, Any]) -> tuple[Predictions | GroundTruth, Rejected]:
        source, now = self._source, self._clock.time_ns()
        if source.records == "ground_truth":
            return read_ground_truth(table, source.columns, now)
        return read_predictions(
            table,
            source.columns,
            self._settings.segments,
            now,
            source.model_name,
            source.model_version,
            reference=self._reference,
        )


def _by_model(table: Mapping[str, Any], models: list[Any]) -> Iterator[Mapping[str, Any]]:
    """The table of each model, with the columns that it has: one model's numbers may be another's classes."""
    rows: dict[tuple[Any, ...], list[int]] = {}
    for row, key in enumerate(zip(*(map(str, values) for values in models), strict=True)):
        rows.setdefault(key, []).append(row)
    if len(rows) < 2:
        yield table
        return
    for chosen in rows.values():
        part = {name: _take(values, chosen) for name, values in table.items()}
        yield {name: values for name, values in part.items() if not _empty(values)} or part


def _quantities(values: list[Any]) -> list[Any]:
    """Numbers of which some have a fraction are all floats: in JSON, 3.0 may be written as 3."""
    kinds = {*map(type, values)} - {type(None)}
    if kinds != {int, float}:
        return values
    return [math.nan if value is None else float(value) for value in values]


def _take(values: Any, rows: list[int]) -> Any:
    return values[rows] if isinstance(values, np.ndarray) else [values[row] for row in rows]


def _empty(values: Any) -> bool:
    if isinstance(values, np.ndarray):
        return values.dtype.kind == "f" and bool(np.isnan(values).all())
    return all(value is None for value in values)


def parse_lines(data: bytes, longest: int, rejected: Counter[str]) -> Iterator[Row]:
    """The records in lines of JSON. A line that is none costs itself, and is counted."""
    for line in data.split(b"\n"):
        if not line or line.isspace():
            continue
        if len(line) > longest:
            rejected["too_long"] += 1
            continue
        try:
            found = _parse(line)
        except (ValueError, RecursionError):
            rejected["not_json"] += 1
            continue
        if isinstance(found, dict):
            yield flat(found)
        else:
            rejected["not_json"] += 1


def flat(row: Mapping[str, Any]) -> Row:
    """A record with the members of its objects beside them, as `features.age`; decimals become floats."""
    made: Row = {}
    for name, value in row.items():
        kind = value.__class__
        if kind is dict:
            for inner, part in value.items():
                made[f"{name}.{inner}"] = part
        else:
            made[name] = float(value) if kind is Decimal else value
    return made


def missing_text(missing: Iterable[str], names: Collection[str]) -> str:
    """What to say of columns that are missing: which, what is there, and what may have been meant."""
    there = sorted(names)
    shown = ", ".join(escape(name[:100]) for name in there[:_SHOWN]) + (", ..." if len(there) > _SHOWN else "")
    wrong = "; ".join(f'no column "{name}"{escape(nearest(name, there[:1000]))}' for name in missing)
    return f"{wrong} (there are: {shown or 'none'})"


def _parse(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except ValueError:
        if b"NaN" in line or b"Infinity" in line:  # what Python's own `json` writes for floats that are no numbers
            return json.loads(line)
        raise
