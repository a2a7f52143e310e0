"""The way of entries out of a log receiver: static attributes, the operators, and on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

from pydantic import Field

from sluiceway.component import Consumer, Context
from sluiceway.config.types import Duration, Settings
from sluiceway.otlp import Signal, accept
from sluiceway.received import Received
from sluiceway.stanza._encode import encode
from sluiceway.stanza.entry import Entry
from sluiceway.stanza.expressions import Evaluate
from sluiceway.stanza.operators import Operators
from sluiceway.stanza.operators.container import Container
from sluiceway.stanza.operators.flow import Recombine
from sluiceway.stanza.operators.operator import Template, is_template, template
from sluiceway.stanza.program import Program, compile_operators
from sluiceway.stanza.stages import Failures

__all__ = ["Finish", "Outlet", "OutletSettings", "Retry", "pushing"]

Finish: TypeAlias = Callable[[list[Entry]], Awaitable[None]]
"""Takes entries that the operators are done with; returns when the pipeline has them or has refused them for good."""

_TURN: Final = 256
"""Entries that go through the operators at a time: some milliseconds."""
_LOOK: Final = 0.25
"""Seconds between two looks for entries that have waited for others long enough."""


class Retry(Settings):
    """Accepted for the Collector's sake: what is refused for now is always sent again, without an end."""

    enabled: bool = False
    """Has no effect."""
    initial_interval: Duration = 1.0
    """Has no effect: the pipeline says when to come again."""
    max_interval: Duration = 30.0
    """Has no effect."""
    max_elapsed_time: Duration = 300.0
    """Has no effect."""


class OutletSettings(Settings):
    """The keys that log receivers share."""

    attributes: dict[str, Template] = Field(default_factory=dict)
    """Attributes that every record gets; `EXPR(...)` in a text stands for the value of an expression."""
    resource: dict[str, Template] = Field(default_factory=dict)
    """Resource attributes that every record gets; `EXPR(...)` as above."""
    operators: Operators = ()
    """What is done with each record before it is handed on; see [operators](../../operators.md)."""
    retry_on_failure: Retry = Retry()
    """Accepted for the Collector's sake: what is refused for now is always sent again."""


class Outlet:
    """Takes entries through the operators and to `finish`.

    Entries that an operator keeps, to join them with others, are handed on once they have waited long enough.
    """

    def __init__(self, settings: OutletSettings, context: Context, finish: Finish) -> None:
        self._context = context
        self._finish = finish
        self._attributes = {name: template(value) for name, value in settings.attributes.items()}
        self._resource = {name: template(value) for name, value in settings.resource.items()}
        self._names = bool(self._attributes or self._resource)
        is_static = not any(is_template(value) for value in settings.resource.values())
        self._same = dict(settings.resource) if is_static else None
        self._program = compile_operators(settings.operators, context) if settings.operators else None
        self._keeps = any(isinstance(operator, Recombine | Container) for operator in settings.operators)
        self._task: asyncio.Task[None] | None = None
        self._leaving: list[Entry] = []
        self._flushing = asyncio.Lock()
        self._walking = asyncio.Lock()
        self._failures = Failures("attributes and resource", "send", context)

    @property
    def keeps(self) -> bool:
        """Whether an operator may keep entries, to join them with others."""
        return self._keeps

    def marks(self) -> list[tuple[str, int, int]]:
        """The marks of entries that the pipeline does not have yet though `deliver` has returned."""
        kept = self._program.marks if self._program is not None else []
        return kept + [entry.mark for entry in self._leaving if entry.mark is not None]

    async def __aenter__(self) -> Self:
        """Begin to look after entries that wait."""
        tasks = self._tasks = asyncio.TaskGroup()
        await tasks.__aenter__()
        if self._keeps:
            self._task = tasks.create_task(self._look_after())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hand on what still waits, once what is on its way has been answered."""
        try:
            if self._task is not None:
                async with self._flushing:
                    await self._flush(force=True)
        finally:
            if self._task is not None:
                self._task.cancel()
            await self._tasks.__aexit__(None, None, None)

    async def deliver(self, entries: list[Entry]) -> None:
        """Take entries; return when the pipeline has what came out of them."""
        if self._names:
            for entry in entries:
                self._name(entry)
        if self._program is not None:
            entries = await self._walk(self._program, entries)
        if entries:
            await self._finish(entries)

    async def _walk(self, program: Program, entries: list[Entry]) -> list[Entry]:
        """Take entries through the operators, some at a time, so that others get their turn."""
        async with self._walking:
            out = program.run(entries[:_TURN], self._context.clock.time_ns())
            for begin in range(_TURN, len(entries), _TURN):
                await asyncio.sleep(0)
                out += program.run(entries[begin : begin + _TURN], self._context.clock.time_ns())
            return out

    def _name(self, entry: Entry) -> None:
        if self._attributes:
            missing = {name: value for name, value in self._attributes.items() if name not in entry.attributes}
            entry.attributes |= self._values(missing, entry)
        if self._same is not None and not entry.resource:
            entry.resource = self._same  # entries may share a resource: who changes one copies it first
        elif self._resource:
            entry.resource = self._values(self._resource, entry) | entry.resource

    def _values(self, wanted: Mapping[str, Evaluate], entry: Entry) -> dict[str, Any]:
        """What the expressions give; one that cannot be evaluated gives nothing."""
        found = {}
        for name, value in wanted.items():
            try:
                found[name] = value(entry)
            except ValueError as error:
                self._failures.log(error, self._context.clock.time_ns())
        return found

    async def _look_after(self) -> None:
        while True:
            await self._context.clock.sleep(_LOOK)
            async with self._flushing:
                await self._flush(force=False)

    async def _flush(self, *, force: bool) -> None:
        if self._program is not None:
            async with self._walking:
                self._leaving += self._program.flush(self._context.clock.time_ns(), force)
        if self._leaving:
            await self._finish(self._leaving)
            self._leaving = []


def pushing(received: Received, consumer: Consumer, scope: str) -> Finish:
    """A `Finish` that makes one batch of the entries and offers it until it is taken or refused for good."""

    async def push(entries: list[Entry]) -> None:
        await received.keep_pushing(accept(Signal.LOGS, encode(entries, scope)), consumer)

    return push
