"""References as bytes (JSON), to be kept over a restart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import orjson

__all__ = ["Kept", "dump", "load", "values_of"]

Kept: TypeAlias = "dict[str, npt.NDArray[np.float64] | dict[str, int]]"
"""The references of one model: by column, its numbers, or how often there was which category."""
_Key: TypeAlias = "tuple[str, str]"

_FORMAT: Final = 1


def dump(models: Mapping[_Key, Kept]) -> bytes:
    """The references of models by name and version."""
    written = [
        {"name": name, "version": version, "columns": columns} for (name, version), columns in models.items() if columns
    ]
    return orjson.dumps({"format": _FORMAT, "models": written}, option=orjson.OPT_SERIALIZE_NUMPY)


def load(snapshot: bytes) -> dict[_Key, Kept]:
    """What `dump` wrote. Raises `ValueError` for anything else."""
    try:
        read = orjson.loads(snapshot)
        if read["format"] != _FORMAT:
            raise ValueError(f"references of format {read['format']!r} are not known")
        return {
            (_text(model["name"]), _text(model["version"])): {
                _text(name): _column(column) for name, column in model["columns"].items()
            }
            for model in read["models"]
        }
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"these are no references: {error}") from error


def values_of(column: npt.NDArray[np.float64] | dict[str, int]) -> npt.NDArray[Any]:
    """A column as it was: its numbers, or each category as often as there was one."""
    if isinstance(column, dict):
        return np.repeat(np.array([*column], object), list(column.values()))
    return column


def _column(read: Any) -> npt.NDArray[np.float64] | dict[str, int]:
    if isinstance(read, dict):
        return {_text(name): int(count) for name, count in read.items() if 0 < count < 2**31}
    return np.array(read, np.float64).reshape(-1)


def _text(read: Any) -> str:
    if not isinstance(read, str):
        raise TypeError(f"{read!r} is no text")
    return read
