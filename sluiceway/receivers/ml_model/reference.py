"""The reference that is given: predictions from a file or a query, read once."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any, Final

from sluiceway.component import Context
from sluiceway.ml import EngineSettings
from sluiceway.ml.batches import Predictions
from sluiceway.ml.engine import Engine
from sluiceway.receivers.ml_model.intake import Intake
from sluiceway.receivers.ml_model.parquet import read_parquet
from sluiceway.receivers.ml_model.records import Reader, Row, missing_text, parse_lines
from sluiceway.receivers.ml_model.settings import GivenReference, RecordSource, is_parquet
from sluiceway.receivers.ml_model.sql import fetch_rows

__all__ = ["Reference"]

_TIMEOUT: Final = 60.0
_RETRY: Final = 10.0
_LONGEST_LINE: Final = 1 << 20


class _Source(RecordSource):
    """Features suffice: what a model was trained with is a reference."""

    def missing(self, names: frozenset[str]) -> list[str]:
        """The columns that are needed and not there."""
        missing = super().missing(names)
        if any(True for _ in self.columns.feature_columns(names)):
            return [name for name in missing if name != self.columns.prediction]
        return missing


class Reference:
    """A source that is polled until it has given the reference."""

    def __init__(
        self, given: GivenReference, settings: EngineSettings, engine: Engine, intake: Intake, context: Context
    ) -> None:
        self.poll_interval = _RETRY
        self._is_done = False
        self._rejected: Counter[str] = Counter()
        self._given = given
        self._engine = engine
        self._intake = intake
        source = _Source(columns=given.columns, model_name=given.model_name, model_version=given.model_version)
        self._source = source
        self._reader = Reader(source, settings, context.clock, reference=True)

    async def poll(self) -> str:
        """Read the reference; returns what is wrong with it, and raises when it cannot be had."""
        given = self._given
        if self._is_done:
            return ""
        if given.file:
            rows = await self._intake.run(self._from_file)
        else:
            rows = await fetch_rows(given.datasource, given.query, given.max_records, _TIMEOUT)
        read = await self._intake.run(self._reader.rows, rows, given.file or "the query")
        if read.trouble:
            return f"{read.trouble}"
        batches = [batch for batch in read.batches if isinstance(batch, Predictions)]
        if not batches:
            return f"{given.file or 'the query'}: no records that could be read"
        await self._engine.reference(batches)
        self._engine.reject(read.rejected + self._rejected)
        self._is_done = True
        return ""

    def close(self) -> None:
        """Nothing is open."""

    def _from_file(self) -> list[Row]:
        path, most = self._given.file, self._given.max_records
        if is_parquet(path):
            return list(islice(self._parquet_rows(path), most))
        with Path(path).open("rb") as file:
            lines = (line for line in iter(lambda: file.readline(_LONGEST_LINE), b""))
            self._rejected.clear()
            parsed = (row for line in lines for row in parse_lines(line, _LONGEST_LINE, self._rejected))
            return list(islice(parsed, most))

    def _parquet_rows(self, path: str) -> Any:
        def choose(names: Any) -> list[str]:
            if missing := self._source.missing(frozenset(names)):
                raise ValueError(f"{path}: {missing_text(missing, names)}")
            return self._reader.wanted(names)

        for table in read_parquet(path, choose):
            columns = {name: values if isinstance(values, list) else values.tolist() for name, values in table.items()}
            yield from (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
