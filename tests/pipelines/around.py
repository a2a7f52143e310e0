"""What tests of the parts around an exporter share: batches, a backend that follows a script, settings from YAML."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import Counter, deque
from contextvars import copy_context
from dataclasses import dataclass, field

import yaml
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from sluiceway.caller import CALLER, Caller
from sluiceway.component import Context, Kind, PartialSuccess, Reason, Status
from sluiceway.config.exporter import CircuitBreaker, RetryOnFailure, SendingQueue, Timeout
from sluiceway.config.types import Section, Settings
from sluiceway.otlp import Batch, Origin, Signal
from sluiceway.pipelines.branches import ExporterBranch
from sluiceway.pipelines.ledger import Account
from sluiceway.pipelines.request import Request
from sluiceway.pipelines.wrap import Wrapped, wrap
from sluiceway.telemetry import Metrics, Scope
from sluiceway.testing import ManualClock

_numbers = itertools.count(1)


class Surroundings(Settings):
    """An exporter's settings with every section; all are off unless a test asks for them."""

    timeout: Timeout = 0.0
    retry_on_failure: Section[RetryOnFailure] = None
    sending_queue: Section[SendingQueue] = None
    circuit_breaker: Section[CircuitBreaker] = None


def settings(text: str) -> Surroundings:
    """Settings from YAML."""
    return Surroundings.model_validate(yaml.safe_load(text))


def traces(spans: int = 1, **headers: str) -> Batch:
    """A batch of spans whose names no other span has, from a sender who sent these headers."""
    message = TracesData()
    scope = message.resource_spans.add().scope_spans.add()
    for _ in range(spans):
        scope.spans.add(name=f"span-{next(_numbers)}")
    return Batch.from_proto(message, Origin(headers={key: (value,) for key, value in headers.items()}))


def names(batch: Batch) -> list[str]:
    """The names of the spans of a batch."""
    return [s.name for r in batch.proto().resource_spans for sc in r.scope_spans for s in sc.spans]


def request(spans: int = 1, account: Account | None = None) -> Request:
    """A request of one account."""
    return Request(traces(spans), ((account or Account("traces", "out"), spans),))


class Backend:
    """An exporter that does what its script says, one line a call, and succeeds when the script is over.

    While `gate` is cleared, calls hang.
    """

    def __init__(self, *script: BaseException | PartialSuccess | None) -> None:
        self.script = deque(script)
        self.calls: list[Batch] = []
        self.taken: list[Batch] = []
        self.gate = asyncio.Event()
        self.gate.set()

    @property
    def sizes(self) -> list[int]:
        """Items of each batch that was taken."""
        return [batch.items for batch in self.taken]

    async def consume(self, batch: Batch) -> PartialSuccess | None:
        """Take the batch, or not."""
        self.calls.append(batch)
        await self.gate.wait()
        step = self.script.popleft() if self.script else None
        if isinstance(step, BaseException):
            raise step
        self.taken.append(batch)
        return step


@dataclass
class Setup:
    """A wrapped exporter and all that it says."""

    backend: Backend
    wrapped: Wrapped
    clock: ManualClock
    metrics: Metrics
    statuses: list[Status] = field(default_factory=list)
    account: Account = field(default_factory=lambda: Account("traces", "out"))

    @property
    def outlet(self) -> ExporterBranch:
        """The end of the pipeline."""
        return ExporterBranch(self.wrapped, self.account)

    def send_as(self, caller: Caller, batch: Batch) -> asyncio.Task[None]:
        """Send a batch for somebody who may hang up."""
        context = copy_context()
        context.run(CALLER.set, caller)
        return asyncio.get_running_loop().create_task(self.outlet.consume(batch), context=context)

    @property
    def lost(self) -> Counter[Reason]:
        """Items dropped, by reason."""
        return Counter({drop.reason: items for drop, items in self.account.dropped.items()})

    def metric(self, name: str) -> float:
        """The value of one of our own metrics."""
        return self.metrics.read(f"otelcol_exporter_{name}", exporter="out")


def set_up(
    text: str,
    *script: BaseException | PartialSuccess | None,
    random: float = 0.5,
    backend: Backend | None = None,
) -> Setup:
    """Wrap a scripted backend, or `backend`; `random` is what every throw of the dice gives, one half is no jitter."""
    backend, clock, metrics = backend or Backend(*script), ManualClock(), Metrics()
    statuses: list[Status] = []
    context = Context(
        "out", Kind.EXPORTER, frozenset([Signal.TRACES]), clock=clock, telemetry=Scope(metrics),
        report=lambda status, _message="": statuses.append(status), logger=logging.getLogger("sluiceway.test"),
    )  # fmt: skip
    return Setup(backend, wrap(backend, settings(text), context, random=lambda: random), clock, metrics, statuses)
