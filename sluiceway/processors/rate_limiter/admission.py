"""What of a batch goes on, by what the buckets hold: the three answers to a limit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import TypeAlias

from sluiceway.otlp import Batch, sample, take
from sluiceway.processors.rate_limiter.buckets import Buckets, Spent

__all__ = ["Admission", "Admit", "Part", "all_or_nothing", "cut", "thin"]

_HAIR = 1e-6
"""Tokens that a bucket may lack by the rounding of times: who comes exactly when told to is not sent away again."""


@dataclass(frozen=True, slots=True)
class Part:
    """What a batch holds of one key, and whether it is paid for by items or by bytes."""

    key: str
    batch: Batch
    by_items: bool

    def cost(self, batch: Batch) -> int:
        """The tokens that some of it costs."""
        return batch.items if self.by_items else len(batch.payload) if batch.items else 0


@dataclass(frozen=True, slots=True)
class Admission:
    """What is left of each part (None: nothing) and what was spent on it, or the seconds until it may come again."""

    kept: Sequence[Batch | None] = ()
    spent: Sequence[Spent] = ()
    wait: float = 0.0


Admit: TypeAlias = Callable[[Sequence[Part], Buckets, float], Admission]
"""An answer to a limit: looks at the parts of one batch and at the buckets, and spends at once what goes on."""


def all_or_nothing(parts: Sequence[Part], buckets: Buckets, now: float) -> Admission:
    """Let a batch through while each of its buckets holds a token, and have it pay in full."""
    waits = [buckets.wait(part.key, 1.0, now, _HAIR) for part in parts]
    if (wait := max(waits)) > 0:
        last = parts[waits.index(wait)]
        return Admission(wait=buckets.turn(last.key, wait, last.cost(last.batch), now))
    spent = [buckets.spend(part.key, part.cost(part.batch), now) for part in parts]
    return Admission([part.batch for part in parts], spent)


def cut(parts: Sequence[Part], buckets: Buckets, now: float) -> Admission:
    """Keep as many items of each part as its bucket has tokens for.

    Where bytes are counted items differ in size, and the last one may be owed for: one that is larger than the burst
    would never pass.
    """

    def first(part: Part, tokens: float) -> Batch:
        items = part.batch.items
        number = floor(tokens + _HAIR) if part.by_items else ceil(items * tokens / part.cost(part.batch))
        return take(part.batch, number)

    return _each(parts, buckets, now, first)


def thin(random: Callable[[], float], parts: Sequence[Part], buckets: Buckets, now: float) -> Admission:
    """Keep the share of each part that its bucket has tokens for; a little more or less is made up the next time."""
    return _each(parts, buckets, now, lambda part, tokens: sample(part.batch, tokens / part.cost(part.batch), random()))


def _each(parts: Sequence[Part], buckets: Buckets, now: float, shorten: Callable[[Part, float], Batch]) -> Admission:
    kept: list[Batch | None] = []
    spent: list[Spent] = []
    for part in parts:
        left = _left(part, buckets.tokens(part.key, now), shorten)
        kept.append(left)
        if left is not None and left.items:
            spent.append(buckets.spend(part.key, part.cost(left), now))
    return Admission(kept, spent)


def _left(part: Part, tokens: float, shorten: Callable[[Part, float], Batch]) -> Batch | None:
    if part.cost(part.batch) <= max(tokens, 0.0) + _HAIR:
        return part.batch
    if tokens <= _HAIR:
        return None
    shortened = shorten(part, tokens)
    return shortened if shortened.items else None
