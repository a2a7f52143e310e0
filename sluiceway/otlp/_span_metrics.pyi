from collections.abc import Sequence

class SpanSeries:
    held: int
    def __init__(
        self,
        *,
        namespace: str,
        dimensions: list[tuple[bytes, bytes | None, int, Sequence[bytes], int]],
        globs: list[tuple[bytes, int]],
        reserved: list[bytes],
        instance: bytes,
        metrics: int,
        builtins: int,
        bounds: Sequence[float],
        max_size: int,
        unit: str,
        delta: bool,
        limit: int,
        max_groups: int,
        max_exemplars: int,
        whole_resource: bool,
        key_attributes: Sequence[bytes],
        scopes: Sequence[bytes],
        max_bytes: int,
        seed: int,
    ) -> None: ...
    def __len__(self) -> int: ...
    def add(self, payload: bytes, now: int) -> None: ...
    def flush(self, now: int) -> tuple[bytes, int]: ...
    def expire(self, series_before: int, groups_before: int) -> None: ...
