"""All detectors over one text: a table says at which bytes one of them begins to look."""

from libc.stdint cimport uint8_t, uint32_t

from sluiceway.otlp._proto cimport bytes_at
from sluiceway.personal._card cimport find_card
from sluiceway.personal._email cimport find_email
from sluiceway.personal._iban cimport find_iban
from sluiceway.personal._ip cimport find_ipv4, find_ipv6
from sluiceway.personal._jwt cimport find_jwt
from sluiceway.personal._phone cimport find_bracketed, find_international, find_national
from sluiceway.personal._secret cimport (
    PREFIX_MARKS, find_assigned, find_authorization, find_capital_key, find_key, find_private_key, find_sendgrid,
    find_userinfo,
)
from sluiceway.personal._text cimport ALNUM, DIGIT, LETTER, Scan, before, is_a, run_of

cdef enum Kind:
    EMAIL = 0
    CREDIT_CARD = 1
    IBAN = 2
    PHONE = 3
    IP = 4
    JWT = 5
    SECRET = 6
    KINDS = 7

cdef enum Trigger:
    NOTHING = 0
    SIGN = 1  # @
    FIGURE = 2  # a digit
    COLON = 3
    PLUS = 4
    BRACKET = 5
    LINE = 6  # _ and -
    DOT = 7
    EQUALS = 8
    BLANK = 9
    CAPITAL = 10  # I and K
    SMALL = 11  # y and w


cdef inline bint wants(Scan* scan, int kind) noexcept nogil:
    return scan.wanted >> kind & 1


cdef inline int at_digit(Scan* scan, bytes_at p) noexcept nogil:
    """What begins with, or around, the first digit at `p`; -1 for nothing."""
    cdef size_t run = run_of(p, scan.end, DIGIT) - p
    cdef uint8_t previous = before(scan, p)
    cdef uint8_t following = p[run] if p + run < scan.end else 0
    if wants(scan, IBAN) and (is_a(previous, LETTER) or previous == c' ') and find_iban(scan, p):
        return IBAN
    if wants(scan, IP) and run <= 3 and following == c'.' and find_ipv4(scan, p):
        return IP
    if wants(scan, CREDIT_CARD) and (run >= 12 or (run == 4 or run == 6) and (following == c' ' or following == c'-')):
        if find_card(scan, p):
            return CREDIT_CARD
    if wants(scan, PHONE) and run <= 6 and following in (c' ', c'-', c'.', c'/') and find_national(scan, p):
        return PHONE
    return -1


cdef inline int credential(Scan* scan) noexcept nogil:
    """Which detector a credential is for: a token that one knows by its structure is that."""
    cdef bytes_at first = scan.first
    cdef bytes_at last = scan.last
    if wants(scan, JWT) and find_jwt(scan, first):
        return JWT
    scan.first = first
    scan.last = last
    return SECRET


cdef inline int at_colon(Scan* scan, bytes_at p) noexcept nogil:
    if find_userinfo(scan, p) and wants(scan, SECRET):
        return SECRET
    if wants(scan, SECRET) and find_assigned(scan, p):
        return credential(scan)
    return IP if wants(scan, IP) and find_ipv6(scan, p) else -1


cdef inline int at_line(Scan* scan, bytes_at p) noexcept nogil:
    if PREFIX_MARKS[before(scan, p)] & (1 if p[0] == c'_' else 2) and find_key(scan, p):
        return SECRET
    return SECRET if p[0] == c'-' and find_private_key(scan, p) else -1


cdef inline int at_secret(Scan* scan, bytes_at p, int trigger) noexcept nogil:
    """A secret at one of the bytes that only they begin or are assigned at; -1 for none."""
    if trigger == LINE:
        return at_line(scan, p)
    if trigger == DOT:
        if PREFIX_MARKS[before(scan, p)] & 4 and find_key(scan, p):
            return SECRET
        return SECRET if find_sendgrid(scan, p) else -1
    if trigger == EQUALS:
        return credential(scan) if find_assigned(scan, p) else -1
    if trigger == BLANK:
        if before(scan, p) | 0x20 in (c'r', c'c') and find_authorization(scan, p):
            return credential(scan)
        return -1
    return SECRET if find_capital_key(scan, p) else -1


cdef inline int at_trigger(Scan* scan, bytes_at p, int trigger) noexcept nogil:
    """What is found at a byte that is no digit; -1 for nothing."""
    if trigger == SIGN:
        return EMAIL if wants(scan, EMAIL) and find_email(scan, p) else -1
    if trigger == COLON:
        return at_colon(scan, p)
    if trigger == PLUS:
        return PHONE if wants(scan, PHONE) and find_international(scan, p) else -1
    if trigger == BRACKET:
        return PHONE if wants(scan, PHONE) and find_bracketed(scan, p) else -1
    if trigger == SMALL:
        return JWT if wants(scan, JWT) and before(scan, p) == c'e' and find_jwt(scan, p - 1) else -1
    return at_secret(scan, p, trigger) if wants(scan, SECRET) else -1


cdef inline int find_next(Scan* scan, bytes_at* place, const uint8_t* triggers) noexcept nogil:
    """Look from `place` on for the first finding, and answer its kind and move `place` behind it; -1 at the end."""
    cdef bytes_at p = place[0]
    cdef bytes_at end = scan.end
    cdef int trigger
    cdef int kind
    while True:
        while p < end and triggers[p[0]] == NOTHING:
            p += 1
        if p >= end:
            return -1
        trigger = triggers[p[0]]
        if trigger == FIGURE:
            kind = at_digit(scan, p)
        else:
            kind = at_trigger(scan, p, trigger)
        if kind >= 0:
            scan.floor = place[0] = scan.last
            return kind
        p = run_of(p, scan.end, DIGIT) if trigger == FIGURE else p + 1
