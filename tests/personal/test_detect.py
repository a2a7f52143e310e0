"""Detection: through what characters and encodings detectors see, where they say it stands, and what it costs."""

from __future__ import annotations

import time
import unicodedata
from random import Random

import pytest

from benchmarks.privacy.encodings import ENCODINGS, NEEDS_DECODE
from benchmarks.privacy.personal import MAKERS
from sluiceway.personal import KINDS, Detectors
from sluiceway.personal.folding import fold_character
from sluiceway.personal.kinds import FIRST_PATTERN, HIDDEN
from sluiceway.personal.patterns import finder

ALL = (1 << len(KINDS)) - 1
PLAIN, DECODING = Detectors(ALL), Detectors(ALL, decodes=True)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("detector", KINDS)
def test_it_sees_through_what_is_promised(encoding: str, detector: str) -> None:
    """A value in any encoding that is promised is found, all of it."""
    detectors = DECODING if encoding in NEEDS_DECODE else PLAIN
    for number in range(30):
        random = Random(f"{encoding}:{detector}:{number}")
        value = MAKERS[detector](random)
        if "\x02" in value:
            continue  # credentials are known by what is around them
        hidden = ENCODINGS[encoding](value, random).encode()
        findings = detectors.find(b"<" + hidden + b">")
        assert [(KINDS[kind], first, last) for first, last, kind, _ in findings] == [(detector, 1, 1 + len(hidden))], (
            hidden
        )


@pytest.mark.parametrize(
    "given",
    [
        "amFuZUBleGFtcGxlLmNvbQ==",
        "6a616e65406578616d706c652e636f6d",
        "jane at example dot com",
        "jane@exam\nple.com",
    ],
)
def test_it_does_not_see_through_what_is_not_promised(given: str) -> None:
    """Base64, hexadecimal, words and line breaks hide what is in them; the documentation says so."""
    assert DECODING.find(given.encode()) == []


def test_letters_of_other_scripts_do_not_hide_an_address() -> None:
    """Letters that look alike are letters, too."""
    given = "jаne@exаmple.com".encode()
    assert [finding[:2] for finding in PLAIN.find(given)] == [(0, len(given))]


def test_decoding_is_asked_for() -> None:
    """Without it nothing is decoded."""
    assert PLAIN.find(b"jane%40example.com") == []


def test_two_layers_and_no_third() -> None:
    """What is encoded twice is found, what is encoded three times is not."""
    assert DECODING.find(b"jane%2540example.com")
    assert DECODING.find(b"jane%252540example.com") == []


def test_what_is_found_is_told_in_plain() -> None:
    """A finding says what it is when folded and decoded."""
    assert [plain for *_, plain in DECODING.find("ｊａｎｅ%40ex\u00adample.com".encode())] == [b"jane@example.com"]


def test_unseen_characters_around_a_finding_stay() -> None:
    """Only whole characters from the first to the last of it belong to a finding."""
    given = "\u200bé jane@example.com é".encode()
    ((first, last, _, _),) = PLAIN.find(given)
    assert given[first:last] == b"jane@example.com"


def test_bytes_that_are_no_text_are_looked_through() -> None:
    """What is no UTF-8 parts words and does no harm."""
    given = b"\xff\xfe jane@example.com\xc3"
    assert [given[first:last] for first, last, _, _ in PLAIN.find(given)] == [b"jane@example.com"]


def test_a_text_that_grows_too_much_is_one_finding() -> None:
    """Folding is bounded: a text that becomes more than four times as long counts as a whole."""
    given = ("\ufdfa" * 100).encode()
    assert [finding[:3] for finding in PLAIN.find(given)] == [(0, len(given), HIDDEN)]


def test_folding_is_that_of_unicode() -> None:
    """A character becomes what NFKC makes of it, less what is not seen, and ASCII for digits, dashes, spaces."""
    for code_point in range(0x80, 0x30000):
        character = chr(code_point)
        folded = fold_character(character)
        normal = unicodedata.normalize("NFKC", character)
        kept = "".join(c for c in normal if unicodedata.category(c) not in ("Mn", "Me", "Cf"))
        if all(unicodedata.category(c)[0] == "L" for c in kept) and folded:
            assert folded == kept
        if kept.isascii() and folded:
            assert folded == kept or unicodedata.category(character)[0] in "PSZ"


def test_own_patterns_are_found_with_the_others() -> None:
    """A pattern's findings stand among the built-in ones, in decoded text as well."""
    detectors = Detectors(ALL, True, [finder("ORD-[0-9]{8}"), finder("[a-z]+!")])
    given = b"jane@example.com ORD%2D12345678 wow!"
    kinds = [(given[first:last], kind) for first, last, kind, _ in detectors.find(given)]
    assert kinds == [(b"jane@example.com", 0), (b"ORD%2D12345678", FIRST_PATTERN), (b"wow!", FIRST_PATTERN + 1)]


HOSTILE = [
    *"@0123456789:+(_-.= IKyw%&\\/é\u200b\ufdfa",
    "1 ",
    "1 2",
    "a:",
    "://a",
    "://a:1;b@",
    "a@",
    "a@a.",
    "+1",
    "(1",
    "ey",
    "eyJ.",
    "-----BEGIN ",
    "token=",
    "token='",
    'token="',
    "password:",
    "sk-",
    "glpat-",
    "xglpat-",
    "SG.",
    "Bearer ",
    "AKIA",
    "SK",
    "DE1",
    "4111 ",
    "1.",
    "::",
    "1:",
    "f::",
    "&#x",
    "\\u00",
    "%2",
    "&a",
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_a_text_costs_what_its_length_says(piece: str) -> None:
    """A mebibyte of what makes detectors look takes a fraction of a second, half of it no less than a third."""
    given = (piece * (2**20 // len(piece.encode())))[: 2**20].encode()
    half, whole = (min(_cost(part) for _ in range(3)) for part in (given[: len(given) // 2], given))
    assert whole < 1
    assert whole < 4 * half + 0.02


def _cost(given: bytes) -> float:
    start = time.thread_time()
    DECODING.find(given)
    return time.thread_time() - start
