from collections.abc import Sequence
from typing import Self

from sluiceway.otlp.steps import Selected, Step

class Program:
    def __new__(cls, steps: Sequence[Step], selections: Sequence[Selected], slots: int) -> Self: ...
    def run(self, signal: int, payload: bytes, slots: list[bytes | list[bytes | None] | None]) -> bytes: ...
