"""The summary at the end of a run: where every item went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sluiceway.pipelines.ledger import Balance

__all__ = ["summary"]

_HEADERS = ("pipeline", "exporter", "accepted", "refused", "delivered", "dropped", "held")


def summary(balances: Sequence[Balance]) -> str:
    """A table with one line for each exporter of each pipeline, and a last line that says whether it balances."""
    rows = [_HEADERS, *map(_row, balances)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADERS))]
    lines = ["  ".join(_aligned(row, widths)).rstrip() for row in rows]
    return "\n".join([*lines, _verdict(balances)])


def _row(balance: Balance) -> tuple[str, ...]:
    reasons: Counter[str] = Counter()
    for drop, items in balance.dropped.items():
        reasons[f"{drop.reason.value}{' (intended)' if drop.intended else ''}"] += items
    dropped = ", ".join(f"{items:,} {reason}" for reason, items in reasons.most_common())
    counts = (balance.accepted, balance.refused, balance.delivered)
    return (balance.pipeline, balance.exporter, *(f"{n:,}" for n in counts), dropped or "0", f"{balance.held:,}")


def _aligned(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    words = range(2)  # names to the left, numbers to the right
    return [
        cell.ljust(width) if column in words else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]


def _verdict(balances: Sequence[Balance]) -> str:
    missing = {f"{b.pipeline} -> {b.exporter}": b.missing for b in balances if b.missing}
    if missing:
        where = ", ".join(f"{count:+,} in {place}" for place, count in missing.items())
        return f"does NOT balance, which is a bug: {where}"
    return "balances: accepted = delivered + dropped + held"
