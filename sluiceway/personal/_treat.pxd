"""What is done with what was found: masks, hashes, pseudonyms and networks, written to a buffer."""

from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from sluiceway.otlp._arena cimport out_of_memory
from sluiceway.otlp._proto cimport Buffer, buffer_put, buffer_reserve, bytes_at
from sluiceway.personal._hmac cimport Hashing, Hmac, hash_begin, hash_more, hmac_finish
from sluiceway.personal._normal cimport LONGEST_ADDRESS, normal_form, truncate
from sluiceway.personal._scan cimport CREDIT_CARD, IBAN, PHONE

cdef extern from *:
    """
    static const char sluiceway_consonants[] = "bcdfghjklmnpqrst";
    """
    const char* CONSONANTS "sluiceway_consonants"

cdef enum:  # actions, in the order of `rules.Action`
    MASK = 0
    HASH = 1
    PSEUDONYMIZE = 2
    ENCRYPT = 3
    TRUNCATE = 4
    REMOVE = 5
    LEAVE = 6
    ACTIONS = 7

cdef enum:
    LEAST_HIDDEN = 4  # characters; where fewer would be hidden, none is shown
    TOKEN_LETTERS = 24  # four bits each


cdef struct Treatment:
    int action
    int keep_first
    int keep_last
    int ipv4_bits
    int ipv6_bits


cdef inline int put(Buffer* out, const void* data, size_t size) except -1 nogil:
    if not buffer_put(out, data, size):
        out_of_memory()
    return 0


cdef inline uint8_t* reserve(Buffer* out, size_t size) except NULL nogil:
    if not buffer_reserve(out, size):
        out_of_memory()
        return NULL
    return out.data + out.size


cdef inline bytes_at skip_characters(bytes_at p, bytes_at end, int count) noexcept nogil:
    """Past so many code points."""
    while p < end and count:
        p += 1
        while p < end and p[0] & 0xC0 == 0x80:
            p += 1
        count -= 1
    return p


cdef inline size_t count_characters(bytes_at p, bytes_at end) noexcept nogil:
    cdef size_t count = 0
    while p < end:
        count += p[0] & 0xC0 != 0x80
        p += 1
    return count


cdef inline int put_mask(Buffer* out, Treatment* treatment, int kind, bytes_at text, size_t size) except -1 nogil:
    """Four stars however long the text is, and what may be seen of it. Of numbers only digits and letters count."""
    cdef uint8_t* place
    cdef bytes_at end
    cdef size_t kept = treatment.keep_first + treatment.keep_last
    cdef size_t characters
    if kept == 0:
        return put(out, <const char*>b"****", 4)
    if kind == CREDIT_CARD or kind == IBAN or kind == PHONE:
        place = reserve(out, 2 * size + LONGEST_ADDRESS + 8) + size + 4
        size = normal_form(kind, text, size, place)
        text = place
    else:
        reserve(out, size + 4)
    end = text + size
    characters = count_characters(text, end)
    if kept + LEAST_HIDDEN > characters:
        return put(out, <const char*>b"****", 4)
    put(out, text, skip_characters(text, end, treatment.keep_first) - text)
    put(out, <const char*>b"****", 4)
    text = skip_characters(text, end, <int>(characters - treatment.keep_last))
    return put(out, text, end - text)


cdef inline int put_hash(Buffer* out, Hmac* hmac, bytes_at text, size_t size) except -1 nogil:
    """The code of the text in 64 hexadecimal digits."""
    cdef Hashing hashing
    cdef uint8_t digest[32]
    cdef uint8_t* place = reserve(out, 64)
    cdef int i
    cdef uint8_t nibble
    hash_begin(&hashing, hmac.inner)
    hash_more(&hashing, text, size)
    hmac_finish(hmac, &hashing, digest)
    for i in range(64):
        nibble = digest[i >> 1] >> (4 if i & 1 == 0 else 0) & 15
        place[i] = <uint8_t>(nibble + (48 if nibble < 10 else 87))
    out.size += 64
    return 0


cdef inline int put_token(
    Buffer* out, Hmac* hmac, int kind, bytes_at name, size_t name_size, bytes_at text, size_t size
) except -1 nogil:
    """The kind's name and 96 bits of the code of what the text says, in consonants: no detector finds anything in them."""
    cdef Hashing hashing
    cdef uint8_t digest[32]
    cdef uint8_t* place
    cdef int i
    put(out, name, name_size)
    put(out, <const char*>b"-", 1)
    place = reserve(out, size + LONGEST_ADDRESS)
    size = normal_form(kind, text, size, place)
    hash_begin(&hashing, hmac.inner)
    hash_more(&hashing, <bytes_at><const char*>b"sluiceway pseudonym\0", 20)
    hash_more(&hashing, name, name_size)
    hash_more(&hashing, <bytes_at><const char*>b"\0", 1)
    hash_more(&hashing, place, size)
    hmac_finish(hmac, &hashing, digest)
    for i in range(TOKEN_LETTERS):
        place[i] = <uint8_t>CONSONANTS[digest[i >> 1] >> (4 if i & 1 == 0 else 0) & 15]
    out.size += TOKEN_LETTERS
    return 0


cdef inline int put_network(Buffer* out, Treatment* treatment, bytes_at text, size_t size) except -1 nogil:
    """The network of an address; what is none is masked."""
    cdef uint8_t* place = reserve(out, LONGEST_ADDRESS)
    cdef size_t length = truncate(text, size, treatment.ipv4_bits, treatment.ipv6_bits, place)
    if length == 0:
        return put(out, <const char*>b"****", 4)
    out.size += length
    return 0
