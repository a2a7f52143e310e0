"""SHA-1 and SHA-256 (FIPS 180-4) of attribute values, as lower-case hex.

A call into Python's `hashlib` costs several times what the digest of a short text does.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from sluiceway.otlp._proto cimport bytes_at

cdef extern from *:
    """
    static const uint32_t sluiceway_sha256_k[64] = {
        0x428A2F98, 0x71374491, 0xB5C0FBCF, 0xE9B5DBA5, 0x3956C25B, 0x59F111F1, 0x923F82A4, 0xAB1C5ED5,
        0xD807AA98, 0x12835B01, 0x243185BE, 0x550C7DC3, 0x72BE5D74, 0x80DEB1FE, 0x9BDC06A7, 0xC19BF174,
        0xE49B69C1, 0xEFBE4786, 0x0FC19DC6, 0x240CA1CC, 0x2DE92C6F, 0x4A7484AA, 0x5CB0A9DC, 0x76F988DA,
        0x983E5152, 0xA831C66D, 0xB00327C8, 0xBF597FC7, 0xC6E00BF3, 0xD5A79147, 0x06CA6351, 0x14292967,
        0x27B70A85, 0x2E1B2138, 0x4D2C6DFC, 0x53380D13, 0x650A7354, 0x766A0ABB, 0x81C2C92E, 0x92722C85,
        0xA2BFE8A1, 0xA81A664B, 0xC24B8B70, 0xC76C51A3, 0xD192E819, 0xD6990624, 0xF40E3585, 0x106AA070,
        0x19A4C116, 0x1E376C08, 0x2748774C, 0x34B0BCB5, 0x391C0CB3, 0x4ED8AA4A, 0x5B9CCA4F, 0x682E6FF3,
        0x748F82EE, 0x78A5636F, 0x84C87814, 0x8CC70208, 0x90BEFFFA, 0xA4506CEB, 0xBEF9A3F7, 0xC67178F2
    };
    static const uint32_t sluiceway_sha1_start[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
    static const uint32_t sluiceway_sha256_start[8] = {
        0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19
    };
    """
    const uint32_t[64] SHA256_K "sluiceway_sha256_k"
    const uint32_t[5] SHA1_START "sluiceway_sha1_start"
    const uint32_t[8] SHA256_START "sluiceway_sha256_start"

cdef enum:
    SHA1 = 1
    SHA256 = 2


cdef inline uint32_t left(uint32_t word, int bits) noexcept nogil:
    return word << bits | word >> (32 - bits)


cdef inline uint32_t right(uint32_t word, int bits) noexcept nogil:
    return word >> bits | word << (32 - bits)


cdef inline uint32_t big_endian(bytes_at p) noexcept nogil:
    return <uint32_t>p[0] << 24 | <uint32_t>p[1] << 16 | <uint32_t>p[2] << 8 | p[3]


cdef inline void sha1_round(
    uint32_t* a, uint32_t* b, uint32_t* c, uint32_t* d, uint32_t* e, uint32_t mixed
) noexcept nogil:
    mixed += left(a[0], 5) + e[0]
    e[0] = d[0]
    d[0] = c[0]
    c[0] = left(b[0], 30)
    b[0] = a[0]
    a[0] = mixed


cdef inline void sha1_block(uint32_t* state, bytes_at block) noexcept nogil:
    cdef uint32_t w[80]
    cdef uint32_t a = state[0]
    cdef uint32_t b = state[1]
    cdef uint32_t c = state[2]
    cdef uint32_t d = state[3]
    cdef uint32_t e = state[4]
    cdef int i
    for i in range(16):
        w[i] = big_endian(block + 4 * i)
    for i in range(16, 80):
        w[i] = left(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1)
    for i in range(20):
        sha1_round(&a, &b, &c, &d, &e, (d ^ (b & (c ^ d))) + 0x5A827999U + w[i])
    for i in range(20, 40):
        sha1_round(&a, &b, &c, &d, &e, (b ^ c ^ d) + 0x6ED9EBA1U + w[i])
    for i in range(40, 60):
        sha1_round(&a, &b, &c, &d, &e, ((b & c) | (d & (b | c))) + 0x8F1BBCDCU + w[i])
    for i in range(60, 80):
        sha1_round(&a, &b, &c, &d, &e, (b ^ c ^ d) + 0xCA62C1D6U + w[i])
    state[0] += a
    state[1] += b
    state[2] += c
    state[3] += d
    state[4] += e


cdef inline void sha256_block(uint32_t* state, bytes_at block) noexcept nogil:
    cdef uint32_t w[64]
    cdef uint32_t a, b, c, d, e, f, g, h
    cdef uint32_t one
    cdef uint32_t two
    cdef int i
    for i in range(16):
        w[i] = big_endian(block + 4 * i)
    for i in range(16, 64):
        one = right(w[i - 15], 7) ^ right(w[i - 15], 18) ^ w[i - 15] >> 3
        two = right(w[i - 2], 17) ^ right(w[i - 2], 19) ^ w[i - 2] >> 10
        w[i] = w[i - 16] + one + w[i - 7] + two
    a, b, c, d, e, f, g, h = state[0], state[1], state[2], state[3], state[4], state[5], state[6], state[7]
    for i in range(64):
        one = h + (right(e, 6) ^ right(e, 11) ^ right(e, 25)) + (g ^ (e & (f ^ g))) + SHA256_K[i] + w[i]
        two = (right(a, 2) ^ right(a, 13) ^ right(a, 22)) + ((a & b) | (c & (a | b)))
        h = g
        g = f
        f = e
        e = d + one
        d = c
        c = b
        b = a
        a = one + two
    state[0] += a
    state[1] += b
    state[2] += c
    state[3] += d
    state[4] += e
    state[5] += f
    state[6] += g
    state[7] += h


cdef inline void digest_block(int algorithm, uint32_t* state, bytes_at block) noexcept nogil:
    if algorithm == SHA1:
        sha1_block(state, block)
    else:
        sha256_block(state, block)


cdef inline size_t hex_digest(int algorithm, bytes_at data, size_t size, uint8_t* out) noexcept nogil:
    """Write the digest to `out`, which has room for 64 characters, and answer how many there are."""
    cdef uint32_t state[8]
    cdef uint8_t tail[128]
    cdef uint64_t bits = <uint64_t>size * 8
    cdef size_t words = 5 if algorithm == SHA1 else 8
    cdef size_t tail_size
    cdef size_t i
    cdef uint8_t nibble
    if algorithm == SHA1:
        memcpy(state, SHA1_START, 20)
    else:
        memcpy(state, SHA256_START, 32)
    while size >= 64:
        digest_block(algorithm, state, data)
        data += 64
        size -= 64
    memset(tail, 0, 128)
    memcpy(tail, data, size)
    tail[size] = 0x80
    tail_size = 64 if size < 56 else 128
    for i in range(8):
        tail[tail_size - 1 - i] = <uint8_t>(bits >> (8 * i))
    digest_block(algorithm, state, tail)
    if tail_size == 128:
        digest_block(algorithm, state, tail + 64)
    for i in range(8 * words):
        nibble = (state[i >> 3] >> (28 - 4 * (i & 7))) & 15
        out[i] = nibble + (48 if nibble < 10 else 87)
    return 8 * words
