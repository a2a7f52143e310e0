"""The named groups of a match as a map: what is left of a regular expression's cost once RE2 has matched."""

from cpython.bytes cimport PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_GET_LENGTH

cdef extern from "Python.h":
    object PyUnicode_Substring(object text, Py_ssize_t start, Py_ssize_t end)
    object PyUnicode_DecodeUTF8(const char* data, Py_ssize_t size, const char* errors)
    const char* PyBytes_AS_STRING(object raw)


cdef class Groups:
    """Reads a text by `match`, RE2's own method, which gives the places of all groups in bytes of UTF-8.

    `names` has for each number of a group its name, or None. A group that took no part gives an empty text. Raises
    `ValueError` where the pattern does not match.
    """

    cdef object match
    cdef object anywhere
    cdef tuple names

    def __init__(self, match, anywhere, tuple names):
        self.match = match
        self.anywhere = anywhere
        self.names = names

    def __call__(self, str text not None):
        cdef bytes raw = text.encode("utf-8", "replace")
        cdef Py_ssize_t size = PyBytes_GET_SIZE(raw)
        cdef bint ascii = size == PyUnicode_GET_LENGTH(text)
        cdef Py_ssize_t start, end
        cdef Py_ssize_t at = 0
        cdef dict found
        cdef tuple span
        cdef object spans = self.match(self.anywhere, raw, 0, size)
        if not spans or (<tuple>spans[0])[0] < 0:
            raise ValueError("regex pattern does not match")
        found = {}
        for name in self.names:
            if name is not None:
                span = <tuple?>spans[at]
                start = span[0]
                end = span[1]
                if start < 0 or end > size or end < start:
                    found[name] = ""
                elif ascii:  # places in bytes are places in the text
                    found[name] = PyUnicode_Substring(text, start, end)
                else:
                    found[name] = PyUnicode_DecodeUTF8(PyBytes_AS_STRING(raw) + start, end - start, "replace")
            at += 1
        return found
