"""Payment card numbers: an issuer's range and length, and the check digit of Luhn (ISO/IEC 7812-1).

Digits stand together, or in groups with a space or a dash between them, the same everywhere. Letters may stand right before
the number but not behind it; a number that is part of a longer one, or of a fraction, is none. 17 to 19 digits without
groups are taken from UnionPay and Maestro only, who issue them: a tenth of all ids of that length would pass elsewhere.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from sluiceway.otlp._proto cimport bytes_at
from sluiceway.personal._text cimport ALNUM, DIGIT, WORD, Scan, at, before, found, is_a

cdef extern from *:
    """
    #define LONGER (1u << 17 | 1u << 18 | 1u << 19)
    #define UP_TO_19 (1u << 16 | LONGER)
    #define MAESTRO (1u << 12 | 1u << 13 | 1u << 14 | 1u << 15 | UP_TO_19)
    typedef struct { uint32_t low, high, lengths, grouped; } sluiceway_issuer;
    static const sluiceway_issuer sluiceway_issuers[] = {
        {220000, 220499, 1u << 16, LONGER},               /* Mir */
        {222100, 272099, 1u << 16, 0},                    /* Mastercard */
        {300000, 305999, 1u << 14, 0},                    /* Diners Club */
        {309500, 309599, 1u << 14, 0},
        {340000, 349999, 1u << 15, 0},                    /* American Express */
        {352800, 358999, 1u << 16, LONGER},               /* JCB */
        {360000, 369999, 1u << 14, 0},                    /* Diners Club */
        {370000, 379999, 1u << 15, 0},                    /* American Express */
        {380000, 399999, 1u << 14, 0},                    /* Diners Club */
        {400000, 499999, 1u << 13 | 1u << 16, 1u << 19},  /* Visa */
        {501800, 501899, MAESTRO, 0},
        {502000, 502099, MAESTRO, 0},
        {503800, 503899, MAESTRO, 0},
        {506000, 509999, 1u << 16, 0},                    /* Verve, Elo, RuPay */
        {510000, 559999, 1u << 16, 0},                    /* Mastercard */
        {561200, 561299, MAESTRO, 0},
        {589300, 589399, MAESTRO, 0},
        {601100, 601199, 1u << 16, LONGER},               /* Discover */
        {606282, 606282, 1u << 16, 0},                    /* Hipercard */
        {620000, 629999, UP_TO_19, 0},                    /* UnionPay */
        {630400, 630499, MAESTRO, 0},
        {636368, 636368, 1u << 16, 0},                    /* Elo */
        {644000, 659999, 1u << 16, LONGER},               /* Discover, RuPay */
        {675900, 675999, MAESTRO, 0},
        {676100, 676399, MAESTRO, 0},
        {676770, 676774, MAESTRO, 0},
        {810000, 817199, UP_TO_19, 0},                    /* UnionPay */
    };
    """
    ctypedef struct Issuer "sluiceway_issuer":
        uint32_t low  # of the first six digits
        uint32_t high
        uint32_t lengths  # a bit for each
        uint32_t grouped  # those that are taken in groups only
    const Issuer* ISSUERS "sluiceway_issuers"
    const int ISSUER_COUNT "((int)(sizeof sluiceway_issuers / sizeof sluiceway_issuers[0]))"

cdef enum:
    SHORTEST_CARD = 12
    LONGEST_CARD = 19
    MOST_GROUPS = 5


cdef struct Groups:
    # Digits with single separators between them, as far as a card number can reach.
    uint8_t digits[19]
    int totals[5]  # how many digits there are at the end of each group
    bytes_at ends[5]
    int count
    uint8_t separator  # 0 where there is but one group


cdef inline bint passes_luhn(const uint8_t* digits, int count) noexcept nogil:
    cdef int sum = 0
    cdef int i
    cdef int doubled
    for i in range(count):
        doubled = digits[count - 1 - i]
        if i & 1:
            doubled = 2 * doubled if doubled < 5 else 2 * doubled - 9
        sum += doubled
    return sum % 10 == 0


cdef inline bint is_issued(const uint8_t* digits, int count, bint grouped) noexcept nogil:
    """Whether any issuer has such numbers."""
    cdef uint32_t prefix = 0
    cdef int i
    for i in range(6):
        prefix = prefix * 10 + digits[i]
    for i in range(ISSUER_COUNT):  # in ascending order, and apart
        if prefix <= ISSUERS[i].high:
            return prefix >= ISSUERS[i].low and ((ISSUERS[i].lengths | (ISSUERS[i].grouped if grouped else 0)) >> count) & 1
    return False


cdef inline bint may_be_card(uint64_t number) noexcept nogil:
    """Whether any issuer has a number that begins like this one and is as long."""
    cdef uint32_t prefix
    cdef int count = 6
    cdef int i
    cdef uint64_t rest = number
    while rest >= 1000000:
        rest //= 10
        count += 1
    prefix = <uint32_t>rest
    for i in range(ISSUER_COUNT):
        if prefix <= ISSUERS[i].high:
            return prefix >= ISSUERS[i].low and (ISSUERS[i].lengths >> count) & 1
    return False


cdef inline void read_groups(Groups* groups, bytes_at p, bytes_at end) noexcept nogil:
    """Read as many whole groups as there are, at most five with nineteen digits."""
    cdef int total = 0
    groups.count = 0
    groups.separator = 0
    while groups.count < MOST_GROUPS:
        while p < end and is_a(p[0], DIGIT):
            if total == LONGEST_CARD:
                return
            groups.digits[total] = p[0] - c'0'
            total += 1
            p += 1
        groups.totals[groups.count] = total
        groups.ends[groups.count] = p
        groups.count += 1
        if end - p < 2 or not is_a(p[1], DIGIT) or p[0] != c' ' and p[0] != c'-':
            return
        if groups.separator and p[0] != groups.separator:
            return
        groups.separator = p[0]
        p += 1


cdef inline bint is_shaped(Groups* groups, int count) noexcept nogil:
    """Whether the first `count` groups are as cards are printed: four digits first, or six and then all others."""
    cdef int group
    cdef int size
    if count == 1:
        return True
    if groups.totals[0] == 6 and count == 2:
        return True
    if groups.totals[0] != 4:
        return False
    for group in range(1, count):
        size = groups.totals[group] - groups.totals[group - 1]
        if size > 7 or size < 3 and group < count - 1:
            return False
    return True


cdef inline bint goes_on(Scan* scan, bytes_at p, uint8_t separator) noexcept nogil:
    """Whether what ends at `p` is part of a longer number or word."""
    cdef uint8_t following = at(scan, p)
    if is_a(following, WORD):
        return True
    return (following == c'.' or following == c',' or following == c'-' and separator != c' ') and is_a(
        at(scan, p + 1), DIGIT
    )


cdef inline bint is_in_token(Scan* scan, bytes_at p) noexcept nogil:
    """Whether the letters before `p` have digits before them, as in hexadecimal."""
    cdef bytes_at q = p
    while q > scan.start and p - q < 16 and is_a(q[-1], ALNUM):
        q -= 1
        if is_a(q[0], DIGIT):
            return True
    return False


cdef inline bint find_card(Scan* scan, bytes_at p) noexcept nogil:
    """A card number whose first digit stands at `p`; the byte before is no digit."""
    cdef Groups groups
    cdef uint8_t previous = before(scan, p)
    cdef int count
    cdef int total
    if not c'2' <= p[0] <= c'8' or scan.end - p < SHORTEST_CARD:
        return False
    if (previous == c'.' or previous == c',' or previous == c'-') and is_a(before(scan, p - 1), DIGIT):
        return False
    if is_in_token(scan, p):
        return False
    read_groups(&groups, p, scan.end)
    for count in range(groups.count, 0, -1):
        total = groups.totals[count - 1]
        if total < SHORTEST_CARD:
            break
        if not is_shaped(&groups, count) or not is_issued(groups.digits, total, count > 1):
            continue
        if passes_luhn(groups.digits, total) and not goes_on(scan, groups.ends[count - 1], groups.separator):
            return found(scan, p, groups.ends[count - 1])
    return False
