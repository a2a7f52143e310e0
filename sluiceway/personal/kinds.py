"""What can be found: the built-in detectors by the numbers that the kernel knows them by."""

from __future__ import annotations

from typing import Final

__all__ = ["BY_KEY", "FIRST_PATTERN", "HIDDEN", "KINDS", "MOST_PATTERNS"]

KINDS: Final = ("email", "credit_card", "iban", "phone", "ip", "jwt", "secret")
"""The place of each is its number, and its bit in `Detectors.wanted`."""

BY_KEY: Final = 14
"""What is treated for its key and not for what it holds."""

HIDDEN: Final = 15
"""A text that grows beyond its bound when it is folded: all of it is masked."""

FIRST_PATTERN: Final = 16
"""The first of one's own patterns."""

MOST_PATTERNS: Final = 16
