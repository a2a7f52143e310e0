"""Predictions and ground truths out of log records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final

from sluiceway.ml import ATTRIBUTES, GROUND_TRUTH, PREDICTION
from sluiceway.ml.batches import read_ground_truth, read_predictions
from sluiceway.ml.engine import Engine
from sluiceway.ml.settings import EngineSettings
from sluiceway.otlp import Batch
from sluiceway.otlp.view import BatchView, LogRecord

__all__ = ["Reader"]

_AT_ONCE: Final = 500
"""Records that are read before other tasks have their turn."""
_MODEL: Final = (ATTRIBUTES.model_name, ATTRIBUTES.model_version)
_TIME: Final = ATTRIBUTES.timestamp
_PREFIXES: Final = (ATTRIBUTES.feature_prefix, ATTRIBUTES.probability_prefix)
_FIXED: Final = frozenset({
    ATTRIBUTES.prediction_id, ATTRIBUTES.model_name, ATTRIBUTES.model_version, ATTRIBUTES.prediction, ATTRIBUTES.score,
    ATTRIBUTES.latency, ATTRIBUTES.error, ATTRIBUTES.label,
})  # fmt: skip
_MOST_KEYS: Final = 2000
"""Different features and probabilities that are looked at together; those of further names are not there."""

Row = dict[str, Any]


class Reader:
    """Feeds an engine with the records of batches."""

    def __init__(self, engine: Engine, settings: EngineSettings) -> None:
        self._engine = engine
        self._segments = settings.segments
        self.records = 0
        """Records that were looked at."""
        self.others = 0
        """Those of them that are neither predictions nor ground truths."""

    def read(self, batch: Batch, now: int) -> Iterator[None]:
        """Take a batch part by part: after each, other tasks may have their turn."""
        view = BatchView(batch)
        try:
            records = iter(view.logs)
            while part := list(islice(records, _AT_ONCE)):
                self._take(part, now)
                yield
        finally:
            view.close()

    def _take(self, records: Sequence[LogRecord], now: int) -> None:
        self.records += len(records)
        predictions: dict[tuple[str, ...], list[Row]] = {}
        truths: list[Row] = []
        for record in records:
            name = record.event_name or record.attributes.get("event.name")
            if name == PREDICTION:
                row = _prediction(record)
                predictions.setdefault(tuple(str(row.get(key)) for key in _MODEL), []).append(row)
            elif name == GROUND_TRUTH:
                truths.append(_row(record, record.attributes.copy()))
            else:
                self.others += 1
        rejected: Counter[str] = Counter()
        for rows in predictions.values():  # each model is a table of its own: they may have different columns
            table = _table(rows, {*_FIXED, _TIME, *self._segments})
            made, wrong = read_predictions(table, ATTRIBUTES, self._segments, now)
            self._engine.predictions(made)
            rejected.update(wrong)
        if truths:
            table = {
                key: [row.get(key) for row in truths] for key in (ATTRIBUTES.prediction_id, ATTRIBUTES.label, _TIME)
            }
            known, wrong = read_ground_truth(table, ATTRIBUTES, now)
            self._engine.ground_truth(known)
            rejected.update(wrong)
        if rejected:
            self._engine.reject(rejected)


def _row(record: LogRecord, row: Row) -> Row:
    row[_TIME] = record.time or record.observed_time
    return row


def _prediction(record: LogRecord) -> Row:
    """A record's attributes, with what its body and its resource add."""
    row = _row(record, record.attributes.copy())
    body = record.body
    if isinstance(body, dict):
        for key, value in body.items():
            row.setdefault(ATTRIBUTES.feature_prefix + key, value)
    for key in _MODEL:
        if key not in row:
            row[key] = record.resource.attributes.get(key)
    return row


def _table(rows: Sequence[Row], wanted: set[str]) -> dict[str, list[Any]]:
    """Rows as columns: those that are wanted and present, and all features and probabilities."""
    present = dict.fromkeys(key for row in rows for key in row)
    dynamic = [key for key in present if key.startswith(_PREFIXES)]
    keys = [key for key in present if key in wanted] + dynamic[:_MOST_KEYS]
    return {key: [row.get(key) for row in rows] for key in keys}
