from collections.abc import Callable
from typing import Any

BUCKET: int
COUNT: int
SUM: int
QUANTILE: int

class Series:
    seen: int
    time: int
    start: int
    value: float
    bound: float
    last: float
    live: bool
    cumulative: bool
    timed: bool
    tail: bytes
    exemplar: Any
    whole: Whole | None
    native: Any
    metric: Any
    keys: list[Any]
    def __init__(
        self, tail: bytes = b"", cumulative: bool = False, whole: Whole | None = None, bound: float = 0.0
    ) -> None: ...

class Whole:
    parts: list[Series]
    count: Series | None
    sum: Series | None
    created: Series | None
    tail: bytes
    live: bool
    start: int
    last: float
    metric: Any
    empty: bool
    def __init__(self, tail: bytes) -> None: ...
    def put(self, part: Series) -> None: ...

class Reading:
    number: int
    time: int
    scraped: int
    kept: int
    repeated: int
    honor_timestamps: bool
    def __init__(self, number: int, time: int, honor_timestamps: bool, track: bool = False) -> None: ...
    def take(
        self,
        series: Series | None,
        value: float,
        timestamp: int | None,
        exemplar: Any = None,
        native: Any = None,
    ) -> None: ...

def number(text: bytes) -> float: ...
def read(
    body: bytes,
    reading: Reading,
    known: dict[Any, Series | None],
    admit: Callable[[Any], Series | None],
    comment: Callable[[bytes], bool],
    careful: Callable[[bytes], object],
    exemplars: bool,
) -> int: ...
def numbers(
    series_of: list[Series],
    number: int,
    now: int,
    exemplar_field: Callable[[int, Any], bytes],
    created: dict[bytes, Series],
) -> tuple[bytes, int]: ...
def histograms(
    wholes: list[Whole], number: int, now: int, exemplar_field: Callable[[int, Any], bytes]
) -> tuple[bytes, int]: ...
def summaries(
    wholes: list[Whole], number: int, now: int, exemplar_field: Callable[[int, Any], bytes]
) -> tuple[bytes, int]: ...
