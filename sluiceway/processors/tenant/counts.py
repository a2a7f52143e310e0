"""Items by tenant in our own metrics, with a bound on the number of series."""

from __future__ import annotations

from sluiceway.component import Context

__all__ = ["TenantCounts"]

_NAME = "sluiceway_tenant_items"
_DESCRIPTION = "Items that were passed on, by tenant."


class TenantCounts:
    """A count for each of the first `limit` tenants, and one for all others: its memory does not grow with claims."""

    def __init__(self, context: Context, limit: int) -> None:
        self._context = context
        self._limit = limit
        self._items: dict[str, int] = {}
        self._others = 0
        context.telemetry.counter(
            _NAME, lambda: self._others, "{item}", _DESCRIPTION,
            processor=context.id, **{"otel.metric.overflow": "true"},
        )  # fmt: skip

    def open(self, tenant: str) -> None:
        """Reserve the series of a tenant that is known beforehand, so that invented ones cannot take its place."""
        if tenant and tenant not in self._items and len(self._items) < self._limit:
            self._items[tenant] = 0
            self._context.telemetry.counter(
                _NAME, lambda: self._items[tenant], "{item}", _DESCRIPTION, processor=self._context.id, tenant=tenant
            )

    def add(self, tenant: str, items: int) -> None:
        """Count items that were passed on."""
        self.open(tenant)
        if tenant in self._items:
            self._items[tenant] += items
        else:
            self._others += items
