"""Changes attributes of resources: of the services, hosts and containers that telemetry comes from.

The actions are those of the `attributes` processor and take effect in order on every resource. Nothing
else changes, no item is dropped, and nothing is held back, so nothing can be lost here.

```yaml
processors:
  resource:
    attributes:
      - {key: deployment.environment.name, value: production, action: upsert}
      - {key: k8s.cluster.name, from_attribute: k8s-cluster, action: insert}
      - {key: process.command_args, action: delete}
```
"""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from sluiceway.component import Component, Context, Kind, Stability
from sluiceway.config.actions import Actions, compile_actions
from sluiceway.config.types import Settings
from sluiceway.otlp.plan import Level, Plan
from sluiceway.processors.attributes import AttributeEdits

__all__ = ["COMPONENT", "ResourceConfig"]


class ResourceConfig(Settings):
    """The settings of `resource`."""

    attributes: Actions = ()
    """What to do, in order; required."""

    @model_validator(mode="after")
    def _require_attributes(self) -> Self:
        if not self.attributes:
            raise ValueError('missing required field "attributes"')
        return self


def _create(config: ResourceConfig, _context: Context, _next: object) -> AttributeEdits:
    actions, slots = compile_actions(config.attributes, Level.RESOURCE)
    return AttributeEdits(Plan(actions), slots)


COMPONENT = Component(
    type="resource",
    kind=Kind.PROCESSOR,
    config=ResourceConfig,
    create=_create,
    stability=Stability.BETA,
)
