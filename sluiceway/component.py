"""The contract between components and the runtime.

A receiver pushes to `next`, a processor consumes and forwards, an exporter consumes. There are no base classes: any
object with the right methods is a component, and the frozen record `COMPONENT` at the end of its module says how to
make one.

`await next.consume(batch)` returns when the batch is safe: delivered, or in a queue that has taken responsibility. It
raises when it is not, and then the batch is still the caller's. Whoever swallows such an error must account for the
items by `context.drop`. A batch is immutable and may be kept or shared. A receiver whose sender goes away cancels the
call, which then ends when no attempt to deliver the batch is under way any more.

Lifecycle is `async with`: entering must return quickly and must not fail because a backend is away; leaving flushes.
The runtime enters extensions, exporters, processors and then receivers, and leaves them in reverse.
"""

from __future__ import annotations

import asyncio
import builtins
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType, TracebackType
from typing import Any, NamedTuple, Protocol, Self, TypeAlias, runtime_checkable

from pydantic import BaseModel

from sluiceway.clock import Clock, SystemClock
from sluiceway.errors import PermanentError, RefusedError, RetryableError, SenderError, TooLargeError
from sluiceway.otlp import Batch, Signal
from sluiceway.otlp.plan import Plan, Slot, Tally, Value
from sluiceway.otlp.responses import PartialSuccess
from sluiceway.segments import Log
from sluiceway.telemetry import AttributeValue, Scope

__all__ = [
    "ALL_SIGNALS",
    "Authenticator",
    "Checked",
    "Clock",
    "Component",
    "Consumer",
    "Context",
    "Credentials",
    "Destined",
    "Editor",
    "Identity",
    "Kind",
    "Lifecycle",
    "PartialSuccess",
    "Prepared",
    "Reason",
    "SlotValue",
    "Stability",
    "Status",
    "StatusEntry",
    "Storage",
    "StorageClient",
    "SystemClock",
    "reason_of",
]

ALL_SIGNALS = frozenset(Signal)

SlotValue: TypeAlias = "Value | list[Value | None] | None"
"""What a slot is given: one value for the batch, a list with one for each resource entry, or None for no action."""


class Kind(StrEnum):
    """The five kinds of component, and the singular of their sections in YAML."""

    RECEIVER = "receiver"
    PROCESSOR = "processor"
    EXPORTER = "exporter"
    CONNECTOR = "connector"
    EXTENSION = "extension"

    @property
    def section(self) -> str:
        """The key in YAML and the folder in the package: `receivers`."""
        return f"{self.value}s"


class Stability(StrEnum):
    """What a component owes its users; the levels are the Collector's."""

    DEVELOPMENT = "development"
    ALPHA = "alpha"
    BETA = "beta"
    STABLE = "stable"
    DEPRECATED = "deprecated"


class Status(StrEnum):
    """The state of a component, as health checks show it. The names are the Collector's."""

    STARTING = "StatusStarting"
    OK = "StatusOK"
    RECOVERABLE_ERROR = "StatusRecoverableError"
    PERMANENT_ERROR = "StatusPermanentError"
    FATAL_ERROR = "StatusFatalError"
    STOPPING = "StatusStopping"
    STOPPED = "StatusStopped"


@dataclass(frozen=True, slots=True)
class StatusEntry:
    """How one component is, and since when: `since` is seconds on the context's monotonic clock.

    A repeated report of the same status keeps the old `since` and takes the new message.
    """

    status: Status
    message: str = ""
    since: float = 0.0


class Reason(StrEnum):
    """Why items were dropped: the closed set of the ledger. `intended` drops are what the configuration asked for."""

    FILTERED = "filtered"
    SAMPLED = "sampled"
    RATE_LIMITED = "rate_limited"
    CIRCUIT_OPEN = "circuit_open"
    TENANT_MISSING = "tenant_missing"
    QUEUE_FULL = "queue_full"
    PERMANENT_ERROR = "permanent_error"
    RETRIES_EXHAUSTED = "retries_exhausted"
    REJECTED = "rejected"
    TOO_LARGE = "too_large"
    SHUTDOWN = "shutdown"
    EXPIRED = "expired"
    DAMAGED = "damaged"
    DEAD_LETTERED = "dead_lettered"
    INTERNAL_ERROR = "internal_error"


def reason_of(error: BaseException) -> Reason:
    """Why items are lost when this error is swallowed: the one place that sorts errors into reasons."""
    match error:
        case RefusedError(reason=reason):
            return Reason(reason)
        case RetryableError():
            return Reason.RETRIES_EXHAUSTED
        case TooLargeError():
            return Reason.TOO_LARGE
        case PermanentError() | SenderError():
            return Reason.PERMANENT_ERROR
        case asyncio.CancelledError():
            return Reason.SHUTDOWN
        case _:
            return Reason.INTERNAL_ERROR


class Consumer(Protocol):
    """Anything that takes batches: the one verb of the pipeline."""

    async def consume(self, batch: Batch) -> PartialSuccess | None:
        """Return when the batch is safe, or raise; see the module's text. Only exporters return a `PartialSuccess`."""


@runtime_checkable
class Lifecycle(Protocol):
    """A component that has something to start and stop. Components without need not have it."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None: ...


@runtime_checkable
class Destined(Protocol):
    """An exporter that says where it sends to: `server.address`, `server.port`, `url.path`, on its sent counters."""

    destination: Mapping[str, AttributeValue]


@runtime_checkable
class Checked(Protocol):
    """An exporter that can ask its backend, without sending data, whether it would take them.

    The runtime asks after the start, so that a wrong password is told before the first data wait for it.
    """

    async def check_backend(self) -> None:
        """Return when the backend lets us in and has what we write to, or raise as `consume` would."""


_NO_ARGUMENTS: Mapping[Slot, SlotValue] = MappingProxyType({})


class Prepared(NamedTuple):
    """What an editor asks for one batch: run its plan on `batch` with `arguments` for the plan's slots.

    `settled` is called once the outcome is safe downstream, and not when it was refused and comes again: counts and
    drops belong there, so that a repeated batch is not counted twice. `tallied` is called at the same time, with the
    batch's signal and the tallies of those of the plan's actions that drop items.
    """

    batch: Batch
    arguments: Mapping[Slot, SlotValue] = _NO_ARGUMENTS
    settled: Callable[[], None] | None = None
    tallied: Callable[[Signal, tuple[Tally, ...]], None] | None = None


@runtime_checkable
class Editor(Protocol):
    """A processor whose whole work is a kernel plan. The graph runs neighbouring editors as one walk.

    Such a processor has no `consume`. `prepare` is called once a batch; it may raise as `consume` would, and it returns
    None when the whole batch is to be dropped, which it has then accounted for. `reads_payload` says that `prepare`
    looks into the payload: such an editor begins a new walk, and only it may return another batch than it was given
    (one without some of its resources). An editor that does not count the items it is given may say so by
    `counts_items = False`; the others begin a new walk behind one whose plan drops items.
    """

    plan: Plan
    reads_payload: bool

    def prepare(self, batch: Batch) -> Prepared | None: ...


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a sender was proved to be: the subject, and what else the authenticator knows (`auth.<name>`).

    The subject is None where the proof names nobody, as a token that all senders share.
    """

    subject: str | None
    attributes: Mapping[str, str] = field(default_factory=dict)


class Authenticator(Protocol):
    """An extension that a server's `auth::authenticator` names: it looks at a request's headers, before its body."""

    async def authenticate(self, headers: Mapping[str, tuple[str, ...]]) -> Identity:
        """Say who the sender is, from headers by lower-case name, or raise `UnauthenticatedError`."""


class Credentials(Protocol):
    """An extension that a client's `auth::authenticator` names."""

    def request_headers(self) -> Mapping[str, str]:
        """The headers that prove who we are, by lower-case name; asked anew for every request."""


class StorageClient(Protocol):
    """The store of one component: texts as keys, bytes as values. What was changed is durable when the call returns.

    Calls raise `OSError`, and then nothing was changed: the component goes on and may try again.
    """

    async def get(self, key: str) -> bytes | None:
        """The value of a key, None where it has none."""

    async def set(self, key: str, value: bytes) -> None:
        """Give a key its value."""

    async def delete(self, key: str) -> None:
        """Forget a key, if it is there."""

    async def batch(self, changes: Mapping[str, bytes | None]) -> None:
        """Give keys their values, None to forget them: all of them or none."""

    async def items(self) -> dict[str, bytes]:
        """All keys with their values, for the start."""


class Storage(Protocol):
    """An extension that a component's setting `storage` names."""

    def client(self, context: Context, name: str = "") -> AbstractAsyncContextManager[StorageClient]:
        """The store of the component whose context it is, while the body runs; `name` tells several of one apart.

        Entering raises `StartError` where the store cannot be used.
        """

    def log(self, context: Context, name: str) -> Log:
        """A log for records of the component, not yet opened: for a queue, or for dead letters."""


def _ignore_drop(items: int, reason: Reason, *, intended: bool = False, tenant: str = "") -> None: ...
def _ignore_status(status: Status, message: str = "") -> None: ...
def _no_statuses() -> Mapping[str, StatusEntry]:
    return {}


def _always_ready() -> bool:
    return True


def _no_extension(name: str) -> Any:
    raise LookupError(name)


def _no_route(name: str) -> Consumer:
    raise LookupError(name)


class DropItems(Protocol):
    """`context.drop(items, reason, intended=...)`: the only way in which a component may lose data.

    `tenant` says whose items they were, where the component knows. Each is a series of its own in our metrics, so it
    must come from a bounded set.
    """

    def __call__(self, items: int, reason: Reason, *, intended: bool = False, tenant: str = "") -> None: ...


class ReportStatus(Protocol):
    """`context.report(status, message)`: tell health checks how the component is."""

    def __call__(self, status: Status, message: str = "") -> None: ...


@dataclass(frozen=True, slots=True)
class Context:
    """What the runtime hands to each component it makes.

    `signals` are those for which a pipeline uses the component. `pipeline` is set for processors, of which every
    pipeline has its own. `extension` gives a running extension by its id, or raises `LookupError`.

    `route` gives a processor the way to a connector that its settings name in a property `routes`, or raises
    `LookupError`: a batch that is handed there leaves the pipeline, and counts as delivered once the connector took it.
    """

    id: str
    kind: Kind
    signals: frozenset[Signal] = ALL_SIGNALS
    pipeline: str = ""
    instance: str = ""
    """The collector's `service.instance.id`, empty where the configuration took it away."""
    clock: Clock = field(default_factory=SystemClock)
    logger: logging.Logger | logging.LoggerAdapter[logging.Logger] = field(
        default_factory=lambda: logging.getLogger("sluiceway")
    )
    telemetry: Scope = field(default_factory=Scope)
    drop: DropItems = _ignore_drop
    report: ReportStatus = _ignore_status
    extension: Callable[[str], Any] = _no_extension
    route: Callable[[str], Consumer] = _no_route
    queued: bool = False
    """Whether all that a processor's pipeline ends with are exporters whose queues answer at once, so that no processor
    sees how a delivery ended."""
    shared: dict[str, Any] = field(default_factory=dict)
    """One dict for all instances made from the same entry of the configuration, for what they must have in common."""
    kept: dict[str, Any] = field(default_factory=dict)
    """What the next instance of the same id finds after a reload, with whatever settings it is made."""
    gives: Signal | None = None
    """The signal that this instance of a connector makes; each has an instance of its own."""
    statuses: Callable[[], Mapping[str, StatusEntry]] = _no_statuses
    """The state of every component of the collector, by `<kind>:<id>` (`exporter:otlp_http/eu`)."""
    ready: Callable[[], bool] = _always_ready
    """Whether all receivers have started and draining has not begun."""


@dataclass(frozen=True, slots=True)
class Component:
    """The record at the end of every component module.

    `create` is called as `create(config, context, next)` for receivers, processors and connectors, and as
    `create(config, context)` for exporters and extensions. For connectors `signals` are those it consumes and
    `emits` those it produces for each; a connector without `emits` passes on the signal it was given.
    """

    type: str
    kind: Kind
    config: builtins.type[BaseModel]
    create: Callable[..., Any]
    signals: frozenset[Signal] = ALL_SIGNALS
    stability: Stability = Stability.BETA
    aliases: tuple[str, ...] = ()
    emits: Mapping[Signal, frozenset[Signal]] | None = None
