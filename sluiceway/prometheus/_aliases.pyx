"""What something was called when it came, remembered in bounded memory.

The same resource may come in any number of encodings, and the same metric with any number of descriptions: each is an
alias of its number. What is not asked for any more is forgotten, in two generations: when the recent one is full it
becomes the older one, and what was older and has not been asked for since is gone. So a find costs the same however
many there are, and forgetting costs nothing.
"""

cdef enum:
    OBJECTS = 200  # bytes of an entry besides its text
    LONGEST = 65536  # bytes of an alias that is worth remembering: reading a longer one again costs no more than it did


cdef inline size_t size_of(object alias) except 0:
    """Of bytes, or a pair of them."""
    if type(alias) is bytes:
        return OBJECTS + len(alias)
    return OBJECTS + len(alias[0]) + len(alias[1])


cdef class Aliases:
    """Numbers by alias, which is bytes or a pair of bytes, in about so many bytes at `most`."""

    def __init__(self, size_t most):
        self.half, self.size = most // 2, 0
        self.recent, self.older = {}, {}

    cdef object find(self, object alias):
        """The number that goes by this alias, or None."""
        cdef object number = self.recent.get(alias)
        if number is None and self.older:
            number = self.older.pop(alias, None)
            if number is not None:
                self.remember(alias, number)
        return number

    cdef int remember(self, object alias, object number) except -1:
        """Note that a number goes by this alias."""
        cdef size_t size = size_of(alias)
        if size > LONGEST:
            return 0
        if self.size + size > self.half:
            self.older, self.recent, self.size = self.recent, {}, 0
        self.recent[alias] = number
        self.size += size
        return 0

    cdef int keep_only(self, object numbers) except -1:
        """Forget what goes by other numbers than these."""
        self.older = {alias: number for alias, number in self.older.items() if number in numbers}
        self.recent = {alias: number for alias, number in self.recent.items() if number in numbers}
        self.size = sum([size_of(alias) for alias in self.recent])
        return 0
