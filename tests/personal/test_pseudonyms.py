"""Pseudonyms: the same for the same, whatever the spelling, and nothing without the key."""

from __future__ import annotations

import hashlib
import hmac
import re

import pytest

from sluiceway.personal import KINDS, Detectors
from sluiceway.personal.pseudonyms import keyed_hash, pseudonym

KEY = b"0123456789abcdef"


@pytest.mark.parametrize(
    "spellings",
    [
        [
            "jane.doe@example.com",
            "Jane.Doe@EXAMPLE.com",
            "ｊａｎｅ．ｄｏｅ＠ｅｘａｍｐｌｅ．ｃｏｍ",
            "jane.\u200bdoe@example.com",
        ],
        ["МАРИЯ@почта.рф", "мария@ПОЧТА.рф"],
        ["4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111"],
        ["DE89370400440532013000", "de89 3704 0044 0532 0130 00"],
        ["+49301234567", "+49 (0)30 1234567", "+49-30-123-4567", "0049 30 1234567"],
        ["10.1.2.3", "::ffff:10.1.2.3", "::ffff:a01:203"],
        ["2001:db8::1", "2001:0DB8:0:0:0:0:0:1"],
    ],
)
def test_spellings_of_the_same_have_one_pseudonym(spellings: list[str]) -> None:
    """Each detector knows a normal form."""
    assert len({pseudonym(KEY, spelling) for spelling in spellings}) == 1


def test_different_people_have_different_pseudonyms() -> None:
    """And another key makes others."""
    made = {pseudonym(key, f"jane{n}@example.com") for n in range(1000) for key in (KEY, KEY + b"x")}
    assert len(made) == 2000


def test_a_pseudonym_says_its_kind_and_hides_from_detectors() -> None:
    """It is read by people, and left alone by the next processor."""
    for value in ("jane@example.com", "4111111111111111", "10.1.2.3", "user 42"):
        token = pseudonym(KEY, value)
        assert re.fullmatch(r"(email|credit_card|ip|value)-[b-t]{24}", token)
        assert Detectors((1 << len(KINDS)) - 1, decodes=True).find(token.encode()) == []


def test_the_detector_can_be_named() -> None:
    """One of one's own by its name; a built-in one only for what it finds."""
    assert pseudonym(KEY, "ORD-12345678", "order").startswith("order-")
    assert pseudonym(KEY, "jane@example.com", "email") == pseudonym(KEY, "jane@example.com")
    with pytest.raises(ValueError, match="is not what the detector email finds"):
        pseudonym(KEY, "jane", "email")


def test_a_hash_is_hmac_sha_256() -> None:
    """So that other programs can make it."""
    assert keyed_hash(KEY, "größe") == hmac.new(KEY, "größe".encode(), hashlib.sha256).hexdigest()
