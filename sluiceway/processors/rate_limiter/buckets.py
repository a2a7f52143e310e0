"""Token buckets by key, a bounded number of them.

A bucket is a moment: when it will be full again (the generic cell rate algorithm, ITU-T I.371). One that is full need
not be remembered: forgetting it changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Final, NamedTuple, Self

__all__ = ["Bucket", "Buckets", "Limit", "Spent"]


_LONGEST_QUEUE: Final = 5.0
"""Seconds that the turns of others may add to a wait."""


@dataclass(frozen=True, slots=True)
class Limit:
    """Tokens that come each second, and tokens that a bucket holds at most."""

    rate: float
    burst: float

    @classmethod
    def of(cls, rate: float, burst: float) -> Self:
        """A limit whose burst, where it is zero, is what comes in a second; a bucket holds one token at least."""
        return cls(rate, max(1.0, burst or rate))


class Bucket:
    """When it will be full again, how many seconds of that were ever given back, and when the next turn is free."""

    __slots__ = ("full_at", "given_back", "next_turn")

    def __init__(self) -> None:
        self.full_at = self.next_turn = -inf
        self.given_back = 0.0


class Spent(NamedTuple):
    """Tokens that were taken out of a bucket, as the seconds in which they come again, and how it was then."""

    bucket: Bucket
    seconds: float
    full_at: float
    given_back: float

    def give_back(self, now: float) -> None:
        """Put the tokens back, but for what has come again by itself since, so that a bucket never gets more."""
        bucket = self.bucket
        # What others put back meanwhile has made it full that much earlier.
        full_at = self.full_at - (bucket.given_back - self.given_back)
        seconds = min(self.seconds, full_at - now)
        if seconds > 0:
            bucket.full_at -= seconds
            bucket.given_back += seconds


class Buckets:
    """A bucket for each key that is in use, all of one limit but for `exceptions` (None: without one).

    Times are seconds on any clock that does not go backwards. When `max_keys` are in use, further keys share one.
    """

    def __init__(self, limit: Limit, exceptions: Mapping[str, Limit | None], max_keys: int) -> None:
        self._limit = limit
        self._exceptions = exceptions
        self._max_keys = max_keys
        self._reserved = {key: Bucket() for key in exceptions}
        self._used: dict[str, Bucket] = {}  # the longest unused first
        self._shared = Bucket()

    def __len__(self) -> int:
        """How many buckets are remembered for keys without a limit of their own."""
        return len(self._used)

    def tokens(self, key: str, now: float) -> float:
        """What a bucket holds: infinitely much without a limit, less than nothing where it is owed for."""
        limit = self._limit_of(key)
        if limit is None:
            return inf
        return limit.burst - max(0.0, self._find(key, now).full_at - now) * limit.rate

    def wait(self, key: str, tokens: float, now: float, tolerance: float = 0.0) -> float:
        """Seconds until a bucket holds so many tokens, no more than it can hold; zero when that lacks `tolerance`."""
        limit = self._limit_of(key)
        lacking = 0.0 if limit is None else tokens - self.tokens(key, now)
        return 0.0 if limit is None or lacking <= tolerance else lacking / limit.rate

    def turn(self, key: str, wait: float, tokens: float, now: float) -> float:
        """Seconds until one who has to `wait` for a bucket should come for so many tokens.

        Those who were sent away before have their turns first, or all would come again at once and only one get
        through. Nothing is set aside: who comes early may pass, and who never comes again holds up nobody for long.
        """
        limit = self._limit_of(key)
        bucket = self._find(key, now)
        due = max(now + wait, min(bucket.next_turn, now + wait + _LONGEST_QUEUE))
        bucket.next_turn = due + (0.0 if limit is None else tokens / limit.rate)
        return due - now

    def spend(self, key: str, tokens: float, now: float) -> Spent:
        """Take tokens out, also more than there are."""
        limit = self._limit_of(key)
        bucket = self._find(key, now)
        seconds = 0.0 if limit is None else tokens / limit.rate
        bucket.full_at = max(bucket.full_at, now) + seconds
        if key not in self._exceptions and bucket is not self._shared:
            self._used.pop(key, None)
            self._used[key] = bucket
        return Spent(bucket, seconds, bucket.full_at, bucket.given_back)

    def _limit_of(self, key: str) -> Limit | None:
        return self._exceptions.get(key, self._limit)

    def _find(self, key: str, now: float) -> Bucket:
        """The bucket of a key: its own, a new one that is not remembered yet, or the shared one."""
        bucket = self._used.get(key) or self._reserved.get(key)
        if bucket is not None:
            return bucket
        return Bucket() if self._has_room(now) else self._shared

    def _has_room(self, now: float) -> bool:
        while len(self._used) >= self._max_keys:
            oldest = next(iter(self._used))
            if self._used[oldest].full_at > now:
                return False
            del self._used[oldest]
        return True
