# cython: boundscheck=False, wraparound=False, cdivision=True
"""Memos apart for each tenant: see the declarations."""

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy

from sluiceway.otlp._arena cimport out_of_memory
from sluiceway.otlp._attributes cimport content, find
from sluiceway.otlp._memo cimport memo_empty
from sluiceway.otlp._proto cimport bytes_at

MOST_TENANTS = 64
IDLE = 2  # how many are kept for runs to come

cdef enum:
    LONGEST_NAME = 512  # of which tenants are told apart; ours are of 256 bytes at most


cdef void _forget(Tenant* tenant, size_t kinds) noexcept nogil:
    cdef size_t kind
    for kind in range(kinds):
        memo_empty(&tenant.memos[kind])
    free(tenant.memos)
    free(tenant.name)


cdef class TenantMemos:

    def __cinit__(self, size_t kinds, size_t most):
        self.kinds = kinds
        self.most = most
        self.tenants = <Tenant*>calloc(most, sizeof(Tenant))
        if self.tenants == NULL:
            raise MemoryError

    def __dealloc__(self):
        cdef size_t index
        for index in range(self.count):
            _forget(&self.tenants[index], self.kinds)
        free(self.tenants)

    cdef Memo* of(self, Text name) except NULL nogil:
        cdef Tenant* tenant = self.tenants
        cdef Tenant* oldest = self.tenants
        cdef size_t index
        self.turn += 1
        name.size = min(name.size, <size_t>LONGEST_NAME)
        for index in range(self.count):
            tenant = &self.tenants[index]
            if tenant.size == name.size and memcmp(tenant.name, name.data, name.size) == 0:
                tenant.seen = self.turn
                return tenant.memos
            if tenant.seen < oldest.seen:
                oldest = tenant
        return self.welcome(name, oldest)

    cdef Memo* welcome(self, Text name, Tenant* oldest) except NULL nogil:
        cdef Tenant tenant = Tenant(NULL, name.size, self.turn, NULL)
        tenant.name = <uint8_t*>malloc(name.size + 1)
        tenant.memos = <Memo*>calloc(self.kinds, sizeof(Memo))
        if tenant.name == NULL or tenant.memos == NULL:
            free(tenant.name)
            free(tenant.memos)
            out_of_memory()
        memcpy(tenant.name, name.data, name.size)
        if self.count < self.most:
            oldest = &self.tenants[self.count]
            self.count += 1
        else:
            _forget(oldest, self.kinds)
        oldest[0] = tenant
        return tenant.memos


cdef class MemoPool:

    def __cinit__(self, size_t kinds, str key="tenant.id"):
        self.kept = key.encode()
        self.key = Text(<bytes_at>PyBytes_AS_STRING(self.kept), len(self.kept))
        self.kinds = kinds
        self.free = []

    cdef TenantMemos lend(self):
        return self.free.pop() if self.free else TenantMemos(self.kinds, MOST_TENANTS + 1)  # and for what has none

    cdef int take_back(self, TenantMemos memos) except -1:
        if len(self.free) < IDLE:
            self.free.append(memos)
        return 0

    cdef Text tenant(self, Attributes* resource) noexcept nogil:
        """What a resource says of its tenant: the content of the `AnyValue`; nothing where there is no such attribute."""
        cdef Py_ssize_t index = find(resource, self.key, 0)
        return content(&resource.list[index]) if index >= 0 else Text(self.key.data, 0)
