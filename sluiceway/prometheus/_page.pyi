from collections.abc import Mapping

from sluiceway.prometheus._store import Store
from sluiceway.prometheus.families import Family, Format

class Page:
    written: int
    def __init__(
        self, store: Store, claims: Mapping[str, Family], format: Format, *, utf8: bool, timestamps: bool, limit: float
    ) -> None: ...
    def slice(self, most: int) -> bytes | None: ...
    def close(self) -> None: ...
