"""Text from outside is shown, and neither forges a line nor moves a cursor."""

import unicodedata

import pytest

from sluiceway.escape import escape

CONTROLS = [chr(code) for code in range(0x3000) if unicodedata.category(chr(code)) in {"Cc", "Zl", "Zp"}]
TURNS = [chr(code) for code in range(0x3000) if unicodedata.bidirectional(chr(code)) in {
    "LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI",
}]  # fmt: skip


@pytest.mark.parametrize("character", [*CONTROLS, *TURNS], ids=lambda character: f"U+{ord(character):04X}")
def test_what_does_something_is_shown(character: str) -> None:
    """Controls, separators of lines and marks that turn the direction of writing come out as printable ASCII."""
    assert escape(f"a{character}b").isascii()
    assert escape(character).isprintable()


def test_the_rest_stays() -> None:
    """Letters of any script, and backslashes, are left alone."""
    assert escape("für\\n שלום 🦆 x\ty") == "für\\n שלום 🦆 x\\ty"
