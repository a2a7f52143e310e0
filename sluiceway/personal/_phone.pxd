"""Telephone numbers: international ones with a `+`, and national ones that punctuation shows to be such.

- `+` and an assigned country code, 8 to 15 digits in all (E.164), with single spaces, dashes, dots, slashes or brackets;
- North America: `202-555-0143`, `202.555.0143`, `(202) 555-0143`, with or without a leading `1`;
- with a trunk zero, as in most of Europe, Japan, Korea, Australia: `020 7946 0958`, `030/123456`, `01 23 45 67 89`,
  and `0044 20 7946 0958`;
- any area code in brackets: `(11) 91234-5678`; China's mobiles: `138-1234-5678`.

No telephone numbers: digits without punctuation and `+`, and what stands in a path or is part of a longer chain.
"""

from libc.stdint cimport uint8_t, uint32_t

from sluiceway.otlp._proto cimport bytes_at
from sluiceway.personal._text cimport ALNUM, DIGIT, WORD, Scan, at, before, found, is_a

cdef extern from *:
    """
    /* How long the country code is that begins with two digits (ITU-T E.164, assigned codes); 0: there is none. */
    static const char sluiceway_country[] =
        "0000000000" "1111111111" "2333333203" "2222232332" "2232222222" "3222222223" "2222222333" "1111111111"
        "3220232330" "2222223323";
    """
    const char* COUNTRY "sluiceway_country"

cdef enum:
    MOST_PHONE_GROUPS = 7
    MOST_PHONE_DIGITS = 15


cdef struct Dialled:
    # Groups of digits with what stands between them.
    int sizes[7]
    uint8_t separators[7]  # in front of each group
    bytes_at starts[7]
    bytes_at ends[7]
    int count


cdef inline bint is_dial_separator(uint8_t character) noexcept nogil:
    return character == c' ' or character == c'-' or character == c'.' or character == c'/'


cdef inline void read_dialled(Dialled* dialled, bytes_at p, bytes_at end) noexcept nogil:
    cdef int total = 0
    cdef bytes_at start
    cdef uint8_t separator = 0
    dialled.count = 0
    while dialled.count < MOST_PHONE_GROUPS:
        start = p
        while p < end and is_a(p[0], DIGIT) and p - start <= MOST_PHONE_DIGITS:
            p += 1
        total += <int>(p - start)
        if total > MOST_PHONE_DIGITS:
            return
        dialled.sizes[dialled.count] = <int>(p - start)
        dialled.separators[dialled.count] = separator
        dialled.starts[dialled.count] = start
        dialled.ends[dialled.count] = p
        dialled.count += 1
        if end - p < 2 or not is_dial_separator(p[0]) or not is_a(p[1], DIGIT):
            return
        separator = p[0]
        p += 1


cdef inline bint is_dial_start(Scan* scan, bytes_at p) noexcept nogil:
    """Whether a national number may begin at `p`."""
    cdef uint8_t previous = before(scan, p)
    return not (
        is_a(previous, WORD) or is_dial_separator(previous) and previous != c' ' or previous == c'+' or previous == c'%'
        or previous == c',' or previous == c'$' or previous == c'#' or previous == c'\\'
    )


cdef inline bint is_dial_end(Scan* scan, bytes_at p) noexcept nogil:
    """Whether a number may end at `p`: nothing goes on there but a space, and an extension."""
    cdef uint8_t following = at(scan, p)
    if following == c'x' and is_a(at(scan, p + 1), DIGIT):
        return True
    if is_a(following, WORD):
        return False
    return not ((is_dial_separator(following) and following != c' ' or following == c':') and is_a(
        at(scan, p + 1), ALNUM
    ))


cdef inline bint is_area(bytes_at p) noexcept nogil:
    """Whether three digits are an area code or an exchange of North America."""
    return c'2' <= p[0] <= c'9' and not (p[1] == c'1' and p[2] == c'1')


cdef inline bint is_american(Dialled* dialled, int first) noexcept nogil:
    """Whether the three groups from `first` on are area code, exchange and number."""
    if dialled.count < first + 3:
        return False
    if dialled.sizes[first] != 3 or dialled.sizes[first + 1] != 3 or dialled.sizes[first + 2] != 4:
        return False
    if dialled.separators[first + 2] != c'-' and dialled.separators[first + 2] != c'.':
        return False
    return is_area(dialled.starts[first]) and dialled.starts[first][1] != c'9' and is_area(dialled.starts[first + 1])


cdef inline bint is_chinese(Dialled* dialled) noexcept nogil:
    if dialled.count < 3 or dialled.sizes[0] != 3 or dialled.sizes[1] != 4 or dialled.sizes[2] != 4:
        return False
    if dialled.separators[1] != dialled.separators[2] or dialled.separators[1] != c' ' and dialled.separators[1] != c'-':
        return False
    return dialled.starts[0][0] == c'1' and dialled.starts[0][1] >= c'3'


cdef inline bint are_pairs(Dialled* dialled) noexcept nogil:
    """Five pairs with the same between them, and no sixth."""
    cdef int group
    if dialled.count != 5:
        return False
    for group in range(5):
        if dialled.sizes[group] != 2 or group and dialled.separators[group] != dialled.separators[1]:
            return False
    return True


cdef inline int trunk_groups(Dialled* dialled, bint follows_digit) noexcept nogil:
    """How many of the groups are a number with a trunk zero; 0 for none."""
    cdef int total = dialled.sizes[0]
    cdef int best = 0
    cdef int group
    if dialled.starts[0][0] != c'0' or dialled.sizes[0] < 2 or not c'1' <= dialled.starts[0][1] <= c'9':
        return 0
    if dialled.sizes[0] == 2:
        if are_pairs(dialled):
            return 0 if follows_digit else 5
        if dialled.count > 2 and dialled.sizes[2] == 4 and 3 <= dialled.sizes[1] <= 4:
            return 3
        return 2 if dialled.count == 2 and dialled.separators[1] != c' ' and 6 <= dialled.sizes[1] <= 8 else 0
    if dialled.sizes[0] > 6:
        return 0
    for group in range(1, dialled.count):
        total += dialled.sizes[group]
        if dialled.sizes[group] < 2 or total > 12:
            break
        if total >= 9:
            best = group + 1
    return 0 if best >= 4 and dialled.separators[1] == c'.' else best


cdef inline int abroad_groups(Dialled* dialled) noexcept nogil:
    """How many of the groups are an international number that begins with `00`; 0 for none."""
    cdef int total = 0
    cdef int group
    cdef bytes_at code = dialled.starts[0] + 2
    if dialled.count < 3 or not 3 <= dialled.sizes[0] <= 5 or code[-2] != c'0' or code[-1] != c'0':
        return 0
    if COUNTRY[(code[0] - c'0') * 10 + (code[1] - c'0' if dialled.sizes[0] > 3 else 0)] != dialled.sizes[0] - 2 + c'0':
        return 0
    for group in range(dialled.count):
        if group and dialled.sizes[group] < 2:
            return 0
        total += dialled.sizes[group]
    return dialled.count if 11 <= total <= 15 else 0


cdef inline bint find_national(Scan* scan, bytes_at p) noexcept nogil:
    """A national number whose first digit stands at `p`; the byte before is no digit."""
    cdef Dialled dialled
    cdef int groups = 0
    if scan.end - p < 10 or not is_dial_start(scan, p):
        return False
    read_dialled(&dialled, p, scan.end)
    if dialled.count < 2:
        return False
    if p[0] == c'0':
        groups = trunk_groups(&dialled, is_a(before(scan, p - 1), DIGIT))
        if groups == 0:
            groups = abroad_groups(&dialled)
    elif is_american(&dialled, 0) or is_chinese(&dialled):
        groups = 3
    elif dialled.sizes[0] == 1 and p[0] == c'1' and is_american(&dialled, 1):
        groups = 4
    if groups == 0 or not is_dial_end(scan, dialled.ends[groups - 1]):
        return False
    return found(scan, p, dialled.ends[groups - 1])


cdef inline bint find_bracketed(Scan* scan, bytes_at p) noexcept nogil:
    """A number whose area code stands in the bracket that opens at `p`."""
    cdef Dialled dialled
    cdef bytes_at area = p + 1
    cdef bytes_at rest
    cdef int digits = 0
    cdef int total
    cdef int group
    while digits < 6 and is_a(at(scan, area + digits), DIGIT):
        digits += 1
    if not 2 <= digits <= 5 or at(scan, area + digits) != c')' or is_a(before(scan, p), WORD):
        return False
    rest = area + digits + 1
    if at(scan, rest) == c' ' or at(scan, rest) == c'-':
        rest += 1
    if not is_a(at(scan, rest), DIGIT):
        return False
    read_dialled(&dialled, rest, scan.end)
    total = digits
    for group in range(dialled.count):
        if dialled.sizes[group] < 2 or total + dialled.sizes[group] > 12:
            break
        total += dialled.sizes[group]
    else:
        group = dialled.count
    if dialled.count == 0 or group == 0 or total < 9 or not is_dial_end(scan, dialled.ends[group - 1]):
        return False
    if area[0] != c'0' and (group < 2 or dialled.sizes[0] > 5):
        return False
    return found(scan, p, dialled.ends[group - 1])


cdef inline bytes_at next_dialled(bytes_at p, bytes_at end) noexcept nogil:
    """The next digit behind at most two different separators or brackets; NULL where there is none."""
    cdef int count = 0
    while p < end and count < 3:
        if is_a(p[0], DIGIT):
            return p
        if not is_dial_separator(p[0]) and p[0] != c'(' and p[0] != c')' or count and p[0] == p[-1]:
            return NULL
        p += 1
        count += 1
    return NULL


cdef inline bint find_international(Scan* scan, bytes_at p) noexcept nogil:
    """A number that begins with the + at `p`."""
    cdef bytes_at q = p + 1
    cdef bytes_at last = NULL
    cdef bytes_at start
    cdef int total = 0
    cdef int most
    cdef int least = 8
    if scan.end - p < 9 or not is_a(p[1], DIGIT) or not is_a(p[2], DIGIT) and not is_dial_separator(p[2]):
        return False
    if is_a(before(scan, p), WORD) or before(scan, p) == c'+' or before(scan, p) == c'-':
        return False
    if COUNTRY[(p[1] - c'0') * 10 + (p[2] - c'0' if is_a(p[2], DIGIT) else 0)] == c'0':
        return False
    most = MOST_PHONE_DIGITS
    if p[1] == c'1' or p[1] == c'7':
        most = least = 11
    while q != NULL:
        start = q
        while q < scan.end and is_a(q[0], DIGIT) and q - start <= MOST_PHONE_DIGITS:
            q += 1
        total += <int>(q - start)
        if total > most:
            break
        last = q
        if total >= 12:  # few numbers are longer, and what follows is seldom part of this one
            break
        q = next_dialled(q, scan.end)
    if total > most:
        total -= <int>(q - start)
    if total < least or last == NULL:
        return False
    return is_dial_end(scan, last) and found(scan, p, last)
