"""What drift is measured against: for each column of a model, the numbers or categories that are usual."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from sluiceway.ml.batches import classes, quantities
from sluiceway.ml.distances import Counts, Floats, bin_counts, bin_edges
from sluiceway.ml.rows import OTHER, Array, Codes, Rows
from sluiceway.ml.settings import DriftSettings, EngineSettings

__all__ = ["Categories", "Numbers", "Reference", "References", "Sample"]

Sample: TypeAlias = "dict[str, Array]"
"""Columns by name: floats for numbers, int32 for categories. Those of features are called `feature:<name>`."""


class Numbers:
    """The reference of a column of numbers."""

    def __init__(self, values: Floats, bins: int) -> None:
        self._values = values
        self._bins = bins

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def values(self) -> Floats:
        """Sorted, without those that are missing."""
        return np.sort(self._values[~np.isnan(self._values)])

    @cached_property
    def edges(self) -> Floats:
        """Between the bins."""
        return bin_edges(self.values, self._bins)

    @cached_property
    def counts(self) -> Counts:
        """By bin."""
        return bin_counts(self.edges, self.values)

    @cached_property
    def deviation(self) -> float:
        """The standard deviation, by which distances are divided."""
        return float(np.std(self.values))

    @cached_property
    def is_discrete(self) -> bool:
        """Whether there are so few different values that each has a bin of its own."""
        return len(np.unique(self.values)) <= self._bins


class Categories:
    """The reference of a column of categories."""

    def __init__(self, values: npt.NDArray[np.int32]) -> None:
        self.values = values
        self.counts: Counts = np.bincount(values[values >= 0]).astype(np.int64)

    def __len__(self) -> int:
        return int(self.counts.sum())


Reference: TypeAlias = Numbers | Categories


class References:
    """The references of one model's columns, and which of its features are numbers and which categories."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._drift = settings.drift or DriftSettings()
        self._features: dict[str, Codes | None] = {}
        self._collecting: dict[str, Rows] = {
            "prediction": Rows(arrived=(np.int8, 0)),
            "label": Rows(arrived=(np.int8, 0)),
        }
        self.columns: dict[str, Reference] = {}
        first = settings.reference.type == "first_n"
        self._done: set[str] = set() if first else {*self._collecting}
        self.given = False
        """Whether the references are to stay as they are."""
        self.changes = 0
        """How often they were set."""

    def encode(self, features: Mapping[str, Array]) -> Sample:
        """Features in columns; those beyond the bound, or that are not asked for, are left out."""
        columns: Sample = {}
        for name, values in features.items():
            if name not in self._features and not self._admit(name, values):
                continue
            codes = self._features[name]
            columns[f"feature:{name}"] = quantities(values) if codes is None else codes.encode(classes(values))
        return columns

    def categories(self, name: str) -> tuple[str, ...] | None:
        """The categories of a feature; None for one of numbers."""
        codes = self._features.get(name)
        return None if codes is None else tuple(codes.names)

    def overflowed(self) -> set[str]:
        """The columns of which not all categories are told apart."""
        return {
            f"feature:{name}" for name, codes in self._features.items() if codes is not None and codes.find(OTHER) >= 0
        }

    def collect(self, kind: str, values: Mapping[str, Array]) -> int:
        """Take records into a reference that is being collected; say how many, from the first, were taken."""
        if kind in self._done:
            return 0
        rows, enough = self._collecting[kind], self._settings.reference.first_n
        taken = min(enough - len(rows), len(next(iter(values.values()))))
        rows.append(taken, {name: column[:taken] for name, column in values.items()})
        if len(rows) == enough:
            self._done.add(kind)
            self.set({name: rows[name] for name in rows.names if name != "arrived"})
        return taken

    def set(self, sample: Sample) -> None:
        """Make columns the reference, beside those of other names."""
        self.changes += 1
        for name, values in sample.items():
            made = Numbers(values, self._drift.bins) if values.dtype.kind == "f" else Categories(values)
            if len(made):
                self.columns[name] = made

    def give(self, sample: Sample) -> None:
        """Make columns the only reference, which stays."""
        self.given = True
        self._done = {*self._collecting}
        self.columns.clear()
        self.set(sample)

    def restore(self, sample: Sample) -> None:
        """Make columns that were kept the reference; what was not complete then is collected anew."""
        self._done |= {"label" if name == "label" else "prediction" for name in sample}
        self.set(sample)

    def _admit(self, name: str, values: Array) -> bool:
        """Make room for a feature, and settle what it is by its first values."""
        settings = self._settings
        if settings.features and name not in settings.features:
            return False
        if len(self._features) >= settings.max_features or not len(values):
            return False
        is_number = values.dtype.kind == "f" and name not in settings.categorical
        if is_number and np.isnan(values).all():
            return False
        self._features[name] = None if is_number else Codes(self._drift.max_categories)
        return True
