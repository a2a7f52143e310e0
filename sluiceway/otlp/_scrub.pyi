class LongWork(Exception): ...  # noqa: N818 - no error: it asks to be run where there is time

class Scrubber:
    places: int
