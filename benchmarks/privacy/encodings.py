"""How personal data hides: what the page of `anonymize` promises to see through, each as a function of a plain text."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from random import Random
from urllib.parse import quote

__all__ = ["ENCODINGS", "NEEDS_DECODE"]

_UNSEEN = ("\u200b", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u034f", "\U000e0041", "\ufe0f")


def _full_width(text: str, _random: Random) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else "\u3000" if c == " " else c for c in text)


def _decomposed(text: str, _random: Random) -> str:
    return unicodedata.normalize("NFD", text)


def _unseen(text: str, random: Random) -> str:
    place = random.randrange(1, len(text))
    return text[:place] + random.choice(_UNSEEN) + text[place:]


def _unseen_everywhere(text: str, random: Random) -> str:
    return random.choice(_UNSEEN).join(text)


def _other_digits(text: str, random: Random) -> str:
    zero = ord(random.choice("\u0660\u06f0\u0966\uff10"))
    return "".join(chr(zero + int(c)) if c in "0123456789" else c for c in text)


def _other_spaces(text: str, random: Random) -> str:
    return text.replace(" ", random.choice("\u00a0\u2007\u202f\u3000")).replace(
        "-", random.choice("\u2010\u2011\u2212\uff0d")
    )


def _percent(text: str, _random: Random) -> str:
    return quote(text, safe="")


def _percent_all(text: str, _random: Random) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode())


def _percent_twice(text: str, _random: Random) -> str:
    return quote(quote(text, safe=""), safe="")


def _html(text: str, random: Random) -> str:
    form = random.choice(("&#{};", "&#x{:x};", "&#X{:X};"))
    return "".join(c if c.isalnum() and random.random() < 0.7 else form.format(ord(c)) for c in text)


def _html_named(text: str, _random: Random) -> str:
    names = {
        "@": "commat",
        ".": "period",
        ":": "colon",
        "+": "plus",
        "_": "lowbar",
        "/": "sol",
        "=": "equals",
        "(": "lpar",
        ")": "rpar",
    }
    return "".join(f"&{names[c]};" if c in names else c for c in text)


def _json(text: str, random: Random) -> str:
    units = text.encode("utf-16-be")
    escaped = [f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2)]
    if len(escaped) != len(text):
        return "".join(escaped)
    return "".join(c if c.isalnum() and random.random() < 0.7 else e for c, e in zip(text, escaped, strict=True))


def _json_in_percent(text: str, random: Random) -> str:
    return quote(_json(text, random), safe="")


ENCODINGS: dict[str, Callable[[str, Random], str]] = {
    "full-width": _full_width,
    "decomposed": _decomposed,
    "unseen": _unseen,
    "unseen-everywhere": _unseen_everywhere,
    "other-digits": _other_digits,
    "other-spaces": _other_spaces,
    "percent": _percent,
    "percent-all": _percent_all,
    "percent-twice": _percent_twice,
    "html": _html,
    "html-named": _html_named,
    "json": _json,
    "json-in-percent": _json_in_percent,
}
"""By name."""
NEEDS_DECODE = frozenset({"percent", "percent-all", "percent-twice", "html", "html-named", "json", "json-in-percent"})
"""Those that take `decode: true`."""
