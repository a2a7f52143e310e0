"""JSON Web Tokens: three parts in base64url (or five, when encrypted), the first of which is a JSON object with `alg`."""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcmp

from sluiceway.otlp._proto cimport bytes_at
from sluiceway.personal._text cimport BASE64URL, DIGIT, LOWER, UPPER, Scan, before, found, is_a, run_of

cdef enum:
    LONGEST_HEADER = 4096  # characters; of a longer one the beginning must do


cdef inline int sextet(uint8_t character) noexcept nogil:
    """What a character of base64 or base64url stands for; -1 for any other."""
    if is_a(character, UPPER):
        return character - c'A'
    if is_a(character, LOWER):
        return character - c'a' + 26
    if is_a(character, DIGIT):
        return character - c'0' + 52
    if character == c'-' or character == c'+':
        return 62
    return 63 if character == c'_' or character == c'/' else -1


cdef inline size_t decode_base64(bytes_at p, bytes_at end, uint8_t* out) noexcept nogil:
    """Decode without padding; `out` has room for three bytes of each four characters."""
    cdef uint32_t bits = 0
    cdef int count = 0
    cdef int value
    cdef size_t size = 0
    while p < end:
        value = sextet(p[0])
        if value < 0:
            break
        bits = bits << 6 | <uint32_t>value
        count += 6
        if count >= 8:
            count -= 8
            out[size] = <uint8_t>(bits >> count)
            size += 1
        p += 1
    return size


cdef inline bint names_algorithm(const uint8_t* text, size_t size) noexcept nogil:
    """Whether a JSON object has the member `alg`."""
    cdef size_t i = 0
    cdef size_t rest
    while i < size and (text[i] == c' ' or text[i] == c'\n' or text[i] == c'\r' or text[i] == c'\t'):
        i += 1
    if i == size or text[i] != c'{':
        return False
    while i + 6 <= size:
        if text[i] == c'"' and memcmp(text + i, b'"alg"', 5) == 0:
            rest = i + 5
            while rest < size and (text[rest] == c' ' or text[rest] == c'\n'):
                rest += 1
            if rest < size and text[rest] == c':':
                return True
        i += 1
    return False


cdef inline bint find_jwt(Scan* scan, bytes_at p) noexcept nogil:
    """A token that begins at `p`."""
    cdef uint8_t header[3072]
    cdef bytes_at first_end
    cdef bytes_at last
    cdef bytes_at next_end
    cdef bytes_at signed_end
    cdef int parts
    if p < scan.floor or scan.end - p < 20 or is_a(before(scan, p), BASE64URL):
        return False
    first_end = run_of(p, scan.end, BASE64URL)
    if scan.end - first_end < 2 or first_end[0] != c'.' or first_end - p < 14:
        return False
    last = run_of(first_end + 1, scan.end, BASE64URL)
    if last >= scan.end or last[0] != c'.':
        return False
    parts = 2
    signed_end = last
    while parts < 5 and last < scan.end and last[0] == c'.':
        next_end = run_of(last + 1, scan.end, BASE64URL)
        if parts > 2 and next_end == last + 1:
            break
        last = next_end
        parts += 1
        if parts == 3:
            signed_end = last
            if last[-1] == c'.':  # without a signature
                break
    if parts < 5:
        last = signed_end
    if not names_algorithm(header, decode_base64(p, min(first_end, p + LONGEST_HEADER), header)):
        return False
    return found(scan, p, last)
