"""Whether work grows with what there is to do, and not with its square: told without a clock's absolute figures."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

__all__ = ["grows_evenly"]

TIMES = 2
SLACK = 0.02
"""Seconds that are no sign of anything."""


def grows_evenly(less: Callable[[], object], four_times: Callable[[], object]) -> bool:
    """Whether four times as much takes at most ten times as long; if it grew with the square, it would be sixteen."""
    return _seconds(four_times) < 10 * _seconds(less) + SLACK


def _seconds(work: Callable[[], object]) -> float:
    """The CPU time of this thread, the best of a few times."""
    best = math.inf
    for _ in range(TIMES):
        before = time.thread_time()
        work()
        best = min(best, time.thread_time() - before)
    return best
