"""Patterns in which each part ends where it must, matched in one walk over the bytes; `sequences` says which they are."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8, PyUnicode_GET_LENGTH, PyUnicode_Substring
from libc.stdlib cimport calloc, free


cdef struct Part:
    int low
    int high  # -1 is without an end


cdef class Sequence:
    """The named groups of a text that consists of the parts in their order, from its beginning on.

    Of each part there is a table of 256 bytes, 1 for those that belong to it, and how many characters it has at least
    and at most (-1 for any number). `groups` are names with the numbers of the part they begin at and of the one behind
    them. With `to_end` nothing may follow. Raises `ValueError` where a text is another.
    """

    cdef const unsigned char* tables
    cdef bytes held
    cdef Part* parts
    cdef Py_ssize_t* places
    cdef Py_ssize_t count
    cdef bint to_end
    cdef tuple groups

    def __cinit__(self, list parts, tuple groups, bint to_end):
        cdef Py_ssize_t i
        self.held = b"".join(table for table, _, _ in parts)
        self.tables = <const unsigned char*>PyBytes_AS_STRING(self.held)
        self.count = len(parts)
        self.groups = groups
        self.to_end = to_end
        if PyBytes_GET_SIZE(self.held) != 256 * self.count:
            raise ValueError("a table has 256 bytes")
        self.parts = <Part*>calloc(self.count + 1, sizeof(Part))
        self.places = <Py_ssize_t*>calloc(self.count + 1, sizeof(Py_ssize_t))
        if self.parts == NULL or self.places == NULL:
            raise MemoryError
        for i in range(self.count):
            self.parts[i] = Part(parts[i][1], parts[i][2])
        for _, start, end in groups:
            if not 0 <= start <= end <= self.count:
                raise ValueError("a group consists of parts")

    def __dealloc__(self):
        free(self.parts)
        free(self.places)

    def __call__(self, str text not None):
        cdef bytes raw = text.encode("utf-8", "replace")
        cdef const char* data = PyBytes_AS_STRING(raw)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(raw)
        cdef bint ascii = size == PyUnicode_GET_LENGTH(text)
        cdef Py_ssize_t start, end, first, behind
        cdef dict found
        if not self.find(<const unsigned char*>data, size):
            raise ValueError("regex pattern does not match")
        found = {}
        for name, first, behind in self.groups:
            start, end = self.places[first], self.places[behind]
            if ascii:  # places in bytes are places in the text
                found[name] = PyUnicode_Substring(text, start, end)
            else:
                found[name] = PyUnicode_DecodeUTF8(data + start, end - start, "replace")
        return found

    cdef bint find(self, const unsigned char* text, Py_ssize_t size) noexcept nogil:
        """Note where each part begins; whether all are there."""
        cdef Py_ssize_t i, before
        cdef Py_ssize_t at = 0
        cdef int number
        cdef const unsigned char* table
        for i in range(self.count):
            self.places[i] = before = at
            table = self.tables + 256 * i
            if self.parts[i].high < 0 and self.parts[i].low < 2:  # the bytes behind a character's first belong, too
                while at < size and table[text[at]]:
                    at += 1
                if at == before and self.parts[i].low:
                    return False
                continue
            number = 0
            while at < size and number != self.parts[i].high and table[text[at]]:
                at += 1
                while at < size and text[at] & 0xC0 == 0x80:
                    at += 1
                number += 1
            if number < self.parts[i].low:
                return False
        self.places[self.count] = at
        return at == size or not self.to_end
