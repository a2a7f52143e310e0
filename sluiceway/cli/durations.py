"""Durations on the command line."""

from __future__ import annotations

import argparse

__all__ = ["duration"]


def duration(text: str) -> float:
    """Read a duration in Go's syntax, which must not be negative, as seconds; for argparse."""
    from sluiceway.config.types import parse_duration

    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if seconds < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return seconds
