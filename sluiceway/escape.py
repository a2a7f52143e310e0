"""Text from outside, made fit for a log or a terminal: what could forge a line or move a cursor is shown, not done."""

from __future__ import annotations

from typing import Final

__all__ = ["escape"]

# C0, delete and C1; the separators of lines and paragraphs; the marks that turn the direction of writing; and halves of
# UTF-16 pairs, which no encoding can write.
_CONTROLS: Final = (
    *range(32), *range(127, 160), *range(0x2028, 0x202F), *range(0x2066, 0x206A), *range(0xD800, 0xE000),
)  # fmt: skip
_ESCAPES: Final = {code: f"\\u{code:04x}" for code in _CONTROLS} | {9: "\\t", 10: "\\n", 13: "\\r"}


def escape(text: str) -> str:
    r"""The text with every control character as JSON writes it: `\n`, `\u001b`. The rest stays, backslashes too."""
    return text.translate(_ESCAPES)
