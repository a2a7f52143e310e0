"""Columns of a batch, for numpy and polars: one value for each item, by the path of a field or an attribute.

`name`, `duration`, `status.code` or `value` are fields of an item, `attributes.<key>` its attributes; with `resource.`,
`scope.` or `metric.` in front those of what it lies in. `service.name` stands for the resource's attribute.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sluiceway.otlp._view import (
    AboveField,
    AttributesOf,
    BelowField,
    Draft,
    Field,
    InsideField,
    ManyOf,
    NumbersField,
    OneOf,
    View,
)

if TYPE_CHECKING:
    import numpy as np

__all__ = ["array", "mask_of", "read", "write"]

_PARTS: Final = {"resource": 1, "scope": 2, "metric": 3}
_ITEM: Final = 5
_NO_COLUMN: Final = (AboveField, AttributesOf, BelowField, ManyOf, NumbersField, OneOf)
_SCALARS: Final = (str, bool, int, float, bytes)


class _Column(NamedTuple):
    fields: tuple[Field | None, ...]
    part: int
    key: str | None


def read(draft: Draft, classes: tuple[type[View], ...], path: str) -> list[object]:
    """The values of a column, None where there is none. Raises `ValueError` for a path that no item has."""
    column = _find(classes, path)
    return draft.read(column.fields, column.part, column.key)


def write(draft: Draft, classes: tuple[type[View], ...], path: str, values: object, where: object = None) -> None:
    """Set a column of the items; None and NaN leave an item as it is, and so does `where` where it is false."""
    column = _find(classes, path)
    if column.part != _ITEM:
        raise ValueError(f'"{path}" belongs to more than one item: set it on the resource, scope or metric')
    given = _values(values, len(draft))
    if where is not None:
        wanted = mask_of(where, len(draft))
        given = [value if keep else None for value, keep in zip(given, wanted, strict=True)]
    draft.write(column.fields, given, column.key)


def mask_of(mask: object, items: int) -> bytes:
    """A byte for each item, from whatever holds booleans."""
    if hasattr(mask, "astype"):
        found: bytes = mask.astype(bool).tobytes()
    else:
        found = bytes(map(bool, _listed(mask)))
    if len(found) != items:
        raise ValueError(f"there are {len(found)} flags for {items} items")
    return found


def array(values: list[Any]) -> np.ndarray[Any, Any]:
    """An array of int64, float64 or bool where all values allow it, with NaN for missing numbers; else of objects."""
    import numpy as np

    kinds = set(map(type, values))
    missing = type(None) in kinds
    kinds.discard(type(None))
    if kinds == {bool} and not missing:
        return np.array(values, dtype=bool)
    if kinds == {int} and not missing and min(values) >= -(2**63) and max(values) < 2**63:
        return np.array(values, dtype=np.int64)
    if kinds and kinds <= {int, float}:
        return np.array(values, dtype=np.float64)
    made = np.empty(len(values), dtype=object)
    made[:] = values
    return made


def _values(values: object, items: int) -> Sequence[object]:
    if isinstance(values, _SCALARS):
        return [values] * items
    given = [None if value != value else value for value in _listed(values)]  # NaN alone differs
    if len(given) != items:
        raise ValueError(f"there are {len(given)} values for {items} items")
    return given


def _listed(values: Any) -> list[Any]:
    for name in ("tolist", "to_list"):
        if hasattr(values, name):
            listed: list[Any] = getattr(values, name)()
            return listed
    return list(values)


@lru_cache(maxsize=1024)
def _find(classes: tuple[type[View], ...], path: str) -> _Column:
    part, name, key = _ITEM, path, None
    if path == "service.name":
        part, name = 1, "attributes.service.name"
    head, dot, rest = path.partition(".")
    if dot and head in _PARTS:
        part, name = _PARTS[head], rest
    if name.startswith("attributes."):
        name, key = "attributes", name.removeprefix("attributes.")
    column = _Column(tuple(_field(kind, name, key is not None) for kind in _of_part(classes, part)), part, key)
    if not any(column.fields):
        known = ", ".join(sorted(set(_names(classes, part))))
        raise ValueError(f'no item has a column "{path}" (there are: {known}, attributes.<key>)')
    return column


def _of_part(classes: tuple[type[View], ...], part: int) -> Iterator[type[View] | None]:
    """The classes, without those that are of another part: the first three are the containers, in their order."""
    for place, kind in enumerate(classes):
        yield kind if (place == part - 1 if part < _ITEM else place >= len(_PARTS)) else None


def _field(kind: type[View] | None, name: str, holds_attributes: bool) -> Field | None:
    outer, dot, inner = name.partition(".")
    field = getattr(kind, outer, None)
    if holds_attributes:
        return field if isinstance(field, AttributesOf) else None
    if dot and isinstance(field, OneOf):
        nested = _field(field.kind, inner, holds_attributes=False)
        return InsideField(field, nested) if nested is not None else None
    return field if isinstance(field, Field) and not dot and not isinstance(field, _NO_COLUMN) else None


def _names(classes: tuple[type[View], ...], part: int) -> Iterable[str]:
    for kind in _of_part(classes, part):
        for name in dir(kind) if kind is not None else ():
            if _field(kind, name, holds_attributes=False) is not None:
                yield name
