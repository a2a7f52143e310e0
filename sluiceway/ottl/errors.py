"""What is wrong with a text of OTTL, and where."""

from __future__ import annotations

__all__ = ["OttlError"]


class OttlError(ValueError):
    """A text that is not OTTL, or not yet understood. `column` counts from one."""

    def __init__(self, message: str, column: int) -> None:
        super().__init__(f"{message} (column {column})")
        self.column = column
