from collections.abc import Callable

from sluiceway.otlp.plan import Outcome

class LongWork(Exception):  # noqa: N818 - no error: it asks to be run where there is time
    rest: Callable[[], Outcome]

class Scrubber:
    places: int
