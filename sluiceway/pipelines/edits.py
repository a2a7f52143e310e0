"""Neighbouring editors (`attributes`, `resource`, `tenant`, ...) run as one walk of the bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import reduce
from operator import add
from typing import Final

from sluiceway.component import Consumer, Editor, SlotValue
from sluiceway.otlp import Batch
from sluiceway.otlp.plan import Slot
from sluiceway.pipelines.flow import Flow
from sluiceway.pipelines.watch import Watch

__all__ = ["Edits", "group_editors"]

LARGE: Final = 1024 * 1024
"""Bytes: larger batches are edited in a thread, so that they do not hold up everybody else."""


class Edits:
    """Runs the plans of several editors as one. Changes a copy of the bytes; drops only what an editor asks to drop.

    `flows` are those of the editors, in order, and `into` is the next component's. A plan changes no number of items,
    so what comes out of an editor is what it returned from `prepare`.
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
        """Ask every editor for its part in this batch, then walk it once."""
        outgoing: list[int] = []
        settled: list[Callable[[], None]] = []
        if self._watch is None:
            edited = await self._walk(batch, outgoing, settled)
        else:
            edited = await self._watch.run(self._walk(batch, outgoing, settled), batch)
        if edited is not None:
            await self.next.consume(edited)
            for settle in settled:
                settle()
        for (one, other), items in zip(self._edges, outgoing, strict=False):
            one.outgoing += items
            other.incoming += items

    async def _walk(self, batch: Batch, outgoing: list[int], settled: list[Callable[[], None]]) -> Batch | None:
        """The batch as the editors leave it, or None where one of them drops it.

        Notes how many items come out of each editor, and what it wants done once the batch is safe.
        """
        arguments: dict[Slot, SlotValue] = {}
        for editor in self.editors:
            prepared = editor.prepare(batch)
            if prepared is None:
                return None
            batch, wanted, settle = prepared
            outgoing.append(batch.items)
            if wanted:
                arguments.update(wanted)
            if settle is not None:
                settled.append(settle)
        if len(batch.payload) > LARGE and self.plan.runs_in_threads:
            return await asyncio.to_thread(self.plan.run, batch, arguments)
        return self.plan.run(batch, arguments)


def group_editors(processors: Sequence[object]) -> list[object | list[Editor]]:
    """Group neighbouring editors, in order.

    One that reads the payload must see what those before it have done, so it opens a group of its own.
    """
    groups: list[object | list[Editor]] = []
    for processor in processors:
        if not isinstance(processor, Editor):
            groups.append(processor)
        elif groups and isinstance(groups[-1], list) and not processor.reads_payload:
            groups[-1].append(processor)
        else:
            groups.append([processor])
    return groups
