"""Neighbouring editors (`attributes`, `resource`, `filter`, ...) run as one walk of the bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import reduce
from itertools import islice
from operator import add
from typing import Final

from sluiceway.component import Consumer, Editor, Prepared, SlotValue
from sluiceway.otlp import Batch
from sluiceway.otlp.plan import Outcome, Slot, Tally
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

    async def consume(self, batch: Batch) -> None:
        """Ask every editor for its part in this batch, then walk it once. What is empty then goes no further."""
        parts: list[Prepared] = []
        if self._watch is None:
            outcome = await self._walk(batch, parts)
        else:
            outcome = await self._watch.run(self._walk(batch, parts), batch)
        if outcome is not None and (outcome.batch.items or not any(tally[0] for tally in outcome.tallies)):
            await self.next.consume(outcome.batch)
        self._settle(parts, outcome)

    async def _walk(self, batch: Batch, parts: list[Prepared]) -> Outcome | None:
        """The batch as the editors leave it, or None where one of them drops it whole; notes their parts in it."""
        arguments: dict[Slot, SlotValue] = {}
        for editor in self.editors:
            prepared = editor.prepare(batch)
            if prepared is None:
                return None
            parts.append(prepared)
            batch = prepared.batch
            if prepared.arguments:
                arguments.update(prepared.arguments)
        if len(batch.payload) > LARGE and self.plan.runs_in_threads:
            return await asyncio.to_thread(self.plan.outcome, batch, arguments)
        return self.plan.outcome(batch, arguments)

    def _settle(self, parts: Sequence[Prepared], outcome: Outcome | None) -> None:
        """Tell every editor that its part is done, with the tallies of its own actions, and count what came out."""
        tallies = iter(outcome.tallies if outcome is not None else ())
        dropped = 0
        for place, (editor, part) in enumerate(zip(self.editors, parts, strict=False)):
            if outcome is not None:
                own = tuple(islice(tallies, editor.plan.drops))
                dropped += sum(tally[0] for tally in own)
                _tell(part, outcome.batch, own)
            if place < len(self._edges):
                one, other = self._edges[place]
                one.outgoing += part.batch.items - dropped
                other.incoming += part.batch.items - dropped


def _tell(part: Prepared, batch: Batch, tallies: tuple[Tally, ...]) -> None:
    if part.tallied is not None:
        part.tallied(batch.signal, tallies)
    if part.settled is not None:
        part.settled()


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
