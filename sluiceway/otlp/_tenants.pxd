"""Memos apart for each tenant: what one tenant sends neither displaces what another's values were found to be, nor shows
in how fast those are.
"""

from libc.stdint cimport uint8_t, uint64_t

from sluiceway.otlp._attributes cimport Attributes, Text
from sluiceway.otlp._memo cimport Memo


cdef struct Tenant:
    uint8_t* name
    size_t size
    uint64_t seen  # when, in turns
    Memo* memos


cdef class TenantMemos:
    """Memos for the tenants that were seen last, so many for each. It is lent to one run at a time."""

    cdef size_t kinds
    cdef size_t most
    cdef Tenant* tenants
    cdef size_t count
    cdef uint64_t turn

    # The memos of a tenant, all empty where it is new; those of the one that was not seen for longest are then forgotten.
    cdef Memo* of(self, Text name) except NULL nogil
    cdef Memo* welcome(self, Text name, Tenant* oldest) except NULL nogil


cdef class MemoPool:
    """Lends `TenantMemos` to runs: each has its own, and they outlive it."""

    cdef bytes kept
    cdef Text key  # the resource attribute that names the tenant
    cdef size_t kinds
    cdef list free

    cdef TenantMemos lend(self)
    cdef int take_back(self, TenantMemos memos) except -1
    cdef Text tenant(self, Attributes* resource) noexcept nogil
