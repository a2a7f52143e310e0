from collections.abc import Sequence
from typing import Self

from sluiceway.exporters.timescaledb.columns import Table

class Layout:
    def __new__(cls, tables: Sequence[Table]) -> Self: ...
    count: int

class SizeError(Exception): ...

def rows(
    layout: Layout, signal_code: int, payload: bytes, low: int, high: int, now: int, largest: int, most: int
) -> tuple[list[tuple[bytes, int]], bytes | None, int, int, int]: ...
def row(data: bytes, number: int) -> bytes: ...
