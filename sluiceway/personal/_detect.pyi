from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, Self

class Match(Protocol):
    def span(self) -> tuple[int, int]: ...

class Detectors:
    wanted: int
    decodes: bool
    def __new__(
        cls,
        wanted: int,
        decodes: bool = False,
        patterns: Sequence[tuple[bytes, Callable[[bytes], Iterable[Match]]]] = (),
    ) -> Self: ...
    def find(self, text: bytes, wanted: int | None = None) -> list[tuple[int, int, int, bytes]]: ...
