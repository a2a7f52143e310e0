"""Secrets that show what they are: keys of clouds and services by their prefixes, private keys, credentials in context.

- what begins as the keys of a service do (`ghp_`, `glpat-`, `AKIA`, `sk_live_`, ...; the table has all) and is as long;
- PEM private keys, to the end of the text where the end line is missing;
- the password in `scheme://user:password@host`;
- what follows `Bearer`, and `Basic` where it decodes to `user:password`;
- what is assigned to a name such as `password`, `client_secret` or `api_key`: `name=value`, `name: value`, `"name": "value"`.

An assigned value is left alone where it is a placeholder (`***`, `${...}`, `<...>`, `null`, `true`, a plain word after a
colon), and for names other than passwords where it is shorter than 16 characters or has no digit.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memchr, memcmp

from sluiceway.otlp._proto cimport bytes_at
from sluiceway.personal._jwt cimport decode_base64
from sluiceway.personal._text cimport (
    ALNUM, BASE64URL, DIGIT, HEX, LETTER, LOWER, SPACE, UPPER, WORD, Scan, at, before, ends_any_case, found, is_a, run_of, small,
    starts, starts_any_case,
)

cdef extern from *:
    """
    typedef struct { const char* prefix; uint8_t size, kind; uint16_t least; } sluiceway_shape;
    /* Prefixes by the character that they end with. The kind is that of the characters behind it; at least so many. */
    #define SHAPE(prefix, kind, least) {prefix, sizeof prefix - 1, kind, least}
    enum { ANY = 7, URL = 32, HEXADECIMAL = 8, WORDS = 16 };
    static const sluiceway_shape sluiceway_shapes[] = {
        SHAPE("ghp_", ANY, 36), SHAPE("gho_", ANY, 36), SHAPE("ghu_", ANY, 36), SHAPE("ghs_", ANY, 36), SHAPE("ghr_", ANY, 36),
        SHAPE("github_pat_", WORDS, 40),
        SHAPE("sk_live_", ANY, 16), SHAPE("rk_live_", ANY, 16), SHAPE("sk_test_", ANY, 16), SHAPE("rk_test_", ANY, 16),
        SHAPE("whsec_", ANY, 24),
        SHAPE("npm_", ANY, 36), SHAPE("hf_", ANY, 30), SHAPE("dop_v1_", HEXADECIMAL, 64), SHAPE("doo_v1_", HEXADECIMAL, 64),
        SHAPE("shpat_", HEXADECIMAL, 32), SHAPE("shpss_", HEXADECIMAL, 32), SHAPE("shpca_", HEXADECIMAL, 32),
        SHAPE("shppa_", HEXADECIMAL, 32), SHAPE("glsa_", WORDS, 40), SHAPE("lin_api_", ANY, 32), SHAPE("figd_", URL, 36),
        SHAPE("ntn_", ANY, 40), SHAPE("pat_", ANY, 60), SHAPE("r8_", ANY, 37), SHAPE("gsk_", ANY, 40), SHAPE("pul_", HEXADECIMAL, 40),
        SHAPE("rubygems_", HEXADECIMAL, 48), SHAPE("sbp_", HEXADECIMAL, 40), SHAPE("xkeysib_", HEXADECIMAL, 60),
        SHAPE("dckr_pat_", URL, 24), SHAPE("tskey_", URL, 20), SHAPE("pscale_tkn_", URL, 30), SHAPE("pscale_pw_", URL, 30),
        SHAPE("glpat-", URL, 20), SHAPE("gldt-", URL, 20), SHAPE("glrt-", URL, 20), SHAPE("glptt-", URL, 20), SHAPE("glcbt-", URL, 20),
        SHAPE("xoxb-", URL, 20), SHAPE("xoxp-", URL, 20), SHAPE("xoxa-", URL, 20), SHAPE("xoxr-", URL, 20), SHAPE("xoxs-", URL, 20),
        SHAPE("xoxe-", URL, 20), SHAPE("xapp-", URL, 20), SHAPE("sk-ant-", URL, 32), SHAPE("sk-proj-", URL, 32),
        SHAPE("sk-svcacct-", URL, 32), SHAPE("sk-admin-", URL, 32), SHAPE("sk-or-v1-", ANY, 32), SHAPE("sk-", ANY, 32),
        SHAPE("pypi-", URL, 50), SHAPE("GOCSPX-", URL, 24), SHAPE("key-", HEXADECIMAL, 32), SHAPE("sq0atp-", URL, 22),
        SHAPE("sq0csp-", URL, 40), SHAPE("PMAK-", URL, 40), SHAPE("NRAK-", ANY, 27), SHAPE("tskey-", URL, 20),
        SHAPE("xkeysib-", URL, 60), SHAPE("dt0c01.", ANY, 24), SHAPE("ya29.", URL, 30), SHAPE("hvs.", URL, 24), SHAPE("hvb.", URL, 24),
        SHAPE("AIza", URL, 35), {0, 0, 0, 0}
    };
    /* What stands before the last character of a prefix: 1 for those that end with _, 2 for -, 4 for the dot. */
    static const uint8_t sluiceway_prefix_marks[256] = {
        ['1'] = 7, ['8'] = 1, ['9'] = 4, ['K'] = 2, ['X'] = 2, ['a'] = 3, ['b'] = 7, ['c'] = 1, ['d'] = 1, ['e'] = 3,
        ['f'] = 1, ['i'] = 3, ['j'] = 2, ['k'] = 3, ['l'] = 1, ['m'] = 1, ['n'] = 3, ['o'] = 1, ['p'] = 3, ['r'] = 3,
        ['s'] = 7, ['t'] = 3, ['u'] = 1, ['w'] = 1, ['y'] = 3,
    };
    typedef struct { const char* name; uint8_t size, strong; } sluiceway_credential;
    #define NAME(name, strong) {name, sizeof name - 1, strong}
    /* Names of credentials, by their ends. Of those that are not strong, the value must look like one. */
    static const sluiceway_credential sluiceway_credentials[] = {
        NAME("password", 1), NAME("passwd", 1), NAME("passphrase", 1), NAME("pwd", 1), NAME("passwort", 1), NAME("passcode", 1),
        NAME("secret", 0), NAME("token", 0), NAME("apikey", 0), NAME("api_key", 0), NAME("api-key", 0), NAME("access_key", 0),
        NAME("access-key", 0), NAME("accesskey", 0), NAME("secret_key", 0), NAME("secret-key", 0), NAME("secretkey", 0),
        NAME("private_key", 0), NAME("privatekey", 0), NAME("account_key", 0), NAME("accountkey", 0), NAME("auth_key", 0),
        NAME("authkey", 0), NAME("license_key", 0), NAME("sharedaccesskey", 0), NAME("sharedaccesssignature", 0), NAME("sig", 0),
        NAME("signature", 0), NAME("sessionid", 0), NAME("session_id", 0), NAME("credential", 0), NAME("jsessionid", 0),
        NAME("phpsessid", 0), NAME("connect.sid", 0), {0, 0, 0}
    };
    """
    ctypedef struct Shape "sluiceway_shape":
        const char* prefix
        uint8_t size
        uint8_t kind
        uint16_t least
    ctypedef struct Credential "sluiceway_credential":
        const char* name
        uint8_t size
        uint8_t strong
    const Shape* SHAPES "sluiceway_shapes"
    const uint8_t[256] PREFIX_MARKS "sluiceway_prefix_marks"
    const Credential* CREDENTIALS "sluiceway_credentials"

cdef enum:
    LONGEST_QUOTED = 256
    LONGEST_NAME = 64  # bytes that are looked at before a value is known to be a secret


cdef inline bint ends_key(Scan* scan, bytes_at p) noexcept nogil:
    return not is_a(at(scan, p), BASE64URL)


cdef inline bint find_key(Scan* scan, bytes_at p) noexcept nogil:
    """A key whose prefix ends with the character at `p`."""
    cdef const Shape* shape = SHAPES
    cdef bytes_at first
    cdef bytes_at last
    p += 1
    if scan.end - p < 16 or not is_a(p[0], BASE64URL) or p - scan.floor < 3:
        return False
    while shape.prefix != NULL:
        first = p - shape.size
        if <uint8_t>shape.prefix[shape.size - 1] == p[-1] and first >= scan.floor and not is_a(
            before(scan, first), WORD
        ) and memcmp(first, shape.prefix, shape.size) == 0:
            last = run_of(p, scan.end, shape.kind)
            if last - p >= shape.least:
                return found(scan, first, run_of(last, scan.end, BASE64URL))
        shape += 1
    return False


cdef inline bint find_capital_key(Scan* scan, bytes_at p) noexcept nogil:
    """A key of AWS or Google, by the I of `AKIA`, `ASIA`, `AIza`, or of Twilio, by the K of `SK`."""
    cdef bytes_at last
    if p[0] == c'I':
        if at(scan, p + 1) == c'A' and (before(scan, p) == c'K' or before(scan, p) == c'S'):
            if p - 2 < scan.floor or p[-2] != c'A' or is_a(before(scan, p - 2), ALNUM):
                return False
            last = run_of(p + 2, scan.end, UPPER | DIGIT)
            return last - p == 18 and ends_key(scan, last) and found(scan, p - 2, last)
        return at(scan, p + 1) == c'z' and at(scan, p + 2) == c'a' and find_key(scan, p + 2)
    if before(scan, p) != c'S' or p - 1 < scan.floor or is_a(before(scan, p - 1), ALNUM):
        return False
    last = run_of(p + 1, scan.end, HEX)
    return last - p == 33 and ends_key(scan, last) and found(scan, p - 1, last)


cdef inline bint find_sendgrid(Scan* scan, bytes_at p) noexcept nogil:
    """`SG.` and two parts, by the first dot."""
    cdef bytes_at middle
    cdef bytes_at last
    if p - 2 < scan.floor or before(scan, p) != c'G' or p[-2] != c'S' or is_a(before(scan, p - 2), ALNUM):
        return False
    middle = run_of(p + 1, scan.end, BASE64URL)
    if middle - p < 17 or at(scan, middle) != c'.':
        return False
    last = run_of(middle + 1, scan.end, BASE64URL)
    return last - middle > 32 and found(scan, p - 2, last)


cdef inline bytes_at search(bytes_at p, bytes_at end, const char* word, size_t size) noexcept nogil:
    while p < end:
        p = <bytes_at>memchr(p, word[0], end - p)
        if p == NULL or starts(p, end, word, size):
            return p
        p += 1
    return NULL


cdef inline bint find_private_key(Scan* scan, bytes_at p) noexcept nogil:
    """A PEM private key, by the last dash before `BEGIN`."""
    cdef bytes_at first = p - 4
    cdef bytes_at last
    if not starts(p + 1, scan.end, b"BEGIN ", 6) or first < scan.floor or memcmp(first, b"-----", 5) != 0:
        return False
    last = p + 7
    while last < scan.end and (is_a(last[0], ALNUM) or last[0] == c' '):
        last += 1
    if last - p < 18 or not (
        memcmp(last - 11, b"PRIVATE KEY", 11) == 0 or starts(last - 17, last, b"PRIVATE KEY BLOCK", 17)
    ) or not starts(last, scan.end, b"-----", 5):
        return False
    last = search(last + 5, scan.end, b"-----END", 8)
    if last == NULL:
        return found(scan, first, scan.end)
    last += 8
    while last < scan.end and (is_a(last[0], ALNUM) or last[0] == c' '):
        last += 1
    while last < scan.end and last[0] == c'-':
        last += 1
    return found(scan, first, last)


cdef inline bint ends_port(bytes_at mark, bytes_at p) noexcept nogil:
    """Whether what stands between the colon and `p` is a port for the character at `p`, which no URL has behind one."""
    if p[0] not in (c';', c'|', c'&', c'\'', c'`', c')', c']', c'}') or p - mark < 2 or p - mark > 6:
        return False
    return run_of(mark + 1, p, DIGIT) == p


cdef inline void read_authority(Scan* scan, bytes_at p) noexcept nogil:
    """Note where the password stands in the authority of a URL that begins at `p`, if one does."""
    cdef bytes_at mark = NULL
    cdef bytes_at sign = NULL
    while p < scan.end and not is_a(p[0], SPACE) and p[0] != c'/' and p[0] != c'?' and p[0] != c'#':
        if p[0] == c'"' or p[0] == c'<' or p[0] == c'>' or p[0] == c'\\' or p[0] == c',':
            break
        if p[0] == c'@':
            sign = p
        elif p[0] == c':' and mark == NULL:
            mark = p
        elif mark != NULL and ends_port(mark, p):
            break
        p += 1
    if mark != NULL and sign > mark:
        scan.mark = mark
        scan.sign = sign


cdef inline bint find_userinfo(Scan* scan, bytes_at p) noexcept nogil:
    """The password in a URL, by the colon in front of it. By the one before the slashes it is known where that stands."""
    if p == scan.mark:
        return scan.sign - p > 2 and not is_vacant(p + 1, scan.sign) and found(scan, p + 1, scan.sign)
    if starts(p, scan.end, b"://", 3) and is_a(before(scan, p), ALNUM):
        read_authority(scan, p + 3)
    return False


cdef inline bint is_vacant(bytes_at p, bytes_at end) noexcept nogil:
    """Whether the password of a URL is a placeholder, to its end: a secret may begin as one does."""
    cdef bytes_at last = end - 1
    cdef bytes_at q = p + 1 if p[0] == c'$' else p
    if not is_placeholder(p, end):
        return False
    if q[0] == c'{' or q[0] == c'<' or q[0] == c'[' or q[0] == c'(':
        return last[0] == c'}' or last[0] == c'>' or last[0] == c']' or last[0] == c')'
    while q > p and q < end and (is_a(q[0], UPPER | DIGIT) or q[0] == c'_'):
        q += 1
    return q == p or q == end


cdef inline bint is_word(bytes_at p, bytes_at end, const char* word, size_t size) noexcept nogil:
    return <size_t>(end - p) == size and starts_any_case(p, end, word, size)


cdef inline bint is_placeholder(bytes_at p, bytes_at end) noexcept nogil:
    """Whether a value stands for a secret that is not there."""
    cdef bytes_at q = p
    if p[0] == c'$' or p[0] == c'<' or p[0] == c'{' or p[0] == c'[' or p[0] == c'(':
        return True
    while q < end and (q[0] == c'*' or q[0] == c'x' or q[0] == c'X' or q[0] == c'.' or q[0] == c'-'):
        q += 1
    return (
        q == end or is_word(p, end, b"null", 4) or is_word(p, end, b"none", 4) or is_word(p, end, b"nil", 3)
        or is_word(p, end, b"true", 4) or is_word(p, end, b"false", 5) or is_word(p, end, b"undefined", 9)
        or is_word(p, end, b"redacted", 8) or is_word(p, end, b"masked", 6) or is_word(p, end, b"hidden", 6)
    )


cdef inline const Credential* credential_before(Scan* scan, bytes_at p) noexcept nogil:
    """The credential whose name ends at `p`; NULL where that is no such name."""
    cdef const Credential* entry = CREDENTIALS
    cdef uint8_t last = small(before(scan, p))
    if last not in (c'd', c'e', c't', c'n', c'y', c'g', c'l'):
        return NULL
    while entry.name != NULL:
        if <uint8_t>entry.name[entry.size - 1] == last and ends_any_case(scan.start, p, entry.name, entry.size):
            if entry.size > 3 or not is_a(before(scan, p - entry.size), ALNUM):
                return entry
        entry += 1
    return NULL


cdef inline bytes_at value_end(Scan* scan, bytes_at p, size_t most) noexcept nogil:
    """Where a value without quotes ends, as far as one may look."""
    cdef bytes_at stop = p + min(<size_t>(scan.end - p), most)
    while p < stop and not is_a(p[0], SPACE):
        if p[0] == c'&' or p[0] == c';' or p[0] == c',' or p[0] == c'"' or p[0] == c'\'' or p[0] == c'`':
            break
        if p[0] == c')' or p[0] == c'}' or p[0] == c']' or p[0] == c'<' or p[0] == c'>' or p[0] == c'\\':
            break
        p += 1
    return p


cdef inline bytes_at quoted_end(Scan* scan, bytes_at p) noexcept nogil:
    """Where a value ends whose quote stands before `p`; NULL where there is no other one near.

    Within a string of JSON quotes have backslashes, the one that ends the value as well.
    """
    cdef bytes_at stop = p + min(<size_t>(scan.end - p), <size_t>LONGEST_QUOTED)
    cdef uint8_t quote = p[-1]
    cdef bint escaped = before(scan, p - 1) == c'\\'
    while p < stop:
        if p[0] == quote or escaped and p[0] == c'\\' and at(scan, p + 1) == quote:
            return p
        p += 2 if p[0] == c'\\' else 1
    return NULL


cdef inline bint looks_secret(bytes_at p, bytes_at end, size_t least) noexcept nogil:
    """Whether a value is long enough and has a digit near its beginning."""
    if <size_t>(end - p) < least:
        return False
    end = min(end, p + LONGEST_NAME)
    while p < end and not is_a(p[0], DIGIT):
        p += 1
    return p < end


cdef inline bint find_assigned(Scan* scan, bytes_at p) noexcept nogil:
    """The value of a credential, by the `=` or `:` at `p`."""
    cdef bytes_at name = p
    cdef bytes_at first = p + 1
    cdef bytes_at last = NULL
    cdef const Credential* credential
    cdef bint quoted = False
    while name > scan.start and p - name < 3 and (name[-1] == c' ' or name[-1] == c'"' or name[-1] == c'\'' or name[-1] == c'\\'):
        name -= 1
    credential = credential_before(scan, name)
    if credential == NULL:
        return False
    if at(scan, first) == c'=' or at(scan, first) == c'>':
        first += 1
    while first < scan.end and first - p < 4 and (first[0] == c' ' or first[0] == c'\\'):
        first += 1
    if at(scan, first) == c'"' or at(scan, first) == c'\'':
        quoted = True
        first += 1
        last = quoted_end(scan, first)
    if last == NULL:
        last = value_end(scan, first, LONGEST_NAME)
    if last - first < 3 or is_placeholder(first, last):
        return False
    if starts_any_case(first, last, b"bearer ", 7) or starts_any_case(first, last, b"basic ", 6):
        return False
    if not credential.strong and not looks_secret(first, last, 16):
        return False
    if credential.strong and p[0] == c':' and not quoted and not looks_secret(first, last, 6):
        return False
    return found(scan, first, last if quoted else value_end(scan, last, scan.end - last))


cdef inline bint decodes_to_pair(bytes_at p, bytes_at end) noexcept nogil:
    """Whether base64 holds a user, a colon and a password."""
    cdef uint8_t plain[768]
    cdef size_t size = decode_base64(p, min(end, p + 1000), plain)
    cdef size_t i
    cdef bint colon = False
    for i in range(size):
        if plain[i] < 0x20 or plain[i] == 0x7F:
            return False
        colon |= plain[i] == c':'
    return colon and size > 2


cdef inline bint find_authorization(Scan* scan, bytes_at p) noexcept nogil:
    """Credentials of HTTP, by the space behind `Bearer` or `Basic`."""
    cdef bytes_at first = p + 1
    cdef bytes_at last = first
    cdef bytes_at padded
    cdef bint basic = ends_any_case(scan.start, p, b"basic", 5)
    if not basic and not ends_any_case(scan.start, p, b"bearer", 6):
        return False
    if is_a(before(scan, p - (5 if basic else 6)), ALNUM):
        return False
    while last < scan.end and (is_a(last[0], BASE64URL) or last[0] in (c'.', c'~', c'+', c'/')):
        last += 1
    padded = last
    while padded < scan.end and padded[0] == c'=':
        padded += 1
    if basic:
        return last - first >= 4 and decodes_to_pair(first, last) and found(scan, first, padded)
    while last > first and last[-1] == c'.' and last == padded:
        last -= 1
        padded -= 1
    if last - first < 12 or not looks_secret(first, last, 12) and last - first < 32:
        return False
    return found(scan, first, padded)
