"""The levels of OTLP's messages, from the outermost to the innermost."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["Level"]


class Level(IntEnum):
    """Whose attributes an action edits, or what it drops. ITEM means spans, log records or data points.

    Metrics have no attributes; those of span events are only looked at.
    """

    RESOURCE = 0
    SCOPE = 1
    METRIC = 2
    ITEM = 3
    EVENT = 4
