"""Pseudonyms for whoever holds the key: what `anonymize` makes of a value, worked out again."""

from __future__ import annotations

import hashlib
import hmac

from sluiceway.personal._anonymize import token
from sluiceway.personal._detect import Detectors
from sluiceway.personal.keys import prepare_hmac_key
from sluiceway.personal.kinds import BY_KEY, FIRST_PATTERN, KINDS

__all__ = ["keyed_hash", "pseudonym"]


def keyed_hash(key: bytes, value: str) -> str:
    """What the action `hash` makes of a value."""
    return hmac.new(key, value.encode(), hashlib.sha256).hexdigest()


def pseudonym(key: bytes, value: str, detector: str = "") -> str:
    """What the action `pseudonymize` makes of a value.

    Without a detector it is the one that finds the whole value; a value that none finds gets what a rule about keys
    makes of it. The name of one's own pattern is a detector as well. Raises `ValueError` where the detector that is
    named does not find the value, for then it has no pseudonym by it.
    """
    text = value.encode()
    findings = Detectors(1 << KINDS.index(detector) if detector in KINDS else (1 << len(KINDS)) - 1).find(text)
    if len(findings) == 1 and findings[0][:2] == (0, len(text)) and detector in ("", KINDS[findings[0][2]]):
        _, _, kind, plain = findings[0]
        return token(prepare_hmac_key(key), kind, KINDS[kind].encode(), plain)
    if detector in KINDS:
        raise ValueError(f'"{value}" is not what the detector {detector} finds')
    kind, name = (FIRST_PATTERN, detector) if detector else (BY_KEY, "value")
    return token(prepare_hmac_key(key), kind, name.encode(), text)
