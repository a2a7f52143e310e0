from collections.abc import Callable, Mapping

class RemoteWriteEncoder:
    cached: int
    @property
    def series(self) -> int: ...
    @property
    def delta_series(self) -> int: ...
    def __init__(
        self,
        describe: Callable[
            [bytes, bytes, bytes, tuple[bytes, bytes, bytes], int, bool, bytes, tuple[float, ...]],
            tuple[tuple[bytes, ...], tuple[int, bytes, bytes, bytes], list[tuple[bytes, ...]]] | None,
        ],
        label_exemplar: Callable[[bytes, bytes, bytes], tuple[bytes, ...]],
        *,
        second: bool,
        metadata: bool,
        accumulate: bool,
        max_bytes: int,
        max_streams: int,
        max_cached: int,
        seed: int,
    ) -> None: ...
    def encode(
        self, payload: bytes, now: int, *, again: bool = False
    ) -> tuple[list[tuple[bytes, int, int, int, bool]], bytes, Mapping[str, int]]: ...
    def revert(self, request: int | None = None) -> None: ...
    def expire(self, before: int) -> None: ...
