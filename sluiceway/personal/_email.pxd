"""E-mail addresses as people write them: `jane.doe+news@mail.example.co.uk`, letters of any script on both sides.

The domain has a dot and ends with letters (or `xn--...`). No address: a domain that ends as file names and systemd units do
(`logo@2x.png`, `getty@tty1.service`), the accounts `git`, `hg` and `svn`, `user@host` in a URL with a port, and `password@host`
in one with a password. Quoted local parts and addresses at IP literals, which people do not write, are not found.
"""

from libc.stdint cimport uint8_t, uint32_t

from sluiceway.otlp._proto cimport bytes_at
from sluiceway.personal._text cimport (
    ALNUM, BASE64URL, DIGIT, HEX, LETTER, MAILBOX, Scan, at, before, found, is_a, run_of, starts, starts_any_case,
)

cdef extern from *:
    """
    static const char* const sluiceway_no_domain[] = {
        "png", "jpg", "jpeg", "gif", "svg", "webp", "ico", "css", "js", "mjs", "json", "html", "htm", "xml", "pdf", "txt",
        "log", "yaml", "yml", "conf", "tar", "gz", "jar", "war", "class", "java", "exe", "dll", "lock", "service", "socket",
        "timer", "mount", "automount", "target", "slice", "scope", "device", "path", "swap", "local0", 0
    };
    """
    const char** NO_DOMAIN "sluiceway_no_domain"


cdef inline bint is_no_domain(bytes_at label, size_t size) noexcept nogil:
    """Whether a last label is what files and units end with, and no top-level domain."""
    cdef const char** word = NO_DOMAIN
    cdef size_t length
    while word[0] != NULL:
        length = 0
        while word[0][length]:
            length += 1
        if length == size and starts_any_case(label, label + size, word[0], size):
            return True
        word += 1
    return False


cdef inline bytes_at end_of_letters(bytes_at p, bytes_at end) noexcept nogil:
    while p < end and (is_a(p[0], LETTER) or p[0] >= 0x80):
        p += 1
    return p


cdef inline bytes_at end_of_last_label(bytes_at label, bytes_at end) noexcept nogil:
    """Where the top-level domain that begins at `label` ends; NULL where it is none."""
    cdef bytes_at p = end_of_letters(label, end)
    if starts_any_case(label, end, "xn--", 4):
        p = label + 4
        while p < end and is_a(p[0], ALNUM):
            p += 1
        return p if p - label > 5 else NULL
    if p - label < 2 or p < end and is_a(p[0], DIGIT):
        return NULL
    return NULL if is_no_domain(label, p - label) else p


cdef inline bytes_at domain_end(bytes_at start, bytes_at end) noexcept nogil:
    """The end of the longest domain at `start`; NULL where there is none.

    Labels are read once, from left to right; the last one that could end a domain does.
    """
    cdef bytes_at p = start
    cdef bytes_at label
    cdef bytes_at best = NULL
    cdef bytes_at last
    while p < end:
        label = p
        while p < end and (is_a(p[0], BASE64URL) or p[0] >= 0x80):
            p += 1
        if p == label or label[0] == c'-':
            break
        if label > start:
            last = end_of_last_label(label, p)
            if last != NULL:
                best = last
        if p >= end or p[0] != c'.':
            break
        p += 1
    return best


cdef inline bytes_at after_escape(Scan* scan, bytes_at p, bytes_at stop) noexcept nogil:
    """Past what belongs to an escape that stands right before an address: `%20jane@...`, `\\njane@...`."""
    while p + 3 <= stop and p[0] == c'%' and is_a(p[1], HEX) and is_a(p[2], HEX):
        p += 3
    if before(scan, p) == c'\\' and p < stop:
        if p[0] == c'u' and stop - p > 5:
            return p + 5
        if p[0] == c'n' or p[0] == c'r' or p[0] == c't':
            return p + 1
    return p


cdef inline bytes_at mailbox_start(Scan* scan, bytes_at stop) noexcept nogil:
    """The start of what can stand in front of the @ at `stop`.

    Scripts that are written without spaces (their letters begin with the bytes 0xE3 to 0xED) end a Latin mailbox.
    """
    cdef bytes_at p = stop
    cdef bytes_at letter
    cdef bint latin = stop > scan.floor and stop[-1] < 0x80
    while p > scan.floor and is_a(p[-1], MAILBOX):
        letter = p - 1
        while letter > scan.floor and letter[0] >= 0x80 and letter[0] < 0xC0:
            letter -= 1
        if latin and 0xE3 <= letter[0] <= 0xED:
            break
        p = letter
    p = after_escape(scan, p, stop)
    while p < stop and not is_a(p[0], ALNUM) and p[0] < 0x80 and p[0] != c'_':
        p += 1
    return p


cdef inline bint is_account(bytes_at p, bytes_at stop) noexcept nogil:
    return stop - p == 3 and (starts(p, stop, "git", 3) or starts(p, stop, "svn", 3)) or stop - p == 2 and starts(
        p, stop, "hg", 2
    )


cdef inline bint is_password(Scan* scan, bytes_at first, bytes_at sign) noexcept nogil:
    """Whether what stands in front of the @ is all of a URL's password, or a variable with it."""
    return sign == scan.sign and (first - scan.mark == 1 or first - scan.mark == 2 and first[-1] == c'$')


cdef inline bint find_email(Scan* scan, bytes_at p) noexcept nogil:
    """The address around the @ at `p`."""
    cdef bytes_at last
    cdef bytes_at first
    if p == scan.floor or not is_a(p[-1], MAILBOX):
        return False
    last = domain_end(p + 1, scan.end)
    if last == NULL:
        return False
    first = mailbox_start(scan, p)
    if first >= p or p[-1] == c'.' or is_account(first, p) or is_password(scan, first, p):
        return False
    if first - scan.start >= 3 and starts(first - 3, first, "://", 3) and at(scan, last) == c':' and last != scan.mark:
        if is_a(at(scan, last + 1), DIGIT):
            return False
    return found(scan, first, last)
