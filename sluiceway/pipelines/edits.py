"""Neighbouring editors (`attributes`, `resource`, `tenant`, ...) run as one walk of the bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Final

from sluiceway.component import Consumer, Editor, SlotValue
from sluiceway.otlp import Batch
from sluiceway.otlp.plan import Slot

__all__ = ["Edits", "group_editors"]

LARGE: Final = 1024 * 1024
"""Bytes: larger batches are edited in a thread, so that they do not hold up everybody else."""


class Edits:
    """Runs the plans of several editors as one. Changes a copy of the bytes; drops only what an editor asks to drop."""

    def __init__(self, editors: Sequence[Editor], next: Consumer) -> None:
        self.editors = tuple(editors)
        self.next = next
        self.plan = reduce(add, (editor.plan for editor in editors))

    async def consume(self, batch: Batch) -> None:
        """Ask every editor for its part in this batch, then walk it once."""
        arguments: dict[Slot, SlotValue] = {}
        settled = []
        for editor in self.editors:
            prepared = editor.prepare(batch)
            if prepared is None:
                return
            batch = prepared.batch
            arguments.update(prepared.arguments)
            if prepared.settled is not None:
                settled.append(prepared.settled)
        if len(batch.payload) > LARGE and self.plan.runs_in_threads:
            batch = await asyncio.to_thread(self.plan.run, batch, arguments)
        else:
            batch = self.plan.run(batch, arguments)
        await self.next.consume(batch)
        for settle in settled:
            settle()


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
