"""Tags every resource with the tenant it belongs to, as the attribute `tenant.id`.

The sources under `from` are asked in order and the first valid id counts: the subject that an authenticator proved, a
request header (the receiver needs `include_metadata: true`), a resource attribute, or a map from a resource attribute's
value. Then comes `default`, and what is still without a tenant is refused for good, or dropped and counted.

A claim never overrides a proof: where `subject` is a source, a sender that was proved to be somebody gets its own
tenant, or counts as missing when that is no valid id, whatever its headers and attributes say. A bearer token proves
nobody in particular, so who holds it may claim. A `tenant.id` that arrives with the
data is overwritten; it counts only where the attribute is a source. The tenant belongs to a resource, never to single
items, so one batch may hold several tenants.

An id that `pattern` does not match as a whole, or that is longer than 256 bytes, counts as missing. A header that comes
more than once is refused. Nothing is held, and what the next component refuses is neither counted nor dropped.

`sluiceway_tenant_items` counts items by tenant, for the first `max_tenants`; the rest is summed in one series.

```yaml
processors:
  tenant:
    from:
      - subject
      - header: x-tenant-id
      - attribute: tenant.id
      - map: {attribute: service.name, values: {checkout: acme}}
    default: shared
```
"""

from __future__ import annotations

from typing import Final, Literal, Self

from pydantic import Field, model_validator

from sluiceway.component import Component, Context, Kind, Prepared, Reason, Stability
from sluiceway.config.actions import named_groups
from sluiceway.config.types import Settings
from sluiceway.errors import SenderError
from sluiceway.otlp import Batch, keep_resources, resources
from sluiceway.otlp.plan import Level, Plan, Put, Slot, Value
from sluiceway.processors.tenant.counts import TenantCounts
from sluiceway.processors.tenant.sources import Claims, Ids, SourceConfig

__all__ = ["COMPONENT", "TenantConfig", "TenantProcessor"]

_SOURCES: Final = (SourceConfig(subject=True), SourceConfig(header="x-tenant-id"))


class TenantConfig(Settings):
    """The settings of `tenant`."""

    key: str = Field(default="tenant.id", min_length=1)
    """The resource attribute that is set."""
    sources: tuple[SourceConfig, ...] = Field(default=_SOURCES, alias="from")
    """Where the tenant comes from, in order: `subject`, `header: <name>`, `attribute: <key>`, `map: {...}`."""
    default: str = ""
    """The tenant of what no source knows."""
    on_missing: Literal["", "refuse", "default", "drop"] = ""
    """What becomes of data without a tenant; `default` where one is given, else `refuse`."""
    pattern: str = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
    """An RE2 pattern that a whole id must match."""
    max_tenants: int = Field(default=100, ge=1)
    """How many tenants get a series of their own in our metrics."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = []
        if any(source.subject for source in self.sources[1:]):
            problems.append("'subject' must come first in 'from', so that no claim overrides a proof")
        if (self.on_missing == "default") != bool(self.default) and self.on_missing:
            problems.append("'default' is needed when 'on_missing' is default, and not used otherwise")
        if named_groups(self.pattern) is None:
            problems.append("'pattern' is not a valid regular expression")
        else:
            ids = Ids(self.pattern)
            known = (self.default, *(tenant for source in self.sources for tenant in source.mapped))
            problems += [
                f"tenant \"{name}\" does not match 'pattern'" for name in known if name and not ids.valid(name)
            ]
        if problems:
            raise ValueError("; ".join(problems))
        return self


class TenantProcessor:
    """An editor that puts one attribute on every resource."""

    def __init__(self, config: TenantConfig, context: Context, _next: object) -> None:
        self._slot = Slot()
        self.plan = Plan((Put(Level.RESOURCE, config.key, self._slot),))
        self._claims = Claims(config.sources, Ids(config.pattern))
        self._keys = self._claims.keys
        self.reads_payload = bool(self._keys)
        self._default = config.default or None
        self._drops = config.on_missing == "drop"
        self._context = context
        self._counts = TenantCounts(context, config.max_tenants)
        for name in (config.default, *(tenant for source in config.sources for tenant in source.mapped)):
            self._counts.open(name)

    def prepare(self, batch: Batch) -> Prepared | None:
        """Find the tenants of a batch; raise `SenderError` where there is none and `on_missing` says refuse."""
        proof = self._claims.of_request(batch.origin)
        if proof.tenant is None and proof.is_open and self._keys:
            return self._by_resource(batch)
        tenant = proof.tenant or self._default
        if tenant is not None:
            return Prepared(batch, {self._slot: tenant}, lambda: self._counts.add(tenant, batch.items))
        self._refuse_unless_dropping()
        self._context.drop(batch.items, Reason.TENANT_MISSING, intended=True)
        return None

    def _by_resource(self, batch: Batch) -> Prepared | None:
        entries = resources(batch, self._keys)
        headers = self._claims.headers(batch.origin)
        found = [self._claims.of_resource(values, headers) or self._default for _, values in entries]
        each: list[Value | None] = list(found)
        counted = [(tenant, items) for tenant, (items, _) in zip(found, entries, strict=True) if tenant is not None]
        if len(counted) == len(found):
            value = each[0] if len(set(found)) == 1 else each
            return Prepared(batch, {self._slot: value}, lambda: self._settle(counted, 0))
        self._refuse_unless_dropping()
        lost = batch.items - sum(items for _, items in counted)
        if not counted:
            self._settle(counted, lost)
            return None
        kept = keep_resources(batch, [tenant is not None for tenant in found])
        return Prepared(kept, {self._slot: [tenant for tenant, _ in counted]}, lambda: self._settle(counted, lost))

    def _refuse_unless_dropping(self) -> None:
        if not self._drops:
            raise SenderError("the request names no valid tenant")

    def _settle(self, counted: list[tuple[str, int]], lost: int) -> None:
        for tenant, items in counted:
            self._counts.add(tenant, items)
        self._context.drop(lost, Reason.TENANT_MISSING, intended=True)


COMPONENT = Component(
    type="tenant",
    kind=Kind.PROCESSOR,
    config=TenantConfig,
    create=TenantProcessor,
    stability=Stability.BETA,
)
