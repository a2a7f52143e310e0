"""Changes attributes of spans, log records and data points.

Actions take effect in order, on the items that `include` and `exclude` leave. Nothing else of an item changes, no item
is dropped, and nothing is held back, so nothing can be lost here. An action whose source is absent does nothing.
Neighbouring `attributes`, `resource` and `tenant` processors cost one walk of the bytes together.

`from_context` reads what is known of the request: its headers (`metadata.<header>`, where the receiver has
`include_metadata: true`), what an authenticator says of the sender (`auth.<attribute>`, `auth.subject`) and
`client.address` (without the port). Several values are joined with `;`. A `batch` processor in front of this one
forgets the request.

```yaml
processors:
  attributes:
    actions:
      - {key: environment, value: production, action: insert}
      - {key: db.statement, action: delete}
      - {key: user.email, action: hash}
```
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import model_validator

from sluiceway.component import Component, Context, Kind, Prepared, SlotValue, Stability
from sluiceway.config.actions import Actions, ContextKey, compile_actions
from sluiceway.config.selection import MatchConfig, check_signals, select
from sluiceway.config.types import Settings
from sluiceway.otlp import Batch, Origin
from sluiceway.otlp.plan import Level, Plan, Slot, Value

__all__ = ["COMPONENT", "AttributeEdits", "AttributesConfig", "from_context"]


class AttributesConfig(Settings):
    """The settings of `attributes`."""

    actions: Actions = ()
    """What to do, in order; required."""
    include: MatchConfig | None = None
    """Which items to touch; all when absent."""
    exclude: MatchConfig | None = None
    """Which of them to leave alone; looked at after `include`."""

    @model_validator(mode="after")
    def _require_actions(self) -> Self:
        if not self.actions:
            raise ValueError('missing required field "actions"')
        return self


class AttributeEdits:
    """A compiled list of actions: an `Editor`, for items or for resources."""

    reads_payload = False
    counts_items = False

    def __init__(self, plan: Plan, slots: Mapping[Slot, tuple[ContextKey, Value | None]]) -> None:
        self.plan = plan
        self._slots = dict(slots)

    def prepare(self, batch: Batch) -> Prepared:
        """Look up what the request is known by; never drops or refuses."""
        if not self._slots:
            return Prepared(batch)
        arguments: dict[Slot, SlotValue] = {}
        for slot, (key, default) in self._slots.items():
            value = from_context(batch.origin, key)
            arguments[slot] = default if value is None else value
        return Prepared(batch, arguments)


def from_context(origin: Origin, key: ContextKey) -> str | None:
    """What is known of a request under `metadata.<header>`, `auth.<attribute>` or `client.address`, or None."""
    kind, _, name = key.partition(".")
    if kind == "metadata":
        values = origin.headers.get(name.lower())
        return ";".join(values) if values else None
    if kind == "auth":
        value = origin.auth.get(name)
        return origin.subject if value is None and name == "subject" else value
    host, colon, _ = origin.peer.rpartition(":")
    return (host.strip("[]") if colon else origin.peer) or None


def _create(config: AttributesConfig, context: Context, _next: object) -> AttributeEdits:
    check_signals(config.include, context.signals, "include")
    check_signals(config.exclude, context.signals, "exclude")
    actions, slots = compile_actions(config.actions, Level.ITEM, select(config.include, config.exclude))
    return AttributeEdits(Plan(actions), slots)


COMPONENT = Component(
    type="attributes",
    kind=Kind.PROCESSOR,
    config=AttributesConfig,
    create=_create,
    stability=Stability.BETA,
)
