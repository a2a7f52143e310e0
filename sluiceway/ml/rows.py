"""Records that wait in columns, and the numbers that stand for texts in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import repeat
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["OTHER", "Array", "Codes", "Rows"]

Array: TypeAlias = npt.NDArray[Any]

OTHER: Final = "_OTHER"
"""What stands for all values beyond a bound."""


class Rows:
    """A queue of records: they come in at the end and go at the front. Columns may be added at any time."""

    __slots__ = ("_columns", "_end", "_fill", "_first")

    def __init__(self, **columns: tuple[Any, Any]) -> None:
        """Columns by name: their type, and the value of records that have none."""
        self._columns: dict[str, Array] = {}
        self._fill: dict[str, Any] = {}
        self._first = self._end = 0
        for name, (kind, fill) in columns.items():
            self._columns[name], self._fill[name] = np.empty(0, kind), fill

    def __len__(self) -> int:
        return self._end - self._first

    def __getitem__(self, name: str) -> Array:
        """A view, good until the queue changes."""
        return self._columns[name][self._first : self._end]

    def __contains__(self, name: str) -> bool:
        return name in self._columns

    @property
    def names(self) -> Iterable[str]:
        """The columns."""
        return self._columns

    @property
    def capacity(self) -> int:
        """How many records there is room for."""
        return len(next(iter(self._columns.values())))

    def append(self, size: int, values: Mapping[str, Any]) -> None:
        """Add records: a column of that size, or one value for all; a column that is not known yet becomes one."""
        for name, given in values.items():
            if name not in self._columns:
                self._add(name, given)
        self._reserve(size)
        new = slice(self._end, self._end + size)
        for name, column in self._columns.items():
            column[new] = values.get(name, self._fill[name])
        self._end += size

    def drop(self, size: int) -> None:
        """Let the first records go."""
        for name, column in self._columns.items():
            if column.dtype.kind == "O":
                column[self._first : self._first + size] = self._fill[name]  # texts are not to be kept alive
        self._first += size

    def copy(self) -> dict[str, Array]:
        """All columns, to be kept."""
        return {name: self[name].copy() for name in self._columns}

    def take(self, rows: Array) -> dict[str, Array]:
        """Some of the records, to be kept."""
        return {name: self[name][rows] for name in self._columns}

    def _add(self, name: str, given: Array) -> None:
        kind = np.asarray(given).dtype
        self._fill[name] = {"f": np.nan, "i": -1, "b": False}.get(kind.kind)
        self._columns[name] = np.full(self.capacity, self._fill[name], kind)

    def _reserve(self, size: int) -> None:
        capacity, held = self.capacity, len(self)
        if self._end + size <= capacity:
            return
        room = capacity if (held + size) * 2 <= capacity else max((held + size) * 2, 64)
        for name, column in self._columns.items():
            moved = np.empty(room, column.dtype)
            moved[:held] = self[name]
            self._columns[name] = moved
        self._first, self._end = 0, held


class Codes:
    """Numbers from 0 on for texts, in the order in which they came; beyond `most`, all are one."""

    __slots__ = ("_codes", "_most", "names")

    def __init__(self, most: int) -> None:
        self._most = most
        self._codes: dict[str | None, int] = {None: -1, "": -1}
        self.names: list[str] = []

    def __len__(self) -> int:
        return len(self.names)

    def encode(self, texts: Array) -> npt.NDArray[np.int32]:
        """The numbers of texts; -1 for None and for an empty one."""
        listed = texts.tolist()
        codes = self._codes
        if len(self.names) <= self._most:
            for text in dict.fromkeys(listed):
                if text not in codes:
                    self._append(text if len(self.names) < self._most else OTHER)
                    if len(self.names) > self._most:
                        break
        other = codes.get(OTHER, -1)
        return np.fromiter(map(codes.get, listed, repeat(other)), np.int32, len(listed))

    def _append(self, text: str) -> None:
        if text not in self._codes:
            self._codes[text] = len(self.names)
            self.names.append(text)

    def find(self, text: str) -> int:
        """A text's number; -1 where it has none."""
        return self._codes.get(text, -1)
