"""HMAC-SHA-256 (RFC 2104) with a key that is prepared once: a short text costs two blocks."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from sluiceway.otlp._digest cimport SHA256_START, sha256_block
from sluiceway.otlp._proto cimport bytes_at

cdef enum:
    BLOCK = 64


cdef struct Hmac:
    uint32_t inner[8]
    uint32_t outer[8]


cdef struct Hashing:
    uint32_t state[8]
    uint8_t block[64]
    size_t filled
    uint64_t size


cdef inline void hmac_prepare(Hmac* hmac, const uint8_t* key) noexcept nogil:
    """Prepare a key of 64 bytes: one that is shorter ends with zeros, of one that is longer the digest is taken."""
    cdef uint8_t block[64]
    cdef int i
    memcpy(hmac.inner, SHA256_START, 32)
    memcpy(hmac.outer, SHA256_START, 32)
    for i in range(BLOCK):
        block[i] = key[i] ^ 0x36
    sha256_block(hmac.inner, block)
    for i in range(BLOCK):
        block[i] = key[i] ^ 0x5C
    sha256_block(hmac.outer, block)


cdef inline void hash_begin(Hashing* hashing, const uint32_t* state) noexcept nogil:
    """Begin with a state that has seen one block."""
    memcpy(hashing.state, state, 32)
    hashing.filled = 0
    hashing.size = BLOCK


cdef inline void hash_more(Hashing* hashing, bytes_at data, size_t size) noexcept nogil:
    cdef size_t part
    hashing.size += size
    while size:
        if hashing.filled == 0 and size >= BLOCK:
            sha256_block(hashing.state, data)
            part = BLOCK
        else:
            part = min(size, BLOCK - hashing.filled)
            memcpy(hashing.block + hashing.filled, data, part)
            hashing.filled += part
            if hashing.filled == BLOCK:
                sha256_block(hashing.state, hashing.block)
                hashing.filled = 0
        data += part
        size -= part


cdef inline void hash_end(Hashing* hashing, uint8_t* digest) noexcept nogil:
    cdef uint64_t bits = 8 * hashing.size
    cdef int i
    hashing.block[hashing.filled] = 0x80
    memset(hashing.block + hashing.filled + 1, 0, BLOCK - hashing.filled - 1)
    if hashing.filled >= BLOCK - 8:
        sha256_block(hashing.state, hashing.block)
        memset(hashing.block, 0, BLOCK)
    for i in range(8):
        hashing.block[BLOCK - 1 - i] = <uint8_t>(bits >> (8 * i))
    sha256_block(hashing.state, hashing.block)
    for i in range(32):
        digest[i] = <uint8_t>(hashing.state[i >> 2] >> (24 - 8 * (i & 3)))


cdef inline void hmac_finish(Hmac* hmac, Hashing* inner, uint8_t* digest) noexcept nogil:
    """The 32 bytes of the code, for what was hashed since `hash_begin(inner, hmac.inner)`."""
    cdef Hashing outer
    hash_end(inner, digest)
    hash_begin(&outer, hmac.outer)
    hash_more(&outer, digest, 32)
    hash_end(&outer, digest)
