"""What something was called when it came, remembered in bounded memory."""


cdef class Aliases:
    cdef dict recent
    cdef dict older
    cdef size_t size  # of what is recent
    cdef size_t half

    cdef object find(self, object alias)
    cdef int remember(self, object alias, object number) except -1
    cdef int keep_only(self, object numbers) except -1
