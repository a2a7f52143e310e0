"""IP addresses of both versions, wherever they stand: bare, with a port, in brackets, in a URL, with a prefix length.

Not found, for they say nothing about anyone: unspecified and loopback addresses, networks such as `10.0.0.0`, masks.
Not addresses: octets above 255 or with leading zeros, more than four of them, what follows `version` or a product's name
and a slash (`Chrome/120.0.6.1`); times and MAC addresses; compressed IPv6 that begins with a group of fewer than four
digits and has fewer than four groups, or has no decimal digit, which is how C++ and Rust name things (`f32::add`).
A zone (`fe80::1%eth0`) is part of the address, a port and a prefix length are not.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memset

from sluiceway.otlp._proto cimport bytes_at
from sluiceway.personal._text cimport (
    ALNUM, BASE64URL, DIGIT, HEX, LETTER, WORD, Scan, at, before, ends_any_case, found, is_a,
)


cdef inline bytes_at read_ipv4(bytes_at p, bytes_at end, uint8_t* octets) noexcept nogil:
    """Read four octets; NULL where there are none."""
    cdef int index
    cdef int value
    cdef int digits
    for index in range(4):
        value = digits = 0
        while p < end and is_a(p[0], DIGIT) and digits < 4:
            value = value * 10 + p[0] - c'0'
            digits += 1
            p += 1
        if digits == 0 or value > 255 or digits > 3 or digits > 1 and p[-digits] == c'0':
            return NULL
        octets[index] = <uint8_t>value
        if index < 3:
            if p >= end or p[0] != c'.':
                return NULL
            p += 1
    return p


cdef inline bint is_nobody(const uint8_t* octets) noexcept nogil:
    """Whether an IPv4 address identifies no host: this network, loopback, a mask, a network."""
    if octets[0] == 0 or octets[0] == 127 or octets[0] == 255:
        return True
    return octets[1] == 0 and octets[2] == 0 and octets[3] == 0


cdef inline bint follows_version(Scan* scan, bytes_at p) noexcept nogil:
    """Whether the words before `p` say that what stands there is a version."""
    cdef int count = 0
    while p > scan.start and count < 3 and (p[-1] == c' ' or p[-1] == c'=' or p[-1] == c':' or p[-1] == c'"'):
        p -= 1
        count += 1
    if count == 0:
        return False
    return (
        ends_any_case(scan.start, p, "version", 7) or ends_any_case(scan.start, p, "release", 7)
        or ends_any_case(scan.start, p, " build", 6) or ends_any_case(scan.start, p, " ver", 4)
    )


cdef inline bint is_product(Scan* scan, bytes_at p, bytes_at last) noexcept nogil:
    """Whether the slash at `p` stands between a product and its version, and not in a path."""
    cdef bytes_at name = p
    if not is_a(before(scan, p), WORD):
        return False
    if at(scan, last) == c':' and is_a(at(scan, last + 1), DIGIT) or ends_any_case(scan.start, p, "localhost", 9):
        return False
    while name > scan.start and p - name < 64 and (is_a(name[-1], BASE64URL) or name[-1] == c'.'):
        name -= 1
        if name[0] == c'.':
            return False
    return before(scan, name) != c'/'


cdef inline bint find_ipv4(Scan* scan, bytes_at p) noexcept nogil:
    """An IPv4 address whose first digit stands at `p`; the byte before is no digit."""
    cdef uint8_t octets[4]
    cdef bytes_at last = read_ipv4(p, scan.end, octets)
    cdef uint8_t previous = before(scan, p)
    cdef uint8_t following
    if last == NULL or is_nobody(octets) or is_a(previous, WORD) or previous == c'.':
        return False
    if previous == c'-' and is_a(before(scan, p - 1), LETTER) or previous == c'/' and is_product(scan, p - 1, last):
        return False
    following = at(scan, last)
    if is_a(following, WORD) or following == c'.' and is_a(at(scan, last + 1), ALNUM):
        return False
    if following == c'-' and is_a(at(scan, last + 1), ALNUM) and read_ipv4(last + 1, scan.end, octets) == NULL:
        return False
    return not follows_version(scan, p) and found(scan, p, last)


cdef struct Address:
    uint8_t octets[16]
    int groups
    int first_digits  # of the first group
    bint compressed
    bint pairs  # all groups have two digits
    bint decimal  # it holds a decimal digit


cdef inline bytes_at read_group(bytes_at p, bytes_at end, Address* address, int* value) noexcept nogil:
    """Read one to four hexadecimal digits; NULL for none or more."""
    cdef bytes_at start = p
    cdef uint8_t character
    value[0] = 0
    while p < end and p - start < 5 and is_a(p[0], HEX):
        character = p[0] | 0x20
        address.decimal |= is_a(p[0], DIGIT)
        value[0] = value[0] << 4 | (p[0] - c'0' if is_a(p[0], DIGIT) else character - c'a' + 10)
        p += 1
    if p == start or p - start > 4:
        return NULL
    address.pairs &= p - start == 2
    if address.groups == 0:
        address.first_digits = <int>(p - start)
    return p


cdef inline void place_groups(Address* address, const uint16_t* groups, int count, int gap) noexcept nogil:
    """Write the groups as octets, with zeros where the gap is."""
    cdef int index
    cdef int place
    memset(address.octets, 0, 16)
    for index in range(count):
        place = index if not address.compressed or index < gap else 8 - count + index
        address.octets[2 * place] = <uint8_t>(groups[index] >> 8)
        address.octets[2 * place + 1] = <uint8_t>groups[index]


cdef inline bytes_at read_ipv6(bytes_at p, bytes_at end, Address* address) noexcept nogil:
    """Read an address as long as it goes; NULL where there is none."""
    cdef uint16_t groups[8]
    cdef uint8_t octets[4]
    cdef int count = 0
    cdef int gap = 0
    cdef int value = 0
    cdef bytes_at q
    memset(address, 0, sizeof(Address))
    address.pairs = True
    while count < 8:
        if end - p > 1 and p[0] == c':' and p[1] == c':':
            if address.compressed:
                return NULL
            address.compressed = True
            gap = count
            p += 2
            if p >= end or not is_a(p[0], HEX):
                break
        elif count:
            if end - p < 2 or p[0] != c':' or not is_a(p[1], HEX):
                break
            p += 1
        q = read_ipv4(p, end, octets) if count <= 6 and (count or address.compressed) else NULL
        if q != NULL:
            groups[count] = <uint16_t>(octets[0] << 8 | octets[1])
            groups[count + 1] = <uint16_t>(octets[2] << 8 | octets[3])
            count += 2
            p = q
            address.decimal = True
            address.pairs = False
            break
        p = read_group(p, end, address, &value)
        if p == NULL:
            return NULL
        groups[count] = <uint16_t>value
        count += 1
        address.groups = count
    if count < 8 and not address.compressed or count == 8 and address.compressed:
        return NULL
    address.groups = count
    place_groups(address, groups, count, gap)
    return p


cdef inline bint is_meant(Address* address) noexcept nogil:
    """Whether what reads like an address is one of somebody."""
    cdef int index
    if not address.compressed:
        return not address.pairs
    if not address.decimal or address.first_digits and address.first_digits < 4 and address.groups < 4:
        return False
    for index in range(15):
        if address.octets[index]:
            return True
    return address.octets[15] > 1


cdef inline bint is_ipv6_start(Scan* scan, bytes_at p) noexcept nogil:
    """Whether an address may begin at `p`: after what is no part of a word, or after a word and a colon (`ip:2001:...`)."""
    cdef uint8_t previous = before(scan, p)
    cdef bytes_at q = p - 1
    if is_a(previous, WORD) or previous == c'.':
        return False
    if previous != c':':
        return True
    if p[0] == c':':
        return before(scan, q) != c':' and not is_a(before(scan, q), HEX)
    while q > scan.start and p - q < 6 and is_a(q[-1], HEX):
        q -= 1
    if q == p - 1:
        return before(scan, q) != c':' and q > scan.start
    return p - q == 6 or is_a(before(scan, q), WORD)


cdef inline bint find_ipv6(Scan* scan, bytes_at p) noexcept nogil:
    """An IPv6 address whose first colon stands at `p`."""
    cdef Address address
    cdef bytes_at first = p
    cdef bytes_at last
    while first > scan.floor and p - first < 5 and is_a(first[-1], HEX):
        first -= 1
    if p - first > 4 or p == first and at(scan, p + 1) != c':' or not is_ipv6_start(scan, first):
        return False
    last = read_ipv6(first, scan.end, &address)
    if last == NULL or not is_meant(&address) or is_a(at(scan, last), WORD):
        return False
    if at(scan, last) == c':' and (last[-1] == c':' or is_a(at(scan, last + 1), HEX) or at(scan, last + 1) in (c':', c'.')):
        return False
    if at(scan, last) == c'.' and is_a(at(scan, last + 1), ALNUM):
        return False
    if at(scan, last) == c'%' and is_a(at(scan, last + 1), ALNUM):
        p = last + 1
        while p < scan.end and p - last < 16 and is_a(p[0], WORD):
            p += 1
        last = p
    return found(scan, first, last)
