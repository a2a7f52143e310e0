"""Reading Parquet, a part at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from sluiceway.extras import require

__all__ = ["read_parquet"]

ROWS: Final = 10_000
"""Rows that are read at a time."""


def read_parquet(path: str, choose: Callable[[Sequence[str]], Sequence[str]]) -> Iterator[dict[str, Any]]:
    """The tables in a file, each with the columns that `choose` takes of its names.

    Members of structs are columns as `features.age`. Raises `ValueError` for what is no Parquet, and `OSError`.
    """
    require("Parquet", "parquet", "pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            columns = list(choose([_name(leaf) for leaf in _leaves(file.schema)]))
            for batch in file.iter_batches(ROWS, columns=columns):
                table = pa.Table.from_batches([batch]).flatten()
                yield {name: _values(table.column(name)) for name in table.column_names if name in columns}
    except pa.ArrowException as error:
        raise ValueError(str(error)) from None


def _leaves(schema: Any) -> Iterator[str]:
    yield from (schema.column(number).path for number in range(len(schema.names)))


def _name(path: str) -> str:
    return path.removesuffix(".list.element")


def _values(column: Any) -> Any:
    """Floats and times as an array, all else as a list, with None where there is nothing."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_floating(kind) or (pa.types.is_integer(kind) and column.null_count == 0):
        return column.to_numpy()
    if pa.types.is_timestamp(kind):
        return column.to_numpy().astype("datetime64[ns]")
    if pa.types.is_decimal(kind):
        return [None if value is None else float(value) for value in column.to_pylist()]
    return column.to_pylist()
