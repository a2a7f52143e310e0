"""The detectors told plainly, with regular expressions and Python's own validators: the oracle of the scanners.

Texts are ASCII here; what folding and decoding do is tested by itself.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable, Iterator

Span = tuple[int, int]

# ---- e-mail

_NO_DOMAIN = {
    "png", "jpg", "jpeg", "gif", "svg", "webp", "ico", "css", "js", "mjs", "json", "html", "htm", "xml", "pdf",
    "txt", "log", "yaml", "yml", "conf", "tar", "gz", "jar", "war", "class", "java", "exe", "dll", "lock",
    "service", "socket", "timer", "mount", "automount", "target", "slice", "scope", "device", "path", "swap",
    "local0",
}  # fmt: skip
_AUTHORITY = re.compile(r"(?<=[A-Za-z0-9])://(?=([^\t\n\v\f\r /?#\"<>\\,]*))")
_PORT = re.compile(r"([^:]*:\d{1,5})[;|&'`)\]}]")


def _passwords(text: str) -> list[Span]:
    """The places of the colon before and of the @ behind each password in a URL."""
    spans = []
    for match in _AUTHORITY.finditer(text):
        port = _PORT.match(match[1])
        head, sign, _ = (port or match)[1].rpartition("@")
        if sign and ":" in head:
            spans.append((match.start(1) + head.index(":"), match.start(1) + len(head)))
    return spans


def _domain(text: str) -> int | None:
    """The length of the longest domain that a text begins with."""
    best = None
    labels = re.match(r"(?:(?!-)[A-Za-z0-9_-]+(?:\.|(?![A-Za-z0-9_-])))*", text)[0].rstrip(".").split(".")
    start = 0
    for number, label in enumerate(labels):
        if number:
            top = re.match(r"xn--[A-Za-z0-9]{2,}|[A-Za-z]{2,}(?![A-Za-z0-9])", label, re.IGNORECASE)
            if top and not (label[:4].lower() != "xn--" and top[0].lower() in _NO_DOMAIN):
                best = start + len(top[0])
        start += len(label) + 1
    return best


def email(text: str) -> Iterator[Span]:
    """Around each @."""
    floor = 0
    passwords = _passwords(text)
    for sign in (i for i, c in enumerate(text) if c == "@"):
        length = _domain(text[sign + 1 :])
        local = re.search(r"[A-Za-z0-9_.%+'~-]*\Z", text[floor:sign])[0]
        if not local or length is None or local[-1] == ".":
            continue
        local = re.sub(r"^(?:%[0-9A-Fa-f]{2})+", "", local)
        if text[: sign - len(local)].endswith("\\") and local:
            if local[0] == "u" and len(local) > 5:
                local = local[5:]
            elif local[0] in "nrt":
                local = local[1:]
        local = local.lstrip(".%+'~-")
        end = sign + 1 + length
        if not local or local in ("git", "svn", "hg"):
            continue
        if any(
            stop == sign and text[mark + 1 : sign].removeprefix("$") == local and not text[mark + 1 :].startswith("$$")
            for mark, stop in passwords
        ):
            continue
        port = re.match(r":\d", text[end:]) and end not in (mark for mark, _ in passwords)
        if text[: sign - len(local)].endswith("://") and port:
            continue
        yield sign - len(local), end
        floor = end


# ---- cards

_MAESTRO = ["5018", "5020", "5038", "5612", "5893", "6304", "6759", "6761", "6762", "6763", "67677[0-4]"]
_SIXTEEN = ["506", "507", "508", "509", "51", "52", "53", "54", "55", "606282", "636368"]
_LONGER = ["2200", "2201", "2202", "2203", "2204", "6011", "64[4-9]", "65", "352[89]", "35[3-8]"]
_DINERS = ["30[0-5]", "3095", "36", "38", "39"]


def _card_lengths(digits: str, grouped: bool) -> set[int]:
    def begins(prefixes: list[str]) -> bool:
        return re.match("|".join(prefixes), digits) is not None

    more = {17, 18, 19}
    if begins(_MAESTRO):
        return {12, 13, 14, 15, 16} | more
    if begins(["62", "81[0-6]", "817[01]"]):
        return {16} | more
    if begins(_LONGER):
        return {16} | (more if grouped else set())
    if 222100 <= int(digits[:6]) <= 272099 or begins(_SIXTEEN):
        return {16}
    if begins(["34", "37"]):
        return {15}
    if begins(_DINERS):
        return {14}
    return {13, 16} | ({19} if grouped else set()) if digits[0] == "4" else set()


def _luhn(digits: str) -> bool:
    doubled = (int(d) * (1 + i % 2) for i, d in enumerate(reversed(digits)))
    return sum(d - 9 * (d > 9) for d in doubled) % 10 == 0


def credit_card(text: str) -> Iterator[Span]:
    """From each run of digits on."""
    place = 0
    while match := re.compile(r"\d+").search(text, place):
        place = match.end()
        found = _card_at(text, match.start())
        if found:
            yield match.start(), found
            place = found


def _card_at(text: str, start: int) -> int | None:
    if re.search(r"\d[.,-]\Z", text[:start]) or re.search(r"\d[A-Za-z0-9]*\Z", text[max(0, start - 16) : start]):
        return None
    best = None
    for separator in ("", " ", "-"):
        sizes = r"\d+" if not separator else rf"\d+(?:{separator}\d+){{1,4}}"
        whole = re.match(sizes, text[start:])
        if whole is None:
            continue
        groups = whole[0].split(separator) if separator else [whole[0]]
        for count in range(1 if not separator else 2, len(groups) + 1):
            some = groups[:count]
            digits = "".join(some)
            end = start + len(separator.join(some))
            shaped = (
                count == 1
                or (len(some[0]) == 6 and count == 2)
                or (len(some[0]) == 4 and all(3 <= len(g) <= 7 for g in some[1:-1]) and len(some[-1]) <= 7)
            )
            if not 12 <= len(digits) <= 19 or not shaped or not _luhn(digits):
                continue
            if len(digits) not in _card_lengths(digits, count > 1):
                continue
            actual = _separator(text, start)
            if re.match(r"[A-Za-z0-9_]|[.,]\d" + ("" if actual == " " else r"|-\d"), text[end:]):
                continue
            best = max(best or 0, end)
    return best


def _separator(text: str, start: int) -> str:
    """What stands between the first group and the next, as far as a card could reach."""
    match = re.match(r"\d{1,19}([ -])\d", text[start:])
    return match[1] if match else ""


# ---- IBAN

_ACCOUNTS = {
    "AD": "n8c12",
    "AT": "n16",
    "BE": "n12",
    "CH": "n5c12",
    "DE": "n18",
    "ES": "n20",
    "FR": "n10c11n2",
    "GB": "a4n14",
    "IE": "a4n14",
    "IT": "a1n10c12",
    "MT": "a4n5c18",
    "NL": "a4n10",
    "NO": "n11",
    "PL": "n24",
    "SE": "n20",
}
_CLASSES = {"n": "[0-9]", "a": "[A-Za-z]", "c": "[A-Za-z0-9]"}


def _iban(country: str) -> re.Pattern[str]:
    parts = re.findall(r"([nac])(\d+)", _ACCOUNTS[country])
    body = "".join(rf"(?:[ -]?{_CLASSES[kind]}){{{count}}}" for kind, count in parts)
    first = f"[{country[0]}{country[0].lower()}][{country[1]}{country[1].lower()}]"
    return re.compile(rf"(?<![A-Za-z0-9]){first} ?[0-9]{{2}}{body}(?![A-Za-z0-9])")


_IBANS = [_iban(country) for country in _ACCOUNTS]


def iban(text: str) -> Iterator[Span]:
    """Those of the countries that the table here has."""
    place = 0
    while True:
        found = [m for p in _IBANS for m in p.finditer(text, place) if _mod97(m[0])]
        if not found:
            return
        first = min(found, key=lambda m: m.start())
        yield first.span()
        place = first.end()


def _mod97(text: str) -> bool:
    plain = re.sub("[ -]", "", text)
    return int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4])) % 97 == 1


# ---- IP

_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4 = re.compile(rf"(?<![A-Za-z0-9_.]){_OCTET}(?:\.{_OCTET}){{3}}(?![A-Za-z0-9_]|\.[A-Za-z0-9])", re.ASCII)


def ipv4(text: str) -> Iterator[Span]:
    """Four octets that stand alone and that are somebody's."""
    for match in _IPV4.finditer(text):
        start, end = match.span()
        before, after = text[:start], text[end:]
        first, *others = map(int, match[0].split("."))
        if first in (0, 127, 255) or not any(others):
            continue
        if re.search(r"[A-Za-z]-\Z", before) or re.search(r"(?i)(?:version|release| build| ver)[ =:\"]{1,3}\Z", before):
            continue
        product = re.search(r"[A-Za-z0-9_.-]{0,63}[A-Za-z0-9_]/\Z", before)
        named = product and ("." in product[0] or before.lower().endswith("localhost/"))
        in_path = product and before[: product.start()].endswith("/")
        if product and not named and not in_path and not re.match(r":\d", after):
            continue
        if re.match(rf"-(?!{_OCTET}(?:\.{_OCTET}){{3}}(?!\d))[A-Za-z0-9]", after):
            continue
        yield start, end


def ipv6(text: str) -> Iterator[Span]:
    """What `ipaddress` takes, where it stands alone and is meant as an address."""
    place = 0
    start = 0
    while start < len(text):
        end = _ipv6_at(text, start)
        if end is None or start < place:
            start += 1
        else:
            yield start, end
            start = place = end


def _ipv6_at(text: str, start: int) -> int | None:
    match = re.compile(r"(?:[0-9A-Fa-f]{1,4}:|::)[0-9A-Fa-f:.]*").match(text, start)
    if match is None or not _begins_address(text, start):
        return None
    candidate = re.sub(r"(?<!:):\Z", "", match[0].partition("..")[0].rstrip("."))
    after = text[start + len(candidate) :]
    if re.match(r"[A-Za-z0-9_]|\.[A-Za-z0-9]|:[0-9A-Fa-f:.]", after) or not _is_address(candidate):
        return None
    zone = re.match(r"%[A-Za-z0-9][A-Za-z0-9_]{0,14}", after)
    return start + len(candidate) + (len(zone[0]) if zone else 0)


def _begins_address(text: str, start: int) -> bool:
    """Not within a word, and after a colon only where a word stands before that."""
    before = text[:start]
    if re.search(r"[A-Za-z0-9_.]\Z", before):
        return False
    if not before.endswith(":"):
        return True
    if text[start] == ":":
        return re.search(r"[0-9A-Fa-f:]:\Z", before) is None
    word = re.search(r"([A-Za-z0-9_]*):\Z", before)[1]
    if not word:
        return len(before) > 1 and before[-2] != ":"
    return re.fullmatch(r"[0-9A-Fa-f]{1,4}", word) is None


def _is_address(candidate: str) -> bool:
    try:
        address = ipaddress.IPv6Address(candidate)
    except ValueError:
        return False
    groups = [g for g in candidate.split(":") if g and "." not in g]
    if "::" not in candidate:
        return "." in candidate or not all(len(g) == 2 for g in groups)
    count = len(groups) + 2 * ("." in candidate)
    return bool(re.search(r"\d", candidate)) and int(address) > 1 and not (groups and len(groups[0]) < 4 and count < 4)


def ip(text: str) -> Iterator[Span]:
    """Of both versions; an IPv4 address in an IPv6 one is part of it."""
    six = list(ipv6(text))
    four = [(a, b) for a, b in ipv4(text) if not any(start < b and a < end for start, end in six)]
    yield from sorted(six + four)


# ---- JWT

_TOKEN = re.compile(
    r"(?<![A-Za-z0-9_-])(?=e[yw])([A-Za-z0-9_-]{14,})\.([A-Za-z0-9_-]*)\.(?:[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+){2}|[A-Za-z0-9_-]*)"
)


def jwt(text: str) -> Iterator[Span]:
    """Three or five parts, the first an object with `alg`."""
    place = 0
    while match := _TOKEN.search(text, place):
        head = match[1][: len(match[1]) // 4 * 4 + (0 if len(match[1]) % 4 == 1 else len(match[1]) % 4)]
        header = base64.urlsafe_b64decode(head + "=" * (-len(head) % 4))
        if re.match(rb"[ \n\r\t]*\{", header) and re.search(rb'"alg"[ \n]*:', header):
            yield match.span()
            place = match.end()
        else:
            place = match.start() + 1


# ---- telephone

_COUNTRY = re.compile(
    r"1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|21\d|22\d|23\d|24\d|25\d|26\d|29\d|35\d|37\d|38\d|42\d|50\d|59\d|67\d|68\d|"
    r"69\d|80\d|85\d|87\d|88\d|96\d|97\d|99\d"
)
_NATIONAL_START = re.compile(r"(?<![A-Za-z0-9_./+%,$#\\-])")
_NATIONAL_END = re.compile(r"(?=x\d)|(?![A-Za-z0-9_]|[./:-][A-Za-z0-9])")
_AREA = r"(?!\d11)[2-9]\d\d"
_AMERICAN = rf"(?:1[ ./-])?(?!\d9){_AREA}[ ./-]{_AREA}[.-]\d{{4}}(?!\d)"
_CHINESE = r"1[3-9]\d([ -])\d{4}\1\d{4}(?!\d)"
_BETWEEN = re.compile(r"(?:([ ./()-])(?!\1)[ ./()-]|[ ./()-])(?=\d)")


def phone(text: str) -> Iterator[Span]:
    """From each place on where a number may begin."""
    place = 0
    while place < len(text):
        end = None
        if text[place] == "+":
            end = _international(text, place)
        elif text[place] == "(":
            end = _bracketed(text, place)
        elif text[place].isdigit() and not text[max(0, place - 1) : place].isdigit():
            end = _national(text, place)
        if end:
            yield place, end
        place = end or place + 1


def _groups(text: str, start: int) -> tuple[list[str], list[str]]:
    """At most seven groups of digits with at most fifteen, and what stands in front of each."""
    groups: list[str] = []
    separators: list[str] = []
    separator, place = "", start
    while len(groups) < 7 and (match := re.compile(r"\d+").match(text, place)):
        if sum(map(len, groups)) + len(match[0]) > 15:
            break
        groups.append(match[0])
        separators.append(separator)
        following = re.compile(r"([ ./-])\d").match(text, match.end())
        if not following:
            break
        separator, place = following[1], match.end() + 1
    return groups, separators


def _ends(text: str, end: int) -> bool:
    return _NATIONAL_END.match(text, end) is not None


def _national(text: str, start: int) -> int | None:
    if len(text) - start < 10 or not _NATIONAL_START.match(text, start):
        return None
    groups, separators = _groups(text, start)
    if len(groups) < 2:
        return None
    if groups[0][0] == "0":
        count = _trunk(groups, separators, text[start - 2 : start - 1].isdigit() if start > 1 else False) or _abroad(
            groups
        )
        end = start + sum(map(len, groups[:count])) + count - 1
        return end if count and _ends(text, end) else None
    for pattern in (_AMERICAN, _CHINESE):
        match = re.compile(pattern).match(text, start)
        if match:
            return match.end() if _ends(text, match.end()) else None
    return None


def _trunk(groups: list[str], separators: list[str], follows_digit: bool) -> int:
    sizes = [len(group) for group in groups]
    if sizes[0] < 2 or sizes[0] > 6 or groups[0][1] == "0":
        return 0
    if sizes[0] == 2:
        if sizes == [2] * 5 and len(set(separators[1:])) == 1:
            return 0 if follows_digit else 5
        if len(sizes) > 2 and sizes[2] == 4 and sizes[1] in (3, 4):
            return 3
        return 2 if len(sizes) == 2 and separators[1] != " " and 6 <= sizes[1] <= 8 else 0
    best = 0
    for count in range(2, len(sizes) + 1):
        if sizes[count - 1] < 2 or sum(sizes[:count]) > 12:
            break
        if sum(sizes[:count]) >= 9:
            best = count
    return 0 if best >= 4 and separators[1] == "." else best


def _abroad(groups: list[str]) -> int:
    sizes = [len(group) for group in groups]
    match = re.fullmatch(rf"00({_COUNTRY.pattern})", groups[0])
    if len(groups) < 3 or not match or min(sizes[1:]) < 2 or not 11 <= sum(sizes) <= 15:
        return 0
    return len(groups)


def _bracketed(text: str, start: int) -> int | None:
    area = re.compile(r"(?<![A-Za-z0-9_])\((\d{2,5})\)[ -]?(?=\d)").match(text, start)
    if not area:
        return None
    groups, _ = _groups(text, area.end())
    total, count = len(area[1]), 0
    for group in groups:
        if len(group) < 2 or total + len(group) > 12:
            break
        total += len(group)
        count += 1
    end = area.end() + sum(map(len, groups[:count])) + count - 1
    if not count or total < 9 or not _ends(text, end):
        return None
    if area[1][0] != "0" and (count < 2 or len(groups[0]) > 5):
        return None
    return end


def _international(text: str, start: int) -> int | None:
    code = re.compile(r"(?<![A-Za-z0-9_+-])\+(?=\d[\d ./-])").match(text, start)
    two = text[start + 1 : start + 3]
    if len(text) - start < 9 or not code or not _COUNTRY.match(two[0] + (two[1] if two[1].isdigit() else "0") + "0"):
        return None
    most = 11 if two[0] in "17" else 15
    place, total, last = code.end(), 0, None
    while match := re.compile(r"\d+").match(text, place):
        if total + len(match[0]) > most:
            break
        total += len(match[0])
        last = match.end()
        between = _BETWEEN.match(text, last)
        if total >= 12 or not between:
            break
        place = between.end()
    if last is None or total < (11 if most == 11 else 8) or not _ends(text, last):
        return None
    return last


NAIVE: dict[str, Callable[[str], Iterator[Span]]] = {
    "email": email,
    "credit_card": credit_card,
    "iban": iban,
    "ip": ip,
    "jwt": jwt,
    "phone": phone,
}
"""By the names of the detectors."""
