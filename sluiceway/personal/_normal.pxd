"""The one form of what can be written in several: the same person, card, account, number or host has the same."""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy

from sluiceway.otlp._proto cimport bytes_at
from sluiceway.personal._ip cimport Address, read_ipv4, read_ipv6
from sluiceway.personal._scan cimport CREDIT_CARD, EMAIL, IBAN, IP, PHONE
from sluiceway.personal._iban cimport capital
from sluiceway.personal._text cimport ALNUM, DIGIT, is_a, small, starts

cdef enum:
    LONGEST_ADDRESS = 40


cdef inline size_t put_decimal(uint8_t* out, int value) noexcept nogil:
    cdef size_t size = 1 + (value > 9) + (value > 99)
    cdef size_t i = size
    while i:
        i -= 1
        out[i] = <uint8_t>(c'0' + value % 10)
        value //= 10
    return size


cdef inline size_t put_ipv4(uint8_t* out, const uint8_t* octets) noexcept nogil:
    cdef size_t size = 0
    cdef int i
    for i in range(4):
        if i:
            out[size] = c'.'
            size += 1
        size += put_decimal(out + size, octets[i])
    return size


cdef inline size_t put_hex(uint8_t* out, int value) noexcept nogil:
    """Without leading zeros."""
    cdef size_t size = 0
    cdef int shift
    cdef int nibble
    for shift in range(12, -4, -4):
        nibble = value >> shift & 15
        if nibble or size or shift == 0:
            out[size] = <uint8_t>(nibble + (c'0' if nibble < 10 else c'a' - 10))
            size += 1
    return size


cdef inline void longest_gap(const uint8_t* octets, int* gap, int* length) noexcept nogil:
    """The first of the longest runs of groups that are zero, of at least two."""
    cdef int group
    cdef int run = 0
    gap[0] = -1
    length[0] = 1
    for group in range(8):
        run = run + 1 if octets[2 * group] == 0 and octets[2 * group + 1] == 0 else 0
        if run > length[0]:
            length[0] = run
            gap[0] = group - run + 1


cdef inline size_t put_ipv6(uint8_t* out, const uint8_t* octets) noexcept nogil:
    """As RFC 5952 recommends."""
    cdef size_t size = 0
    cdef int group = 0
    cdef int gap
    cdef int length
    longest_gap(octets, &gap, &length)
    while group < 8:
        if group == gap:
            out[size] = out[size + 1] = c':'
            size += 2
            group += length
            continue
        if size and out[size - 1] != c':':
            out[size] = c':'
            size += 1
        size += put_hex(out + size, octets[2 * group] << 8 | octets[2 * group + 1])
        group += 1
    return size


cdef inline bint is_mapped(const uint8_t* octets) noexcept nogil:
    """Whether an IPv6 address is an IPv4 one in disguise: `::ffff:10.1.2.3`."""
    cdef int i
    for i in range(10):
        if octets[i]:
            return False
    return octets[10] == 0xFF and octets[11] == 0xFF


cdef inline int read_address(bytes_at text, size_t size, uint8_t* octets) noexcept nogil:
    """4 or 6, and the octets of the address that begins a text; 0 where none does."""
    cdef Address address
    if read_ipv4(text, text + size, octets) != NULL:
        return 4
    if read_ipv6(text, text + size, &address) == NULL:
        return 0
    if is_mapped(address.octets):
        memcpy(octets, address.octets + 12, 4)
        return 4
    memcpy(octets, address.octets, 16)
    return 6


cdef inline size_t truncate(bytes_at text, size_t size, int four, int six, uint8_t* out) noexcept nogil:
    """The network of an address with so many bits of either version; 0 where there is no address."""
    cdef uint8_t octets[16]
    cdef int version = read_address(text, size, octets)
    cdef int bits = four if version == 4 else six
    cdef int i
    for i in range(4 if version == 4 else 16):
        if bits < 8:
            octets[i] &= <uint8_t>(0xFF00 >> max(bits, 0))
        bits -= 8
    if version == 0:
        return 0
    return put_ipv4(out, octets) if version == 4 else put_ipv6(out, octets)


cdef inline size_t normal_phone(bytes_at text, size_t size, uint8_t* out) noexcept nogil:
    cdef bytes_at end = text + size
    cdef size_t count = 0
    if size and text[0] == c'+' or starts(text, end, b"00", 2):
        out[0] = c'+'
        count = 1
        text += 1 if text[0] == c'+' else 2
    while text < end:
        if starts(text, end, b"(0)", 3) and count:
            text += 3
            continue
        if is_a(text[0], DIGIT):
            out[count] = text[0]
            count += 1
        text += 1
    return count


cdef inline void put_small(uint8_t* out, bytes_at text, size_t size) noexcept nogil:
    """Write a text in small letters, as far as they are Latin, Greek or Cyrillic: those have capitals of the same size."""
    cdef size_t i
    cdef uint32_t letter
    for i in range(size):
        out[i] = small(text[i])
        if i == 0 or text[i - 1] < 0xC3 or text[i - 1] > 0xD0:
            continue
        letter = <uint32_t>(text[i - 1] & 0x1F) << 6 | (text[i] & 0x3F)
        if 0xC0 <= letter <= 0xDE and letter != 0xD7 or 0x391 <= letter <= 0x3A9 or 0x410 <= letter <= 0x42F:
            letter += 0x20
        elif 0x400 <= letter <= 0x40F:
            letter += 0x50
        elif (0x100 <= letter <= 0x137 or 0x14A <= letter <= 0x177) and letter & 1 == 0:
            letter += 1
        out[i - 1] = <uint8_t>(0xC0 | letter >> 6)
        out[i] = <uint8_t>(0x80 | letter & 0x3F)


cdef inline size_t normal_form(int kind, bytes_at text, size_t size, uint8_t* out) noexcept nogil:
    """Write the form to `out`, which has room for `size` bytes and LONGEST_ADDRESS, and answer how long it is."""
    cdef size_t count = 0
    cdef size_t i
    if kind == PHONE:
        return normal_phone(text, size, out)
    if kind == IP:
        count = truncate(text, size, 32, 128, out)
        if count:
            return count
    if kind == EMAIL:
        put_small(out, text, size)
        return size
    if kind == CREDIT_CARD or kind == IBAN:
        for i in range(size):
            if is_a(text[i], ALNUM):
                out[count] = capital(text[i])
                count += 1
        return count
    memcpy(out, text, size)
    return size
