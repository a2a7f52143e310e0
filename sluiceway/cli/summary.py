"""The summary at the end of a run: where every item went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from sluiceway.pipelines.ledger import Balance, Drop

__all__ = ["summary"]

_HEADERS = ("pipeline", "exporter", "accepted", "recovered", "refused", "delivered", "dropped", "held")
_RECOVERED = _HEADERS.index("recovered")
"""A column that is left out where nothing was on disk when the run began."""


def summary(balances: Sequence[Balance], outside: Mapping[Drop, int]) -> str:
    """A table with one line for each exporter of each pipeline, and a last line that says whether it balances.

    `outside` is what was lost outside of any pipeline; each component that lost something has a line below the table.
    """
    rows = [_HEADERS, *map(_row, balances)]
    if not any(balance.recovered for balance in balances):
        rows = [row[:_RECOVERED] + row[_RECOVERED + 1 :] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(_aligned(row, widths)).rstrip() for row in rows]
    lost = [f"dropped by {id} before any pipeline: {_by_reason(drops)}" for id, drops in _by_component(outside).items()]
    return "\n".join([*lines, *lost, _verdict(balances)])


def _row(balance: Balance) -> tuple[str, ...]:
    counts = (balance.accepted, balance.recovered, balance.refused, balance.delivered)
    dropped = _by_reason(balance.dropped) or "0"
    return (balance.pipeline, balance.exporter, *(f"{n:,}" for n in counts), dropped, f"{balance.held:,}")


def _by_reason(drops: Mapping[Drop, int]) -> str:
    reasons: Counter[str] = Counter()
    for drop, items in drops.items():
        reasons[f"{drop.reason.value}{' (intended)' if drop.intended else ''}"] += items
    return ", ".join(f"{items:,} {reason}" for reason, items in reasons.most_common())


def _by_component(drops: Mapping[Drop, int]) -> dict[str, dict[Drop, int]]:
    found: dict[str, dict[Drop, int]] = {}
    for drop, items in drops.items():
        found.setdefault(drop.component, {})[drop] = items
    return found


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
    recovered = " + recovered" if any(balance.recovered for balance in balances) else ""
    return f"balances: accepted{recovered} = delivered + dropped + held"
