"""Neighbouring editors (`attributes`, `resource`, `filter`, ...) run as one walk of the bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import reduce
from itertools import islice
from operator import add
from typing import Final

from sluiceway.component import Consumer, Editor, Prepared, SlotValue
from sluiceway.otlp import Batch, Signal
from sluiceway.otlp.plan import LongWork, Outcome, Slot, Tally
from sluiceway.pipelines.flow import Flow
from sluiceway.pipelines.watch import Watch

__all__ = ["Edits", "group_editors"]

LARGE: Final = 1024 * 1024
"""Bytes: larger batches are edited in a thread, so that they do not hold up everybody else."""


class Edits:
    """Runs the plans of several editors as one. Changes a copy of the bytes; drops only what an editor asks to drop.

    `flows` are those of the editors, in order, and `into` is the next component's. What comes out of an editor is what
    it returned from `prepare`, less what its plan and those before it dropped.
    """

    def __init__(
        self,
        editors: Sequence[Editor],
        next: Consumer,
        flows: Sequence[Flow] = (),
        into: Flow | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.editors = tuple(editors)
        self.next = next
        self.plan = reduce(add, (editor.plan for editor in editors))
        self._edges = tuple(zip(flows, (*flows[1:], into or Flow()), strict=False))
        self._watch = watch
        self._turn = asyncio.Lock() if self.plan.asks else nullcontext()

    async def consume(self, batch: Batch) -> None:
        """Ask every editor for its part in this batch, then walk it once. What is empty then goes no further."""
        parts: list[Prepared] = []
        tallies: list[Tally] = []
        if self._watch is None:
            edited = await self._walk(batch, parts, tallies)
        else:
            edited = await self._watch.run(self._walk(batch, parts, tallies), batch)
        if edited is not None and (edited.items or not any(tally[0] for tally in tallies)):
            await self.next.consume(edited)
        if edited is not None:
            self._tell(parts, edited.signal, tallies)
        self._count(parts, tallies)

    async def _walk(self, batch: Batch, parts: list[Prepared], tallies: list[Tally]) -> Batch | None:
        """The batch as the editors leave it, or None where one of them drops it whole.

        Notes their parts in it, and what their plans' actions counted that drop items.
        """
        arguments: dict[Slot, SlotValue] = {}
        for editor in self.editors:
            prepared = editor.prepare(batch)
            if prepared is None:
                return None
            parts.append(prepared)
            batch = prepared.batch
            if prepared.arguments:
                arguments.update(prepared.arguments)
        outcome = await self._run(batch, arguments)
        tallies += outcome.tallies
        return outcome.batch

    async def _run(self, batch: Batch, arguments: Mapping[Slot, SlotValue]) -> Outcome:
        """Run the plan; in a thread where that would hold up everybody else."""
        async with self._turn:
            if len(batch.payload) > LARGE:
                return await asyncio.to_thread(self.plan.outcome, batch, arguments)
            try:
                return self.plan.outcome(batch, arguments, hurried=True)
            except LongWork as work:
                return await asyncio.to_thread(work.rest)

    def _tell(self, parts: Sequence[Prepared], signal: Signal, tallies: Sequence[Tally]) -> None:
        """Tell every editor that its part is done, with the tallies of its own actions."""
        left = iter(tallies)
        for editor, part in zip(self.editors, parts, strict=True):
            own = tuple(islice(left, editor.plan.drops))
            if part.tallied is not None:
                part.tallied(signal, own)
            if part.settled is not None:
                part.settled()

    def _count(self, parts: Sequence[Prepared], tallies: Sequence[Tally]) -> None:
        """Count what came out of every editor."""
        left, dropped = iter(tallies), 0
        for editor, part, (one, other) in zip(self.editors, parts, self._edges, strict=False):
            dropped += sum(tally[0] for tally in islice(left, editor.plan.drops))
            one.outgoing += part.batch.items - dropped
            other.incoming += part.batch.items - dropped


def group_editors(processors: Sequence[object]) -> list[object | list[Editor]]:
    """Group neighbouring editors, in order.

    One that reads the payload must see what those before it have done, so it opens a group of its own. So does one
    that counts items behind one that drops some.
    """
    groups: list[object | list[Editor]] = []
    for processor in processors:
        last = groups[-1] if groups else None
        if not isinstance(processor, Editor):
            groups.append(processor)
        elif isinstance(last, list) and not _begins_group(processor, last):
            last.append(processor)
        else:
            groups.append([processor])
    return groups


def _begins_group(editor: Editor, group: Sequence[Editor]) -> bool:
    counts = getattr(editor, "counts_items", True)
    return editor.reads_payload or (counts and any(before.plan.drops for before in group))
