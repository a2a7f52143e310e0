from collections.abc import Sequence
from typing import Self

from sluiceway.otlp.steps import Expression, Selected, Step

class Program:
    asks: bool
    """Whether a walk asks something of Python: one run of it waits for another then."""

    def __new__(
        cls, steps: Sequence[Step], selections: Sequence[Selected], expressions: Sequence[Expression], slots: int
    ) -> Self: ...
    def run(
        self, signal: int, payload: bytes, slots: list[bytes | list[bytes | None] | None], hurried: bool = False
    ) -> tuple[bytes, list[tuple[int, ...]]]: ...
