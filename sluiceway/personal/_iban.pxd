"""Account numbers (IBAN, ISO 13616): the country's length and make-up, and the check digits (ISO 7064, modulo 97).

In capitals or small letters; a space or a dash may stand between any two characters, as in groups of four.
"""

from libc.stdint cimport uint8_t, uint32_t

from sluiceway.otlp._proto cimport bytes_at
from sluiceway.personal._text cimport ALNUM, DIGIT, LETTER, LOWER, Scan, at, before, found, is_a

cdef extern from *:
    """
    /* What follows the country and the check digits: n digits, a letters, c either. From the IBAN registry. */
    static const char* const sluiceway_accounts[] = {
        "AD8n12c", "AE19n", "AL8n16c", "AT16n", "AZ4a20c", "BA16n", "BE12n", "BG4a6n8c", "BH4a14c", "BI23n", "BR23n1a1c",
        "BY4c4n16c", "CH5n12c", "CR18n", "CY8n16c", "CZ20n", "DE18n", "DJ23n", "DK14n", "DO4c20n", "EE16n", "EG25n",
        "ES20n", "FI14n", "FK2a12n", "FO14n", "FR10n11c2n", "GB4a14n", "GE2a16n", "GI4a15c", "GL14n", "GR7n16c",
        "GT4c20c", "HN4a20n", "HR17n", "HU24n", "IE4a14n", "IL19n", "IQ4a15n", "IS22n", "IT1a10n12c", "JO4a4n18c",
        "KW4a22c", "KZ3n13c", "LB4n20c", "LC4a24c", "LI5n12c", "LT16n", "LU3n13c", "LV4a13c", "LY21n", "MC10n11c2n",
        "MD2c18c", "ME18n", "MK3n10c2n", "MN16n", "MR23n", "MT4a5n18c", "MU4a19n3a", "NI4a20n", "NL4a10n", "NO11n",
        "OM3n16c", "PK4a16c", "PL24n", "PS4a21c", "PT21n", "QA4a21c", "RO4a16c", "RS18n", "RU14n15c", "SA2n18c",
        "SC4a20n3a", "SD14n", "SE20n", "SI15n", "SK20n", "SM1a10n12c", "SO19n", "ST21n", "SV4a20n", "TL19n", "TN20n",
        "TR6n16c", "UA6n19c", "VA18n", "VG4a16n", "XK16n", 0
    };
    """
    const char** ACCOUNTS "sluiceway_accounts"


cdef inline uint8_t capital(uint8_t character) noexcept nogil:
    return character & ~0x20 if is_a(character, LOWER) else character


cdef inline const char* account_of(bytes_at country) noexcept nogil:
    """The make-up of a country's account numbers; NULL for a country that has none."""
    cdef const char** entry = ACCOUNTS
    cdef uint8_t first = capital(country[0])
    cdef uint8_t second = capital(country[1])
    while entry[0] != NULL:
        if <uint8_t>entry[0][0] == first and <uint8_t>entry[0][1] == second:
            return entry[0] + 2
        entry += 1
    return NULL


cdef inline int modulo(int rest, uint8_t character) noexcept nogil:
    if is_a(character, DIGIT):
        return (rest * 10 + character - c'0') % 97
    return (rest * 100 + capital(character) - c'A' + 10) % 97


cdef inline bytes_at skip_separator(bytes_at p, bytes_at end) noexcept nogil:
    if end - p > 1 and (p[0] == c' ' or p[0] == c'-') and is_a(p[1], ALNUM):
        return p + 1
    return p


cdef inline bytes_at read_account(bytes_at p, bytes_at end, const char* account, int* rest) noexcept nogil:
    """Read what stands behind the check digits; NULL where it is not made up as it should be."""
    cdef int left = 0
    cdef int kind
    while account[0]:
        left = 0
        while c'0' <= account[0] <= c'9':
            left = left * 10 + account[0] - c'0'
            account += 1
        kind = DIGIT if account[0] == c'n' else LETTER if account[0] == c'a' else ALNUM
        account += 1
        while left:
            p = skip_separator(p, end)
            if p >= end or not is_a(p[0], kind):
                return NULL
            rest[0] = modulo(rest[0], p[0])
            p += 1
            left -= 1
    return p


cdef inline bint find_iban(Scan* scan, bytes_at p) noexcept nogil:
    """An IBAN whose first check digit stands at `p`."""
    cdef const char* account
    cdef bytes_at country = p - 2
    cdef bytes_at last
    cdef int rest = 0
    if p - scan.floor > 2 and p[-1] == c' ':
        country = p - 3
    if country < scan.floor or not is_a(country[0], LETTER) or not is_a(country[1], LETTER):
        return False
    if scan.end - p < 13 or not is_a(p[1], DIGIT) or is_a(before(scan, country), ALNUM):
        return False
    account = account_of(country)
    if account == NULL:
        return False
    last = read_account(p + 2, scan.end, account, &rest)
    if last == NULL or is_a(at(scan, last), ALNUM):
        return False
    rest = modulo(modulo(modulo(modulo(rest, country[0]), country[1]), p[0]), p[1])
    return rest == 1 and found(scan, country, last)
