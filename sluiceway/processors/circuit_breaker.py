"""Stops giving data to a pipeline's end that keeps failing, and probes it until it takes data again.

It watches every batch that it hands on. When too many of them fail in a row, or too large a part of them within a
window fails or is slow, it opens: nothing is handed on for a while that grows from failed probe to failed probe, each
delay varied at random. Then a few batches are let through as probes, no more than `half_open_probes` at a time; when
all of them succeed it closes, when one fails it opens again. Meanwhile, by `on_open`:

- `refuse` asks senders to come again when the next probe is due. Nothing is lost, nothing is held.
- `drop` drops the data, with the reason `circuit_open`.
- `route` hands it to a connector, such as `forward`, which leads to another pipeline: the way around. There it is
  accepted, and for this pipeline it is delivered. What that pipeline refuses is refused to the sender.

A batch whose failure opens the breaker is not lost and not diverted: its sender is told to come again, as without the
breaker. A failure is what asks the sender to come again (a backend that is away, a full queue, a limiter further
down), and an error that any data would meet, such as wrong credentials; a batch that the backend refuses for what is
in it is none. So a `rate_limiter` belongs before the breaker: behind it, one tenant over its limit would open it for
all. It is the breaker of exporters' `circuit_breaker`, with the same settings.

An exporter with a `sending_queue`, which all have by default, answers before anything was sent. Of such an exporter
the breaker sees a full queue and nothing else, and no slow calls. To have it see how deliveries end, switch the queue
off, or give it `wait_for_result: true`; a warning says so at start. The same holds for a `batch` processor that comes
after it. With several exporters a batch fails when all of them fail.

```yaml
processors:
  circuit_breaker:
    consecutive_failures: 5
    on_open: refuse
```
"""

from __future__ import annotations

import random as dice
from collections import Counter
from collections.abc import Callable
from typing import Final, Literal, Self

from pydantic import Field, model_validator

from sluiceway.circuit_breaker import Breaker, Call, Outcome, State, judge
from sluiceway.component import Component, Consumer, Context, Kind, Reason, Stability, Status
from sluiceway.config.exporter import CircuitBreaker
from sluiceway.errors import RefusedError
from sluiceway.otlp import Batch

__all__ = ["COMPONENT", "CircuitBreakerConfig", "CircuitBreakerProcessor"]

_REFUSAL: Final = "circuit breaker is open"


class CircuitBreakerConfig(CircuitBreaker):
    """The settings of `circuit_breaker`."""

    on_open: Literal["refuse", "drop", "route"] = "refuse"
    """What becomes of data while the breaker is open: `refuse`, `drop`, or `route` to the connector of that key."""
    route: str = Field(default="")
    """The connector that data is handed to with `on_open: route`; another pipeline has it as its receiver."""

    @model_validator(mode="after")
    def _check_route(self) -> Self:
        if (self.on_open == "route") != bool(self.route):
            raise ValueError("'route' names a connector when 'on_open' is route, and is not used otherwise")
        return self

    @property
    def routes(self) -> tuple[str, ...]:
        """The connectors that batches may be handed to."""
        return (self.route,) if self.route else ()


class CircuitBreakerProcessor:
    """Asks the breaker before each batch and tells it how the batch ended. `random` gives numbers from zero to one."""

    def __init__(
        self,
        config: CircuitBreakerConfig,
        context: Context,
        next: Consumer,
        *,
        random: Callable[[], float] = dice.random,
    ) -> None:
        self._config = config
        self._context = context
        self._next = next
        self._aside = context.route(config.route) if config.route else None
        self._breaker = Breaker(config, context.clock.now, random)
        self._changes: Counter[State] = Counter()
        self._rejected = 0
        self._publish()

    async def __aenter__(self) -> Self:
        if self._context.queued:
            self._context.logger.warning(
                "Every exporter of this pipeline has a sending_queue that answers at once, so the circuit breaker sees "
                "full queues and no failed deliveries. Set sending_queue::wait_for_result, or use the exporters' own "
                "circuit_breaker."
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Leave nothing behind: nothing is held."""

    async def consume(self, batch: Batch) -> None:
        """Hand the batch on, or while the breaker is open do with it what `on_open` says."""
        call = self._begin()
        if call is None:
            await self._reject(batch)
            return
        try:
            await self._next.consume(batch)
        except BaseException as error:
            self._end(call, judge(error))
            raise
        self._end(call, Outcome.SUCCESS)

    async def _reject(self, batch: Batch) -> None:
        if self._config.on_open == "refuse":
            self._rejected += batch.items
            raise RefusedError(_REFUSAL, self._breaker.retry_after(), reason=Reason.CIRCUIT_OPEN)
        if self._aside is not None:
            await self._aside.consume(batch)
        else:
            self._context.drop(batch.items, Reason.CIRCUIT_OPEN, intended=True)
        self._rejected += batch.items

    def _begin(self) -> Call | None:
        before = self._breaker.state
        call = self._breaker.begin()
        self._note(before)
        return call

    def _end(self, call: Call, outcome: Outcome) -> None:
        before = self._breaker.state
        self._breaker.end(call, outcome)
        self._note(before)

    def _note(self, before: State) -> None:
        """Tell metrics, health and log of a change of state."""
        state = self._breaker.state
        if state is before:
            return
        self._changes[state] += 1
        if state is State.CLOSED:
            self._context.report(Status.OK)
            self._context.logger.info("Circuit breaker closed.")
        elif state is State.OPEN:
            delay = round(self._breaker.delay(), 3)
            self._context.report(Status.RECOVERABLE_ERROR, f"{_REFUSAL}, next attempt in {delay:g}s")
            self._context.logger.warning("Circuit breaker opened.", extra={"interval": f"{delay:g}s"})
        else:
            self._context.report(Status.RECOVERABLE_ERROR, "circuit breaker is half-open")

    def _publish(self) -> None:
        name, scope = "sluiceway_processor_circuit_breaker", self._context.telemetry
        labels = {"processor": self._context.id, "pipeline": self._context.pipeline}
        scope.gauge(f"{name}_state", lambda: self._breaker.state.level, "1", "Closed 0, half-open 1, open 2.", **labels)
        for state in State:
            scope.counter(
                f"{name}_transitions", self._changes_to(state), "{transition}", "Changes of state, by the new state.",
                state=state.value, **labels,
            )  # fmt: skip
        scope.counter(
            f"{name}_rejected_items", lambda: self._rejected, "{item}", "Items not handed on while open, by outcome.",
            outcome=self._config.on_open, **labels,
        )  # fmt: skip

    def _changes_to(self, state: State) -> Callable[[], int]:
        return lambda: self._changes[state]


COMPONENT = Component(
    type="circuit_breaker",
    kind=Kind.PROCESSOR,
    config=CircuitBreakerConfig,
    create=CircuitBreakerProcessor,
    stability=Stability.BETA,
)
"""A reload keeps the state of a breaker whose settings stay the same: its instance goes on."""
