"""A circuit breaker without I/O: it counts how calls end and says whether the next one may be made.

    CLOSED ──too many failures──▶ OPEN ──delay over──▶ HALF_OPEN ──all probes succeed──▶ CLOSED
                                   ▲                       │
                                   └──a probe fails (the delay grows)

A call that began before the last change of state says nothing about the present one, so its end is ignored.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final, NamedTuple

from sluiceway.config.exporter import CircuitBreaker
from sluiceway.errors import PermanentError, RefusedError, RetryableError

__all__ = ["Breaker", "Call", "Outcome", "State", "Statistics", "judge"]

BUCKETS: Final = 10
BROKEN_BACKEND: Final = frozenset(
    {"UNAUTHENTICATED", "PERMISSION_DENIED", "NOT_FOUND", "UNIMPLEMENTED", "INTERNAL", "UNKNOWN"}
)
"""Codes of permanent errors that any data would meet; with the others the backend works and objects to the data."""


class State(StrEnum):
    """Whether calls are let through: all, a few to see how they end, or none."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"

    @property
    def level(self) -> int:
        """The state as a metric has it: closed 0, half-open 1, open 2."""
        return _LEVELS[self._value_]


_LEVELS: Final = {"closed": 0, "half_open": 1, "open": 2}


class Outcome(Enum):
    """How a call ended; VOID says nothing about the other side, as when the call was cancelled."""

    SUCCESS = "success"
    FAILURE = "failure"
    VOID = "void"


class Call(NamedTuple):
    """A call that was let through, to be handed back when it ends."""

    period: int
    began: float


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a breaker knows at one moment. Calls, failures and slow calls are those in the window."""

    state: State
    calls: int
    failures: int
    slow: int
    failures_in_a_row: int
    opened: int
    """How often the breaker has opened since it was made."""
    delay: float
    """Seconds until a call may be made; infinite while the end of probes is awaited."""


class Breaker:
    """Decides whether calls may be made. `now` gives monotonic seconds, `random` numbers between zero and one."""

    def __init__(self, settings: CircuitBreaker, now: Callable[[], float], random: Callable[[], float]) -> None:
        self._settings = settings
        self._now = now
        self._random = random
        self._window = _Window(settings.window)
        self._state = State.CLOSED
        self._period = 0
        self._in_a_row = 0
        self._opened = 0
        self._failed_probes = 0
        self._until = 0.0
        self._probes_left = 0
        self._probes_succeeded = 0

    @property
    def state(self) -> State:
        """The state; OPEN becomes HALF_OPEN only when the first probe begins."""
        return self._state

    def delay(self) -> float:
        """Seconds until a call may be made: zero now, infinite while it depends on the end of probes under way."""
        match self._state:
            case State.CLOSED:
                return 0.0
            case State.OPEN:
                return max(self._until - self._now(), 0.0)
            case State.HALF_OPEN:
                return 0.0 if self._probes_left else math.inf

    def retry_after(self) -> float:
        """Seconds after which one who cannot be let through should ask again: a second where nobody knows."""
        delay = self.delay()
        return 1.0 if math.isinf(delay) else delay

    def begin(self) -> Call | None:
        """Let a call through, or return None. Every call must be handed to `end`."""
        if self._state is not State.CLOSED:
            if self.delay():
                return None
            if self._state is State.OPEN:
                self._change(State.HALF_OPEN)
                self._probes_left, self._probes_succeeded = self._settings.half_open_probes, 0
            self._probes_left -= 1
        return Call(self._period, self._now())

    def end(self, call: Call, outcome: Outcome) -> bool:
        """Learn how a call ended, and say whether that mattered to those who wait for a delay to end."""
        if call.period != self._period:
            return False
        now = self._now()
        slow = 0 < self._settings.slow_call_duration < now - call.began
        if self._state is State.HALF_OPEN:
            self._probed(outcome, slow=slow)
            return True
        if outcome is Outcome.VOID:
            return False
        failed = outcome is Outcome.FAILURE
        self._in_a_row = self._in_a_row + 1 if failed else 0
        self._window.add(now, failed=failed, slow=slow)
        if not self._is_too_much():
            return False
        self._open()
        return True

    def hasten(self) -> None:
        """End the delay of an open breaker: the next call is a probe."""
        if self._state is State.OPEN:
            self._until = self._now()

    def statistics(self) -> Statistics:
        """What the breaker knows now."""
        window = self._window
        window.advance(self._now())
        return Statistics(
            self._state, window.calls, window.failures, window.slow, self._in_a_row, self._opened, self.delay()
        )

    def _probed(self, outcome: Outcome, *, slow: bool) -> None:
        if outcome is Outcome.VOID:
            self._probes_left += 1
        elif outcome is Outcome.FAILURE or slow:
            self._failed_probes += 1
            self._open()
        else:
            self._probes_succeeded += 1
            if self._probes_succeeded == self._settings.half_open_probes:
                self._failed_probes = 0
                self._change(State.CLOSED)

    def _is_too_much(self) -> bool:
        settings, window = self._settings, self._window
        if not (window.failures or window.slow):
            return False
        if 0 < settings.consecutive_failures <= self._in_a_row:
            return True
        if window.calls < settings.minimum_calls:
            return False
        if 0 < settings.failure_ratio * window.calls <= window.failures:
            return True
        return settings.slow_call_duration > 0 and settings.slow_call_ratio * window.calls <= window.slow

    def _open(self) -> None:
        settings = self._settings
        # The exponent is bounded because a float is: 2.0**1024 overflows.
        grown = settings.open_delay * settings.multiplier ** min(self._failed_probes, 64)
        spread = settings.randomization_factor * (2 * self._random() - 1)
        self._until = self._now() + min(grown, settings.max_open_delay) * (1 + spread)
        self._opened += 1
        self._change(State.OPEN)

    def _change(self, state: State) -> None:
        self._state = state
        self._period += 1
        self._in_a_row = 0
        self._window.clear()


def judge(error: BaseException) -> Outcome:
    """What the end of a call says about the other side."""
    match error:
        case RetryableError() | RefusedError():
            return Outcome.FAILURE
        case PermanentError():
            return Outcome.FAILURE if error.code in BROKEN_BACKEND else Outcome.SUCCESS
        case _:
            return Outcome.VOID


class _Window:
    """Calls of the last `seconds`, in buckets, so that its size does not depend on how many calls there are."""

    def __init__(self, seconds: float) -> None:
        self._width = seconds / BUCKETS
        self.clear()

    def clear(self) -> None:
        self.calls = self.failures = self.slow = 0
        self._buckets = [[0, 0, 0] for _ in range(BUCKETS)]
        self._newest: int | None = None

    def add(self, now: float, *, failed: bool, slow: bool) -> None:
        bucket = self.advance(now)
        bucket[0] += 1
        bucket[1] += failed
        bucket[2] += slow
        self.calls += 1
        self.failures += failed
        self.slow += slow

    def advance(self, now: float) -> list[int]:
        """Forget what is too old, and return the bucket of the present."""
        number = int(now / self._width)
        if number == self._newest:
            return self._buckets[number % BUCKETS]
        newest = number if self._newest is None else self._newest
        for passed in range(max(newest, number - BUCKETS) + 1, number + 1):
            bucket = self._buckets[passed % BUCKETS]
            self.calls -= bucket[0]
            self.failures -= bucket[1]
            self.slow -= bucket[2]
            bucket[:] = (0, 0, 0)
        self._newest = number
        return self._buckets[number % BUCKETS]
