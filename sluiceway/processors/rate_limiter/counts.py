"""What passed, was refused and was dropped, by tenant, with a bound on the number of series."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, Literal, TypeAlias

from sluiceway.component import Context

__all__ = ["Counts"]

Outcome: TypeAlias = Literal["passed", "refused", "dropped"]
_OUTCOMES: Final[tuple[Outcome, ...]] = ("passed", "refused", "dropped")


class Counts:
    """Items by outcome for all `known` beforehand, and for the first others up to `limit`; the rest is summed."""

    def __init__(self, context: Context, limit: int, known: Iterable[str]) -> None:
        self._context = context
        self._limit = limit
        self._items: Counter[tuple[str | None, Outcome]] = Counter()
        self._named: set[str] = set()
        self._show(None, {"otel.metric.overflow": "true"})
        for name in known:
            self._name(name)

    def name(self, key: str) -> str:
        """The key, where it is one of those that are told apart, else nothing."""
        return key if key in self._named else ""

    def refuse(self, key: str, items: int) -> None:
        """Count items whose sender was told to come again."""
        self._add(key, "refused", items)

    def settle(self, key: str, passed: int, dropped: int) -> None:
        """Count items that went on, and items that were dropped."""
        self._add(key, "passed", passed)
        self._add(key, "dropped", dropped)

    def _add(self, key: str, outcome: Outcome, items: int) -> None:
        self._items[key if self._is_named(key) else None, outcome] += items

    def _is_named(self, key: str) -> bool:
        if key in self._named:
            return True
        if len(self._named) >= self._limit:
            return False
        self._name(key)
        return True

    def _name(self, key: str) -> None:
        self._named.add(key)
        self._show(key, {"tenant": key})

    def _show(self, key: str | None, labels: dict[str, str]) -> None:
        for outcome in _OUTCOMES:
            self._context.telemetry.counter(
                "sluiceway_processor_rate_limiter_items", self._reader(key, outcome), "{item}",
                "Items by tenant, and what became of them.", processor=self._context.id,
                pipeline=self._context.pipeline, outcome=outcome, **labels,
            )  # fmt: skip

    def _reader(self, key: str | None, outcome: Outcome) -> Callable[[], int]:
        return lambda: self._items[key, outcome]
