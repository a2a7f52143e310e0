"""When to refuse data and when to collect garbage, from the memory in use."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from math import inf
from typing import Final

from sluiceway.processors.memory_limiter.usage import Memory

__all__ = ["Limiter", "Limits", "Pace"]

_MIB: Final = 1 << 20
_EFFECTIVE: Final = 0.05
"""The share of memory that a collection must free, or the next one comes later."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes above which data is refused (`soft`), and above which memory is freed at any price (`hard`)."""

    soft: int
    hard: int


@dataclass(slots=True)
class Pace:
    """How often garbage is collected: every `shortest` seconds, and more rarely (`longest`) when that frees little."""

    shortest: float
    longest: float
    interval: float = 0.0

    def is_due(self, elapsed: float) -> bool:
        """Say whether a collection may run when the last one was `elapsed` seconds ago."""
        return elapsed >= max(self.interval, self.shortest)

    def learn(self, *, effective: bool) -> None:
        """Double the interval after a collection that freed little, and begin again after one that did not."""
        if effective or not self.longest:
            self.interval = self.shortest
        else:
            self.interval = min(self.longest, max(2 * self.interval, 2 * self.shortest, 1.0))


class Limiter:
    """One judgement of the memory for all pipelines that share it."""

    def __init__(
        self, limits: Limits, soft: Pace, hard: Pace, interval: float, memory: Memory,
        logger: logging.Logger | logging.LoggerAdapter[logging.Logger],
    ) -> None:  # fmt: skip
        self.is_refusing = False
        self._limits = limits
        self._soft = soft
        self._hard = hard
        self._interval = interval
        self._memory = memory
        self._logger = logger
        self._checked = self._collected = -inf

    def check(self, now: float) -> None:
        """Look at the memory, unless another pipeline did so within this interval."""
        if now - self._checked < self._interval / 2:
            return
        self._checked = now
        used = self._memory.used()
        if used >= self._limits.soft:
            used = self._collect(used, now)
        was_refusing, self.is_refusing = self.is_refusing, used >= self._limits.soft
        if self.is_refusing and not was_refusing:
            self._logger.warning("Memory usage is above soft limit. Refusing data.", extra=_figures(used))
        elif was_refusing and not self.is_refusing:
            text = "Memory usage back within limits. Resuming normal operation."
            self._logger.info(text, extra=_figures(used))

    def _collect(self, used: int, now: float) -> int:
        pace = self._hard if used >= self._limits.hard else self._soft
        if not pace.is_due(now - self._collected):
            return used
        self._collected = now
        self._memory.free()
        left = self._memory.used()
        pace.learn(effective=used - left >= _EFFECTIVE * used)
        self._logger.debug("Collected garbage because memory usage is high.", extra=_figures(left))
        return left


def _figures(used: int) -> dict[str, object]:
    return {"cur_mem_mib": used // _MIB}
