"""A corpus of values as telemetry has them, each with what is personal in it; the same for the same seed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from urllib.parse import quote

from benchmarks.privacy.benign import BENIGN
from benchmarks.privacy.encodings import ENCODINGS
from benchmarks.privacy.personal import MAKERS

__all__ = ["Sample", "benign", "personal"]


@dataclass(frozen=True, slots=True)
class Sample:
    """A value. Of a personal one, `detector` says who must find the bytes from `start` to `end`."""

    text: bytes
    source: str
    """The kind of a benign value, the encoding of a personal one."""
    detector: str = ""
    start: int = 0
    end: int = 0


_SURROUNDINGS = (
    "{}",
    "{}",
    "{}",
    "{}",
    "user {} logged in",
    "contact: {}",
    "[{}]",
    "<{}>",
    "'{}'",
    '"{}"',
    "value={}",
    "{}, next",
    "see {}.",
    "id={};",
    "a\tb\t{}",
    "失败：{}",
    "ошибка ({})",
    "rejected {} after 3 tries",
    "to={} status=sent",
)
"""How a value stands in a text."""
_PATHS = ("/hosts/{}", "GET /lookup/{} 200", "/v1/users/{}/orders?x=1", "https://shop.example/ip/{}#top")
"""How it stands in a path. Numbers do not stand there, where a number is an id far more often."""
_IN_PATHS = ("ip", "email")


def personal(seed: int, each: int) -> Iterator[Sample]:
    """So many values for each detector; half of them plain, the others in one of the encodings that are promised."""
    random = Random(seed)
    for detector, make in MAKERS.items():
        for _ in range(each):
            yield _personal(random, detector, make(random))


def _personal(random: Random, detector: str, value: str) -> Sample:
    before, mark, rest = value.partition("\x02")
    core, _, after = rest.partition("\x03") if mark else (value, "", "")
    if not mark:
        before = ""
    encoding = random.choice(tuple(ENCODINGS)) if random.random() < 0.5 else "plain"
    places = (*_SURROUNDINGS, *_PATHS) if detector in _IN_PATHS else _SURROUNDINGS
    surrounding = random.choice(places if not mark else ("{}", "{}", "{} ", "cmd: {}"))
    if encoding != "plain":
        hide = ENCODINGS[encoding]
        if mark:  # credentials are known by their surroundings, which are encoded with them
            return _whole(hide(before + core + after, random), surrounding, encoding, detector)
        core = hide(core, random)
    elif not mark and random.random() < 0.1:
        return _in_structure(random, core, detector)
    head, _, tail = surrounding.partition("{}")
    start = len((head + before).encode())
    return Sample((head + before + core + after + tail).encode(), encoding, detector, start, start + len(core.encode()))


def _whole(text: str, surrounding: str, encoding: str, detector: str) -> Sample:
    """The secret stands somewhere within; it is enough that something of it is found."""
    head, _, tail = surrounding.partition("{}")
    return Sample((head + text + tail).encode(), encoding, detector, len(head.encode()), -1)


def _in_structure(random: Random, core: str, detector: str) -> Sample:
    text = random.choice(
        (
            json.dumps({"id": 7, "v": core}, ensure_ascii=False),
            f"https://example.com/s?q=x&v={quote(core, safe='@:.')}#f",
        )
    )
    encoding = "plain" if core in text and "://e" not in text else "percent"
    inner = (
        core
        if core in text
        else quote(core, safe="@:.")
        if "://e" in text
        else json.dumps(core, ensure_ascii=False)[1:-1]
    )
    start = len(text[: text.index(inner)].encode())
    return Sample(text.encode(), encoding, detector, start, start + len(inner.encode()))


def benign(seed: int, count: int) -> Iterator[Sample]:
    """So many values with nothing in them that a detector may find."""
    random = Random(seed + 1)
    kinds = tuple(BENIGN)
    for number in range(count):
        kind = kinds[number % len(kinds)]
        yield Sample(BENIGN[kind](random).encode(), kind)
